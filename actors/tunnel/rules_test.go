package tunnel

import (
	"testing"
	"time"

	"re6st/protocols/tunnelplan"
)

// TestLinksStayWithinACountryThatWantsIt: once each has said where it is. The third node
// says nothing.
func TestLinksStayWithinACountryThatWantsIt(t *testing.T) {
	inWorld(t, 4, func(w *world) {
		a, b, c, d := w.nodes[0], w.nodes[1], w.nodes[2], w.nodes[3]
		for i, country := range []string{"CN", "FR", "", "CN"} {
			w.nodes[i].rules = tunnelplan.Rules{Country: country, SameCountry: []string{"CN"}}
		}
		d.start(limits(4, 4))
		b.start(limits(4, 4), c)
		c.start(limits(4, 4), d, a)
		a.start(limits(4, 4), b, d)
		time.Sleep(time.Minute)
		for _, pair := range []struct {
			x, y   *testNode
			linked bool
		}{{a, d, true}, {b, c, true}, {a, b, false}, {a, c, false}, {b, d, false}, {c, d, false}} {
			if _, ok := pair.x.with(pair.y); ok != pair.linked {
				t.Errorf("link between %s and %s: %v, want %v", pair.x.id(), pair.y.id(), ok, pair.linked)
			}
			if _, ok := pair.y.with(pair.x); ok != pair.linked {
				t.Errorf("link between %s and %s: %v, want %v", pair.y.id(), pair.x.id(), ok, pair.linked)
			}
		}
		if why := a.snapshot().Outlook[b.id()].Barred; why != tunnelplan.SameCountry {
			t.Errorf("there is no link because of %q", why)
		}
		for _, n := range w.nodes {
			n.ref.Tell(ParamsChanged{Limits: limits(4, 4)})
		}
		time.Sleep(time.Minute)
		if _, ok := a.with(b); !ok {
			t.Error("no link where the rule is gone")
		}
	})
}
