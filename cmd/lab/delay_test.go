package lab

import (
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// trip is the round trip of a ping through the underlay, of one family, once it was answered.
func (g *ground) trip(from, to, family string) time.Duration {
	g.t.Helper()
	address := g.places[to].addr6
	if family == "-4" {
		address = g.places[to].addr4
	}
	for until := time.Now().Add(patience); time.Now().Before(until); {
		var out []byte
		_ = g.members[from].Do(func() error { // its output says more than its status
			out, _ = exec.Command("ping", family, "-c1", "-W5", address.Addr().String()).CombinedOutput()
			return nil
		})
		if m := regexp.MustCompile(`time=([0-9.]+) ms`).FindSubmatch(out); m != nil {
			ms, err := strconv.ParseFloat(string(m[1]), 64)
			if err != nil {
				g.t.Fatal(err)
			}
			return time.Duration(ms * float64(time.Millisecond))
		}
	}
	g.t.Fatalf("no answer from %s to %s", to, from)
	return 0
}

// Two seconds there and back: no machine is so slow that an echo takes that by itself, nor so
// fast that one which waited takes less.
func TestADelayedEdgeTakesLongerAndTheOthersDoNot(t *testing.T) {
	const by = time.Second
	g := newGround(t, Full, 3)
	t.Cleanup(func() {
		if err := g.delays.close(); err != nil {
			t.Error(err)
		}
	})
	set := func(by time.Duration) {
		t.Helper()
		if err := g.setDelay(t.Context(), Edge{"n1", "n2"}, by); err != nil {
			t.Fatal(err)
		}
	}
	is := func(from, to string, delayed bool) {
		t.Helper()
		for _, family := range []string{"-4", "-6"} {
			if got := g.trip(from, to, family); got >= 2*by != delayed {
				t.Errorf("%s to %s, %s: %v", from, to, family, got)
			}
		}
	}
	set(by)
	is("n1", "n2", true)
	is("n2", "n1", true)
	is("n1", "n3", false)
	is("n2", registryName, false)
	g.passes(g.rules.edges)
	if err := g.readdress("n2"); err != nil {
		t.Fatal(err)
	}
	is("n1", "n2", true)
	set(0)
	is("n1", "n2", false)
	is("n2", "n1", false)
}

func TestADelayedEdgeCanBeCut(t *testing.T) {
	g := newGround(t, Line, 2)
	t.Cleanup(func() {
		if err := g.delays.close(); err != nil {
			t.Error(err)
		}
	})
	edge := Edge{"n1", "n2"}
	if err := g.setDelay(t.Context(), edge, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	g.do(g.rules.cut(edge, Silent))
	g.passes(g.rules.open())
	g.do(g.rules.heal(edge))
	g.passes(g.rules.edges)
	if err := g.setDelay(t.Context(), edge, 0); err != nil {
		t.Fatal(err)
	}
	g.passes(g.rules.edges)
}

func TestNobodyDelaysOnALAN(t *testing.T) {
	g := newGround(t, LAN, 2)
	if err := g.setDelay(t.Context(), Edge{"n1", "n2"}, time.Millisecond); err == nil {
		t.Error("a LAN has a delay")
	}
}
