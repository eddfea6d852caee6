// Package firsthop plans through which router on a link of this machine ("first-hop router",
// RFC 5798 section 1) each peer of the underlay is reached, where the machine has several and
// spreads its links over them. Upstream re6stnet calls them --remote-gateway.
//
//	links, where their peers may be ---> HandleLink, HandleEnd --.
//	routers that can be used now,                                 +--> Plan --> Set, Remove: host routes
//	addresses on this machine's links -> HandleUnderlay ---------'
//
// A link gets one router of each family, by turns; all addresses of its peer go through it. Two
// links with one address share its route, which stays as it is until the last of them ends. Where
// a link's router can be used no more the link gets the next one, and keeps that. A peer that did
// not answer, or fell silent, is tried through the router after the one that it had, and once by
// whatever way the kernel knows when it has had all of them. What lies on a link of this machine
// needs no router, and takes no turn.
//
// The driver's duties:
//
//  1. tell of each link that this end opens, before its first packet, and again when the
//     addresses at which its peer may be have changed: HandleLink; of its end: HandleEnd;
//  2. tell which routers can be used, at the start and after each change: HandleUnderlay, behind
//     HandleGateways where other routers are configured;
//  3. Drain after each, and carry out the events in their order; after a change of the underlay
//     make the kernel hold exactly Routes, as it drops routes by itself.
package firsthop
