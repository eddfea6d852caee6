// Package carrier sends and receives a link's datagrams by the carriers that there are: bare
// UDP, QUIC on the same port (RFC 9000, each in a DATAGRAM frame of RFC 9221), and TLS 1.3 over
// TCP (RFC 8446). A firewall that lets a browser through lets one of them through.
//
//	       WriteBatch, by Packet.Carrier          ReadBatch, all together
//	udp |        | quic, tls                   udp |          ^ quic, tls
//	    |        v                                 |       arrived (bounded)
//	    |   connection of the path: dialled        |          ^
//	    |   with its first packet, queue that      |     reader of each connection
//	    |   drops, writer                          |          ^
//	    v        v                                 v          |
//	sock.UDP <- quic.Transport        bit 0x40 of a datagram's first byte: QUIC's
//
// In a stream of TLS each datagram stands behind its length; those that are sent together share
// a record, to whose end nothing is bound:
//
//	| length 2, 1 to 65507, big-endian | datagram ... |
//
// What is in a datagram authenticates itself and its sender (protocols/fabric), so nothing
// depends on the outer encryption: the certificate is made at the start and thrown away at
// the end, no name stands in it, and nobody verifies it. A stranger who speaks TLS or QUIC sees
// a server of HTTP that never answers; the connection ends once it sends what is no datagram
// of ours, or nothing that is answered for FirstWithin, or nothing that proves who it is for
// ProvenWithin.
//
// The path of UDP costs one look at a packet's carrier, and one at a datagram's first byte:
// no lock and no copy.
//
// The driver's duties:
//
//  1. Use a Conn as it would a sock.Conn, with one reader, and so each of its Lanes: where
//     UDP's port has several sockets, what comes by QUIC may come by any of them.
//  2. Send something that is answered by every path that it means to keep: a connection that
//     brings nothing for StallAfter after something was sent is taken for dead, and dialled anew.
//  3. Say by Proven which node what came by a path was sealed by: who began a connection and
//     has not proven itself loses it.
package carrier
