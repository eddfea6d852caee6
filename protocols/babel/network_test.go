package babel_test

import (
	"testing"
	"time"
)

// trips is n round trips of a network, and what a router may take for its own
// delays at each hop.
func (n *network) trips(hops int) time.Duration {
	return time.Duration(hops) * (2*n.delay + 20*time.Millisecond)
}

func TestColdStartTakesRoundTrips(t *testing.T) {
	for _, c := range []struct {
		name     string
		nodes    int
		diameter int
		link     func(*network)
	}{
		{"line", 10, 9, func(n *network) { n.line() }},
		{"ring", 10, 5, func(n *network) { n.ring() }},
		{"grid", 30, 9, func(n *network) { n.grid(6) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t, 1, c.nodes)
			c.link(n)
			took := n.until(n.trips(2*c.diameter), n.whole)
			t.Logf("whole after %s, %d packets", took, n.pkts)
			n.run(60 * time.Second)
			if !n.whole() {
				t.Errorf("a minute later: %s", n.missing())
			}
			t.Logf("after a minute %d packets", n.pkts)
		})
	}
}

func TestLinkCutHealsWithinRoundTrips(t *testing.T) {
	for name, make := range map[string]func(*testing.T, int64) (*network, []*link){
		"ring": func(t *testing.T, seed int64) (*network, []*link) { n := newNetwork(t, seed, 10); return n, n.ring() },
		"grid": func(t *testing.T, seed int64) (*network, []*link) { n := newNetwork(t, seed, 16); return n, n.grid(4) },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range int64(8) {
				n, links := make(t, seed)
				n.run(20 * time.Second)
				l := links[n.rnd.Intn(len(links))]
				n.cut(l)
				took := n.until(n.trips(20), n.whole)
				n.run(time.Duration(n.rnd.Intn(40)) * time.Second)
				if !n.whole() {
					t.Fatalf("seed %d: broken later: %s", seed, n.missing())
				}
				n.heal(l)
				n.run(20 * time.Second)
				t.Logf("seed %d: cut %v, healed after %s", seed, l.ends, took)
			}
		})
	}
}
