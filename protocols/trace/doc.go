// Package trace finds the way that packets take from this node to another: which
// relays, by which links, and why these.
//
// A probe is a transit message (protocols/fabric) to the egress with a small hop
// limit: it is routed as data frames are, by (topology, egress). Where the hop limit
// ends, where no route leads on, and at the egress, the node answers with what it is
// and with the way it would have sent the probe on:
//
//	ingress           relay 1           relay 2            egress
//	   | hop limit 1     |                 |                  |
//	   |---------------->|                 |                  |
//	   |<-- Passed: by link 7 to relay 2, metric 196; relay 3 would be 288
//	   | hop limit 2     |                 |                  |
//	   |---------------->|---------------->|                  |
//	   |<----------------------------------| Passed           |
//	   | hop limit 3     |                 |                  |
//	   |---------------->|---------------->|----------------->|
//	   |<-----------------------------------------------------| Arrived
//
// An answer goes back by the answering node's own route, which may be another: it
// tells its first link, and the hop limit on arrival how long it was.
//
// # On the wire
//
//	probe   0: version 1   1: flags       2: number (2)   4: id of the trace (8)   12: zeros
//	reply   0: version 1   1: code        2: number (2)   4: id of the trace (8)
//	       12: bits of the prefix (1), prefix (16)        29: from (8)   37: back (8)
//	       45: next (8)   53: link type (1)   54: remote address (16), port (2)
//	       72: RTT in us (4)   76: MTU (2)   78: metric (2)
//	       80: count of alternatives (1), of those left out (1), then each: next (8), metric (2), flags (1)
//	           extensions: type (1), length (1), value
//
// Flag 1 of a probe says that who asks reads extensions; else a reply has none.
//
// A probe is never shorter than the longest reply with its proof, so that nobody's probes
// make more traffic than they are.
//
// # What is believed
//
// Any relay on the way can forge what comes from behind it. A reply is proven where
// it came by the link with the answering node itself, or with a copy that is sealed by an
// end-to-end session with it: then that node says so, though a relay in front may have led the
// probe there on another way. The rest is a hint. What a node says of its own links
// and routes is its word.
//
// # Duties of the driver
//
//  1. Send what Send says; give what comes back to HandleReply with the time of its
//     receipt, and whether it is proven.
//  2. Make a session with the node of each Want, if that can be.
//  3. Call HandleTimeout at NextTimeout, Drain after every input, until End.
//  4. Answer others' probes with a Reply, at a bounded rate.
package trace
