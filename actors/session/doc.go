// Package session is the actor that has all end-to-end handshakes of a node.
//
//	plane.Wanted (an egress with packets waiting) --+
//	plane.Transits (handshakes, hints)  ------------+--> fabric.Sessions --+--> plane.SendTransit
//	timer ------------------------------------------+                      +--> plane.InstallSession, ...
//
// The keys themselves live in the packet path, which seals and opens with them
// without asking this actor: when it restarts, sessions go on until they are
// made anew.
//
// The driver's duties, that is actors/node's: spawn it with the node's
// credentials and the plane, and keep what Identified says, because the packet
// path asks which addresses a peer may send from.
package session
