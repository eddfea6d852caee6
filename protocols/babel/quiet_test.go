package babel_test

import (
	"testing"
	"time"

	"re6st/protocols/babel"
)

// On links of the fabric full updates are minutes apart: what they brought about elsewhere
// has to come about without them.

func TestWhatIsBetterByNowIsAskedForWhenTheSelectedRouteBecomesWorse(t *testing.T) {
	b := newBench(t)
	for i := range babel.InterfaceID(3) {
		b.fabric(i + 1)
	}
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.neighbor(3, 3)
	b.say(n, update(5, 100))
	b.pass(time.Second)
	b.say(m, update(5, 200)) // not feasible, and worse
	b.take()
	b.neighbors[n].HandleLink(b.now, true, 500*time.Millisecond)
	b.settle()
	b.pass(200 * time.Millisecond)
	if to, _ := seqnoRequests(b.take()); len(to) > 0 {
		t.Errorf("at once it asked %v: most of what is worse passes", to)
	}
	b.pass(time.Second)
	if to, qs := seqnoRequests(b.take()); len(to) == 0 || to[0] != m.Addr || qs[0].Seqno != 6 {
		t.Fatalf("asked %v: %+v", to, qs)
	}
	b.say(m, update(6, 200))
	b.pass(10 * time.Second)
	b.want(m, 296)
}

func TestAStarvingRouterOfTheFabricAsksOn(t *testing.T) {
	b := newBench(t)
	for i := range babel.InterfaceID(3) {
		b.fabric(i + 1)
	}
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.neighbor(3, 3)
	b.say(n, update(5, 100))
	b.pass(time.Second)
	u := update(5, 200)
	u.Interval = 10 * time.Minute
	b.say(m, u)
	b.say(n, update(5, babel.Infinity))
	b.pass(time.Minute)
	b.take()
	b.pass(30 * time.Second)
	if to, _ := seqnoRequests(b.take()); len(to) < 2 || to[0] != m.Addr {
		t.Errorf("after a minute of silence it asked %v", to)
	}
	u.Metric = babel.Infinity
	b.say(m, u)
	b.pass(20 * time.Second)
	b.take()
	b.pass(time.Minute)
	if to, _ := seqnoRequests(b.take()); len(to) > 0 || b.router.Status().Requests > 0 {
		t.Errorf("nobody has a way, yet it asked %v", to)
	}
}

func TestASmallChangeOfMetricIsToldWithinTheOldInterval(t *testing.T) {
	b := newBench(t)
	b.fabric(1)
	b.fabric(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	acknowledge := func() (us []babel.Update) {
		for range 10 {
			b.pass(100 * time.Millisecond)
			sent := b.take()
			for _, ask := range of[babel.AckRequest](sent) {
				b.say(m, babel.Ack{Opaque: ask.Opaque})
			}
			us = append(us, updatesOf(sent, 2, far)...)
		}
		return us
	}
	b.say(n, update(5, 100))
	if us := acknowledge(); len(us) != 1 || us[0].Metric != 196 {
		t.Fatalf("%+v", us)
	}
	b.say(n, update(5, 130))
	if us := acknowledge(); len(us) != 0 {
		t.Errorf("at once: %+v", us)
	}
	b.pass(15 * time.Second)
	if us := updatesOf(b.take(), 2, far); len(us) == 0 || us[0].Metric != 226 {
		t.Errorf("later: %+v", us)
	}
	acknowledge()
	b.say(n, update(5, 100))
	b.say(n, update(5, 130)) // back again
	b.pass(20 * time.Second)
	if us := updatesOf(b.take(), 2, far); len(us) != 0 {
		t.Errorf("of what is as it was told: %+v", us)
	}
}

// Who asked has a way of its own by now, and is the one to ask for another who has none.
func TestARequestIsSentOnToANextHopThatOnceAskedItself(t *testing.T) {
	b := newBench(t)
	for i := range babel.InterfaceID(3) {
		b.fabric(i + 1)
	}
	n, m, o := b.neighbor(1, 1), b.neighbor(2, 2), b.neighbor(3, 3)
	b.say(n, update(5, 200))
	b.pass(time.Second)
	ask := babel.SeqnoRequest{Prefix: far.Prefix, Seqno: 6, HopCount: 60, RouterID: update(5, 0).RouterID}
	b.say(m, ask)
	b.say(n, update(5, babel.Infinity))
	b.say(m, update(5, 100))
	b.want(m, 196)
	b.take()
	b.say(o, ask)
	if to, qs := seqnoRequests(b.take()); len(to) != 1 || to[0] != m.Addr || qs[0].Seqno != 6 {
		t.Errorf("asked %v: %+v", to, qs)
	}
	b.say(m, ask)
	if to, _ := seqnoRequests(b.take()); len(to) != 0 {
		t.Errorf("sent its own request back to %v", to)
	}
}

// A newer one would have all look for their ways anew.
func TestABetterRouteThatLagsIsAskedForASeqnoThatIsThere(t *testing.T) {
	b := newBench(t)
	for i := range babel.InterfaceID(3) {
		b.fabric(i + 1)
	}
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.neighbor(3, 3)
	b.say(n, update(6, 200))
	b.pass(time.Second)
	b.take()
	for _, c := range []struct{ seqno, metric, want uint16 }{
		{5, 100, 6}, // feasible with the seqno that this router has
		{6, 100, 0}, // feasible as it is
	} {
		b.say(m, update(c.seqno, c.metric))
		to, qs := seqnoRequests(b.take())
		if c.want == 0 && len(to) > 0 || c.want > 0 && (len(to) != 1 || to[0] != m.Addr || qs[0].Seqno != c.want) {
			t.Errorf("for %+v asked %v: %+v", c, to, qs)
		}
	}
	b.pass(10 * time.Second)
	b.want(m, 196)
}

// Over the fabric updates come and go at the same times; an Ack alone is a packet more.
func TestAnAckWaitsForCompanyAMoment(t *testing.T) {
	b := newBench(t)
	b.fabric(1)
	b.lan(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	asks := func(count int) (tlvs []babel.TLV) {
		for i := range count {
			tlvs = append(tlvs, babel.AckRequest{Opaque: uint16(i), Interval: 300 * time.Millisecond})
		}
		return tlvs
	}
	acks := func(want int, when string) {
		t.Helper()
		if got := of[babel.Ack](b.take()); len(got) != want {
			t.Errorf("%s %+v were sent", when, got)
		}
	}
	b.pass(time.Second)
	b.take()
	b.say(n, asks(1)...)
	acks(0, "at once")
	b.pass(20 * time.Millisecond)
	acks(1, "alone, after a moment")
	b.say(n, asks(2)...)
	b.say(n, babel.RouteRequest{Prefix: far.Prefix})
	acks(2, "with an update")
	b.say(n, asks(50)...)
	acks(50, "of many")
	b.say(n, babel.AckRequest{Opaque: 1, Interval: 10 * time.Millisecond})
	b.pass(10 * time.Millisecond)
	acks(1, "in the time that was given")
	b.say(m, asks(1)...)
	acks(1, "by a kernel interface, at once,")
	b.pass(time.Minute)
	acks(0, "later")
}
