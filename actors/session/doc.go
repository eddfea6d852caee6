// Package session is the actor that has all end-to-end handshakes of a node.
//
//	plane.Wanted (an egress with packets waiting) --+
//	plane.Transits (handshakes, hints)  ------------+--> fabric.Sessions --+--> plane.SendTransit
//	timer ------------------------------------------+                      +--> plane.InstallSession, ...
//
// The keys themselves live in the packet path, which seals and opens with them
// without asking this actor: when it restarts, sessions go on. For a minute it
// makes those anew that are in use; then the old keys end.
//
// The driver's duties, that is actors/node's: spawn it with the node's
// credentials, the plane, and one set of Keys for the plane's whole life; and keep
// what Identified says until Forgotten, because the packet path asks which
// addresses a peer may send from.
package session
