package babel_test

import (
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// The tests follow RFC 9079, by section.

var (
	everywhere = rib.Key{Prefix: netip.MustParsePrefix("::/0")}
	fromFar    = rib.Key{Prefix: everywhere.Prefix, Source: far.Prefix}
)

// wayOut is an Update of the default route from the far prefix.
func wayOut(seqno, metric uint16) babel.Update {
	u := update(seqno, metric)
	u.Prefix, u.Source = fromFar.Prefix, fromFar.Source
	return u
}

func TestRFC9079_3_2_RoutesOfOneDestinationAreApartBySource(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.lan(2)
	one, two := b.neighbor(1, 1), b.neighbor(2, 2)
	plain := wayOut(1, 300)
	plain.Source = netip.Prefix{}
	b.say(one, wayOut(1, 100))
	b.say(two, plain)
	if r := b.routes[fromFar]; r.NextHop.Ifindex != 1 || r.Metric != 196 {
		t.Errorf("from the far prefix: %+v", r)
	}
	if r := b.routes[everywhere]; r.NextHop.Ifindex != 2 || r.Metric != 396 {
		t.Errorf("from everywhere: %+v", r)
	}
	retraction := wayOut(1, babel.Infinity)
	b.say(one, retraction)
	if r := b.routes[everywhere]; !b.routes[fromFar].Unreachable || r.NextHop.Ifindex != 2 {
		t.Errorf("a retraction took the other's route: %+v", b.routes)
	}
}

func TestRFC9079_7_3_RouteRequestIsForTheSource(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.lan(2)
	b.say(b.neighbor(1, 1), wayOut(1, 100))
	n := b.neighbor(2, 2)
	b.pass(time.Second)
	b.take()
	b.say(n, babel.RouteRequest(fromFar))
	b.say(n, babel.RouteRequest(everywhere))
	b.pass(100 * time.Millisecond)
	all := b.take()
	if us := updatesOf(all, 2, fromFar); len(us) != 1 || us[0].Metric != 196 {
		t.Errorf("from the far prefix: %+v", us)
	}
	if us := updatesOf(all, 2, everywhere); len(us) != 1 || us[0].Metric != babel.Infinity {
		t.Errorf("from everywhere, of which there is none: %+v", us)
	}
}

func TestRFC9079_7_4_SeqnoRequestIsForTheSource(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.lan(2)
	n := b.neighbor(1, 1)
	other := b.neighbor(2, 2)
	if err := b.router.Originate(b.now, fromFar, 0); err != nil {
		t.Fatal(err)
	}
	b.pass(time.Second)
	b.take()
	ask := func(key rib.Key) {
		b.say(n, babel.SeqnoRequest{Prefix: key.Prefix, Source: key.Source, Seqno: 1001, HopCount: 9, RouterID: selfID})
		b.pass(100 * time.Millisecond)
	}
	if ask(everywhere); len(of[babel.Update](b.take())) != 0 {
		t.Error("a request for packets from everywhere was answered for others")
	}
	ask(fromFar)
	if us := updatesOf(b.take(), 1, fromFar); len(us) != 1 || us[0].Seqno != 1001 {
		t.Errorf("%+v", us)
	}
	// One that is lost is asked for with its source.
	b.router.Withdraw(b.now, fromFar)
	b.settle()
	u := wayOut(5, 100)
	b.say(other, u)
	b.pass(time.Second)
	b.take()
	u.Metric = 400
	b.say(other, u)
	if _, qs := seqnoRequests(b.take()); len(qs) == 0 || qs[0].Source != fromFar.Source || qs[0].Prefix != fromFar.Prefix {
		t.Errorf("asked %+v", qs)
	}
}

func TestAPlainDefaultRouteLeavesWhereItIsWantedOnly(t *testing.T) {
	b := newBench(t)
	b.add(1, babel.Interface{Ifindex: 1, Local: selfLL, Multicast: true, PlainDefault: true})
	b.lan(2)
	b.fabric(3)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.neighbor(3, 3)
	if err := b.router.OriginatePlain(b.now, 50); err != nil {
		t.Fatal(err)
	}
	b.settle()
	b.say(m, babel.RouteRequest(everywhere))
	b.pass(time.Minute)
	all := b.take()
	if us := updatesOf(all, 1, everywhere); len(us) == 0 || us[0].Metric != 50 || us[0].RouterID != selfID {
		t.Errorf("where it is wanted: %+v", us)
	}
	for _, i := range []babel.InterfaceID{2, 3} {
		if us := updatesOf(all, i, everywhere); len(us) != 0 {
			t.Errorf("on interface %d: %+v", i, us)
		}
	}
	b.say(n, babel.SeqnoRequest{Prefix: everywhere.Prefix, Seqno: 1001, HopCount: 9, RouterID: selfID})
	b.pass(100 * time.Millisecond)
	if us := updatesOf(b.take(), 1, everywhere); len(us) == 0 || us[0].Seqno != 1001 {
		t.Errorf("a seqno request is answered by %+v", us)
	}
	b.router.Withdraw(b.now, everywhere)
	b.settle()
	b.pass(time.Second)
	if us := updatesOf(b.take(), 1, everywhere); len(us) == 0 || us[0].Metric != babel.Infinity {
		t.Errorf("taken back by %+v", us)
	}
	if err := b.router.OriginatePlain(b.now, babel.Infinity); err == nil {
		t.Error("a metric of infinity is announced")
	}
}
