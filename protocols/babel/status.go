package babel

import (
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/rib"
)

// Status is the Router's tables for the operator, in the words of RFC 9046.
// All is sorted; the caller owns it.
type Status struct {
	RouterID  RouterID
	Seqno     uint16
	Neighbors []NeighborEntry
	Routes    []RouteEntry
	Sources   int // entries of the source table
	Requests  int // pending seqno requests
}

// NeighborEntry is one neighbor.
type NeighborEntry struct {
	NeighborKey
	Cost, Rxcost uint16
	Routes       int
	Stale        bool // its Neighbor is being made anew
}

// RouteEntry is one route of the route table; NeighborKey is zero for what this
// router originates.
type RouteEntry struct {
	NeighborKey
	rib.Key
	RouterID          RouterID
	Seqno             uint16
	Refmetric, Metric uint16
	Feasible          bool
	Standing          Standing
	Selected          bool
	Expires           time.Time // zero: never
}

// Egresses are the egress nodes of all usable routes to key, selected or not, in
// order: this router for what it originates, or has of a kernel interface.
func (r *Router) Egresses(key rib.Key) []addr.NodeID {
	d := r.find(key)
	if d == nil {
		return nil
	}
	var egresses []addr.NodeID
	if d.originated {
		egresses = append(egresses, r.cfg.Self)
	}
	for i := range d.routes {
		if rt := &d.routes[i]; rt.metric != Infinity && rt.standing != Barred {
			egresses = append(egresses, r.egressOf(d, rt))
		}
	}
	slices.SortFunc(egresses, addr.NodeID.Compare)
	return slices.Compact(egresses)
}

// Status is the tables as they are now.
func (r *Router) Status() Status {
	s := Status{RouterID: r.cfg.RouterID, Seqno: r.seqno, Sources: r.sources, Requests: len(r.requests)}
	for _, i := range r.interfaces {
		for _, n := range i.neighbors {
			s.Neighbors = append(s.Neighbors, NeighborEntry{n.key, n.cost, n.rxcost, n.routes, !n.staleUntil.IsZero()})
		}
	}
	for _, d := range r.sorted() {
		if d.originated {
			s.Routes = append(s.Routes, RouteEntry{Key: d.ribKey(), RouterID: r.cfg.RouterID, Seqno: r.seqno, Metric: d.metric, Feasible: true, Selected: true})
		}
		s.Routes = append(s.Routes, r.entries(d)...)
	}
	return s
}

// Choices are the routes to one destination, as in Status.
func (r *Router) Choices(key rib.Key) []RouteEntry {
	d := r.find(key)
	if d == nil {
		return nil
	}
	return r.entries(d)
}

func (r *Router) entries(d *destination) (all []RouteEntry) {
	for i := range d.routes {
		rt := &d.routes[i]
		id := d.originOf(rt).routerID
		all = append(all, RouteEntry{
			r.slots[rt.neighbor].key, d.ribKey(), id, rt.seqno, rt.refmetric, rt.metric,
			d.feasible(id, rt.seqno, rt.refmetric), rt.standing, d.selected == rt.neighbor, r.timers.time(rt.expires.instant()),
		})
	}
	return all
}
