// Package sock is the UDP socket of the underlay: one port for IPv6 and IPv4.
//
//	Packet{Data, Segment, Addr, Local, TOS}  --WriteBatch--> sendmsg + IPV6_PKTINFO, IPV6_TCLASS / IP_TOS
//	Packet{Data, Segment, Addr, Local, TOS, At} <-ReadBatch-- recvmsg + the same, + SO_TIMESTAMPNS
//
// The socket is AF_INET6 without IPV6_V6ONLY, so IPv4 comes as mapped addresses
// (RFC 4291 section 2.5.5.2); the Conn hides that. It sets:
//
//   - DF on every packet and no fragmentation at the source, without believing
//     the kernel's path MTU (IP_PMTUDISC_PROBE, IPV6_DONTFRAG): the fabric probes
//     for itself (RFC 8899 section 4.1). What does not fit fails with EMSGSIZE.
//   - a mark (SO_MARK), so that a rule can keep the underlay's packets off the
//     mesh's routes.
//   - the address that a packet was sent to and the interface that it came by, on
//     receipt, so that the answer may leave from there: a host with two uplinks is
//     two addresses to its peers.
//
// With Config.Batches, datagrams of one length for the same address, one behind another, go
// in one call, and are cut by the kernel or the interface (UDP_SEGMENT, Linux 4.18); where it
// will not, they go each for itself. Those that came so are read in one call (UDP_GRO, Linux 5.0).
// What is counted are datagrams. Without that, one call reads up to ReadPackets of them
// (recvmmsg), and those of a packet that the kernel does not cut are written by one call
// (sendmmsg).
//
// Several sockets may share the port (ListenShared, SO_REUSEPORT): the kernel hands what comes
// from one address and port to always the same of them, by a hash of both ends, so that each
// has a reader of its own and what a peer sends by one path stays in order. Whichever sends, it
// is from the same port. It does not go by what is in the datagrams: those that UDP_GRO has
// joined may be of several flows of the mesh. The first socket is bound as one that shares
// with nobody, so a port that any other program has, this one too, is refused as ever; from then
// on the kernel lets in sockets of the same effective user that ask to share, and no others.
//
// UDP loses packets; so what the kernel refuses for one packet (no buffer, a
// firewall, no route, an ICMP error of an earlier one) is counted, and neither
// call fails for it. They fail when the socket is gone.
//
// The caller's duties:
//
//  1. Give ReadBatch packets whose Data has the capacity for a datagram, or for ReadRoom
//     bytes with Config.Batches: longer ones are dropped and counted.
//  2. Have one goroutine read each socket. Any number may write.
//  3. Close: it unblocks the reader, which gets net.ErrClosed.
package sock
