package neighbor

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

func TestTheNearestGatewayWins(t *testing.T) {
	inWorld(t, 3, nil, func(w *world) {
		w.link(1, 0, 1)
		w.link(2, 1, 2)
		time.Sleep(5 * time.Second)
		way := rib.Key{Prefix: prefix("::/0"), Source: prefix("2001:db8:42::/48")}
		offer := func(i int) {
			w.routers[i].ref.Tell(Offer{rib.OriginStatic, rib.Route{Prefix: way.Prefix, Source: way.Source, Egress: w.routers[i].id}})
			time.Sleep(10 * time.Second)
		}
		leadsTo := func(i int) {
			t.Helper()
			if r, ok := w.routers[0].view().Get(way); !ok || r.Unreachable || r.Egress != w.routers[i].id {
				t.Errorf("the way out leads to %+v, want router %d", r, i)
			}
		}
		offer(2)
		leadsTo(2)
		offer(1)
		leadsTo(1)
		w.routers[1].ref.Tell(Withdraw{rib.OriginStatic, way})
		time.Sleep(10 * time.Second)
		leadsTo(2)
	})
}

// plain is a router that keeps plain default routes, without an actor.
func plain(t *testing.T) *router {
	t.Helper()
	b, err := babel.NewRouter(babel.Config{Self: addr.NodeIDFromUint64(1), RouterID: babel.RouterID{1}, Locators: locators})
	if err != nil {
		t.Fatal(err)
	}
	return &router{cfg: Config{Kernel: &Kernel{PlainDefault: []string{"lan0"}}}, babel: b, table: rib.NewTable(locators), plain: babel.Infinity}
}

func TestAPlainDefaultRouteStandsForThoseBySource(t *testing.T) {
	r, now := plain(t), time.Now()
	announced := func() (metric uint16) {
		e, _ := r.babel.Explain(now, everywhere)
		return e.Metric
	}
	change := func(want uint16, do func(*rib.Table)) {
		t.Helper()
		do(r.table)
		if r.offerPlain(now); announced() != want || r.offerPlain(now) {
			t.Errorf("announced at %d, want %d once", announced(), want)
		}
	}
	offer := func(source string, metric uint16, how ...func(*rib.Route)) func(*rib.Table) {
		return func(table *rib.Table) {
			route := rib.Route{Prefix: everywhere.Prefix, Metric: metric, NextHop: rib.NextHop{Link: 1}}
			if source != "" {
				route.Source = prefix(source)
			}
			for _, f := range how {
				f(&route)
			}
			if _, _, err := table.Offer(now, rib.OriginBabel, route); err != nil {
				t.Fatal(err)
			}
		}
	}
	change(babel.Infinity, func(*rib.Table) {})
	change(300, offer("2001:db8:42::/48", 300))
	change(200, offer("2001:db8:43::/48", 200))
	change(300, offer("2001:db8:43::/48", babel.Infinity, func(r *rib.Route) { r.Unreachable = true }))
	change(babel.Infinity, offer("", 100)) // a plain one will do
	change(300, func(table *rib.Table) { table.Withdraw(rib.OriginBabel, everywhere) })
	change(babel.Infinity, func(table *rib.Table) { table.WithdrawAll(rib.OriginBabel) })
	if r.cfg.Kernel.PlainDefault = nil; r.offerPlain(now) {
		t.Error("it is offered where nobody wants it")
	}
}

func TestAllGatewaysAreKnownWhateverTheirSources(t *testing.T) {
	inWorld(t, 2, nil, func(w *world) {
		w.link(1, 0, 1)
		time.Sleep(5 * time.Second)
		for _, source := range []string{"", "2001:db8:42::/48"} {
			route := rib.Route{Prefix: everywhere.Prefix, Egress: w.routers[1].id}
			if source != "" {
				route.Source = prefix(source)
			}
			w.routers[1].ref.Tell(Offer{rib.OriginStatic, route})
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got, want := w.routers[0].gateways(), []addr.NodeID{w.routers[1].id}; !slices.Equal(got, want) {
			t.Errorf("gateways %v, want %v", got, want)
		}
	})
}
