// Package discovery lets the nodes of one LAN find each other without a registry:
// each says now and then, to a link-local group, who it is and at which port it is
// reached. It is the pure half of actors/discovery.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------+-----------------------------------------------+
//	| version 1     |  nonce 24, random ...                         |
//	+---------------+-----------------------------------------------+
//	|  sealed: node id 8, static key 32, UDP port 2,                | 25
//	|  length of the prefix 1, prefix 16; further bytes are of      |
//	|  later versions and ignored                                   |
//	+---------------------------------------------------------------+
//	|  tag 16                                                       |
//	+---------------------------------------------------------------+
//
// A beacon is sealed with XChaCha20-Poly1305 under a key from the CA's fingerprint,
// as the MAC on the first packet of a handshake has one (protocols/fabric): who is
// not of the network learns neither which network this is, nor which node, and gets
// no answer. Associated data are the version and the sender's link-local address:
// a beacon that somebody else repeats from an address of his own is refused. One
// that is believed is a hint all the same: who is there is proved by the handshake.
//
//	start, carrier ---> beacons at 0, 1 and 3 s, then every 30 s, a quarter more or less
//	beacon of a node not heard before ---> Heard, and a beacon of our own within 0.5 s
//	beacon of a known node -------------> Heard, once in 10 s at most
//
// The group is ff12::7265:3673 (RFC 4291 section 2.7: link-local scope, not assigned
// by IANA), the port 7327; hop limit 1.
//
// The driver's duties:
//
//  1. one Machine for each interface that has a link-local address, made anew when
//     that address changes or the carrier returns;
//  2. give it each packet with the link-local source that it came from;
//  3. send each Send to Group; dial what Heard tells at (From, Port), with the
//     interface as the zone.
package discovery
