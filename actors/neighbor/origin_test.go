package neighbor

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// judgeBy has a router judge by f from now on.
func (r *testRouter) judgeBy(f func(babel.Announcement) (babel.Standing, Objection)) {
	r.judge.Store(&f)
	r.ref.Tell(OriginsChanged{})
}

func TestRoutesFallAndReturnWithTheirClaims(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		hub.judgeBy(func(n babel.Announcement) (babel.Standing, Objection) {
			if n.Egress == a.id {
				return babel.Barred, Objection{}
			}
			return babel.Claimed, Objection{}
		})
		time.Sleep(time.Second)
		for _, r := range []*testRouter{hub, b} {
			if route, ok := r.route(a); ok {
				t.Errorf("router %d has %+v", r.index, route)
			}
		}
		hub.judgeBy(func(babel.Announcement) (babel.Standing, Objection) { return babel.Claimed, Objection{} })
		time.Sleep(100 * time.Millisecond) // round trips
		hub.mustReach(a)
		b.mustReach(a)
	})
}

func TestAFloodOfClaimsLeavesTheRouterTime(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		var judged atomic.Int64
		slow := func(babel.Announcement) (babel.Standing, Objection) {
			judged.Add(1)
			time.Sleep(time.Millisecond)
			return babel.Claimed, Objection{}
		}
		hub.judge.Store(&slow)
		const changes = 1000
		for range changes {
			hub.ref.Tell(OriginsChanged{})
			time.Sleep(time.Millisecond)
		}
		if n := judged.Load(); n < 100 || n > changes/4 {
			t.Errorf("routes were judged for %d ms in a second", n)
		}
		hub.judgeBy(func(n babel.Announcement) (babel.Standing, Objection) { return babel.Barred, Objection{} })
		time.Sleep(time.Second)
		if route, ok := hub.route(a); ok {
			t.Errorf("the last change has no effect: %+v", route)
		}
	})
}

func TestOfAFloodOfForbiddenPrefixesAFewAreNamed(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		var named atomic.Int64
		hub.judgeBy(func(n babel.Announcement) (babel.Standing, Objection) {
			if n.Prefix.Bits() != 96 {
				return babel.Claimed, Objection{}
			}
			return babel.Barred, Objection{Why: func() string { named.Add(1); return "forbidden" }}
		})
		for i := range 2 * maxNamed {
			p := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb9, byte(i >> 8), byte(i)}), 96)
			a.ref.Tell(Offer{rib.OriginStatic, rib.Route{Prefix: p, Egress: a.id}})
		}
		time.Sleep(30 * time.Second)
		if n := named.Load(); n != maxNamed {
			t.Errorf("%d were named, want %d", n, maxNamed)
		}
		time.Sleep(2 * nameAgain) // with the first full update after it is due
		if n := named.Load(); n != 2*maxNamed {
			t.Errorf("%d were named when that is due again, want %d", n, 2*maxNamed)
		}
		hub.mustReach(a)
	})
}

func TestAForbiddenPrefixIsNamedAgainWhenItsOwnerIsKnown(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		var named atomic.Int64
		ownedBy := func(owner addr.NodeID) func(babel.Announcement) (babel.Standing, Objection) {
			return func(n babel.Announcement) (babel.Standing, Objection) {
				if n.Egress != a.id || n.Prefix.Bits() == 128 { // its locator
					return babel.Claimed, Objection{}
				}
				return babel.Barred, Objection{Owner: owner, Why: func() string { named.Add(1); return "forbidden" }}
			}
		}
		for i, owner := range []addr.NodeID{{}, {}, b.id, b.id} {
			hub.judgeBy(ownedBy(owner))
			time.Sleep(time.Second)
			if n := named.Load(); n != int64(1+i/2) {
				t.Errorf("it was named %d times after %d verdicts", n, i+1)
			}
		}
	})
}
