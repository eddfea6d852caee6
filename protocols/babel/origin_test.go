package babel_test

import (
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
)

// judging is a bench that judges by router-id.
func judging(t *testing.T) (*bench, map[babel.RouterID]babel.Standing) {
	standings := map[babel.RouterID]babel.Standing{}
	return newBenchWith(t, func(a babel.Announcement) babel.Standing { return standings[a.RouterID] }), standings
}

// by is an update of another origin.
func by(id babel.RouterID, seqno, metric uint16) babel.Update {
	u := update(seqno, metric)
	u.RouterID = id
	return u
}

var rogueID = babel.RouterID{0xee}

func TestABarredRouteIsNotSelectedUntilItIsJudgedAnew(t *testing.T) {
	b, standings := judging(t)
	b.fabric(1)
	n := b.neighbor(1, 1)
	standings[rogueID] = babel.Barred
	b.say(n, by(rogueID, 1, 100))
	b.wantNone()
	if b.refused[babel.RefusedOrigin] != 1 {
		t.Errorf("refused: %v", b.refused)
	}
	if got := b.router.Egresses(far); len(got) != 0 {
		t.Errorf("it counts as a way out: %v", got)
	}
	standings[rogueID] = babel.Claimed
	b.router.Rejudge(b.now)
	b.settle()
	b.want(n, 196)
	standings[rogueID] = babel.Barred
	b.router.Rejudge(b.now)
	b.settle()
	b.wantNone()
}

// What a lie hid is reached by the less specific route as soon as the lie is known for one,
// and not after the 10 s for which a lost prefix is held.
func TestALieThatIsFoundOutHidesNothing(t *testing.T) {
	for _, c := range []struct {
		what      string
		lan       bool // there is an interface of the kernel
		retracted bool // by who heard before this router that it is a lie
		held      bool
	}{{what: "at once"}, {what: "after its retraction", retracted: true}, {what: "beside a LAN", lan: true, held: true}} {
		b, standings := judging(t)
		b.fabric(1)
		if c.lan {
			b.lan(2)
		}
		n := b.neighbor(1, 1)
		standings[rogueID] = babel.Unclaimed
		b.say(n, by(rogueID, 1, 100))
		b.want(n, 196)
		b.pass(time.Second)
		if c.retracted {
			b.say(n, by(rogueID, 1, babel.Infinity))
			if r, ok := b.routes[far]; !ok || !r.Unreachable {
				t.Errorf("%s: a lost prefix is %+v, %v", c.what, r, ok)
			}
		}
		b.take()
		standings[rogueID] = babel.Barred
		b.router.Rejudge(b.now)
		b.settle()
		if r, ok := b.routes[far]; ok != c.held || ok && !r.Unreachable {
			t.Errorf("%s: the prefix of the lie is %+v, %v", c.what, r, ok)
		}
		b.pass(11 * time.Second)
		b.wantNone()
		// The lie may have taken the place of what the neighbor says itself.
		if asked := len(of[babel.RouteRequest](b.take())); !c.retracted && asked != 1 {
			t.Errorf("%s: asked %d times", c.what, asked)
		}
	}
}

func TestAClaimedRouteIsSelectedBeforeAShorterOneThatIsNot(t *testing.T) {
	b, standings := judging(t)
	b.fabric(1)
	b.fabric(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	standings[rogueID] = babel.Unclaimed
	b.say(m, by(rogueID, 1, 1))
	b.want(m, 97)
	b.say(n, update(1, 500))
	b.want(n, 596)
	b.say(m, by(rogueID, 2, 1))
	b.want(n, 596)
	b.say(n, update(1, babel.Infinity))
	b.want(m, 97)
}

func TestOriginsExplainAChoice(t *testing.T) {
	b, standings := judging(t)
	b.fabric(1)
	b.fabric(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	standings[rogueID] = babel.Unclaimed
	b.say(m, by(rogueID, 1, 1))
	b.say(n, update(1, 500))
	verdict := func(want babel.Verdict) {
		t.Helper()
		if e, _ := b.router.Explain(b.now, far); len(e.Candidates) != 2 || e.Candidates[1].Verdict != want {
			t.Errorf("%+v, want verdict %s", e.Candidates, want)
		}
	}
	verdict(babel.NotProven)
	standings[rogueID] = babel.Barred
	b.router.Rejudge(b.now)
	verdict(babel.NotEntitled)
	standings[farID] = babel.Barred
	b.router.Rejudge(b.now)
	b.wantStory("none -> 2 at 97: learned", "2 at 97 -> 1 at 596: origin proven", "1 at 596 -> none: origin not entitled")
}

func TestABarredRouteIsNotAskedForANewerSeqno(t *testing.T) {
	b, standings := judging(t)
	b.fabric(1)
	b.fabric(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.say(n, by(rogueID, 1, 100))
	b.want(n, 196)
	b.say(m, by(rogueID, 1, 400)) // not feasible
	standings[rogueID] = babel.Barred
	b.router.Rejudge(b.now)
	b.settle()
	for _, s := range b.take() {
		if _, asked := s.tlv.(babel.SeqnoRequest); asked {
			t.Errorf("asked: %+v", s)
		}
	}
	b.wantNone()
}

func TestOriginsAreJudgedByWhatWasAnnounced(t *testing.T) {
	var heard []babel.Announcement
	b := newBenchWith(t, func(a babel.Announcement) babel.Standing {
		heard = append(heard, a)
		return babel.Claimed
	})
	b.fabric(1)
	b.lan(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.say(n, update(1, 100))
	b.say(m, update(1, 200))
	want := []babel.Announcement{
		{Neighbor: n, Key: far, RouterID: farID, Egress: addr.NodeIDFromUint64(78), Refmetric: 100},
		{Neighbor: m, Key: far, RouterID: farID, Egress: nodeID(0), Refmetric: 200}, // this node imports it
	}
	if !slices.Equal(heard, want) {
		t.Errorf("judged\n%+v, want\n%+v", heard, want)
	}
}

// A forged Update took the place of the neighbor's own, which is not sent again for minutes.
func TestWhatIsLostToABarredUpdateIsAskedForOnce(t *testing.T) {
	b, standings := judging(t)
	b.fabric(1)
	n := b.neighbor(1, 1)
	standings[rogueID] = babel.Barred
	b.say(n, update(1, 100))
	b.want(n, 196)
	b.say(n, by(rogueID, 1, 100))
	b.pass(9 * time.Second)
	b.take()
	b.pass(2 * time.Second)
	if qs := of[babel.RouteRequest](b.take()); len(qs) != 1 || qs[0].Key() != far {
		t.Fatalf("asked %+v", qs)
	}
	b.say(n, by(rogueID, 1, 100))
	b.pass(30 * time.Second)
	if qs := of[babel.RouteRequest](b.take()); len(qs) != 0 {
		t.Errorf("asked again: %+v", qs)
	}
	b.say(n, update(1, 100))
	b.want(n, 196)
}

// What a liar says of others' routes; its own it announces as they are.
func TestAFalseMetricIsSaidOfTheRoutesOfOthers(t *testing.T) {
	b := newBenchConfig(t, babel.Config{FalseMetric: 1})
	b.fabric(1)
	b.fabric(2)
	n := b.neighbor(1, 1)
	b.neighbor(2, 2)
	b.say(n, update(1, 100))
	b.want(n, 196)
	b.pass(time.Second)
	said := false
	for _, u := range of[babel.Update](b.take()) {
		if u.Prefix == far.Prefix && u.Metric != babel.Infinity {
			if said = true; u.Metric != 1 {
				t.Errorf("said %d", u.Metric)
			}
		}
	}
	if !said {
		t.Error("nothing was said of it")
	}
}
