package neighbor

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"re6st/actors/system"
	"re6st/hw/netlink"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

func TestAPacketThatPanicsRestartsItsNeighborAndNobodyElse(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		hub.drop(1)
		if r := hub.record(a); r.State != system.Running || r.Restarts != 1 {
			t.Errorf("the neighbor that got it: %+v, want one restart, at once", r)
		}
		if r := hub.record(b); r.State != system.Running || r.Restarts != 0 {
			t.Errorf("the other neighbor: %+v, want no restart", r)
		}
		time.Sleep(time.Minute)
		for _, to := range []*testRouter{a, b} {
			if hub.mustReach(to); !hub.alwaysReached(to) {
				t.Errorf("the route to router %d was lost for a while", to.index)
			}
		}
	})
}

func TestANeighborInQuarantineLosesItsRoutesUntilItIsTriedAgain(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		for n, period := range []time.Duration{system.QuarantineMin, 2 * system.QuarantineMin} {
			for range system.DefaultRestart.Budget + 1 {
				hub.drop(1)
				time.Sleep(2 * time.Second)
			}
			began := hub.record(a)
			if began.State != system.Quarantined || hub.events(system.EventQuarantined) != n+1 {
				t.Fatalf("the neighbor: %+v, want a quarantine and its event", began)
			}
			if _, ok := hub.route(a); ok {
				t.Error("its routes are still in use")
			}
			if _, ok := a.route(hub); ok {
				t.Error("the other end still sends by the link")
			}
			time.Sleep(time.Until(began.Since.Add(period)) - time.Millisecond)
			if r := hub.record(a); r.State != system.Quarantined {
				t.Errorf("%v into a quarantine of %v: %+v", time.Since(began.Since), period, r)
			}
			time.Sleep(time.Second)
			hub.mustReach(a)
			a.mustReach(hub)
		}
		if !hub.alwaysReached(b) {
			t.Error("the other neighbor's routes were lost for a while")
		}
	})
}

// What a link costs now is in Links: the router may not have had to tell the
// incarnation that failed.
func TestANeighborThatRestartsKnowsTheRoundTripOfNow(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		hub.links.Set(Link{ID: 1, Peer: a.id, RTT: 700 * time.Millisecond})
		time.Sleep(30 * time.Second)
		before := hub.mustReach(a).Metric
		hub.drop(1)
		time.Sleep(30 * time.Second)
		if after := hub.mustReach(a).Metric; before < 700 || after != before {
			t.Errorf("the route's metric was %d before the fault, and is %d", before, after)
		}
	})
}

func TestARouterThatRestartsKeepsItsRoutesHereAndInTheKernel(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		outside := func() (n int) {
			for _, r := range hub.routes.Held() {
				if r.Dst == a.prefix || r.Dst == b.prefix {
					n++
				}
			}
			return n
		}
		if outside() != 2 {
			t.Fatalf("the kernel holds %v", hub.routes.Held())
		}
		// The neighbors have just sent all their routes to somebody, and answer late.
		if err := hub.sys.Inject("router", system.InjectPanic); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			time.Sleep(50 * time.Millisecond)
			synctest.Wait()
			if n := outside(); n != 2 {
				t.Fatalf("the kernel holds %d of 2 routes", n)
			}
		}
		if hub.events(system.EventRestarted) != 1 || !hub.alwaysReached(a) || !hub.alwaysReached(b) {
			t.Error("routes were lost for a while")
		}
	})
}

// The tunnels failed too: all links end, and others take their place.
func TestALinkThatGoesWhileTheLastTableIsHeldTakesItsRoutesAlong(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		w.delay.Store(int64(200 * time.Millisecond)) // the neighbors answer late
		if err := hub.sys.Inject("router", system.InjectPanic); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		w.unlink(1, 0, 1)
		w.link(3, 0, 1)
		time.Sleep(relearn / 2)
		if route := hub.mustReach(a); route.NextHop.Link != 3 {
			t.Errorf("the route to the node that came back goes by link %d", route.NextHop.Link)
		}
		if !hub.alwaysReached(b) {
			t.Error("the other route was lost for a while")
		}
		time.Sleep(10 * time.Second)
		hub.mustReach(a)
		hub.mustReach(b)
	})
}

func TestWhoComesBackWhileTheLastTableIsHeldIsReached(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		w.unlink(1, 0, 1)
		time.Sleep(10 * time.Second)
		if _, ok := hub.route(a); ok {
			t.Fatal("there is a route to a node without a link")
		}
		if err := hub.sys.Inject("router", system.InjectPanic); err != nil {
			t.Fatal(err)
		}
		w.link(3, 0, 1)
		time.Sleep(relearn / 5)
		hub.mustReach(a)
		if !hub.alwaysReached(b) {
			t.Error("the other route was lost for a while")
		}
	})
}

// diamond is router 0 that has a short way to router 3, by 1, and a long one, by 2.
func diamond(t *testing.T, test func(w *world)) {
	inWorld(t, 4, nil, func(w *world) {
		w.link(1, 0, 1)
		w.link(2, 0, 2)
		w.link(3, 1, 3)
		w.link(4, 2, 3)
		for _, i := range []int{2, 3} {
			w.routers[i].links.Set(Link{ID: 4, Peer: w.routers[5-i].id, RTT: 300 * time.Millisecond})
		}
		time.Sleep(30 * time.Second)
		if route := w.routers[0].mustReach(w.routers[3]); route.NextHop.Link != 1 {
			t.Fatalf("the route goes by link %d at first", route.NextHop.Link)
		}
		test(w)
	})
}

// What a neighbor says it has lost does not stand until the last table is let go.
func TestARouterThatRestartsFollowsWhatItsNeighborsSayByNow(t *testing.T) {
	diamond(t, func(w *world) {
		hub, end := w.routers[0], w.routers[3]
		if err := hub.sys.Inject("router", system.InjectPanic); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		w.unlink(3, 1, 3)
		time.Sleep(relearn / 10)
		if route := hub.mustReach(end); route.NextHop.Link != 2 {
			t.Errorf("the route goes by link %d, whose neighbor has none", route.NextHop.Link)
		}
	})
}

// A link ended while the router was between two lives: only the first had announced what
// it led to.
func TestARouterThatRestartsTakesBackWhatItReachesNoMore(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		if err := hub.sys.Inject("router", system.InjectPanic); err != nil {
			t.Fatal(err)
		}
		w.unlink(2, 0, 2)
		time.Sleep(2 * relearn)
		if hub.events(system.EventRestarted) != 1 {
			t.Fatal("the router did not restart")
		}
		if route, ok := a.route(b); ok {
			t.Errorf("the neighbor still has %v", route)
		}
		hub.mustReach(a)
	})
}

func TestARouterThatRestartsAnnouncesWhatOthersOffered(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		part := netip.MustParsePrefix("2001:db8:100::/64")
		hub.ref.Tell(Offer{rib.OriginLocal, rib.Route{Prefix: part, Egress: hub.id, NextHop: rib.NextHop{Ifindex: 9}}})
		time.Sleep(time.Second)
		if err := hub.sys.Inject("router", system.InjectPanic); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * relearn)
		if route, ok := a.view().Get(rib.Key{Prefix: part}); !ok || route.Unreachable {
			t.Errorf("the neighbor has %v, %v", route, ok)
		}
		hub.ref.Tell(Withdraw{rib.OriginLocal, rib.Key{Prefix: part}})
		if err := hub.sys.Inject("router", system.InjectPanic); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * relearn)
		if route, ok := a.view().Get(rib.Key{Prefix: part}); ok && !route.Unreachable {
			t.Errorf("the neighbor has %v of what was withdrawn", route)
		}
	})
}

// A neighbor answers a request for all routes late where it has just sent them
// all.
func TestARouterThatRestartsTwiceKeepsItsRoutes(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		w.delay.Store(int64(200 * time.Millisecond))
		for range 2 {
			if err := hub.sys.Inject("router", system.InjectPanic); err != nil {
				t.Fatal(err)
			}
			time.Sleep(110 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		if !hub.alwaysReached(a) || !hub.alwaysReached(b) {
			t.Error("routes were lost for a while")
		}
	})
}

func TestTheLastWordsOfANeighborThatWasEndedAreNotHeard(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		key := babel.NeighborKey{Interface: 1, Addr: a.id.LinkLocal()}
		hub.ref.Tell(checked{from: &child{}, key: key, events: []babel.NeighborEvent{babel.Expired{}}})
		time.Sleep(time.Second)
		hub.mustReach(a)
		if !hub.alwaysReached(a) {
			t.Error("an actor of the past ended the neighbor of now")
		}
	})
}

func TestARefusalIsToldOnce(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		before := hub.events("refused")
		hub.links.Deliver(1, time.Now(), []byte("this is no Babel"))
		time.Sleep(time.Second)
		if n := hub.events("refused") - before; n != 1 {
			t.Errorf("one bad packet made %d events", n)
		}
	})
}

func TestAKernelThatFailsIsTriedAgain(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		hub.routes.Fail(errDisk)
		hub.links.Remove(1)
		time.Sleep(30 * time.Second)
		hub.routes.Fail(nil)
		time.Sleep(storeAgain)
		synctest.Wait()
		for _, r := range hub.routes.Held() {
			if r.Dst == a.prefix && r.Kind == netlink.Unicast {
				t.Errorf("the kernel still holds %v", r)
			}
		}
	})
}

func TestRoutesThatTheKernelLostComeBack(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		sorted := func(routes []netlink.Route) []netlink.Route {
			return slices.SortedFunc(slices.Values(routes), func(a, b netlink.Route) int { return a.Dst.Compare(b.Dst) })
		}
		held := sorted(hub.routes.Held())
		if len(held) == 0 {
			t.Fatal("the kernel holds nothing")
		}
		if _, err := hub.routes.Reconcile(nil); err != nil { // as when an interface goes down
			t.Fatal(err)
		}
		hub.ref.Tell(KernelLost{})
		synctest.Wait()
		if again := sorted(hub.routes.Held()); !slices.Equal(again, held) {
			t.Errorf("the kernel held %v and holds %v", held, again)
		}
	})
}

func TestASequenceNumberThatWasNotStoredIsStoredLater(t *testing.T) {
	inWorld(t, 0, nil, func(w *world) {
		r := w.spawn(0, nil)
		w.routers = append(w.routers, r)
		time.Sleep(time.Second)
		r.mu.Lock()
		r.full, r.seqno = errDisk, 0
		r.mu.Unlock()
		if err := r.sys.Inject("router", system.InjectPanic); err != nil { // a new router reserves anew
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		r.mu.Lock()
		r.full = nil
		r.mu.Unlock()
		time.Sleep(storeAgain)
		synctest.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.seqno == 0 {
			t.Error("the disk has room again, and nothing was stored")
		}
	})
}

func TestATrustedInterfaceThatIsMissingEndsNobody(t *testing.T) {
	inWorld(t, 2, []string{"missing0"}, func(w *world) {
		w.link(1, 0, 1)
		time.Sleep(5 * time.Minute)
		r := w.routers[0]
		r.mustReach(w.routers[1])
		if r.events(system.EventFaulted) > 0 || r.events("interface") < 2 {
			t.Errorf("%d faults, and it was tried %d times", r.events(system.EventFaulted), r.events("interface"))
		}
	})
}

func TestALinkThatIsRemovedTakesItsRoutesAlong(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		hub.links.Remove(1)
		if _, ok := hub.route(a); ok {
			t.Error("its routes are still in use")
		}
		if r := hub.record(a); r.Path != "" {
			t.Errorf("its neighbor is still there: %+v", r)
		}
		hub.mu.Lock()
		defer hub.mu.Unlock()
		if n := hub.reach.ByLink; n[1].Nodes != 0 || n[2].Nodes == 0 {
			t.Errorf("destinations by link: %v", n)
		}
	})
}

func TestALinkThatDrainsIsTheWorstWay(t *testing.T) {
	star(t, func(w *world, hub, a, b *testRouter) {
		w.link(3, 1, 2) // a triangle now
		time.Sleep(10 * time.Second)
		if r := hub.mustReach(a); r.NextHop.Link != 1 {
			t.Fatalf("goes by link %d", r.NextHop.Link)
		}
		for _, end := range []struct{ of, peer *testRouter }{{hub, a}, {a, hub}} {
			end.of.links.Set(Link{ID: 1, Peer: end.peer.id, RTT: time.Millisecond, Draining: true})
		}
		time.Sleep(20 * time.Second)
		if r := hub.mustReach(a); r.NextHop.Link != rib.LinkID(2) {
			t.Errorf("still goes by link %d", r.NextHop.Link)
		}
		if !hub.alwaysReached(a) {
			t.Error("the route was lost for a while")
		}
	})
}
