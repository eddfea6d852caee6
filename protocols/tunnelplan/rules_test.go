package tunnelplan_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/tunnelplan"
)

func TestNoLinkGoesIntoACountryOrOutOfIt(t *testing.T) {
	for _, c := range []struct {
		own, peer string
		parted    bool
	}{
		{"CN", "CN", false},
		{"CN", "FR", true},
		{"CN", tunnelplan.NoCountry, true},
		{"CN", "", false}, // not heard yet
		{"FR", "CN", true},
		{"FR", "DE", false},
		{"FR", tunnelplan.NoCountry, false},
		{"", "CN", true},
		{"", "FR", false},
		{"", tunnelplan.NoCountry, false},
	} {
		b := newBench(t, limits(2, 4))
		b.plan.HandleRules(b.now, tunnelplan.Rules{Country: c.own, SameCountry: []string{"CN", "RU"}})
		p := known(0)
		p.Country = c.peer
		b.plan.HandlePeers(b.now, tunnelplan.Remembered, []tunnelplan.Peer{p})
		opened := len(of[tunnelplan.Open](b.events())) > 0
		refused := errors.Is(b.plan.Admit(b.now, id(0)), tunnelplan.ErrCountry)
		why := b.plan.Outlook(id(0)).Barred
		if opened == c.parted || refused != c.parted || (why == tunnelplan.SameCountry) != c.parted {
			t.Errorf("from %q to %q: opened %v, refused %v, because of %q", c.own, c.peer, opened, refused, why)
		}
	}
}

func TestALinkEndsWhenItsPeersCountryIsHeard(t *testing.T) {
	b := newBench(t, limits(2, 4))
	b.plan.HandleRules(b.now, tunnelplan.Rules{Country: "FR", SameCountry: []string{"CN"}})
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(1))
	b.plan.HandleUp(b.now, id(0), tunnelplan.Opened, known(0).Endpoints[0])
	b.events()
	said := known(0)
	said.Country = "CN"
	b.plan.HandlePeers(b.now, tunnelplan.Direct, []tunnelplan.Peer{said})
	if c := of[tunnelplan.Close](b.events()); len(c) != 1 || c[0].Reason != tunnelplan.OtherCountry || c[0].Reason.String() != "same_country" {
		t.Fatalf("closed %v", c)
	}
	b.plan.HandleDown(b.now, id(0), tunnelplan.Closed)
	if o := of[tunnelplan.Open](b.pass(time.Hour)); len(o) > 0 {
		t.Errorf("dialled again: %v", o)
	}
	b.plan.HandleRules(b.now, tunnelplan.Rules{Country: "FR"})
	if o := of[tunnelplan.Open](append(b.events(), b.pass(time.Minute)...)); len(o) == 0 {
		t.Error("not dialled when the rule is gone")
	}
}

func TestNeighboursAreDialledFirst(t *testing.T) {
	b := newBench(t, limits(0, 4))
	var all []tunnelplan.Peer
	for i := range 20 {
		p := known(i)
		p.Prefix = addr.Bits{}.Append(i == 7).Append(true)
		all = append(all, p)
	}
	b.plan.HandleRules(b.now, tunnelplan.Rules{Neighbours: []tunnelplan.Neighbour{{ID: id(4)}, {Prefix: addr.Bits{}.Append(true)}}})
	b.plan.HandlePeers(b.now, tunnelplan.Registry, all)
	b.reach(nil, 4, 9)
	b.events()
	l := limits(2, 4)
	b.plan.HandleLimits(b.now, l)
	var whom []int
	for _, o := range of[tunnelplan.Open](b.events())[:2] {
		whom = append(whom, index(o.Peer.ID))
	}
	slices.Sort(whom)
	if !slices.Equal(whom, []int{4, 7}) {
		t.Errorf("dialled %v first, want 4 and 7", whom)
	}
}

func TestLinksWithNeighboursAreNotShed(t *testing.T) {
	b := newBench(t, limits(3, 4))
	b.plan.HandleRules(b.now, tunnelplan.Rules{Neighbours: []tunnelplan.Neighbour{{ID: id(0)}, {ID: id(1)}}})
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(3))
	for i := range 3 {
		b.plan.HandleUp(b.now, id(i), tunnelplan.Opened, known(i).Endpoints[0])
	}
	b.reach([]tunnelplan.LinkUse{use(0, 1, 0), use(1, 1, 0), use(2, 5, 0)}, 0, 1, 2)
	b.events()
	b.plan.HandleLimits(b.now, limits(1, 4))
	d := of[tunnelplan.Drain](b.pass(time.Hour))
	if len(d) == 0 || slices.ContainsFunc(d, func(d tunnelplan.Drain) bool { return d.ID != id(2) }) {
		t.Errorf("drained %v, want the link with 2 only", d)
	}
}
