package neighbor

import (
	"cmp"
	"net/netip"
	"slices"

	"re6st/protocols/addr"
	"re6st/protocols/rib"
)

// choicesTo are the ways to a node's locator: the selected one first, then by metric.
func (r *router) choicesTo(t rib.Topology, egress addr.NodeID) (all []Choice) {
	key := rib.Key{Topology: t, Prefix: netip.PrefixFrom(addr.Locator(r.cfg.Locators, egress), 128)}
	for _, e := range r.babel.Choices(key) {
		if link, ok := r.links[e.Interface]; ok {
			all = append(all, Choice{link.Peer, link.ID, e.Metric, e.Feasible, e.Selected})
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
