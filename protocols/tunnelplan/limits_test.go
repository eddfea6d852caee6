package tunnelplan_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/tunnelplan"
)

func TestLateLinkBeyondTheLimitIsClosed(t *testing.T) {
	b := filled(t, 0)
	b.reach(nil, 0, 1, 4)
	b.events()
	b.plan.HandleUp(b.now, id(4), tunnelplan.Opened, known(4).Endpoints[0])
	if c := of[tunnelplan.Close](b.events()); len(c) != 1 || c[0].ID != id(4) || c[0].Reason != tunnelplan.Excess {
		t.Fatalf("got %v, want the third link closed", c)
	}
	// One too many is not a useless one: it may be needed soon.
	b.plan.HandleDown(b.now, id(4), tunnelplan.Closed)
	b.plan.HandleDown(b.now, id(0), tunnelplan.Lost)
	b.plan.HandleDown(b.now, id(1), tunnelplan.Lost)
	if !slices.ContainsFunc(of[tunnelplan.Open](b.pass(2*tunnelplan.RefusedMin)), func(o tunnelplan.Open) bool { return o.Peer.ID == id(4) }) {
		t.Errorf("the peer of the excess link rests for longer than %v", 2*tunnelplan.RefusedMin)
	}
}

func TestLateLinkToAPeerThatNoRouteReachesTakesARepairSlot(t *testing.T) {
	b := filled(t, 0)
	for i := range tunnelplan.RepairSlots + 1 {
		b.plan.HandleUp(b.now, id(4+i), tunnelplan.Opened, known(4 + i).Endpoints[0])
	}
	if c := of[tunnelplan.Close](b.events()); len(c) != 1 || c[0].ID != id(4+tunnelplan.RepairSlots) {
		t.Errorf("closed %v, want the one beyond the repair slots", c)
	}
}

func TestAFreePlaceToOpenServesAPeerThatNoRouteReaches(t *testing.T) {
	b := newBench(t, limits(1, 1))
	b.plan.HandlePeers(b.now, tunnelplan.Gossip, peers(4))
	b.plan.HandleUp(b.now, id(0), tunnelplan.Accepted, netip.AddrPort{})
	b.reach([]tunnelplan.LinkUse{use(0, 1, 0)}, 0, 3)
	for i := range 4 {
		b.plan.HandleFailed(b.now, id(i))
	}
	if err := b.plan.Admit(b.now, id(3)); !errors.Is(err, tunnelplan.ErrFull) {
		t.Errorf("a peer with a route was admitted: %v", err)
	}
	for i := 1; i <= 1+tunnelplan.RepairSlots; i++ {
		if err := b.plan.Admit(b.now, id(i+10)); err != nil {
			t.Errorf("peer %d: %v", i, err)
		}
		b.plan.HandleUp(b.now, id(i+10), tunnelplan.Accepted, netip.AddrPort{})
	}
}

func TestLinksOfAnyKindAreBounded(t *testing.T) {
	b := newBench(t, limits(0, 2*tunnelplan.MaxLinks))
	for i := range tunnelplan.MaxLinks {
		if err := b.plan.Admit(b.now, id(i)); err != nil {
			t.Fatalf("link %d: %v", i, err)
		}
		b.plan.HandleUp(b.now, id(i), tunnelplan.Accepted, netip.AddrPort{})
	}
	if err := b.plan.Admit(b.now, id(tunnelplan.MaxLinks)); !errors.Is(err, tunnelplan.ErrFull) {
		t.Errorf("one more: %v", err)
	}
}

func TestRememberedListIsBounded(t *testing.T) {
	b := newBench(t, limits(0, tunnelplan.MaxLinks))
	for i := range 300 {
		b.plan.HandleUp(b.now, id(i), tunnelplan.Accepted, netip.AddrPort{})
		b.plan.HandlePeers(b.now, tunnelplan.Direct, []tunnelplan.Peer{known(i)})
	}
	b.events()
	r := of[tunnelplan.Remember](b.pass(time.Minute))
	if len(r) != 1 || len(r[0].Peers) != tunnelplan.MaxRemembered {
		t.Errorf("remembered %d lists", len(r))
	}
}

func TestHearsayNeverDisplacesBetterKnowledge(t *testing.T) {
	b := newBench(t, limits(0, 9))
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(4))
	lie := known(0)
	lie.Endpoints = []netip.AddrPort{netip.MustParseAddrPort("203.0.113.1:1")}
	lie.Static = [32]byte{99}
	flood := []tunnelplan.Peer{lie}
	for i := range 3 * tunnelplan.MaxPeers {
		flood = append(flood, tunnelplan.Peer{ID: id(1000 + i), Endpoints: known(1).Endpoints})
	}
	b.plan.HandlePeers(b.now.Add(time.Second), tunnelplan.Gossip, flood)
	k := b.plan.Known(10)
	if len(k) != 4 {
		t.Fatalf("%d peers of the registry are left, want 4", len(k))
	}
	i := slices.IndexFunc(k, func(p tunnelplan.Peer) bool { return p.ID == id(0) })
	if k[i].Static != known(0).Static || k[i].Endpoints[0] != known(0).Endpoints[0] || len(k[i].Endpoints) != 2 {
		t.Errorf("peer 0 is %v", k[i])
	}
}
