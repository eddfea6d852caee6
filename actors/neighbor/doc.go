// Package neighbor runs Babel (RFC 8966): the router, and one child actor for
// each neighbor.
//
//	tunnels --Links--> Router ----> babel.Router, rib.Table (sole owner)
//	                   |  ^  |
//	      spawn, stop  |  |  +--View--> packet path      +--> kernel routes (pump)
//	                   v  | checked structs
//	plane --Deliver--> Neighbor: babel.Neighbor decodes, checks, keeps the hello history
//
// A Babel packet comes in a link's sealed control frame; the packet path puts it
// in that link's bounded queue (Links.Deliver), the child's pump takes it out.
// What the child's machine has checked goes up to the router; a packet that
// makes it panic restarts that child and nobody else, while the router keeps its
// routes for one second as stale.
//
// The interfaces of Kernel.Speakers speak Babel by multicast (babeld, BIRD): with
// who has a key where they have some (gate.go), else with whoever is there. What is
// learned there is routed by the kernel, under our protocol number. One that is missing
// or fails is tried again; it ends nobody.
//
// A gateway (gateway.go) announces the default route, from the network's addresses or
// others (RFC 9079), while the machine has one of its own. It leaves by trusted interfaces
// only where the kernel here forwards what follows it; on those of PlainDefault one from
// everywhere stands beside it.
//
// A router that restarts leaves packet path and kernel the last table of its
// predecessor until its neighbors have told it all again (bridge.go). In the packet path
// what a neighbor says counts at once: a route that it has lost meanwhile would lead in a
// circle. In the end the router takes back what only its predecessor had announced.
//
// The driver's duties, that is actors/node's:
//
//  1. make one Links, tell it of each link that is up, of its round trip time
//     and of its end, and give it Babel's control frames;
//  2. spawn the router with Spawn; it ends the node where it cannot be kept up;
//  3. carry out Config.Send, SetView and Persist, and pass on the Events.
package neighbor
