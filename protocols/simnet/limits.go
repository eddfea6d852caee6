package simnet

import "time"

// Limits of a simulation and of a scenario.
const (
	MinNodes     = 2
	MaxNodes     = 20_000
	MaxMesh      = 1000    // nodes that choose their peers
	MaxLinks     = 400_000 // at the start
	MaxCells     = 1 << 27 // nodes by prefixes: their next hops are held
	MaxDegree    = 200     // links of a node, less than babel.MaxNeighbors: a link that rekeys is two
	MaxRanges    = 16      // prefixes of one originator beside its locator
	MaxSteps     = 10_000  // of a scenario
	MaxLine      = 1000    // bytes of a scenario's line
	MaxShards    = 64
	MinLatency   = time.Millisecond // one way; the window
	MaxLatency   = 2 * time.Second
	MinMTU       = 512 // bytes of a routing packet, as babel.MinPacket
	sampleNodes  = 64  // whose packets are read for the check of feasibility
	sampleTables = 16  // whose tables are counted
)
