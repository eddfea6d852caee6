// Package simnet is a network of nodes in virtual time: discrete events, links with
// latency, loss, packet size and silence, and on each node the same machines as in the
// daemon. Every message is a packet that the codec made and reads.
//
//	 Scenario: at 2s kill 33%, expect whole within 5s      (scenario.go action.go)
//	      |
//	+-----v--------------------------------------------+
//	| Network: edges, links, who notices what and when |  control.go dial.go, between windows
//	+-----+--------------------------------------------+
//	      | attach, detach                   ^ what nodes ask for
//	+-----v----------------------------------+---------+
//	| shard: the nodes' events of one window           |  window.go, shards at the same time
//	|   node: babel.Router, babel.Neighbor of each link|  node.go
//	|   of a mesh: tunnelplan.Planner, peer.Exchange   |  mesh.go
//	+-----+--------------------------------------------+
//	      | changes of routes, in the order of time
//	+-----v--------------------------------------------+
//	| checker: next hops of all nodes, a column for    |  check.go, columns at the same time
//	| each prefix: loops, feasibility, whole, stale    |
//	+--------------------------------------------------+
//
// # Windows
//
// Nothing that a node sends arrives before the least latency of a link has passed. So
// in a window of that length nodes do not hear of each other, and their events may be
// run node by node, in any order, or at the same time (conservative parallel simulation,
// Chandy and Misra). Each node takes its events in the order of (time, sender, sequence
// number), so that all that is sent depends on the seed alone: Hash tells it. What acts
// on the network from outside does so between windows.
//
// A node looks at what came in once a millisecond, as one that has much to do: what came
// since the last time is one batch to its machines.
//
// # What is checked
//
//   - No forwarding loop: at each change of a next hop, in the order of time, the path
//     from there is walked. All nodes, all prefixes, all instants. A prefix that several
//     nodes originate is exempt: Babel does not promise it for those.
//   - Feasibility (RFC 8966 section 2.4): when a next hop is chosen, what the neighbor
//     said so far is better than what this node said. Of the edges among sampleNodes
//     nodes around the first one, since each of their packets is read once more for it.
//   - Whole: each running node reaches each prefix to whose origin the underlay has a path.
//   - Clean: whole, and no node holds a route to what cannot be reached, nor a lost one.
//
// # What is not there
//
// The fabric's handshakes and probes are times, not packets: a link is there one and a
// half round trips after both ends and the edge between them are, and an end notices a
// silence, be it in one direction, as a link in use does (fabric.ProbeInterval). In a
// Mesh the planners say who dials whom, and the other admits or refuses; everywhere else
// each edge has a link as soon as it can. The registry of a mesh answers by a call.
// Origins are judged as claim.Store does once all claims have arrived.
//
// # The driver's duties
//
//  1. New, then Play a Scenario, or Do and Advance.
//  2. Config.Each may run its calls at the same time; each touches what no other does.
//  3. Where Err is not nil an invariant was broken: the network does not go on.
package simnet
