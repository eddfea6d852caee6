// Package inbound decides which packets of the mesh this node lets in: all of them,
// those that answer what it began, or these and what a list lets in. It stands on the
// packet path of hw/dataplane, before the TUN: no lock, no allocation, no clock.
//
//	TUN --Sent----> flows: the answer to expect, keyed by the 5-tuple
//	                  |    (ICMPv6: the identifier), until it is silent for too long
//	mesh --Admit--> answers? --no--> listed? --no--> refused, with the reason
//
// An ICMPv6 error is an answer where the packet that it quotes is of a flow that this
// node began (RFC 4890 section 4.3.1): Packet Too Big has to get through. A fragment
// other than the first is let in after a first one that was (RFC 8200 section 4.5).
//
// A flow is told by 64 bits of a keyed hash, in a table of fixed size, four places to
// a bucket; where all four are taken the one that would end first gives way. Peers put
// nothing into the table but fragments of what was let in, so none of them can crowd
// it. Two goroutines may meet in one place: at worst a packet of a flow that is new at
// that moment is refused, and comes again.
//
// IPv4 is told apart by its addresses alone: ICMP is read as the ICMPv6 that does the
// same (RFC 7915 section 4.2), so that one rule and one table serve both.
//
// The driver's duties: New with a seed of its own, Sent for each packet that
// enters the mesh here, Admit for each that would leave it here; both with a whole
// header and the time since some start.
package inbound
