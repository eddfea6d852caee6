package tunnelplan_test

import (
	"fmt"
	"testing"
	"time"

	"re6st/protocols/tunnelplan"
)

var small = tunnelplan.Limits{ClientCount: 2, MaxClients: 4, TunnelRefresh: 300 * time.Second}

var shapes = []struct {
	name string
	make func(*world)
}{
	{"full", (*world).full},
	{"line", (*world).line},
	{"star", (*world).star},
	{"random", func(w *world) { w.random(6) }},
}

func TestMeshForms(t *testing.T) {
	for _, shape := range shapes {
		for seed := range uint64(10) {
			t.Run(fmt.Sprintf("%s/%d", shape.name, seed), func(t *testing.T) {
				w := newWorld(t, seed, 12, small)
				shape.make(w)
				for i := range w.nodes {
					w.after(time.Duration(i)*100*time.Millisecond, func() { w.start(i) })
				}
				w.run(2 * time.Second)
				took := w.until(time.Minute, w.whole)
				t.Logf("whole after %v more: %d dials, %d refusals, %d questions, at most %d links", took, w.dials, w.refusals, w.asks, w.mostLinks)
				// Each node has eleven others to try; a few it tries twice.
				if w.dials > 12*11*3/2 || w.refusals > 12 || w.asks > 24 {
					t.Errorf("%d dials, %d refusals, %d questions", w.dials, w.refusals, w.asks)
				}
			})
		}
	}
}

func TestMeshStartsAgainWithoutRegistry(t *testing.T) {
	for _, shape := range shapes {
		for seed := range uint64(5) {
			t.Run(fmt.Sprintf("%s/%d", shape.name, seed), func(t *testing.T) {
				w := newWorld(t, seed, 12, small)
				shape.make(w)
				w.startAll()
				w.until(time.Minute, w.whole)
				w.run(10 * time.Second)
				for i := range w.nodes {
					w.stop(i)
				}
				w.registry, w.dials, w.refusals = false, 0, 0
				w.run(time.Minute)
				w.startAll()
				took := w.until(time.Minute, w.whole)
				t.Logf("whole after %v: %d dials, %d refusals", took, w.dials, w.refusals)
				if w.dials > 12*11 {
					t.Errorf("%d dials", w.dials)
				}
			})
		}
	}
}

// A star far beyond the limits of its hub: only the routes that would be lost
// let it take more links.
func TestHubOfAStarServesAllThatHaveNoOtherWay(t *testing.T) {
	w := newWorld(t, 1, 40, small)
	w.star()
	w.startAll()
	w.until(10*time.Minute, w.whole)
	w.run(time.Second)
	if w.mostLinks != 39 {
		t.Errorf("the hub has %d links, want 39", w.mostLinks)
	}
}

func TestNoStormWhenAllAreFull(t *testing.T) {
	limits := tunnelplan.Limits{ClientCount: 6, MaxClients: 2, TunnelRefresh: 300 * time.Second}
	w := newWorld(t, 3, 20, limits)
	w.full()
	w.startAll()
	w.until(time.Minute, w.whole)
	w.run(10*time.Minute - w.now.Sub(epoch))
	// 20 nodes with 4 places that cannot be filled, 13 others to ask, and one question
	// per backoff of 5 s, doubling to 300 s: about 7 in ten minutes.
	if most := 20 * 13 * 8; w.refusals > most {
		t.Errorf("%d refusals in ten minutes, want at most %d", w.refusals, most)
	}
	before := w.refusals
	w.run(10 * time.Minute)
	if most := 20 * 13 * 4; w.refusals-before > most {
		t.Errorf("%d refusals in ten more minutes, want at most %d", w.refusals-before, most)
	}
}

func TestFullHalvesHealAfterPartition(t *testing.T) {
	for _, shape := range []string{"full", "one bridge"} {
		for seed := range uint64(10) {
			t.Run(fmt.Sprintf("%s/%d", shape, seed), func(t *testing.T) {
				w := newWorld(t, seed, 12, small)
				w.full()
				w.startAll()
				w.until(time.Minute, w.whole)
				w.run(time.Minute)
				across := func(a, b int) bool { return a%2 != b%2 }
				w.cut(across)
				w.run(20 * time.Minute)
				if w.parts() != 2 {
					t.Fatalf("%d parts, want 2", w.parts())
				}
				full := 0
				for i := range w.nodes {
					if o, _ := w.degree(i); o == small.ClientCount {
						full++
					}
				}
				if full < 8 { // the others may be between two links of a refresh
					t.Fatalf("only %d of 12 nodes have all their links: the halves are not full", full)
				}
				w.dials = 0
				w.run(10 * time.Minute)
				// Two dials at a time, and half a minute after they failed the next.
				if most := 12 * 2 * 10 * 60 / 20; w.dials > most {
					t.Errorf("%d dials in ten minutes of partition, want at most %d", w.dials, most)
				}
				if shape == "full" {
					w.full()
				} else {
					w.can[pair(4, 7)] = true
				}
				took := w.until(8*time.Minute, w.whole)
				t.Logf("healed after %v", took)
			})
		}
	}
}

func TestPartitionThatHealsFullyIsSoonWhole(t *testing.T) {
	w := newWorld(t, 5, 12, small)
	w.full()
	w.startAll()
	w.until(time.Minute, w.whole)
	w.run(time.Minute)
	w.cut(func(a, b int) bool { return (a < 6) != (b < 6) })
	w.run(30 * time.Second)
	w.full()
	if took := w.until(time.Minute, w.whole); took > tunnelplan.RepairMax {
		t.Errorf("whole after %v, want at most %v", took, tunnelplan.RepairMax)
	}
}

func TestLimitsHoldAgainOnceAllIsWhole(t *testing.T) {
	w := newWorld(t, 7, 12, small)
	w.full()
	w.startAll()
	w.until(time.Minute, w.whole)
	w.cut(func(a, b int) bool { return a%2 != b%2 })
	w.run(10 * time.Minute)
	w.full()
	w.until(10*time.Minute, w.whole)
	w.watch = func() {
		if !w.whole() {
			t.Errorf("in %d parts at %v", w.parts(), w.now.Sub(epoch))
		}
	}
	w.run(30 * time.Minute)
	for i := range w.nodes {
		if o, a := w.degree(i); o > small.ClientCount || a > small.MaxClients {
			t.Errorf("node %d has opened %d and accepted %d links", i, o, a)
		}
	}
}

func TestRefreshReplacesLinksAndNeverCutsOff(t *testing.T) {
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			limits := small
			limits.TunnelRefresh = time.Minute
			w := newWorld(t, 11, 12, limits)
			shape.make(w)
			w.startAll()
			w.until(time.Minute, w.whole)
			w.run(time.Minute)
			w.closes = 0
			w.watch = func() {
				if !w.whole() {
					t.Fatalf("in %d parts at %v", w.parts(), w.now.Sub(epoch))
				}
			}
			w.run(time.Hour)
			t.Logf("%d links closed in an hour", w.closes)
			switch {
			case shape.name == "full" && w.closes < 12*30:
				t.Errorf("%d links closed in an hour, want one per node and minute or so", w.closes)
			case shape.name == "line" && w.closes > 0:
				t.Errorf("%d links of a line closed", w.closes)
			}
		})
	}
}

func TestSameSeedSameMesh(t *testing.T) {
	play := func(seed uint64) uint64 {
		w := newWorld(t, seed, 12, small)
		w.random(8)
		w.startAll()
		w.run(20 * time.Minute)
		return w.hash()
	}
	if play(1) != play(1) {
		t.Error("two runs with one seed differ")
	}
	if play(1) == play(2) {
		t.Error("two seeds give the same run")
	}
}
