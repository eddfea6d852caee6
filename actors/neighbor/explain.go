package neighbor

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// choicesTo are the ways to a node's locator: the selected one first, then by metric.
func (r *router) choicesTo(t rib.Topology, egress addr.NodeID) (all []Choice) {
	key := rib.Key{Topology: t, Prefix: netip.PrefixFrom(addr.Locator(r.cfg.Locators, egress), 128)}
	for _, e := range r.babel.Choices(key) {
		if link, ok := r.links[e.Interface]; ok {
			all = append(all, Choice{link.Peer, link.ID, e.Metric, e.Feasible && e.Standing != babel.Barred, e.Selected})
		}
	}
	slices.SortFunc(all, func(a, b Choice) int {
		switch {
		case a.Selected != b.Selected && a.Selected:
			return -1
		case a.Selected != b.Selected:
			return 1
		}
		return cmp.Or(cmp.Compare(a.Metric, b.Metric), a.Peer.Compare(b.Peer))
	})
	return all
}

// explain tells of what ExplainRoute asks for. What is longer than the route that packets
// take comes before it: what was lost there, or is not feasible.
func (r *router) explain(now time.Time, p netip.Prefix) (all []Explained) {
	for bits, found := p.Bits(), false; bits >= 0 && !found; bits-- {
		around, _ := p.Addr().Prefix(bits)
		for _, key := range r.keysOf(around) {
			if e, ok := r.explainKey(now, key); ok {
				all = append(all, e)
				found = found || e.Route.Prefix.IsValid() && !e.Route.Source.IsValid()
			}
		}
	}
	var egresses []addr.NodeID
	for _, e := range all {
		if id := e.Route.Egress; e.Route.NextHop.Link != 0 && !slices.Contains(egresses, id) {
			egresses = append(egresses, id)
		}
	}
	for _, id := range egresses {
		key := rib.Key{Prefix: netip.PrefixFrom(addr.Locator(r.cfg.Locators, id), 128)}
		e, ok := r.explainKey(now, key)
		if e.Locator = true; ok && !slices.ContainsFunc(all, func(o Explained) bool { return o.Key == key }) {
			all = append(all, e)
		}
	}
	return all
}

// keysOf are what there may be to a prefix: from everywhere, and from the sources that
// the table has.
func (r *router) keysOf(p netip.Prefix) []rib.Key {
	keys := []rib.Key{{Prefix: p}}
	for _, route := range r.table.View().At(0, p) {
		if route.Source.IsValid() {
			keys = append(keys, route.Key())
		}
	}
	return keys
}

func (r *router) explainKey(now time.Time, key rib.Key) (e Explained, ok bool) {
	var inTable bool
	e.Explanation, ok = r.babel.Explain(now, key)
	e.Route, inTable = r.table.View().Get(key)
	e.Names = map[babel.NeighborKey]string{}
	for _, c := range e.Candidates {
		e.Names[c.NeighborKey] = r.nameOf(c.NeighborKey)
	}
	for _, c := range e.Changes {
		for _, w := range []babel.Way{c.From, c.To} {
			if w.Neighbor.Addr.IsValid() {
				e.Names[w.Neighbor] = r.nameOf(w.Neighbor)
			}
		}
	}
	return e, ok || inTable
}

// nameOf is a neighbor for people, though it may be gone.
func (r *router) nameOf(key babel.NeighborKey) string {
	if key.Interface&kernelBit == 0 {
		id, _ := addr.NodeIDFromLinkLocal(key.Addr)
		return id.String()
	}
	zone := fmt.Sprint(key.Interface &^ kernelBit)
	if t := r.kernel[key.Interface]; t != nil {
		zone = t.name
	}
	return key.Addr.WithZone(zone).String()
}
