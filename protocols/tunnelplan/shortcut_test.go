package tunnelplan_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/tunnelplan"
)

// shortLimits are with two shortcuts, which end soon.
func shortLimits(opened, accepted int) tunnelplan.Limits {
	l := limits(opened, accepted)
	l.Shortcuts, l.ShortcutRate, l.ShortcutIdle = 2, 64000, 10*time.Second
	return l
}

// exchange has a second pass in which so many packets go to and from nodes three links away.
func (b *bench) exchange(packets uint64, with ...int) []tunnelplan.Event {
	var nodes []tunnelplan.Traffic
	for _, i := range with {
		nodes = append(nodes, tunnelplan.Traffic{Node: id(i), Packets: packets, Bytes: 100 * packets, Links: 3})
	}
	return b.measure(nodes)
}

// carry is exchange by the direct links.
func (b *bench) carry(packets uint64, with ...int) []tunnelplan.Event {
	var nodes []tunnelplan.Traffic
	var links []tunnelplan.Carried
	for _, i := range with {
		nodes = append(nodes, tunnelplan.Traffic{Node: id(i), Packets: packets, Bytes: 100 * packets, Links: 1})
		links = append(links, tunnelplan.Carried{Peer: id(i), Packets: packets, Bytes: 100 * packets})
	}
	return b.measure(nodes, links...)
}

func (b *bench) measure(nodes []tunnelplan.Traffic, links ...tunnelplan.Carried) []tunnelplan.Event {
	b.t.Helper()
	out := b.pass(time.Second)
	b.plan.HandleTraffic(b.now, nodes, links)
	return append(out, b.events()...)
}

// busy is a bench whose places are full, with peer 0 opened and others reached by it.
func busy(t *testing.T, limits tunnelplan.Limits, others int) *bench {
	b := newBench(t, limits)
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(others+1))
	b.plan.HandleUp(b.now, id(0), tunnelplan.Opened, known(0).Endpoints[0])
	all := []int{0}
	for i := range others {
		all = append(all, i+1)
	}
	b.reach([]tunnelplan.LinkUse{use(0, others+1, 1)}, all...)
	b.exchange(0)
	return b
}

func dialled(events []tunnelplan.Event) (whom []int) {
	for _, o := range of[tunnelplan.Open](events) {
		if o.Shortcut {
			whom = append(whom, index(o.Peer.ID))
		}
	}
	return whom
}

// upShortcut has a shortcut to peer 1 come up.
func upShortcut(t *testing.T) *bench {
	b := busy(t, shortLimits(1, 4), 3)
	var whom []int
	for range 4 {
		if whom = append(whom, dialled(b.exchange(1000, 1))...); len(whom) > 0 {
			break
		}
	}
	if !slices.Equal(whom, []int{1}) {
		t.Fatalf("dialled %v for the traffic with 1", whom)
	}
	b.plan.HandleUp(b.now, id(1), tunnelplan.Opened, known(1).Endpoints[0])
	b.reach([]tunnelplan.LinkUse{use(0, 3, 1), use(1, 1, 1)}, 0, 1, 2, 3)
	b.carry(1000, 1)
	return b
}

func TestTrafficOverSeveralLinksGetsAShortcut(t *testing.T) {
	b := upShortcut(t)
	if c := of[tunnelplan.Close](b.events()); len(c) > 0 {
		t.Errorf("closed again: %v", c)
	}
	for range 60 { // it is in use, and beside the limit
		if e := b.carry(1000, 1); len(of[tunnelplan.Drain](e)) > 0 || len(of[tunnelplan.Close](e)) > 0 {
			t.Fatalf("a shortcut in use was left: %v", e)
		}
	}
}

func TestLittleTrafficOrAMomentsGetsNoShortcut(t *testing.T) {
	b := busy(t, shortLimits(1, 4), 3)
	for range 20 {
		if whom := dialled(b.exchange(200, 1)); len(whom) > 0 { // 51 kB/s as they count
			t.Fatalf("dialled %v for little", whom)
		}
	}
	for range 20 {
		whom := dialled(b.exchange(500, 1)) // a second's worth, then quiet
		for range 9 {
			whom = append(whom, dialled(b.exchange(0))...)
		}
		if len(whom) > 0 {
			t.Fatalf("dialled %v for a moment", whom)
		}
	}
}

func TestTrafficWithANeighborGetsNoShortcut(t *testing.T) {
	b := busy(t, shortLimits(1, 4), 3)
	for range 20 {
		if whom := dialled(b.carry(1000, 1)); len(whom) > 0 { // by an interface that is no link, say
			t.Fatalf("dialled %v, one link away", whom)
		}
	}
}

func TestAnIdleShortcutIsLeftOnceNothingGoesByIt(t *testing.T) {
	b := upShortcut(t)
	seconds := 0
	for ; len(of[tunnelplan.Drain](b.carry(10, 1))) == 0; seconds++ {
		if seconds > 30 {
			t.Fatal("not drained after 30 s")
		}
	}
	if seconds < 10 {
		t.Errorf("drained after %d s", seconds)
	}
	// This end has left it, the other has not.
	b.reach([]tunnelplan.LinkUse{use(0, 4, 1)}, 0, 1, 2, 3)
	for range 5 {
		if c := of[tunnelplan.Close](b.carry(3, 1)); len(c) > 0 {
			t.Fatal("closed while data came by it")
		}
	}
	c := of[tunnelplan.Close](b.exchange(3, 1))
	if len(c) != 1 || c[0].ID != id(1) || c[0].Reason != tunnelplan.Unused {
		t.Errorf("closed %v, want the shortcut as unused", c)
	}
}

func TestAShortcutThatIsNeededAgainIsKept(t *testing.T) {
	b := upShortcut(t)
	for len(of[tunnelplan.Drain](b.carry(0, 1))) == 0 {
	}
	if u := of[tunnelplan.Undrain](b.carry(1000, 1)); len(u) != 1 || u[0].ID != id(1) {
		t.Fatalf("undrained %v", u)
	}
	for range 5 {
		if e := b.carry(1000, 1); len(e) > 0 {
			t.Fatalf("then %v", e)
		}
	}
}

// TestAShortcutDoesNotFlap: traffic that comes and goes has it opened once in a while only.
func TestAShortcutDoesNotFlap(t *testing.T) {
	b := upShortcut(t)
	changes := 0
	for second := range 600 {
		packets := uint64(0)
		if second/5%2 == 0 { // 5 s on, 5 s off: never idle for 10
			packets = 1000
		}
		for _, e := range b.carry(packets, 1) {
			switch e.(type) {
			case tunnelplan.Drain, tunnelplan.Undrain, tunnelplan.Open, tunnelplan.Close:
				changes++
			default: // it concerns no link
			}
		}
	}
	if changes > 0 {
		t.Errorf("%d changes", changes)
	}
}

func TestAShortcutThatCannotBeIsTriedEverLess(t *testing.T) {
	b := busy(t, shortLimits(1, 4), 3)
	var at []time.Duration
	for range 3600 {
		for range dialled(b.exchange(1000, 1)) {
			at = append(at, b.now.Sub(epoch))
			b.plan.HandleFailed(b.now, id(1))
		}
	}
	if n := len(at); n < 5 || n > 16 {
		t.Fatalf("dialled %d times in an hour: %v", n, at)
	}
	if first, last := at[1]-at[0], at[len(at)-1]-at[len(at)-2]; first > 2*tunnelplan.ShortcutMin || last < tunnelplan.ShortcutMax/2 {
		t.Errorf("the first pause is %v, the last %v", first, last)
	}
}

// TestAShortcutThatRoutesNeverTakeIsTriedLess: such as one of a long round trip.
func TestAShortcutThatRoutesNeverTakeIsTriedLess(t *testing.T) {
	b := busy(t, shortLimits(1, 4), 3)
	opened := 0
	for range 1800 {
		e := b.exchange(1000, 1)
		for range dialled(e) {
			opened++
			b.plan.HandleUp(b.now, id(1), tunnelplan.Opened, known(1).Endpoints[0])
		}
		for _, c := range of[tunnelplan.Close](e) {
			b.plan.HandleDown(b.now, c.ID, tunnelplan.Closed)
		}
	}
	if opened < 2 || opened > 15 {
		t.Errorf("opened %d times in half an hour", opened)
	}
}

func TestAPeerLeftAloneIsDialledForTraffic(t *testing.T) {
	b := busy(t, shortLimits(2, 4), 1) // a free place, for which 1 is dialled in vain
	for range 8 {
		b.plan.HandleFailed(b.now, id(1))
		b.pass(tunnelplan.BackoffMax * 2)
	}
	b.plan.HandleFailed(b.now, id(1))
	b.exchange(0)
	b.reach([]tunnelplan.LinkUse{use(0, 2, 1)}, 0, 1)
	b.events()
	var whom []int
	for range 4 {
		whom = append(whom, dialled(b.exchange(1000, 1))...)
	}
	if !slices.Equal(whom, []int{1}) {
		t.Errorf("dialled %v, want 1 at once though its turn comes later", whom)
	}
}

func TestShortcutsAreBounded(t *testing.T) {
	l := shortLimits(1, 1)
	l.Shortcuts = tunnelplan.MaxShortcuts + 5
	b := busy(t, l, 60)
	var all []int
	for i := range 60 {
		all = append(all, i+1)
	}
	var whom []int
	for range 4 {
		whom = append(whom, dialled(b.exchange(1000, all...))...)
	}
	if len(whom) != tunnelplan.MaxShortcuts {
		t.Fatalf("dialled %d, want %d", len(whom), tunnelplan.MaxShortcuts)
	}
	for _, i := range whom {
		b.plan.HandleUp(b.now, id(i), tunnelplan.Opened, known(i).Endpoints[0])
	}
	b.plan.HandleUp(b.now, id(100), tunnelplan.Accepted, netip.AddrPort{})
	b.events()
	for _, i := range all {
		if !slices.Contains(whom, i) && !errors.Is(b.plan.Admit(b.now, id(i)), tunnelplan.ErrFull) {
			t.Fatalf("%d is admitted beyond all", i)
		}
	}
}

func TestAFullNodeAdmitsWhomItExchangesMuchWith(t *testing.T) {
	b := busy(t, shortLimits(1, 1), 3)
	b.plan.HandleUp(b.now, id(3), tunnelplan.Accepted, netip.AddrPort{})
	for range 2 {
		b.exchange(1000, 1)
	}
	if err := b.plan.Admit(b.now, id(2)); !errors.Is(err, tunnelplan.ErrFull) {
		t.Errorf("one without traffic: %v", err)
	}
	if err := b.plan.Admit(b.now, id(1)); err != nil {
		t.Fatalf("one with traffic: %v", err)
	}
	b.plan.HandleUp(b.now, id(1), tunnelplan.Accepted, netip.AddrPort{})
	b.reach([]tunnelplan.LinkUse{use(0, 2, 1), use(1, 1, 0), use(3, 1, 0)}, 0, 1, 2, 3)
	// The other end lets it go; this one does so only if that does not.
	after := 0
	for ; len(of[tunnelplan.Drain](b.carry(1, 1))) == 0 && after < 60; after++ {
	}
	if after < 20 || after >= 60 {
		t.Errorf("drained after %d s, want twice 10 s or more", after)
	}
}

func TestWithoutShortcutsThereAreNone(t *testing.T) {
	for name, change := range map[string]func(*tunnelplan.Limits){
		"none are wanted":       func(l *tunnelplan.Limits) { l.Shortcuts = 0 },
		"no links at all to be": func(l *tunnelplan.Limits) { l.ClientCount = 0 },
	} {
		l := shortLimits(1, 4)
		change(&l)
		b := busy(t, l, 3)
		for range 10 {
			if whom := dialled(b.exchange(1000, 1)); len(whom) > 0 {
				t.Errorf("%s: dialled %v", name, whom)
			}
		}
	}
}

func TestShortcutsEndThatAreWantedNoMore(t *testing.T) {
	b := upShortcut(t)
	l := shortLimits(1, 4)
	l.Shortcuts = 0
	b.plan.HandleLimits(b.now, l)
	if d := of[tunnelplan.Drain](b.events()); len(d) != 1 || d[0].ID != id(1) {
		t.Errorf("drained %v", d)
	}
}

// TestAHundredThatTalkToOneDoNotAllGetLinks: nor does their talk break the mesh.
func TestAHundredThatTalkToOneDoNotAllGetLinks(t *testing.T) {
	l := tunnelplan.Limits{ClientCount: 3, MaxClients: 6, Shortcuts: 4, ShortcutRate: 64000, ShortcutIdle: 20 * time.Second}
	w := newWorld(t, 7, 100, l)
	w.full()
	w.startAll()
	w.until(time.Minute, w.whole)
	w.run(time.Minute)
	talk := true
	w.traffic = func(a, b int) uint64 {
		if talk && (a == 0 || b == 0) {
			return 1000
		}
		return 0
	}
	most := 0
	w.watch = func() {
		opened, accepted := w.degree(0)
		most = max(most, opened+accepted)
		if !w.whole() {
			t.Error("not whole")
		}
	}
	w.measure()
	w.run(3 * time.Minute)
	if bound := l.ClientCount + l.MaxClients + l.Shortcuts + 2*tunnelplan.RepairSlots; most > bound {
		t.Errorf("the one had %d links, at most %d", most, bound)
	}
	if w.shortcuts == 0 {
		t.Error("no shortcut was asked for")
	}
	dials := w.dials
	w.run(10 * time.Minute)
	if n := w.dials - dials; n > 100*12 {
		t.Errorf("%d dials in ten minutes of 100 nodes that the one has no place for", n)
	}
	talk = false
	w.run(3 * time.Minute)
	for i := range w.nodes {
		if opened, accepted := w.degree(i); opened+accepted > l.ClientCount+l.MaxClients+2*tunnelplan.RepairSlots {
			t.Errorf("%d links of node %d after all are silent", opened+accepted, i)
		}
	}
}

func TestTrafficIsPlannedTheSameForTheSameSeed(t *testing.T) {
	run := func() uint64 {
		w := newWorld(t, 3, 20, tunnelplan.Limits{ClientCount: 2, MaxClients: 4, Shortcuts: 2, ShortcutRate: 64000, ShortcutIdle: 5 * time.Second})
		w.full()
		w.startAll()
		w.traffic = func(a, b int) uint64 {
			return uint64((a*7+b*7)%20) * 50
		}
		w.measure()
		w.run(2 * time.Minute)
		if w.shortcuts == 0 {
			t.Error("no shortcut was asked for")
		}
		return w.hash()
	}
	if a, b := run(), run(); a != b {
		t.Errorf("%x and %x", a, b)
	}
}

func TestARepairThatRoutesHaveOvertakenIsGivenUp(t *testing.T) {
	b := newBench(t, limits(1, 4))
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(2))
	b.plan.HandleUp(b.now, id(0), tunnelplan.Opened, known(0).Endpoints[0])
	b.plan.HandleFailed(b.now, id(1))
	b.reach([]tunnelplan.LinkUse{use(0, 1, 1)}, 0)
	if o := of[tunnelplan.Open](b.pass(10 * time.Second)); len(o) == 0 || o[len(o)-1].Peer.ID != id(1) {
		t.Fatalf("opened %v, want a repair to 1", o)
	}
	b.reach([]tunnelplan.LinkUse{use(0, 2, 2)}, 0, 1)
	if c := of[tunnelplan.Cancel](b.events()); len(c) != 1 || c[0].ID != id(1) {
		t.Errorf("cancelled %v", c)
	}
}
