// Package registry is what the registry of a network and its nodes say to each
// other, and what the registry decides: the one-line invitation, the messages of
// the v1 API (JSON over HTTPS), the signed network parameters, the allocation of
// prefixes and the choice of bootstrap peers.
//
//	operator            registry                                    node
//	   | token            |                                           |
//	   |----------------->|  re6st://host:port/TOKEN#FINGERPRINT      |
//	   |<-----------------|- - - - - - - by any way - - - - - - - - ->|
//	   |                  |                                           |
//	   |                  |<-- POST /v1/join {token, csr, static} ----|  TLS 1.3, CA pinned
//	   |                  |--- {certificate, ca, params} ------------>|  by the fingerprint
//	   |                  |                                           |
//	   | params set       |<-- POST /v1/bootstrap {endpoints, ...} ---|  TLS 1.3, both sides
//	   |----------------->|--- {observed, peers, params} ------------>|  with certificates
//	   |                  |                                           |
//	   | params set,      |<-- GET /v1/updates?params=N&crl=M --------|  held for up to MaxHold
//	   | revoke           |                                           |
//	   |----------------->|--- {params, crl} ------------------------>|
//	   |                  |<-- POST /v1/renew {csr, static} ----------|  by the present
//	   |                  |--- {certificate} ------------------------>|  certificate
//
// Prefixes are the leaves of a binary trie over the space behind the network.
// Each row is free, used or reserved; a free one is split along the wanted bits:
//
//	""  free                  allocate 2 bits:      ""
//	                                               /  \
//	                                      used "00"    "1" free
//	                                        and "01" free
//
// Parameters are one line of JSON and one line with the CA's signature over it.
// They are stored and passed on as exactly these bytes, and a version is taken
// only if its number is greater than that of the one held.
//
// Everything here is pure. What the caller has to do:
//
//  1. Give the randomness for tokens, ids and samples, and the time.
//  2. Make Allocate, and what depends on its result, one transaction.
//  3. Bound what it reads: MaxRequest and MaxResponse bytes.
//  4. Store tokens as Token.Hash only.
//  5. Renew at RenewalTime, and pause for RenewalRetry after a failure.
//  6. Check with VerifyParams each version of the parameters, from wherever, and
//     take it only if it Supersedes.
package registry
