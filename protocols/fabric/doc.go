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
//	|0 0 0 0 L F ECN|     flow      |  id   |      offset / 16      |  4
//	+---------------+---------------+-------+-----------------------+
//	|                    receiver's link index *                    |  8 \ nonce of
//	+---------------------------------------------------------------+    | the MAC
//	|                        link counter *                         | 12 /
//	|                                                               |
//	+---------------------------------------------------------------+
//	|                        egress node id                         | 20
//	|                                                               |
//	+---------------------------------------------------------------+
//	|                        ingress node id                        | 28
//	|                                                               |
//	+---------------------------------------------------------------+
//	|                           hop MAC *                           | 36
//	|                                                               |
//	+===============================================================+
//	|                   receiver's session index                    | 44 \ nonce of
//	+---------------------------------------------------------------+    | the AEAD
//	|                        session counter                        | 48 /
//	|                                                               |
//	+---------------------------------------------------------------+
//	|         sealed inner packet, and its tag of 16 bytes          | 56
//
// F says that the frame is a fragment, L that it is the last one. A relay
// rewrites ECN and the fields with a star and nothing else, unless it splits the
// frame.
//
// The hop MAC is the first 8 bytes of the tag that the suite's AEAD gives over no
// plaintext, with the bytes 0 to 55 as associated data, in which the frame's
// length stands (8 bytes) in the place of the MAC. So it covers every hop field,
// the length and the session header. A short GCM tag weakens with every
// forgery that is tried (NIST SP 800-38D appendix C): hence new keys by time,
// however little was sent.
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
//	| version, type |   0 (flags)   |               0               |  0
//	+---------------+---------------+-------------------------------+
//	|                     receiver's link index                     |  4 \ nonce of
//	+---------------------------------------------------------------+    | the AEAD
//	|                         link counter                          |  8 /
//	|                                                               |
//	+---------------+-----------------------------------------------+
//	|     kind      |  body ..., and the tag of 16 bytes            | 16, sealed
//
// Control is sealed per link: Babel, PIM, peer messages, liveness, and transit
// messages, which each relay opens and seals again.
//
// # How long a datagram may be
//
// Each link finds out what its path carries by probes (RFC 8899, mtu_search.go): control
// frames padded to a size, which the peer answers. Sizes are told by what passes, so carriers
// and tunnels under the link need not say what they add. A decrease of which no router tells
// is found by the loss of probes of the size in use, sent while there are full frames to send,
// where small ones sent with them pass. Loss alone, of any rate, is none. What
// this machine's own interface refuses is known at once (HandleTooBig, NoteTooBig).
//
// Frames whose inner packet is of 1280 bytes or less are split where they do not fit, others
// are refused with Packet Too Big: by the ingress itself, or by a relay's RelayTooBig.
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
//  2. Call CheckHop, or CheckHops for several, before believing any field of a data
//     frame, and drop in silence what fails.
//  3. Relay: TakeHop, then StampHop of the link out. Deliver: Reassembler if it
//     is a fragment, then Session.Open, then compare the inner packet's
//     addresses with the class and with what the peer may send.
//  4. Own the buffers: nothing here keeps a slice that was passed in, but for the
//     Reassembler, which copies.
//
// # Handshakes
//
// Noise_IK_25519_ChaChaPoly_BLAKE2s where the initiator knows the peer's static
// key, else Noise_XX (the Noise Protocol Framework, revision 34). If two
// initiations of IK get no answer, the key is taken for changed, and XX follows.
//
//	initiator                                           responder
//	  | initiation without cookie, MAC                      |
//	  |---------------------------------------------------->| no state
//	  |                                       retry: cookie |
//	  |<----------------------------------------------------|
//	  | initiation IK: e, es, s, ss, hello                  |
//	  |---------------------------------------------------->| keys, unconfirmed
//	  |                       response: e, ee, se, hello    |
//	  |<----------------------------------------------------|
//	  | keys      first probe, or confirm of a session      |
//	  |---------------------------------------------------->| keys in use
//
//	  | initiation XX: e                                    |
//	  |---------------------------------------------------->| half open, 5 s
//	  |                   response: e, ee, s, es, hello     |
//	  |<----------------------------------------------------|
//	  | final: s, se, hello                                 |
//	  |---------------------------------------------------->| keys, unconfirmed
//	  |                                             verdict |
//	  |<----------------------------------------------------|
//	  | keys      first probe, or confirm of a session      |
//	  |---------------------------------------------------->| keys in use
//
// An initiation without answer is not repeated: a new handshake is begun after
// 250 ms, then every 500 ms. The prologue is "re6st fabric handshake" 0, the version, the
// purpose (1 link, 2 session), the CA's SHA-256 fingerprint, the cookie, and for
// sessions the node ids of initiator and responder. Certificates travel in the
// encrypted payloads. The roots are HKDF-Expand(Noise's split, label || handshake
// hash), so they are bound to all of this.
//
// All messages begin alike; zero where the table has no number:
//
//	offset        0           1           2, 3              4            8
//	            type       variant       extra         sender's 4   receiver's 4
//	request     0x11          0            0             index           0
//	initiation  0x11    1 XX, 2 IK   Noise length        index           0
//	response    0x12          0            0             index         index
//	final       0x13          1            0             index         index
//	verdict     0x13          2            0             index         index
//	confirm     0x13          3            0             index         index
//	retry       0x14       0, 1 seen       0               0           index
//	fragment    0x15       type     number, count        index         index
//
//	request     12: 0 (16)   28: MAC (16)
//	question    12: 0 (16)   28: 1   zeros   end: MAC (16), of an Asker, in place of a request
//	initiation  12: cookie (16)   28: Noise message, zeros up to 784 at least   end: MAC (16)
//	response    12: Noise message
//	final       12: Noise message
//	verdict     12: sealed reason (1 + 16), 0 for welcome
//	confirm     12: HKDF of the split (32)
//	retry       12: cookie (16)   28: MAC (16), over this and the MAC that it answers
//	            12: cookie (16)   28: address (16) and port (2) from which the question came, XOR its
//	            MAC and the MAC's first bytes again   46: MAC (16), likewise
//	fragment    12: cookie (16)   28: the next bytes of the message
//
// The MAC is BLAKE2s-128 under a key from the CA's fingerprint. A message of more
// than 1200 bytes (1100 in a transit message and by QUIC) goes in fragments, of which the
// responder looks at those with a good cookie only, the initiator at those with the
// cookie that it used. The cookie is BLAKE2s-128 of the source, under a secret that
// lives for two epochs of 60 s. The payload, hello:
//
//	 0: flags (1: refusal)   1: reason of the refusal   2: number n of suites   3: 0
//	 4: index (4)   8: boot id (8)   16: length of certificate (2)   18: of binding (2)
//	20: suites (n), best first   certificate (DER)   binding (cert.SignKey)
//
// The suite is the first of the initiator's list that the responder's has too.
//
// New keys are made before old ones are broken, after 120 s; old ones open for 10 s
// more. Where both ends begin within 5 s of each other, the keys of the initiator
// with the greater node id win at both. Keys that cannot be replaced end after 360 s:
// so does the membership of a node whose certificate has ended.
//
// # Who can do what
//
// An outsider without the CA's certificate gets no answer and learns nothing but
// that a datagram went by. One who has it (it is no secret among members, past ones
// too) gets a retry no longer than his request; when he owns the address, the
// responder's certificate by XX, which so is no secret from him, and up to 64
// half-open handshakes of 5 s, 24 per /64. He cannot tell who an initiator is: its
// certificate goes only to a peer that proved its own key (IK) or certificate (XX).
// On the path he can drop, delay and race, hence deny service, but a forged answer
// does not end an IK handshake. A recorded initiation is worth nothing: its cookie
// is in the transcript, and while that is good the initiation is remembered. So no
// clock is needed. Who steals a static key later reads no old traffic, but for the
// identity of those who called that node by IK.
//
// A relay sees ingress, egress, class, sizes and times. It can drop, delay, copy and
// misroute; not read, change or make a sealed packet, nor a session under another
// name. It can forge relay errors, which are hints: unknown session costs one
// handshake in 5 s and breaks nothing. It can read and forge multicast.
//
// A member can be itself, and announce what routing lets it; not be another, for the
// certificate's key signs the static key. Two nodes with one certificate are told
// apart by the boot id: the one that answers probes stays, the newcomer is refused.
// As any source, it may have 25 handshakes a second computed, of 200 in all.
//
// A revoked node is refused by Credentials.Revoked, whoever calls whom, and is closed
// on receipt of the revocation (Close), within a second in which it can hear the list; it keeps the CA's certificate, and so the abilities of the outsider who has it.
//
// # Duties of the handshakes' driver
//
//  5. Give all handshake datagrams to the Link whose Expect has their HandshakeIndex,
//     else to the Acceptor; transit messages of kind TransitHandshake to Sessions, and of
//     kind TransitRendezvous to protocols/tunnelplan, as protocols/peer reads them.
//  6. Give each Accepted to HandleAccepted of the link with that peer, or of a new
//     one where there is none or it returns false.
//  7. Tell the Acceptor of every Up, Down and Verified of the links, and call
//     Link.Verify on its Verify.
//  8. Carry out events in their order, SendControl with the session of the last Use;
//     after every input call Drain, then wait until NextTimeout.
//  9. Give HandleControl the time of receipt by the socket. Acknowledgements must not
//     wait in a class queue: the round trip is what routes are chosen by.
//  10. Redial, or not, after Down. Call Link.SetUplinks when this node's addresses
//     changed, and SetEndpoints when the peer's did: see link_path.go for how a link
//     moves. Call SetTunnels when a tunnel below the link was made or is gone; dial nobody,
//     and tell nobody of, where a path by a tunnel leads: that is Underlay's Remote.
package fabric
