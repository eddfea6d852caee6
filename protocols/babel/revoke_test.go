package babel_test

import (
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// A ring whose node 2 is revoked: its neighbors still have links with it, which is
// the worst case.
func TestARevokedNodeIsNoRouteAtAnyDistanceAndStaysNone(t *testing.T) {
	n := newNetwork(t, 4, 6)
	n.ring()
	own := rib.Key{Prefix: netip.MustParsePrefix("2001:db8:2::/64")}
	if err := n.nodes[2].router.Originate(n.now, own, 0); err != nil {
		t.Fatal(err)
	}
	n.settle(2)
	n.run(5 * time.Second)
	const revoked = 2
	check := func(when string) {
		t.Helper()
		for i, nd := range n.nodes {
			if i == revoked {
				continue
			}
			for _, key := range []rib.Key{locator(revoked, 0), own} {
				if r, ok := nd.table.View().Get(key); ok && !r.Unreachable {
					t.Errorf("%s node %d has %+v", when, i, r)
				}
			}
			for j := range n.nodes {
				if _, ok := n.walk(i, 0, j); j != revoked && !ok {
					t.Errorf("%s node %d does not reach %d", when, i, j)
				}
			}
		}
	}
	for i, nd := range n.nodes {
		if i != revoked {
			nd.router.Revoke(n.now, []addr.NodeID{nodeID(revoked)})
			n.settle(i)
		}
	}
	check("at once")
	n.run(time.Hour) // full updates of the revoked one come again and again
	check("later")
	if n.refuse[babel.RefusedRevoked] == 0 {
		t.Error("none of its updates was refused")
	}
}

func TestAnotherEgressTakesOverFromARevokedOne(t *testing.T) {
	n := newNetwork(t, 5, 4)
	n.line()
	shared := rib.Key{Prefix: netip.MustParsePrefix("::/0")}
	for _, i := range []int{2, 3} {
		if err := n.nodes[i].router.Originate(n.now, shared, 0); err != nil {
			t.Fatal(err)
		}
		n.settle(i)
	}
	n.run(5 * time.Second)
	if r, ok := n.nodes[0].table.View().Get(shared); !ok || r.Egress != nodeID(2) {
		t.Fatalf("%+v", r)
	}
	for _, i := range []int{0, 1, 3} {
		n.nodes[i].router.Revoke(n.now, []addr.NodeID{nodeID(2)})
		n.settle(i)
	}
	// Only node 2 leads to 3: in this line nothing is left.
	if r, ok := n.nodes[0].table.View().Get(shared); !ok || !r.Unreachable {
		t.Errorf("%+v", r)
	}
	n.connect(1, 3, 2*n.delay)
	n.until(time.Minute, func() bool {
		r, ok := n.nodes[0].table.View().Get(shared)
		return ok && r.Egress == nodeID(3)
	})
}

func TestAnotherHelloIntervalLosesNoRoute(t *testing.T) {
	for _, intervals := range [][]time.Duration{{100 * time.Millisecond, 60 * time.Second}, {60 * time.Second, 100 * time.Millisecond}} {
		n := newNetwork(t, 6, 6)
		n.ring()
		n.run(5 * time.Second)
		for _, interval := range intervals {
			for i, nd := range n.nodes {
				nd.router.SetHelloInterval(n.now, interval)
				n.settle(i)
				n.run(70 * time.Millisecond) // they hear of it one after the other
			}
			for range 300 {
				n.run(time.Second)
				if !n.whole() {
					t.Fatalf("%s after %s: %s", interval, n.now.Sub(epoch), n.missing())
				}
			}
		}
	}
}

func TestAnInterfaceKeepsAHelloIntervalOfItsOwn(t *testing.T) {
	b := newBench(t)
	b.add(1, babel.Interface{Ifindex: 1, Local: selfLL, Multicast: true, HelloInterval: time.Second, OwnHello: true})
	b.lan(2)
	b.router.SetHelloInterval(b.now, 8*time.Second)
	b.settle()
	b.take()
	b.pass(time.Minute)
	hellos := map[babel.InterfaceID]int{}
	for _, s := range b.take() {
		if h, ok := s.tlv.(babel.Hello); ok {
			if hellos[s.on]++; h.Interval != map[babel.InterfaceID]time.Duration{1: time.Second, 2: 8 * time.Second}[s.on] {
				t.Errorf("on %d: %+v", s.on, h)
			}
		}
	}
	if hellos[1] < 60 || hellos[2] > 9 {
		t.Errorf("in a minute %v", hellos)
	}
}

func TestTheHelloIntervalIsChanged(t *testing.T) {
	n := newNetwork(t, 7, 2)
	n.line()
	n.run(10 * time.Second)
	count := func() int {
		before := n.pkts
		n.run(time.Hour)
		return n.pkts - before
	}
	slow := count()
	for i, nd := range n.nodes {
		nd.router.SetHelloInterval(n.now, 100*time.Millisecond)
		n.settle(i)
	}
	n.run(time.Second)
	if fast := count(); slow == 0 || fast < 10*slow {
		t.Errorf("%d packets in an hour, before %d", fast, slow)
	}
}
