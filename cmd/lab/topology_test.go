package lab

import (
	"slices"
	"testing"
)

func mustEdges(t *testing.T, kind Topology, n int, seed uint64) []Edge {
	t.Helper()
	edges, err := kind.edges(n, seed)
	if err != nil {
		t.Fatal(err)
	}
	return edges
}

func degrees(edges []Edge) map[string]int {
	d := map[string]int{}
	for _, e := range edges {
		d[e.A]++
		d[e.B]++
	}
	return d
}

func TestEdgesOfEachTopology(t *testing.T) {
	for _, c := range []struct {
		kind Topology
		n    int
		want []Edge
	}{
		{Line, 3, []Edge{{"n1", "n2"}, {"n2", "n3"}}},
		{Ring, 3, []Edge{{"n1", "n2"}, {"n1", "n3"}, {"n2", "n3"}}},
		{Ring, 2, []Edge{{"n1", "n2"}}},
		{Star, 4, []Edge{{"n1", "n2"}, {"n1", "n3"}, {"n1", "n4"}}},
		{Wheel, 2, []Edge{{"n1", "n2"}}},
		{Wheel, 3, []Edge{{"n1", "n2"}, {"n1", "n3"}, {"n2", "n3"}}},
		{Wheel, 5, []Edge{{"n1", "n2"}, {"n1", "n3"}, {"n1", "n4"}, {"n1", "n5"}, {"n2", "n3"}, {"n2", "n5"}, {"n3", "n4"}, {"n4", "n5"}}},
		{Full, 3, []Edge{{"n1", "n2"}, {"n1", "n3"}, {"n2", "n3"}}},
		{LAN, 2, []Edge{{"n1", "n2"}}},
		// n1 n2 n3
		// n4 n5
		{Grid, 5, []Edge{{"n1", "n2"}, {"n1", "n4"}, {"n2", "n3"}, {"n2", "n5"}, {"n4", "n5"}}},
	} {
		if got := mustEdges(t, c.kind, c.n, 0); !slices.Equal(got, c.want) {
			t.Errorf("%s of %d: %v, want %v", c.kind, c.n, got, c.want)
		}
	}
}

func TestEveryTopologyIsConnected(t *testing.T) {
	for _, kind := range Topologies {
		for n := minNodes; n <= 30; n++ {
			names := nodeNames(n)
			if got := len(connected(names, mustEdges(t, kind, n, uint64(n)))); got != n*(n-1) {
				t.Errorf("%s of %d connects %d pairs, want %d", kind, n, got, n*(n-1))
			}
		}
	}
}

func TestRandomHasDegreeThree(t *testing.T) {
	for n := 4; n <= 40; n++ {
		var others []int
		for _, d := range degrees(mustEdges(t, Random, n, 7)) {
			if d != 3 {
				others = append(others, d)
			}
		}
		if want := []int{2}[:n%2]; !slices.Equal(others, want) {
			t.Errorf("%d nodes: degrees other than 3: %v, want %v", n, others, want)
		}
	}
}

func TestRandomDependsOnTheSeedAlone(t *testing.T) {
	a, b, c := mustEdges(t, Random, 12, 1), mustEdges(t, Random, 12, 1), mustEdges(t, Random, 12, 2)
	if !slices.Equal(a, b) {
		t.Error("one seed made two graphs")
	}
	if slices.Equal(a, c) {
		t.Error("two seeds made one graph")
	}
}

func TestImpossibleTopologiesAreRefused(t *testing.T) {
	for _, c := range []struct {
		kind Topology
		n    int
	}{{Full, 1}, {Full, maxNodes + 1}, {"torus", 4}} {
		if _, err := c.kind.edges(c.n, 0); err == nil {
			t.Errorf("%s of %d was made", c.kind, c.n)
		}
	}
}

func TestConnectedNeedsLivingRelays(t *testing.T) {
	line := mustEdges(t, Line, 4, 0)
	for name, c := range map[string]struct {
		alive []string
		edges []Edge
		want  []Pair
	}{
		"all":       {nodeNames(4), line, allPairs(nodeNames(4))},
		"n2 killed": {[]string{"n1", "n3", "n4"}, line, []Pair{{"n3", "n4"}, {"n4", "n3"}}},
		"n1 n2 cut": {nodeNames(3), line[1:], []Pair{{"n2", "n3"}, {"n3", "n2"}}},
		"one left":  {[]string{"n1"}, line, nil},
	} {
		if got := connected(c.alive, c.edges); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestPlacesDoNotOverlap(t *testing.T) {
	for _, kind := range []Topology{Full, LAN} {
		seen := map[string]int{}
		for i := range 1 + maxNodes {
			p := placeOf(kind, i)
			for _, a := range []string{p.addr4.Addr().String(), p.addr6.Addr().String()} {
				if other, ok := seen[a]; ok {
					t.Errorf("%s: %s is member %d's and member %d's", kind, a, other, i)
				}
				seen[a] = i
			}
			if p.addr4.Masked() != p.router4.Masked() || p.addr6.Masked() != p.router6.Masked() {
				t.Errorf("%s: member %d at %v and %v is not in its router's subnets %v and %v",
					kind, i, p.addr4, p.addr6, p.router4, p.router6)
			}
			if kind == Full && i > 0 && p.addr4.Masked() == placeOf(kind, i-1).addr4.Masked() {
				t.Errorf("members %d and %d share %v", i-1, i, p.addr4.Masked())
			}
		}
	}
}
