// Package nat tells behind what kind of NAT a node is, from where its peers see it:
// the question of RFC 5780 without servers of its own, as every peer tells in a link
// where the node's packets come from. The words are those of RFC 4787.
//
//	own addresses, a peer's ObservedAddress --> Watch --> Kind
//
//	no address but its own is seen               none
//	one port, the node's or that to two peers    port-restricted
//	another port to another peer                 random
//	one port, not the node's, seen by one peer   unknown, until a second one is asked
//
// What a NAT lets in cannot be seen from inside; a kind whose mapping is the same for
// all peers is taken for the strictest, that lets in only whom the node has sent to. IPv4
// alone counts: of IPv6 a node has many addresses, and its peers see the youngest.
//
// The driver's duties:
//
//  1. Tell a Watch the node's own addresses (HandleOwn), each address that a peer of a
//     link sees (HandleSeen), and the end of that link (HandleGone).
//  2. Ask it again after each: Kind, and for one address Translated.
package nat
