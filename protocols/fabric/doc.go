// Package fabric is the protocol between our nodes: sealed links, and sealed
// sessions end to end across them.
//
// A packet is sealed once, at the node where it enters the mesh (the ingress),
// and opened once, where it leaves (the egress). Relays in between read the hop
// header, check it, rewrite it and send on; they hold no key to the packet.
//
//	      ingress                 relay                  egress
//	TUN -> Session.Seal                               Session.Open -> TUN
//	       LinkSession.StampHop -> CheckHop              ^
//	                               TakeHop               |
//	                               StampHop ----------> CheckHop
//
// # Datagrams
//
// The first byte has bits 7 and 6 zero, because QUIC sets 0x40 and may share the
// port, the version in bits 5 and 4, and the type in bits 3 to 0. All numbers
// are big-endian.
//
//	1 initiation  2 response  3 final  4 retry  5 handshake fragment
//	8 link control frame      9 data frame
//
// # Data frames
//
//	 0               1               2               3
//	+---------------+---------------+---------------+---------------+
//	| version, type |     class     |   topology    |  hop limit *  |  0
//	+---------------+---------------+-------+-------+---------------+
//	|0 0 0 0 L F ECN*|     flow     |  id   |    offset / 16        |  4
//	+---------------+---------------+-------+-----------------------+
//	|                 receiver's link index *                       |  8  \ nonce of
//	|                     link counter *                            | 12  / the MAC
//	|                                                               |
//	|                     egress node id                            | 20
//	|                                                               |
//	|                     ingress node id                           | 28
//	|                                                               |
//	|                     hop MAC *                                 | 36
//	|                                                               |
//	+---------------------------------------------------------------+
//	|                receiver's session index                       | 44  \ nonce of
//	|                     session counter                           | 48  / the AEAD
//	|                                                               |
//	+---------------------------------------------------------------+
//	|        sealed inner packet, and its tag of 16 bytes           | 56
//
// F says that the frame is a fragment, L that it is the last one. A relay
// rewrites the fields with a star and nothing else, unless it splits the frame.
//
// The hop MAC is the first 8 bytes of the tag that the suite's AEAD gives over no
// plaintext, with the bytes 0 to 55 as associated data, in which the frame's
// length stands (8 bytes) in the place of the MAC. So it covers every hop field,
// the length and the session header. Sixty-four bits of a GCM tag stand 2^32
// forgeries over inputs this short (NIST SP 800-38D appendix C): at a million a
// second a key must not live for more than an hour.
//
// The AEAD's associated data are version, class, ingress and egress: what the
// ends agree on. Topology, ECN, hop limit and fragment change on the way. A
// redundant copy is made after sealing, and the window of the session drops
// whichever comes second.
//
// A fragment carries a part of the sealed packet behind a copy of the session
// header, so that it is authentic to relays as any frame is. The offset counts
// from the sealed packet's start whoever splits, so fragments may be split again.
// The id tells the copies of one frame apart that were split at different places:
// a relay that spoils its fragments spoils no other's.
//
// # Control frames
//
//	+---------------+---------------+-------------------------------+
//	| version, type |   0 (flags)   |              0                |  0
//	+---------------+---------------+-------------------------------+
//	|                 receiver's link index                         |  4  \ nonce of
//	|                     link counter                              |  8  / the AEAD
//	|                                                               |
//	+---------------+-----------------------------------------------+
//	|    kind       |  body ... and the tag of 16 bytes             | 16, sealed
//
// Control is sealed per link: Babel, PIM, peer messages, liveness, and transit
// messages, which each relay opens and seals again.
//
// # Keys
//
// A handshake ends in two roots, one per direction. Each purpose (link control,
// hop MAC, end to end) has the key HKDF-Expand(root, label || suite) of its own
// (RFC 5869). Data and control frames of a link share one counter and one window
// of 4096; a session's window is 8192. Counters end at 2^40.
//
// # Duties of the data plane
//
//  1. Give every link and session a local index that is random, not zero and not
//     in use, and find the LinkSession of a frame by it (DataLinkIndex,
//     ControlLinkIndex).
//  2. Call CheckHop before believing any field of a data frame, and drop in
//     silence what fails.
//  3. Relay: TakeHop, then StampHop of the link out. Deliver: Reassembler if it
//     is a fragment, then Session.Open, then compare the inner packet's
//     addresses with the class and with what the peer may send.
//  4. Own the buffers: nothing here keeps a slice that was passed in, but for the
//     Reassembler, which copies.
package fabric
