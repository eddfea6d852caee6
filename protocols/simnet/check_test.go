package simnet

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// line is three nodes in a line, at rest.
func line(t *testing.T) *Network {
	t.Helper()
	n, err := New(Config{Nodes: 3, Topology: Line, Seed: 1})
	if err == nil {
		err = n.Run(time.Second)
	}
	if _, whole := n.Whole(); err != nil || !whole {
		t.Fatal(err, n.missing(wordWhole))
	}
	return n
}

// say has the checker hear of changes that no router made.
func (n *Network) say(changes ...change) {
	for _, c := range changes {
		n.shards[0].note(c)
	}
	n.check.settle()
}

func TestALoopIsSeen(t *testing.T) {
	n := line(t)
	n.say(change{node: 1, dest: 0, via: n.edges[1].link + 1}) // n2 sends by n3 what n3 sends by n2
	if err := n.Err(); !errors.Is(err, ErrLoop) || !strings.Contains(err.Error(), "[n2 n3 n2]") {
		t.Error(err)
	}
	if n.Advance(time.Hour) {
		t.Error("it goes on")
	}
}

func TestAnUnfeasibleNextHopIsSeen(t *testing.T) {
	n := line(t)
	n.say(
		change{node: 2, dest: 0, via: told, distance: distance{true, n.nodes[0].seqno, 1}},
		change{node: 2, dest: 0, via: n.edges[1].link + 1},
	)
	if err := n.Err(); !errors.Is(err, ErrFeasible) || !strings.Contains(err.Error(), "n3 goes to") {
		t.Error(err)
	}
}

func TestAMissingAStaleAndALostRouteAreSeen(t *testing.T) {
	for name, via := range map[string]int32{"missing": 0, "lost": lost} {
		n := line(t)
		n.say(change{node: 2, dest: 0, via: via})
		_, whole := n.Whole()
		_, clean := n.Clean()
		if whole || clean || n.missing(wordClean) == "" {
			t.Errorf("%s: whole %v, clean %v, %q", name, whole, clean, n.missing(wordClean))
		}
	}
	n := line(t)
	if err := n.Do(Action{Verb: verbKill, A: 1}); err != nil {
		t.Fatal(err)
	}
	_, whole := n.Whole()
	if _, clean := n.Clean(); !whole || clean || !strings.Contains(n.missing(wordClean), "2 nodes have a route") {
		t.Errorf("n1 was killed just now: whole %v, clean %v, %s", whole, clean, n.missing(wordClean))
	}
}

func TestANodeThatWasKilledIsForgotten(t *testing.T) {
	n := line(t)
	if err := n.Do(Action{Verb: verbKill, A: 2}); err != nil {
		t.Fatal(err)
	}
	for d := range n.check.columns {
		if via := n.check.via[d*3+1]; via != 0 {
			t.Errorf("to %d by link %d", d, via)
		}
	}
	if n.nodes[1].place != none {
		t.Error("it waits for a time")
	}
}

func TestPrefixesAndTheirOriginators(t *testing.T) {
	for _, c := range []Config{{Nodes: 7}, {Nodes: 7, Originators: 3}, {Nodes: 10, Originators: 4, Ranges: 2}, {Nodes: 300, Originators: 299, Ranges: 1}} {
		c.Topology = Line
		n, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for i := range int32(c.Nodes) {
			first := n.firstDest(i)
			if first == none {
				continue
			}
			for d := first; d <= first+int32(c.Ranges); d++ {
				if seen++; n.originator(d) != i || n.dest(n.key(d)) != d {
					t.Errorf("%+v: prefix %d of %s: its originator is %s, its key %s is of %d", c, d, nodeName(i), nodeName(n.originator(d)), n.key(d), n.dest(n.key(d)))
				}
			}
		}
		if seen != n.destinations() {
			t.Errorf("%+v: %d prefixes, want %d", c, seen, n.destinations())
		}
	}
}
