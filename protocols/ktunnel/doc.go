// Package ktunnel has the two nodes of a sealed link agree on a tunnel of their kernels
// beside it: GRE (RFC 2784, RFC 2890), FOU (GRE in UDP, as RFC 8086 lays it out) or
// WireGuard; or on one of OpenVPN, by UDP or TCP. It is the pure half of what hw/ktunnel
// and hw/openvpn make.
//
// Each end says its Offer, whenever that changes; the link carries it sealed and in order.
// There is no answer: both ends work out the same Agreement from the two Offers.
//
//	own Offer ------> HandleOwn ------> Say ---------> sealed link ---> the peer's HandleMessage
//	peer's Offer ---> HandleMessage --> Agreed | Ended
//
// The message. Numbers are big-endian:
//
//	| version 1 | kinds: length 1, one byte each | nonce 4 | MTU 2 | FOU port 2 |
//	| WireGuard port 2 | WireGuard public key 32 | outer address: length 1, 0, 4 or 16 bytes |
//	| OpenVPN port 2, of UDP and TCP | flags 1: 1 trusts |
//
// Kinds of a newer node are ignored, and so are further bytes; the OpenVPN port and the flags may lack. An Offer without kinds
// takes back the one before.
//
// The kinds stand in the order in which their end prefers them. The first that both can, in
// the order of the end with the lower node id, is agreed on. GRE and FOU seal nothing, and
// need not: the tunnel carries the link's own datagrams, as sealed as by any other path, and
// nothing else, unless both ends say in their Offers that they trust it: then what the two
// nodes send each other may go through it as it is. A tunnel of OpenVPN is never trusted, for
// it would not be faster.
//
// Of OpenVPN's ends the one with the lower node id waits, and the other dials.
//
// Addresses inside are those of the node ids (addr.NodeID.LinkLocal). The key that tells
// tunnels between the same two addresses apart comes from both nonces, and is no secret.
//
// The driver's duties:
//
//  1. one Machine for each sealed link, for as long as that is up; its nonce is random;
//  2. give it this node's Offer once and after each change: its address and ports as they
//     are now, where the peer sees it at that address, and kinds that its kernel has;
//  3. carry Say to the peer's HandleMessage, in order, though of several only the last need come,
//     and not what has another Address than that at which the peer is seen; an error is the
//     peer's fault;
//  4. make the tunnel of an Agreed, in place of the one before, and remove it at Ended and at the
//     link's end; an Agreement whose MTU is less than MinMTU is to be left alone, as the peer
//     leaves it;
//  5. offer the link the path between the addresses inside: fabric.Link.SetTunnels;
//  6. of an Agreed that is Trusted, take through the tunnel only what comes from the other node's
//     own prefix and is for this one's, and send nothing else into it.
package ktunnel
