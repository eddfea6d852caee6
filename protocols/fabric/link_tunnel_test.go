package fabric_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/fabric"
)

// tunnelled is a busy pair with a tunnel between two addresses of which nothing else is
// reached. cut has the tunnel carry nothing.
type tunnelled struct {
	w      *world
	a, b   *site
	la, lb *siteLink
	ta, tb fabric.Path
	cut    bool
}

func newTunnelled(t *testing.T) *tunnelled {
	w, a, b, la, lb := busy(t)
	inA, inB := endpoint(101), endpoint(102)
	a.uplinks, b.uplinks = []netip.AddrPort{inA}, []netip.AddrPort{inB}
	n := &tunnelled{w: w, a: a, b: b, la: la, lb: lb, ta: a.path(inA, inB), tb: b.path(inB, inA)}
	inside := []netip.AddrPort{inA, inB}
	w.tap = func(from, to netip.AddrPort, _ []byte) bool {
		out, in := slices.Contains(inside, from), slices.Contains(inside, to)
		return out != in || in && n.cut
	}
	return n
}

func (n *tunnelled) offer() {
	n.la.SetTunnels(n.w.now, []fabric.Path{n.ta})
	n.a.drain()
	n.lb.SetTunnels(n.w.now, []fabric.Path{n.tb})
	n.b.drain()
}

func (n *tunnelled) inside() bool { return n.la.path == n.ta && n.lb.path == n.tb }

func (n *tunnelled) outside() bool {
	return n.la.path.Remote == n.b.addr && n.lb.path.Remote == n.a.addr
}

func TestALinkTakesATunnelThatAnswers(t *testing.T) {
	n := newTunnelled(t)
	n.offer()
	n.w.until(time.Second, "both ends go by the tunnel", n.inside)
	n.w.run(10 * time.Minute) // with new keys
	alive(t, n.a, n.b, n.la, n.lb)
	if !n.inside() || !n.la.InTunnel() {
		t.Errorf("then they go by %v and %v", n.la.path, n.lb.path)
	}
	if under := n.la.Underlay().Remote; under != n.b.addr {
		t.Errorf("the way without a tunnel leads to %s, want %s", under, n.b.addr)
	}
}

func TestATunnelThatCarriesNothingIsNotTaken(t *testing.T) {
	n := newTunnelled(t)
	n.cut = true
	n.offer()
	n.w.run(time.Minute)
	alive(t, n.a, n.b, n.la, n.lb)
	if !n.outside() {
		t.Errorf("they go by %v and %v", n.la.path, n.lb.path)
	}
	n.cut = false
	n.w.until(2*fabric.HomeLast, "both ends go by the tunnel", n.inside)
}

func TestASilentTunnelIsLeftAndTakenAgain(t *testing.T) {
	n := newTunnelled(t)
	n.offer()
	n.w.until(time.Second, "both ends go by the tunnel", n.inside)
	n.w.run(5 * time.Second)
	n.cut = true
	start := n.w.now
	n.w.until(time.Second, "both ends left the tunnel", n.outside)
	if took := n.w.now.Sub(start); took > 600*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	n.w.run(time.Minute)
	if !n.outside() {
		t.Errorf("then they go by %v and %v", n.la.path, n.lb.path)
	}
	n.cut = false
	n.w.until(2*fabric.HomeLast, "both ends are back in the tunnel", n.inside)
	n.w.run(time.Minute)
	alive(t, n.a, n.b, n.la, n.lb)
	if !n.inside() {
		t.Errorf("in the end they go by %v and %v", n.la.path, n.lb.path)
	}
}

// The end that left the tunnel first may have forgotten it meanwhile.
func TestTheEndThatFollowedOutOfATunnelTriesItAgain(t *testing.T) {
	for _, forgets := range []bool{true, false} {
		n := newTunnelled(t)
		n.offer()
		n.w.until(time.Second, "both ends go by the tunnel", n.inside)
		n.w.run(5 * time.Second)
		n.cut = true
		n.w.until(time.Second, "both ends left the tunnel", n.outside)
		n.w.run(time.Second)
		site, end := n.a, n.la
		if forgets {
			site, end = n.b, n.lb
		}
		end.SetTunnels(n.w.now, nil)
		site.drain()
		n.cut = false
		n.w.until(2*fabric.HomeLast, "both ends are back in the tunnel", n.inside)
		n.w.run(5 * time.Second)
		alive(t, n.a, n.b, n.la, n.lb)
	}
}

// An end that the peer leads in and out has found nothing against the tunnel.
func TestAnEndThatIsLedOutOfATunnelOftenTriesItSoon(t *testing.T) {
	n := newTunnelled(t)
	n.offer()
	n.w.until(time.Second, "both ends go by the tunnel", n.inside)
	for range 8 {
		n.w.run(5 * time.Second)
		n.lb.SetTunnels(n.w.now, nil)
		n.b.drain()
		n.w.until(time.Second, "both ends left the tunnel", n.outside)
		n.w.run(time.Second)
		n.lb.SetTunnels(n.w.now, []fabric.Path{n.tb})
		n.b.drain()
		n.w.until(2*time.Second, "both ends go by the tunnel", n.inside)
	}
	n.w.run(5 * time.Second)
	n.lb.SetTunnels(n.w.now, nil)
	n.b.drain()
	n.w.until(time.Second, "both ends left the tunnel", n.outside)
	n.w.until(2*fabric.HomeFirst, "this end took both back", n.inside)
	alive(t, n.a, n.b, n.la, n.lb)
}

func TestALinkLeavesATunnelThatIsGoneAtOnce(t *testing.T) {
	n := newTunnelled(t)
	n.offer()
	n.w.until(time.Second, "both ends go by the tunnel", n.inside)
	n.w.run(5 * time.Second)
	n.cut = true
	n.la.SetTunnels(n.w.now, nil)
	n.a.drain()
	start := n.w.now
	n.w.until(time.Second, "both ends left the tunnel", n.outside)
	if took := n.w.now.Sub(start); took > 5*n.w.delay {
		t.Errorf("it took %s, with %s each way", took, n.w.delay)
	}
	n.w.run(time.Minute)
	alive(t, n.a, n.b, n.la, n.lb)
	if !n.outside() {
		t.Errorf("then they go by %v and %v", n.la.path, n.lb.path)
	}
}

// The first frames in a tunnel may come before this end's link was told of it.
func TestATunnelThatThePeerUsesFirstIsNotTakenForTheUnderlay(t *testing.T) {
	n := newTunnelled(t)
	n.la.SetTunnels(n.w.now, []fabric.Path{n.ta})
	n.a.drain()
	n.w.until(time.Second, "both ends go by the tunnel", n.inside)
	n.lb.SetTunnels(n.w.now, []fabric.Path{n.tb})
	if under := n.lb.Underlay().Remote; under != n.a.addr {
		t.Fatalf("the way without a tunnel leads to %s, want %s", under, n.a.addr)
	}
	n.w.run(5 * time.Second)
	n.cut = true
	n.lb.SetTunnels(n.w.now, nil)
	n.b.drain()
	n.w.until(time.Second, "both ends left the tunnel", n.outside)
	alive(t, n.a, n.b, n.la, n.lb)
}

func TestANewUplinkTakesALinkOutOfItsTunnel(t *testing.T) {
	n := newTunnelled(t)
	n.offer()
	n.w.until(time.Second, "both ends go by the tunnel", n.inside)
	n.w.run(5 * time.Second)
	third := endpoint(9) // what the tunnel went by is gone
	n.a.uplinks = append(n.a.uplinks, third)
	n.cut = true
	n.la.SetUplinks(n.w.now, []fabric.Uplink{n.a.uplink(third)})
	n.a.drain()
	n.w.until(time.Second, "both ends go by the new address", func() bool {
		return n.la.path.Local.Addr == third.Addr() && n.lb.path.Remote == third
	})
	alive(t, n.a, n.b, n.la, n.lb)
}

func TestOfTwoTunnelsTheNewBestIsTaken(t *testing.T) {
	n := newTunnelled(t)
	n.offer()
	n.w.until(time.Second, "both ends go by the tunnel", n.inside)
	inA, inB := endpoint(103), endpoint(104)
	n.a.uplinks, n.b.uplinks = append(n.a.uplinks, inA), append(n.b.uplinks, inB)
	tap := n.w.tap
	n.w.tap = func(from, to netip.AddrPort, d []byte) bool {
		second := func(e netip.AddrPort) bool { return e == inA || e == inB }
		return second(from) != second(to) || tap(from, to, d)
	}
	ta, tb := n.a.path(inA, inB), n.b.path(inB, inA)
	n.la.SetTunnels(n.w.now, []fabric.Path{ta, n.ta})
	n.a.drain()
	n.lb.SetTunnels(n.w.now, []fabric.Path{tb, n.tb})
	n.b.drain()
	n.w.until(time.Second, "both ends go by the second tunnel", func() bool { return n.la.path == ta && n.lb.path == tb })
	n.w.run(time.Minute)
	alive(t, n.a, n.b, n.la, n.lb)
	if n.la.path != ta || n.lb.path != tb {
		t.Errorf("then they go by %v and %v", n.la.path, n.lb.path)
	}
}
