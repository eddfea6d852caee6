// Package subnet hands parts of the node's prefix to interfaces of this machine, such
// as bridges with containers or the LAN of a gateway box.
//
//	kernel --links, addresses--> Subnets --Attached, Detached--> node --> router
//	   ^                            |
//	   '--the router's address------' (pump)
//
// The part is routed to its interface while that is there and up, with the node's own
// address in it, the first one. What is behind gets its addresses as its operator
// likes: by hand, DHCPv6 or router advertisements (radvd, dnsmasq).
//
// Addresses carry the protocol number of the node's routes (IFA_PROTO, Linux 5.18): so
// what a crashed run left is found and taken away, and nobody else's is touched. They
// go with the actor.
//
// The driver's duties, that is actors/node's:
//
//  1. divide the node's prefix (protocols/addr), and spawn it with Spawn after the
//     router;
//  2. offer the router a route for each Attached, and withdraw it for each Detached.
package subnet
