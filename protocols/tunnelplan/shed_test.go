package tunnelplan_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/tunnelplan"
)

func filled(t *testing.T, refresh time.Duration) *bench {
	b := newBench(t, tunnelplan.Limits{ClientCount: 2, MaxClients: 4, TunnelRefresh: refresh})
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(2))
	for i := range 2 {
		b.plan.HandleUp(b.now, id(i), tunnelplan.Opened, known(i).Endpoints[0])
	}
	b.plan.HandlePeers(b.now, tunnelplan.Gossip, peers(6))
	b.events()
	return b
}

func use(i, destinations, sole int) tunnelplan.LinkUse {
	return tunnelplan.LinkUse{Peer: id(i), Destinations: destinations, Sole: sole}
}

func TestRefreshDrainsTheLeastUsefulLinkThenOpensAnother(t *testing.T) {
	b := filled(t, 300*time.Second)
	b.reach([]tunnelplan.LinkUse{use(0, 4, 0), use(1, 2, 0)}, 0, 1, 2, 3, 4, 5)
	var got []tunnelplan.Event
	for len(of[tunnelplan.Drain](got)) == 0 && b.now.Before(epoch.Add(345*time.Second)) {
		got = append(got, b.pass(5*time.Second)...)
	}
	if d := of[tunnelplan.Drain](got); len(d) != 1 || d[0].ID != id(1) {
		t.Fatalf("drained %v, want the link to 1", d)
	}
	if c := of[tunnelplan.Close](got); len(c) != 0 {
		t.Fatalf("closed %v while routes use it", c)
	}
	b.reach([]tunnelplan.LinkUse{use(0, 6, 0), use(1, 0, 0)}, 0, 1, 2, 3, 4, 5)
	got = append(b.events(), b.pass(tunnelplan.DrainMin)...)
	if c := of[tunnelplan.Close](got); len(c) != 1 || c[0].ID != id(1) || c[0].Reason != tunnelplan.Refresh {
		t.Fatalf("closed %v, want the drained link", c)
	}
	b.plan.HandleDown(b.now, id(1), tunnelplan.Closed)
	open := of[tunnelplan.Open](b.events())
	if len(open) != 1 || open[0].Peer.ID == id(1) || open[0].Peer.ID == id(0) {
		t.Errorf("dialled %v, want one that is neither linked nor just closed", open)
	}
}

func TestDrainThatRoutesDoNotLeaveIsUndone(t *testing.T) {
	b := filled(t, 300*time.Second)
	b.reach([]tunnelplan.LinkUse{use(0, 4, 0), use(1, 2, 0)}, 0, 1, 2, 3, 4, 5)
	got := b.pass(400 * time.Second)
	if u := of[tunnelplan.Undrain](got); len(u) != 1 || u[0].ID != id(1) || len(of[tunnelplan.Close](got)) != 0 {
		t.Errorf("got %v, want an Undrain and no Close", got)
	}
}

func TestLinkThatWasDrainedInVainTakesNoRepairSlot(t *testing.T) {
	b := newBench(t, tunnelplan.Limits{MaxClients: 1, TunnelRefresh: time.Hour})
	for i := range 3 {
		b.plan.HandleUp(b.now, id(i), tunnelplan.Accepted, netip.AddrPort{})
	}
	b.reach([]tunnelplan.LinkUse{use(0, 1, 0), use(1, 1, 0), use(2, 1, 0)}, 0, 1, 2)
	if err := b.plan.Admit(b.now, id(6)); !errors.Is(err, tunnelplan.ErrFull) {
		t.Fatalf("both repair slots are taken: %v", err)
	}
	if u := of[tunnelplan.Undrain](b.pass(2 * time.Minute)); len(u) != 1 {
		t.Fatalf("undrained %v, want one link", u)
	}
	if err := b.plan.Admit(b.now, id(6)); err != nil {
		t.Errorf("one of them is free again: %v", err)
	}
}

func TestLinkThatIsTheOnlyWayIsNeverDrained(t *testing.T) {
	b := filled(t, 300*time.Second)
	b.reach([]tunnelplan.LinkUse{use(0, 4, 4), use(1, 1, 1)}, 0, 1, 2, 3, 4, 5)
	if d := of[tunnelplan.Drain](b.pass(time.Hour)); len(d) != 0 {
		t.Errorf("drained %v", d)
	}
}

func TestNoRefreshWithoutAnybodyElse(t *testing.T) {
	b := newBench(t, tunnelplan.Limits{ClientCount: 2, MaxClients: 4, TunnelRefresh: time.Minute})
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(2))
	for i := range 2 {
		b.plan.HandleUp(b.now, id(i), tunnelplan.Opened, known(i).Endpoints[0])
	}
	b.reach([]tunnelplan.LinkUse{use(0, 1, 0), use(1, 1, 0)}, 0, 1)
	if d := of[tunnelplan.Drain](b.pass(time.Hour)); len(d) != 0 {
		t.Errorf("drained %v for nobody", d)
	}
}

func TestLoweredLimitsDrainOneLinkAtATime(t *testing.T) {
	b := filled(t, 0)
	b.reach([]tunnelplan.LinkUse{use(0, 1, 0), use(1, 1, 0)}, 0, 1)
	b.plan.HandleLimits(b.now, limits(0, 0))
	if d := of[tunnelplan.Drain](b.pass(55 * time.Second)); len(d) != 1 {
		t.Errorf("drained %v at once, want one", d)
	}
}

// Routes may lead to a node before anybody tells of it.
