package babel_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// Section 3.8, requests.

func request(seqno uint16, hops uint8) babel.SeqnoRequest {
	return babel.SeqnoRequest{Prefix: far.Prefix, Seqno: seqno, HopCount: hops, RouterID: farID}
}

func Test3_8_1_2_SeqnoRequestIsAnswered(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.lan(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.say(n, update(5, 100))
	b.pass(time.Second)
	b.take()
	elsewhere := request(9, 64)
	elsewhere.RouterID = babel.RouterID{7: 9}
	for name, q := range map[string]babel.SeqnoRequest{"recent enough": request(5, 64), "older": request(4, 64), "another router-id": elsewhere} {
		b.say(m, q)
		got := b.take()
		if us := updatesOf(got, 2, far); len(us) != 1 || us[0].Seqno != 5 {
			t.Errorf("%s: %+v", name, us)
		}
		if _, qs := seqnoRequests(got); len(qs) != 0 {
			t.Errorf("%s: sent on %+v", name, qs)
		}
	}
	unknown := request(5, 64)
	unknown.Prefix = netip.MustParsePrefix("2001:db8:dead::/48")
	b.say(m, unknown)
	if got := b.take(); len(got) != 0 {
		t.Errorf("an unknown prefix: %+v", got)
	}
}

func Test3_8_1_2_OriginRaisesItsSeqnoByOne(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.neighbor(1, 1)
	own := rib.Key{Prefix: netip.MustParsePrefix("2001:db8:5e1f::/48")}
	if err := b.router.Originate(b.now, own, 0); err != nil {
		t.Fatal(err)
	}
	b.settle()
	b.pass(time.Second)
	b.take()
	q := babel.SeqnoRequest{Prefix: own.Prefix, Seqno: 1200, HopCount: 1, RouterID: selfID}
	for want := uint16(1001); want < 1004; want++ {
		b.say(n, q)
		if us := updatesOf(b.take(), 1, own); len(us) != 1 || us[0].Seqno != want || us[0].Metric != 0 || us[0].RouterID != selfID {
			t.Errorf("want seqno %d: %+v", want, us)
		}
	}
	q.Seqno = 1003
	b.say(n, q)
	if got := b.router.Status().Seqno; got != 1003 {
		t.Errorf("seqno %d after a request for what is there", got)
	}
	q.Prefix, q.Seqno = netip.MustParsePrefix("2001:db8:dead::/48"), 1100
	b.say(n, q)
	if got := b.router.Status().Seqno; got != 1003 {
		t.Errorf("seqno %d after a request for another's prefix", got)
	}
}

func Test3_8_1_2_SeqnoRequestIsSentOnTowardsTheSource(t *testing.T) {
	b := newBench(t)
	for id := range babel.InterfaceID(4) {
		b.lan(id + 1)
	}
	next, alternate, a, c := b.neighbor(1, 1), b.neighbor(2, 2), b.neighbor(3, 3), b.neighbor(4, 4)
	b.say(next, update(5, 100))
	b.say(alternate, update(5, 120))
	b.pass(time.Second)
	b.take()
	b.say(a, request(6, 1))
	if _, qs := seqnoRequests(b.take()); len(qs) != 0 {
		t.Errorf("at its last hop it was sent on: %+v", qs)
	}
	b.say(a, request(6, 64))
	want := request(6, 63)
	if to, qs := seqnoRequests(b.take()); !slices.Equal(to, []netip.Addr{next.Addr}) || qs[0] != want {
		t.Errorf("sent on to %v: %+v", to, qs)
	}
	b.say(c, request(6, 64)) // section 3.8.1.2: duplicates are not sent on
	if _, qs := seqnoRequests(b.take()); len(qs) != 0 {
		t.Errorf("a duplicate was sent on: %+v", qs)
	}
	b.say(next, update(6, 100))
	got := b.take()
	for _, on := range []babel.InterfaceID{3, 4} {
		if us := updatesOf(got, on, far); len(us) != 1 || us[0].Seqno != 6 {
			t.Errorf("who asked on %d hears %+v", on, us)
		}
	}
	b.say(next, request(7, 64)) // the next hop itself asks: not back to it
	if to, _ := seqnoRequests(b.take()); !slices.Equal(to, []netip.Addr{alternate.Addr}) {
		t.Errorf("the next hop's own request went to %v", to)
	}
}

func Test3_8_1_2_RequestThatIsSentOnIsSentAgain(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.lan(2)
	next, a := b.neighbor(1, 1), b.neighbor(2, 2)
	b.say(next, update(5, 100))
	b.pass(time.Second)
	b.take()
	b.say(a, request(6, 9))
	want := request(6, 8)
	sent := 0
	for range 20 {
		to, qs := seqnoRequests(b.take())
		for i, q := range qs {
			if sent++; to[i] != next.Addr || q != want {
				t.Errorf("to %s: %+v, want %+v", to[i], q, want)
			}
		}
		b.pass(time.Second)
	}
	if sent != 6 {
		t.Errorf("sent %d times, want once and 5 times again", sent)
	}
	b.say(a, request(6, 9)) // who asks later asks anew
	if _, qs := seqnoRequests(b.take()); len(qs) != 1 {
		t.Errorf("a request after the last one was given up: %+v", qs)
	}
}

func Test3_8_1_2_HopCountBoundsHowFarARequestGoes(t *testing.T) {
	for hops, want := range map[uint8]int{1: 0, 2: 1, 255: 1} {
		b := newBench(t)
		b.lan(1)
		b.lan(2)
		next, a := b.neighbor(1, 1), b.neighbor(2, 2)
		b.say(next, update(5, 100))
		b.pass(time.Second)
		b.take()
		b.say(a, request(6, hops))
		if _, qs := seqnoRequests(b.take()); len(qs) != want || want == 1 && qs[0].HopCount != hops-1 {
			t.Errorf("with %d hops to go: sent on %+v", hops, qs)
		}
	}
}

func Test3_8_1_2_AnswerByAnotherRouteIsPassedOn(t *testing.T) {
	b := newBench(t)
	for id := range babel.InterfaceID(3) {
		b.lan(id + 1)
	}
	n, m, a := b.neighbor(1, 1), b.neighbor(2, 2), b.neighbor(3, 3)
	b.say(n, update(5, 100))
	b.say(m, update(5, 120))
	b.pass(time.Second)
	b.say(a, request(6, 64))
	b.take()
	b.say(m, update(6, 120)) // the answer comes by the longer route
	b.want(m, 216)
	if us := updatesOf(b.take(), 3, far); len(us) == 0 || us[0].Seqno != 6 {
		t.Errorf("who asked hears %+v", us)
	}
}

func Test3_8_2_1_StarvingRouterAsksAllCandidatesAtOnceAndAgain(t *testing.T) {
	b := newBench(t)
	for id := range babel.InterfaceID(3) {
		b.lan(id + 1)
	}
	n, m, o := b.neighbor(1, 1), b.neighbor(2, 2), b.neighbor(3, 3)
	b.say(n, update(5, 100))
	b.pass(time.Second)
	b.say(m, update(5, 200))
	b.say(o, update(5, 300))
	b.take()
	b.say(n, update(5, babel.Infinity))
	b.wantNone()
	want := request(6, 64)
	if to, qs := seqnoRequests(b.take()); !slices.Equal(to, []netip.Addr{m.Addr, o.Addr}) || qs[0] != want {
		t.Fatalf("asked %v: %+v", to, qs)
	}
	// Again after 0.3, 0.6, 1.2, 2.4 and 4.8 s, and no more.
	const resends = 5
	for i := range resends + 1 {
		b.pass(300*time.Millisecond<<i - time.Millisecond)
		if _, qs := seqnoRequests(b.take()); len(qs) != 0 {
			t.Errorf("resend %d too early", i+1)
		}
		b.pass(time.Millisecond)
		if _, qs := seqnoRequests(b.take()); len(qs) != 2 && i < resends || len(qs) != 0 && i == resends {
			t.Errorf("resend %d: %+v", i+1, qs)
		}
	}
	if got := b.router.Status().Requests; got != 0 {
		t.Errorf("%d requests pending after the last resend", got)
	}
	b.say(m, update(6, 200))
	b.want(m, 296)
}

// A request that was sent to a neighbor that is gone goes another way at once.
func Test3_8_1_2_ARequestGoesAnotherWayWhenItsFirstIsGone(t *testing.T) {
	b := newBench(t)
	for id := range babel.InterfaceID(3) {
		b.lan(id + 1)
	}
	n, m, a := b.neighbor(1, 1), b.neighbor(2, 2), b.neighbor(3, 3)
	b.say(n, update(5, 100))
	b.say(m, update(5, 80)) // feasible, and no better: 176 to 196 by then
	b.pass(time.Second)
	b.take()
	b.say(a, request(6, 64))
	first, _ := seqnoRequests(b.take())
	if len(first) != 1 {
		t.Fatalf("sent on to %v", first)
	}
	gone, left := n, m
	if first[0] == m.Addr {
		gone, left = m, n
	}
	b.router.RemoveNeighbor(b.now, gone)
	b.pass(time.Millisecond)
	if to, qs := seqnoRequests(b.take()); !slices.Equal(to, []netip.Addr{left.Addr}) || qs[0].HopCount != 63 {
		t.Errorf("then sent on to %v: %+v", to, qs)
	}
}

func Test3_8_2_2_UnfeasibleUpdatesThatMatterAreAskedFor(t *testing.T) {
	for _, c := range []struct {
		name   string
		metric uint16
		asked  bool
	}{{"better than the selected route", 200, true}, {"worse", 450, false}} {
		b := newBench(t)
		b.lan(1)
		b.lan(2)
		n, m := b.neighbor(1, 1), b.neighbor(2, 2)
		b.say(n, update(5, 100))
		b.pass(time.Second)
		b.say(n, update(5, 300)) // of the selected route: it asks, and stays at 396
		if to, _ := seqnoRequests(b.take()); !slices.Equal(to, []netip.Addr{n.Addr}) {
			t.Errorf("the selected route turned unfeasible: asked %v", to)
		}
		b.say(m, update(5, c.metric))
		if to, _ := seqnoRequests(b.take()); slices.Contains(to, m.Addr) != c.asked {
			t.Errorf("%s: asked %v", c.name, to)
		}
		b.want(n, 396)
	}
}

func Test3_8_2_3_SelectedRouteIsAskedForBeforeItExpires(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.neighbor(1, 1)
	b.say(n, update(1, 100))
	b.pass(47 * time.Second)
	if got := of[babel.RouteRequest](b.take()); len(got) != 0 {
		t.Errorf("asked early: %+v", got)
	}
	b.pass(2 * time.Second)
	if got := of[babel.RouteRequest](b.take()); len(got) != 1 || got[0].Key() != far {
		t.Errorf("asked: %+v", got)
	}
}
