// Package discovery finds the other nodes on the LANs of this machine, without a
// registry: one actor that watches the interfaces, and a child for each that is fit.
//
//	kernel --links, addresses--> Lan (pump)
//	                              | spawn, stop
//	                              v
//	group ff12::7265:3673 <--> Segment: discovery.Machine --Found--> node --> tunnels
//
// What is found becomes an ordinary sealed link, made by actors/tunnel: nothing that
// is heard here is believed but as a place to dial. An interface is fit if it is up,
// has a carrier, multicast and a link-local address, and is neither the loopback, a
// TUN nor a port of a bridge (the bridge itself speaks); or where
// Config.Interfaces names any, if it is among those. A child begins anew when its
// interface's link-local address changes or its carrier returns. One that cannot open
// its socket is tried again by its supervisor, and ends nobody.
//
// The driver's duties, that is actors/node's:
//
//  1. spawn it with Spawn after the tunnels;
//  2. tell the tunnels of each Found, as of a peer on the LAN.
package discovery
