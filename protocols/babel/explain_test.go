package babel_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// explain is what the Router says of the far prefix.
func (b *bench) explain() babel.Explanation {
	b.t.Helper()
	e, ok := b.router.Explain(b.now, far)
	if !ok {
		b.t.Fatal("nothing is known of the far prefix")
	}
	return e
}

// story is the changes of the far prefix in words.
func (b *bench) story() (lines []string) {
	way := func(w babel.Way) string {
		switch {
		case w.Metric == babel.Infinity:
			return "none"
		case w.Neighbor == babel.NeighborKey{}:
			return fmt.Sprintf("self at %d", w.Metric)
		}
		return fmt.Sprintf("%d at %d", w.Neighbor.Interface, w.Metric)
	}
	for _, c := range b.explain().Changes {
		lines = append(lines, fmt.Sprintf("%s -> %s: %s", way(c.From), way(c.To), c.Cause))
	}
	return lines
}

func (b *bench) wantStory(want ...string) {
	b.t.Helper()
	if got := b.story(); !slices.Equal(got, want) {
		b.t.Errorf("changes\n%q\nwant\n%q", got, want)
	}
}

func TestChangesTellWhyARouteBecameAnother(t *testing.T) {
	const learned = "none -> 1 at 196: learned"
	for name, c := range map[string]struct {
		do   func(b *bench, one, two babel.NeighborKey)
		want []string
	}{
		"better metric": {func(b *bench, _, two babel.NeighborKey) {
			b.say(two, update(1, 50))
		}, []string{learned, "1 at 196 -> 2 at 146: better metric"}},
		"retracted": {func(b *bench, one, two babel.NeighborKey) {
			b.say(two, update(1, 199))
			b.say(one, update(1, babel.Infinity))
		}, []string{learned, "1 at 196 -> 2 at 295: retracted"}},
		"all retracted": {func(b *bench, one, _ babel.NeighborKey) {
			b.say(one, babel.Update{Metric: babel.Infinity, Interval: time.Second})
		}, []string{learned, "1 at 196 -> none: retracted"}},
		"expired": {func(b *bench, _, _ babel.NeighborKey) {
			b.pass(56 * time.Second)
		}, []string{learned, "1 at 196 -> none: expired"}},
		"link down": {func(b *bench, one, two babel.NeighborKey) {
			b.say(two, update(1, 199))
			b.neighbors[one].HandleLink(b.now, false, 0)
			b.settle()
		}, []string{learned, "1 at 196 -> 2 at 295: link down"}},
		"interface gone": {func(b *bench, one, _ babel.NeighborKey) {
			delete(b.neighbors, one)
			b.router.RemoveInterface(b.now, one.Interface)
			b.settle()
		}, []string{learned, "1 at 196 -> none: link down"}},
		"neighbor failed": {func(b *bench, one, _ babel.NeighborKey) {
			b.router.NeighborStale(b.now, one)
			b.pass(2 * time.Second)
		}, []string{learned, "1 at 196 -> none: neighbor failed"}},
		"revoked": {func(b *bench, _, _ babel.NeighborKey) {
			b.router.Revoke(b.now, []addr.NodeID{nodeID(77)})
			b.settle()
		}, []string{learned, "1 at 196 -> none: egress revoked"}},
		"own prefix": {func(b *bench, _, _ babel.NeighborKey) {
			for _, metric := range []uint16{7, 8} {
				if err := b.router.Originate(b.now, far, metric); err != nil {
					b.t.Fatal(err)
				}
			}
			b.router.Withdraw(b.now, far)
			b.settle()
		}, []string{learned, "1 at 196 -> self at 7: announced here", "self at 8 -> 1 at 196: no longer announced here"}},
		"other egress": {func(b *bench, one, _ babel.NeighborKey) {
			u := update(1, 100)
			u.Egress = nodeID(78)
			b.say(one, u)
			b.say(one, u)
		}, []string{learned, "1 at 196 -> 1 at 196: other egress"}},
		"a metric alone is no change": {func(b *bench, one, _ babel.NeighborKey) {
			b.say(one, update(1, 90))
			b.say(one, update(1, 99))
		}, []string{learned}},
		"seqno request": {func(b *bench, one, two babel.NeighborKey) {
			b.pass(time.Second)
			b.say(two, update(1, 300))
			b.neighbors[one].HandleLink(b.now, false, 0)
			b.settle()
			b.say(two, update(2, 300))
		}, []string{learned, "1 at 196 -> none: link down", "none -> 2 at 396: seqno request answered"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.fabric(1)
			b.fabric(2)
			b.fabric(3) // somebody to announce to
			one, two := b.neighbor(1, 1), b.neighbor(2, 2)
			b.neighbor(3, 3)
			b.say(one, update(1, 100))
			c.do(b, one, two)
			b.wantStory(c.want...)
		})
	}
}

func TestASilentNeighborIsTheCause(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	key := b.neighbor(1, 1)
	u := update(1, 100)
	u.Interval = 10 * time.Hour
	b.say(key, u)
	b.pass(5 * time.Hour)
	b.wantStory("none -> 1 at 196: learned", "1 at 196 -> none: link down")
}

func TestAnUnfeasibleUpdateOfAnotherSourceIsTheCause(t *testing.T) {
	b := newBench(t)
	b.fabric(1)
	b.fabric(2)
	one := b.neighbor(1, 1)
	b.neighbor(2, 2)
	other := update(5, 100)
	other.RouterID = babel.RouterID{9, 7: 9}
	b.say(one, other)
	b.pass(time.Second)
	b.say(one, update(1, 100))
	b.pass(time.Second)
	other.Metric = 400
	b.say(one, other)
	b.wantStory("none -> 1 at 196: learned", "1 at 196 -> none: unfeasible")
}

func TestCandidatesTellWhatTheSelectionMadeOfThem(t *testing.T) {
	b := newBench(t)
	for i := range babel.InterfaceID(5) {
		b.fabric(i + 1)
	}
	one, two, three, four := b.neighbor(1, 1), b.neighbor(2, 2), b.neighbor(3, 3), b.neighbor(4, 4)
	b.neighbor(5, 5)
	b.say(one, update(1, 100))
	b.pass(time.Second)
	b.say(two, update(1, 150))   // feasible, below 196
	b.say(three, update(1, 400)) // not
	b.say(four, update(1, 120))
	b.neighbors[four].HandleLink(b.now, false, 0)
	b.settle()
	want := func(verdicts ...babel.Verdict) {
		t.Helper()
		var got []babel.Verdict
		for _, c := range b.explain().Candidates {
			got = append(got, c.Verdict)
		}
		if !slices.Equal(got, verdicts) {
			t.Errorf("verdicts %v, want %v", got, verdicts)
		}
	}
	want(babel.Chosen, babel.Worse, babel.NotFeasible, babel.LinkDead)
	e := b.explain()
	if c := e.Candidates[2]; c.Distance == nil || *c.Distance != (babel.Distance{Seqno: 1, Metric: 196}) || c.Refmetric != 400 || c.Cost != 96 || c.Metric != 496 || c.Egress != nodeID(77) {
		t.Errorf("%+v, distance %+v", c, c.Distance)
	}
	if e.Metric != 196 || e.Originated || !e.Held.IsZero() {
		t.Errorf("%+v", e)
	}
	b.neighbors[one].HandleLink(b.now, true, 200*time.Millisecond) // 296, so 2 would be better, but it waits
	b.settle()
	want(babel.Chosen, babel.Waiting, babel.NotFeasible, babel.LinkDead)
	if c := b.explain().Candidates[0]; c.Smoothed >= c.Metric {
		t.Errorf("the smoothed metric %d did not stay behind %d", c.Smoothed, c.Metric)
	}
	b.say(two, update(1, babel.Infinity))
	b.say(one, update(1, 300))
	want(babel.Kept, babel.NotFeasible, babel.LinkDead)
	if !b.explain().Candidates[0].Requested {
		t.Error("no newer seqno was asked for")
	}
	if err := b.router.Originate(b.now, far, 0); err != nil {
		t.Fatal(err)
	}
	want(babel.OwnFirst, babel.OwnFirst, babel.OwnFirst)
	if _, ok := b.router.Explain(b.now, rib.Key{Prefix: netip.MustParsePrefix("2001:db8:dead::/48")}); ok {
		t.Error("a prefix is explained that nobody spoke of")
	}
}

func TestTheLastChangesAreKept(t *testing.T) {
	b := newBench(t)
	b.fabric(1)
	one := b.neighbor(1, 1)
	b.say(one, update(1, 100))
	flap := func(times int) {
		u := update(1, 100)
		u.Prefix = netip.MustParsePrefix("2001:db8:f1a9::/48")
		for range times {
			u.Metric = 100
			b.say(one, u)
			u.Metric = babel.Infinity
			b.say(one, u)
		}
	}
	flap(babel.MaxChanges/2 - 1)
	b.say(one, update(1, babel.Infinity)) // the last that has room
	b.wantStory("none -> 1 at 196: learned", "1 at 196 -> none: retracted")
	flap(1)
	b.pass(11 * time.Second)
	b.wantStory("1 at 196 -> none: retracted")
	flap(babel.MaxChanges / 2)
	if e, ok := b.router.Explain(b.now, far); ok {
		t.Errorf("older than the last %d: %+v", babel.MaxChanges, e)
	}
}
