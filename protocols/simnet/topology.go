package simnet

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Topology says between which nodes there are edges.
type Topology string

// The topologies.
const (
	Full   Topology = "full"
	Line   Topology = "line"
	Ring   Topology = "ring"
	Star   Topology = "star"   // the first node in the middle
	Grid   Topology = "grid"   // as square as can be, row by row
	Random Topology = "random" // connected, Config.Degree edges a node
	Mesh   Topology = "mesh"   // everybody could have an edge with everybody: the nodes choose their peers
)

// Topologies lists all of them, in the order of the help text.
var Topologies = []Topology{Full, Line, Ring, Star, Grid, Random, Mesh}

// pairs are the edges of n nodes, each with the lower node first, sorted.
func (t Topology) pairs(n, degree int, seed uint64) ([][2]int32, error) {
	var pairs [][2]int32
	join := func(a, b int) { pairs = append(pairs, [2]int32{int32(min(a, b)), int32(max(a, b))}) }
	switch t {
	case Full:
		for a := range n {
			for b := range a {
				join(a, b)
			}
		}
	case Line, Ring:
		for a := range n - 1 {
			join(a, a+1)
		}
		if t == Ring && n > 2 {
			join(n-1, 0)
		}
	case Star:
		for a := 1; a < n; a++ {
			join(0, a)
		}
	case Grid:
		width := 1
		for width*width < n {
			width++
		}
		for a := range n {
			if (a+1)%width != 0 && a+1 < n {
				join(a, a+1)
			}
			if a+width < n {
				join(a, a+width)
			}
		}
	case Random:
		cycles(n, degree, seed, join)
	case Mesh: // edges come as they are used
	default:
		return nil, fmt.Errorf("%w: topology %q; one of %v is needed", ErrConfig, t, Topologies)
	}
	slices.SortFunc(pairs, func(a, b [2]int32) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(pairs), nil
}

// cycles draws cycles through all nodes, each of which adds two edges to a node and
// makes the graph connected; where degree is odd every other edge of the last is left
// out. Two cycles that share an edge leave their nodes with one less.
func cycles(n, degree int, seed uint64, join func(a, b int)) {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	for d := 0; d < degree; d += 2 {
		cycle := r.Perm(n)
		for i, a := range cycle {
			if d > 0 && d+1 == degree && i%2 == 1 {
				continue
			}
			if b := cycle[(i+1)%n]; a != b {
				join(a, b)
			}
		}
	}
}
