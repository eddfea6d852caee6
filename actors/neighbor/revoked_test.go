package neighbor

import (
	"testing"
	"time"

	"re6st/actors/system"
	"re6st/protocols/addr"
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
