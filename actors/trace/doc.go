// Package trace is the actor that traces paths through the mesh, and answers the
// probes of other nodes' traces.
//
//	plane.Probes --> Explain --> (router) --> explained --> Reply --> plane.SendAnswer
//
//	Start --> Explain --> protocols/trace.Machine --+--> plane.SendProbe, WantSession
//	plane.Traced --------------------------^        +--> Run.Emit: hops, then the end
//	timer ---------------------------------^
//
// Probes are bounded by the packet path, traces by MaxRuns. When the actor restarts,
// the traces that it had are gone: who waits for one must not wait for ever.
//
// The driver's duties, that is actors/node's: spawn it with the plane; have Explain
// answered by the router, and Links tell what the tunnels know.
package trace
