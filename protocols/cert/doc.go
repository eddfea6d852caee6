// Package cert is the identity of a re6st network: its certificate authority,
// the certificates of its nodes and of its registry server (X.509, RFC 5280),
// certificate requests (PKCS #10, RFC 2986), the list of those that were revoked
// (RFC 5280 section 5) and the binding of a node's static X25519 key to its
// certificate.
//
//	CA certificate                       node certificate, signed by the CA
//	  serial number = 1 || network         common name  N/len: the node's prefix
//	  self-signed, may sign certificates   URI          re6st:node:<16 hex digits>: the node id
//	        |                              URI          re6st:ipv4:<prefix>: its share of IPv4, if any
//	        |                              usage        digitalSignature; client and server of TLS
//	        |                                   |
//	        | SHA-256 of the DER                | its key signs
//	        v                                   v
//	   fingerprint ------------------->  label || fingerprint || static X25519 key = the binding
//
// The registry's server certificate carries the URI re6st:registry and no common
// name of the form N/len: so a node is never taken for the registry, nor the
// registry for a node.
//
// The revocation list is a CRL with a number. Each entry names, beside the serial
// number, the node by its URI: who never saw the certificate has to know whose
// routes to drop.
//
// Keys are ECDSA on a NIST curve (P-256 by default), RSA of 2048 to 8192 bits, or
// Ed25519. Everything here is pure and safe for concurrent use.
//
// What the caller has to do:
//
//  1. Give the time to every verification. A device without a clock passes the
//     newest time it has proof of to VerifyFloor.
//  2. Compare the fingerprint of a CA certificate received over the network with
//     one that a person handed over, before ParseAuthority's result is used.
//  3. Verify a binding before a static key is believed to be a node's.
//  4. Take a revocation list only if it Supersedes the one held, and ask Revokes
//     about each certificate that is otherwise good.
//  5. See to it that node ids and prefixes are unique: the registry does.
package cert
