package neighbor

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
)

func TestAWayIsExplainedByItsChoices(t *testing.T) {
	inWorld(t, 3, nil, func(w *world) {
		w.link(1, 0, 1)
		w.link(2, 0, 2)
		w.link(3, 1, 2)
		time.Sleep(20 * time.Second)
		var got []Choice
		ask := func(egress addr.NodeID) {
			w.routers[0].ref.Tell(Explain{Egress: egress, Into: func(c []Choice) { got = c }})
			synctest.Wait()
		}
		ask(w.routers[2].id)
		if len(got) != 2 || got[0].Peer != w.routers[2].id || got[0].Link != 2 || !got[0].Selected || got[0].Metric == 0 {
			t.Fatalf("%+v", got)
		}
		if o := got[1]; o.Peer != w.routers[1].id || o.Link != 1 || o.Selected || o.Metric <= got[0].Metric {
			t.Errorf("%+v", got)
		}
		if ask(addr.NodeIDFromUint64(77)); got != nil {
			t.Errorf("a way to nobody: %+v", got)
		}
	})
}

func TestARouteIsExplainedWithTheWayToItsEgress(t *testing.T) {
	inWorld(t, 3, nil, func(w *world) {
		w.link(1, 0, 1)
		w.link(2, 0, 2)
		w.link(3, 1, 2)
		time.Sleep(20 * time.Second)
		var got []Explained
		ask := func(p netip.Prefix) {
			w.routers[0].ref.Tell(ExplainRoute{Prefix: p, Into: func(e []Explained) { got = e }})
			synctest.Wait()
		}
		near, far := w.routers[1], w.routers[2]
		inside, _ := far.prefix.Addr().Prefix(64)
		ask(inside)
		if len(got) != 2 || got[0].Prefix != far.prefix || got[0].Route.NextHop.Link != 2 || got[0].Locator {
			t.Fatalf("%+v", got)
		}
		if !got[1].Locator || got[1].Prefix.Addr() != addr.Locator(locators, far.id) || got[1].Route.Egress != far.id {
			t.Errorf("the way to the egress: %+v", got[1])
		}
		names := map[string]babel.Verdict{}
		for _, c := range got[0].Candidates {
			names[got[0].Names[c.NeighborKey]] = c.Verdict
		}
		if len(names) != 2 || names[far.id.String()] != babel.Chosen || names[near.id.String()] == babel.Chosen {
			t.Errorf("candidates %v", names)
		}
		w.unlink(2, 0, 2)
		time.Sleep(5 * time.Second)
		ask(far.prefix)
		last := got[0].Changes[len(got[0].Changes)-1]
		if got[0].Names[last.To.Neighbor] != near.id.String() || got[0].Names[got[0].Changes[0].To.Neighbor] == "" {
			t.Errorf("changes %+v, names %v", got[0].Changes, got[0].Names)
		}
		if ask(netip.MustParsePrefix("2001:db8:dead::/48")); len(got) != 0 {
			t.Errorf("a way to nowhere: %+v", got)
		}
		if ask(w.routers[0].prefix); len(got) != 1 || !got[0].Originated || !got[0].Route.NextHop.IsSelf() {
			t.Errorf("its own prefix: %+v", got)
		}
	})
}
