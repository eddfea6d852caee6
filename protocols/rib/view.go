package rib

import (
	"net/netip"

	"re6st/protocols/addr"
)

// View is an immutable snapshot of a Table. Any number of goroutines may use
// it. The nil View and the zero View hold no routes.
type View struct {
	locators netip.Prefix
	tries    []topologyTrie // sorted by topology
	relays   *relayMap
	count    int
}

// topologyTrie is the routes of one topology.
type topologyTrie struct {
	topology Topology
	v4, v6   *node
}

// Lookup is the route of topology "any" for a packet from src to dst. A src
// that is not valid takes routes that are for all sources only. It is false too
// where the longest prefix is unreachable. It does not allocate. Locators are never found: see Relay.
func (v *View) Lookup(src, dst netip.Addr) (Route, bool) {
	if v == nil || len(v.tries) == 0 || v.tries[0].topology != 0 || !dst.IsValid() {
		return Route{}, false
	}
	src, dst = src.WithZone(""), dst.Unmap().WithZone("")
	root := v.tries[0].v6
	if dst.Is4() {
		root = v.tries[0].v4
	} else if v.locators.Contains(dst) {
		return Route{}, false
	}
	r := root.lookup(src.Unmap(), addrKey(dst))
	if r == nil || r.Unreachable {
		return Route{}, false
	}
	return *r, true
}

// Relay is the link of the fabric that comes next on the way to egress within
// topology t. It does not allocate. It is false where there is no way, and for
// this node itself.
func (v *View) Relay(t Topology, egress addr.NodeID) (LinkID, bool) {
	if v == nil || v.relays == nil {
		return 0, false
	}
	return v.relays.get(t, egress)
}

// Get is the route of exactly this key.
func (v *View) Get(k Key) (Route, bool) {
	if v == nil {
		return Route{}, false
	}
	for _, r := range v.trie(k.Topology).get(k.Prefix) {
		if r.Source == k.Source {
			return r, true
		}
	}
	return Route{}, false
}

// At is the routes to exactly this prefix, sorted by source. It belongs to the View.
func (v *View) At(t Topology, p netip.Prefix) []Route {
	if v == nil {
		return nil
	}
	return v.trie(t).get(p)
}

// Len is the number of routes.
func (v *View) Len() int {
	if v == nil {
		return 0
	}
	return v.count
}

// Routes is all routes, locators too, sorted by Key. The caller owns it.
func (v *View) Routes() []Route {
	routes := make([]Route, 0, v.Len())
	if v == nil {
		return routes
	}
	add := func(r Route) { routes = append(routes, r) }
	for _, t := range v.tries {
		t.v4.walk(add)
		t.v6.walk(add)
	}
	return routes
}

func (v *View) trie(t Topology) topologyTrie {
	for _, tt := range v.tries {
		if tt.topology == t {
			return tt
		}
	}
	return topologyTrie{topology: t}
}

func (t topologyTrie) get(p netip.Prefix) []Route {
	if !p.IsValid() {
		return nil
	}
	if p.Addr().Is4() {
		return t.v4.get(keyOf(p))
	}
	return t.v6.get(keyOf(p))
}

func (t topologyTrie) set(p netip.Prefix, routes []Route) topologyTrie {
	if p.Addr().Is4() {
		t.v4 = t.v4.set(keyOf(p), routes)
	} else {
		t.v6 = t.v6.set(keyOf(p), routes)
	}
	return t
}
