package lab

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Topology says whose packets reach whom in the underlay.
type Topology string

// The topologies. All but LAN are routed.
const (
	Full   Topology = "full"   // everybody reaches everybody
	Line   Topology = "line"   // n1 - n2 - n3
	Ring   Topology = "ring"   // a line whose ends meet
	Star   Topology = "star"   // n1 in the middle
	Wheel  Topology = "wheel"  // n1 in the middle of a ring of the others
	Grid   Topology = "grid"   // as square as can be, row by row
	Random Topology = "random" // connected, three neighbors each; from the seed
	LAN    Topology = "lan"    // one shared segment, with multicast
)

// Topologies lists all of them, in the order of the help text.
var Topologies = []Topology{Full, Line, Ring, Star, Wheel, Grid, Random, LAN}

// Limits of a lab.
const (
	minNodes = 2
	maxNodes = 512 // namespaces and processes of one machine; 50 were tried
)

// registryName is the registry's name among the nodes'.
const registryName = "registry"

// nodeName is the name of node i, counted from 0.
func nodeName(i int) string { return fmt.Sprintf("n%d", i+1) }

func nodeNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = nodeName(i)
	}
	return names
}

// Edge joins two members of the underlay; A sorts before B.
type Edge struct{ A, B string }

func newEdge(a, b string) Edge {
	if compareNames(a, b) > 0 {
		a, b = b, a
	}
	return Edge{a, b}
}

func (e Edge) String() string { return e.A + " " + e.B }

func (e Edge) compare(o Edge) int {
	return cmp.Or(compareNames(e.A, o.A), compareNames(e.B, o.B))
}

// compareNames puts n2 before n10.
func compareNames(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// edges returns the edges between n nodes, sorted. seed matters to Random only.
func (t Topology) edges(n int, seed uint64) ([]Edge, error) {
	if n < minNodes || n > maxNodes {
		return nil, fmt.Errorf("lab: %d nodes: from %d to %d are possible", n, minNodes, maxNodes)
	}
	var pairs [][2]int
	join := func(a, b int) { pairs = append(pairs, [2]int{a, b}) }
	switch t {
	case Full, LAN:
		for a := range n {
			for b := range a {
				join(a, b)
			}
		}
	case Line, Ring:
		for a := range n - 1 {
			join(a, a+1)
		}
		if t == Ring {
			join(n-1, 0)
		}
	case Star, Wheel:
		for a := range n - 1 {
			join(0, a+1)
			if next := (a+1)%(n-1) + 1; t == Wheel && next != a+1 {
				join(a+1, next)
			}
		}
	case Grid:
		width := gridWidth(n)
		for a := range n {
			if (a+1)%width != 0 && a+1 < n {
				join(a, a+1)
			}
			if a+width < n {
				join(a, a+width)
			}
		}
	case Random:
		pairs = randomPairs(n, rand.New(rand.NewPCG(seed, uint64(n))))
	default:
		return nil, fmt.Errorf("lab: topology %q: one of %v is needed", t, Topologies)
	}
	edges := make([]Edge, 0, len(pairs))
	for _, p := range pairs {
		edges = append(edges, newEdge(nodeName(p[0]), nodeName(p[1])))
	}
	slices.SortFunc(edges, Edge.compare)
	return slices.Compact(edges), nil
}

// gridWidth is the smallest width with which n nodes make no more rows than columns.
func gridWidth(n int) int {
	width := 1
	for width*width < n {
		width++
	}
	return width
}

// randomPairs draws a cycle through all nodes, which makes the graph connected, and
// then a third neighbor for each (but one, where n is odd) across the cycle.
func randomPairs(n int, rng *rand.Rand) [][2]int {
	var pairs [][2]int
	cycle := rng.Perm(n)
	at := make([]int, n) // where in the cycle
	for i, node := range cycle {
		at[node] = i
		pairs = append(pairs, [2]int{node, cycle[(i+1)%n]})
	}
	onCycle := func(a, b int) bool {
		d := (at[a] - at[b] + n) % n
		return d == 1 || d == n-1
	}
	if n < 4 { // all are neighbors already
		return pairs
	}
	for {
		chords := rng.Perm(n)
		chords = chords[:n-n%2]
		good := true
		for i := 0; i < len(chords); i += 2 {
			good = good && !onCycle(chords[i], chords[i+1])
		}
		if !good {
			continue // about one draw in seven is good, whatever n
		}
		for i := 0; i < len(chords); i += 2 {
			pairs = append(pairs, [2]int{chords[i], chords[i+1]})
		}
		return pairs
	}
}

// Pair is an ordered pair of nodes: From asks, To answers.
type Pair struct{ From, To string }

func (p Pair) String() string { return p.From + " -> " + p.To }

func (p Pair) compare(o Pair) int {
	return cmp.Or(compareNames(p.From, o.From), compareNames(p.To, o.To))
}

// allPairs returns every ordered pair of two of the names, in their order.
func allPairs(names []string) []Pair {
	var pairs []Pair
	for _, from := range names {
		for _, to := range names {
			if from != to {
				pairs = append(pairs, Pair{from, to})
			}
		}
	}
	return pairs
}

// connected returns the ordered pairs between which a path of the given edges leads
// over nodes that are alive: what a mesh that is whole can reach.
func connected(alive []string, edges []Edge) []Pair {
	part := parts(alive, edges)
	return slices.DeleteFunc(allPairs(alive), func(p Pair) bool { return part[p.From] != part[p.To] })
}

// parts numbers, from 1, the parts of the network that paths of the given edges over
// nodes that are alive connect, and tells in which each of these nodes is.
func parts(alive []string, edges []Edge) map[string]int {
	living := map[string]bool{}
	for _, name := range alive {
		living[name] = true
	}
	next := map[string][]string{}
	for _, e := range edges {
		if living[e.A] && living[e.B] {
			next[e.A] = append(next[e.A], e.B)
			next[e.B] = append(next[e.B], e.A)
		}
	}
	part := map[string]int{}
	for i, name := range alive {
		if part[name] != 0 {
			continue
		}
		part[name] = i + 1
		for queue := []string{name}; len(queue) > 0; queue = queue[1:] {
			for _, n := range next[queue[0]] {
				if part[n] == 0 {
					part[n] = i + 1
					queue = append(queue, n)
				}
			}
		}
	}
	return part
}
