package fabric_test

import (
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/fabric"
)

// uplink is an address of a site as its links are told of it.
func (s *site) uplink(at netip.AddrPort) fabric.Uplink {
	return fabric.Uplink{Local: s.path(at, at).Local, OnLink: netip.PrefixFrom(at.Addr(), 64), Default: true}
}

// busy is a pair whose link carries traffic at both ends, with the uplinks of each.
func busy(t *testing.T, uplinks ...netip.AddrPort) (w *world, a, b *site, la, lb *siteLink) {
	w, a, b, la, lb = joined(t, 1)
	a.uplinks = uplinks
	local := []fabric.Uplink{a.uplink(a.addr)}
	for _, u := range uplinks {
		local = append(local, a.uplink(u))
	}
	la.SetUplinks(w.now, local)
	lb.SetUplinks(w.now, []fabric.Uplink{b.uplink(b.addr)})
	lb.SetEndpoints(append([]netip.AddrPort{a.addr}, uplinks...))
	la.SetUse(w.now, true)
	lb.SetUse(w.now, true)
	w.run(time.Second)
	return w, a, b, la, lb
}

func isControl(d []byte) bool { return d[0] == fabric.FirstByte(fabric.TypeControl) }

// alive makes sure that both ends have the link that they had.
func alive(t *testing.T, a, b *site, la, lb *siteLink) {
	t.Helper()
	if !la.IsUp() || !lb.IsUp() || len(a.links) != 1 || len(b.links) != 1 {
		t.Fatalf("up %v and %v, %d and %d links", la.IsUp(), lb.IsUp(), len(a.links), len(b.links))
	}
	if n := len(of[fabric.Up](la.events)) + len(of[fabric.Up](lb.events)); n != 2 {
		t.Errorf("%d times up", n)
	}
}

func TestALinkFollowsAPeerWhoseNATHasRebound(t *testing.T) {
	w, a, b, la, lb := busy(t)
	w.mapped = map[netip.AddrPort]netip.AddrPort{a.addr: endpoint(9)}
	start := w.now
	w.until(time.Second, "b sends to the new address", func() bool { return lb.path.Remote == endpoint(9) })
	t.Logf("after %s", w.now.Sub(start))
	w.run(time.Minute)
	alive(t, a, b, la, lb)
	if lb.Remote() != endpoint(9) || la.Remote() != b.addr {
		t.Errorf("a sends to %s, b to %s", la.Remote(), lb.Remote())
	}
	a.control(la, fabric.ControlBabel, []byte("there"))
	b.control(lb, fabric.ControlBabel, []byte("and back"))
	w.run(time.Second)
	if len(la.got) != 1 || len(lb.got) != 1 {
		t.Errorf("%d and %d frames came", len(la.got), len(lb.got))
	}
}

func TestALinkMovesAtOnceWithThisNodesAddress(t *testing.T) {
	w, a, b, la, lb := busy(t)
	a.move(endpoint(9))
	start := w.now
	la.SetUplinks(w.now, []fabric.Uplink{a.uplink(a.addr)})
	a.drain()
	w.until(time.Second, "b sends to the new address", func() bool { return lb.path.Remote == endpoint(9) })
	if took := w.now.Sub(start); took > 5*w.delay {
		t.Errorf("it took %s, with %s each way", took, w.delay)
	}
	w.run(10 * time.Minute) // with new keys
	alive(t, a, b, la, lb)
	if lb.Remote() != endpoint(9) {
		t.Errorf("b sends to %s", lb.Remote())
	}
}

// Who copies frames may have the first word, from an address of its choice.
func TestANewAddressGetsNothingBeforeItAnswered(t *testing.T) {
	w, a, b, la, lb := busy(t)
	victim := endpoint(66)
	var sent []int
	w.tap = func(from, to netip.AddrPort, d []byte) bool {
		if to == victim {
			sent = append(sent, len(d))
		}
		if from == a.addr && isControl(d) {
			w.queue = append(w.queue, delivery{w.now, victim, b.addr, append([]byte(nil), d...), 0})
			return true
		}
		return false
	}
	w.run(10 * time.Second)
	alive(t, a, b, la, lb)
	if lb.path.Remote != a.addr {
		t.Errorf("b sends to %s", lb.path.Remote)
	}
	if len(sent) == 0 {
		t.Error("nobody was challenged")
	}
	for _, n := range sent {
		if n > fabric.ControlOverhead+8 {
			t.Errorf("%d bytes went to an address that never answered", n)
		}
	}
}

func TestAFrameThatWasOvertakenMovesNothing(t *testing.T) {
	w, a, b, la, lb := busy(t)
	var late []byte
	w.tap = func(from, to netip.AddrPort, d []byte) bool {
		if late == nil && from == a.addr && isControl(d) {
			late = append([]byte(nil), d...)
			return true
		}
		return false
	}
	a.control(la, fabric.ControlBabel, []byte("late"))
	w.run(5 * time.Second)
	challenged := false
	w.tap = func(_, to netip.AddrPort, _ []byte) bool { challenged = challenged || to == endpoint(9); return false }
	b.handle(endpoint(9), late)
	w.run(5 * time.Second)
	alive(t, a, b, la, lb)
	if challenged {
		t.Error("it has a challenge sent")
	}
}

func TestASilentPathGivesWayToAnother(t *testing.T) {
	second := endpoint(7)
	w, a, b, la, lb := busy(t, second)
	first := a.addr
	w.tap = func(from, to netip.AddrPort, _ []byte) bool { return from == first || to == first }
	start := w.now
	w.until(time.Second, "both ends use the second uplink", func() bool {
		return la.path.Local.Addr == second.Addr() && lb.path.Remote == second
	})
	if took := w.now.Sub(start); took > 500*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	w.run(time.Minute)
	alive(t, a, b, la, lb)
	if la.path.Local.Addr != second.Addr() || lb.path.Remote != second {
		t.Errorf("then a sends from %s, b to %s", la.path.Local.Addr, lb.path.Remote)
	}
	w.tap = nil
	w.until(2*fabric.HomeLast, "back by the first", func() bool { return la.path.Local.Addr == first.Addr() && lb.path.Remote == first })
	w.run(time.Minute)
	alive(t, a, b, la, lb)
	if la.path.Local.Addr != first.Addr() || lb.path.Remote != first {
		t.Errorf("in the end a sends from %s, b to %s", la.path.Local.Addr, lb.path.Remote)
	}
	for _, l := range []*siteLink{la, lb} {
		paths := map[fabric.Path]int{}
		for i, u := range of[fabric.Use](l.events) {
			if i == 0 || u.Path != of[fabric.Use](l.events)[i-1].Path {
				paths[u.Path]++
			}
		}
		for p, n := range paths {
			if n > 2 { // there, and back
				t.Errorf("it moved %d times to %v", n, p)
			}
		}
	}
}

func TestTwoEndsThatMoveAtOnceAgree(t *testing.T) {
	for _, delay := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 150 * time.Millisecond} {
		for _, crossed := range []bool{false, true} {
			second, third := endpoint(7), endpoint(8)
			w, a, b, la, lb := busy(t, second)
			b.uplinks = []netip.AddrPort{third}
			w.delay = delay
			w.run(5 * time.Second)
			// Each loses the address that it uses, and has another; or only one has.
			la.SetUplinks(w.now, []fabric.Uplink{a.uplink(second)})
			if crossed {
				lb.SetUplinks(w.now, []fabric.Uplink{b.uplink(third)})
			}
			a.drain()
			b.drain()
			w.run(5 * time.Second)
			alive(t, a, b, la, lb)
			uses := func() int { return len(of[fabric.Use](la.events)) + len(of[fabric.Use](lb.events)) }
			before := uses()
			w.run(5 * time.Second)
			if la.path.Remote.Addr() != lb.path.Local.Addr || lb.path.Remote.Addr() != la.path.Local.Addr || uses() != before {
				t.Errorf("delay %s, crossed %v: %v and %v, and still %d moves in 5 s", delay, crossed, la.path, lb.path, uses()-before)
			}
		}
	}
}

// Ends that are slow to answer see the move of the other while they make their own: each
// follows, and both are where the other was.
func TestTwoEndsThatFollowEachOtherComeTogether(t *testing.T) {
	for delay := 20 * time.Millisecond; delay <= 300*time.Millisecond; delay += 20 * time.Millisecond {
		second, third := endpoint(7), endpoint(8)
		w, a, b, la, lb := busy(t, second)
		b.uplinks = []netip.AddrPort{third}
		w.run(5 * time.Second)
		w.delay = delay // more than the round trip that was measured
		la.SetUplinks(w.now, []fabric.Uplink{a.uplink(second)})
		lb.SetUplinks(w.now, []fabric.Uplink{b.uplink(third)})
		a.drain()
		b.drain()
		moves := func() int { return len(of[fabric.Use](la.events)) + len(of[fabric.Use](lb.events)) }
		start := moves()
		w.run(10 * time.Second)
		alive(t, a, b, la, lb)
		before := moves()
		w.run(20 * time.Second)
		if la.path.Remote.Addr() != lb.path.Local.Addr || lb.path.Remote.Addr() != la.path.Local.Addr || moves() != before {
			t.Errorf("delay %s: %v and %v, after %d moves in 10 s, and still %d in 20 s", delay, la.path, lb.path, before-start, moves()-before)
		}
	}
}

func TestALinkGoesToABetterInterfaceOnceThatWorks(t *testing.T) {
	second := endpoint(7)
	w, a, b, la, lb := busy(t, second)
	both := []fabric.Uplink{a.uplink(a.addr), a.uplink(second)}
	la.SetUplinks(w.now, both[1:]) // the carrier of the first is gone
	a.drain()
	w.run(time.Second)
	if la.path.Local.Addr != second.Addr() {
		t.Fatalf("a sends from %s", la.path.Local.Addr)
	}
	w.tap = func(from, to netip.AddrPort, _ []byte) bool { return from == a.addr || to == a.addr }
	la.SetUplinks(w.now, both)
	a.drain()
	w.run(time.Minute)
	if la.path.Local.Addr != second.Addr() {
		t.Error("the link went where nothing passes")
	}
	w.tap = nil
	w.until(2*fabric.HomeLast, "by the first", func() bool { return la.path.Local.Addr == a.addr.Addr() && lb.path.Remote == a.addr })
	alive(t, a, b, la, lb)
}

func TestAPeerOnLinkIsReachedByItsOwnNetwork(t *testing.T) {
	second := endpoint(7)
	w, a, b, la, lb := busy(t, second)
	far, near := a.uplink(a.addr), a.uplink(second)
	far.OnLink = netip.PrefixFrom(a.addr.Addr(), a.addr.Addr().BitLen())
	near.OnLink, near.Default = netip.PrefixFrom(b.addr.Addr(), b.addr.Addr().BitLen()), false
	la.SetUplinks(w.now, []fabric.Uplink{far, near})
	a.drain()
	w.until(2*fabric.HomeLast, "by the network that b is in", func() bool { return la.path.Local.Addr == second.Addr() && lb.path.Remote == second })
	w.run(time.Minute)
	if la.path.Local.Addr != second.Addr() {
		t.Error("it went back to the default route")
	}
	alive(t, a, b, la, lb)
}

func TestOneLostProbeMovesNothing(t *testing.T) {
	second := endpoint(7)
	w, a, b, la, lb := busy(t, second)
	lost := 0
	w.tap = func(from, _ netip.AddrPort, d []byte) bool {
		drop := from == a.addr && isControl(d) && w.now.Sub(epoch)%time.Second < fabric.ProbeInterval
		if drop {
			lost++
		}
		return drop
	}
	w.run(30 * time.Second)
	alive(t, a, b, la, lb)
	if moved := len(of[fabric.Use](la.events)); lost < 20 || moved > 3 {
		t.Errorf("%d frames were lost, the link moved %d times", lost, moved)
	}
}

func TestADeadUplinkIsDialledAround(t *testing.T) {
	w, a, b := pair(t, 1)
	second := endpoint(7)
	a.uplinks = []netip.AddrPort{second}
	w.tap = func(from, to netip.AddrPort, _ []byte) bool { return from == a.addr || to == a.addr }
	l := a.open(b.id(), static(b.credentials))
	l.SetUplinks(w.now, []fabric.Uplink{a.uplink(a.addr), a.uplink(second)})
	l.Dial(w.now, []netip.AddrPort{b.addr})
	a.drain()
	w.run(time.Second)
	if !l.IsUp() || l.path.Local.Addr != second.Addr() {
		t.Errorf("up %v, by %v", l.IsUp(), l.path)
	}
}
