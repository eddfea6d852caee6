package neighbor

import (
	"net/netip"
	"testing"
	"time"

	"re6st/actors/system"
	"re6st/protocols/addr"
	"re6st/protocols/rib"
)

func TestRoutesToARevokedNodeFallAndDoNotComeBack(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		revoked := Revoked{[]addr.NodeID{a.id}}
		hub.ref.Tell(revoked)
		b.ref.Tell(revoked)
		for _, r := range []*testRouter{hub, b} {
			if route, ok := r.route(a); ok {
				t.Errorf("router %d has %+v", r.index, route)
			}
		}
		if err := hub.sys.Inject("router", system.InjectPanic); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		for _, r := range []*testRouter{hub, b} {
			if route, ok := r.route(a); ok {
				t.Errorf("after a restart of the hub router %d has %+v", r.index, route)
			}
		}
		hub.mustReach(b)
		b.mustReach(hub)
	})
}

func TestAnotherHelloIntervalLosesNoRoute(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		for _, interval := range []time.Duration{100 * time.Millisecond, 30 * time.Second, 4 * time.Second} {
			for _, r := range w.routers {
				r.ref.Tell(HelloChanged{interval})
				time.Sleep(30 * time.Millisecond)
			}
			time.Sleep(3 * time.Minute)
			if err := hub.sys.Inject("router", system.InjectPanic); err != nil { // which keeps it
				t.Fatal(err)
			}
			time.Sleep(3 * time.Minute)
		}
		if !hub.alwaysReached(a) || !a.alwaysReached(b) || !b.alwaysReached(a) {
			t.Error("a route was lost")
		}
	})
}

func TestANetworksLimitOfRoutesOutlivesTheRouter(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		const limit, offered = 16, 30
		a.ref.Tell(RoutesLimited{limit})
		part := func(i int) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb9, 7: byte(i)}), 64)
		}
		for i := range offered {
			hub.ref.Tell(Offer{rib.OriginLocal, rib.Route{Prefix: part(i), Egress: hub.id, NextHop: rib.NextHop{Ifindex: 9}}})
		}
		learned := func() (n int) {
			for i := range offered {
				if r, ok := a.view().Get(rib.Key{Prefix: part(i)}); ok && !r.Unreachable {
					n++
				}
			}
			return n
		}
		for range 2 {
			time.Sleep(time.Minute)
			if n := learned(); n == 0 || n > limit {
				t.Errorf("%d of %d routes of a neighbor that may announce %d", n, offered, limit)
			}
			if err := a.sys.Inject("router", system.InjectPanic); err != nil {
				t.Fatal(err)
			}
		}
		a.ref.Tell(RoutesLimited{1000})
		time.Sleep(time.Minute)
		if n := learned(); n != offered {
			t.Errorf("%d of %d routes once a thousand are allowed", n, offered)
		}
	})
}
