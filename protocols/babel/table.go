package babel

import (
	"net/netip"
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/rib"
)

// destination is all that is known of one key: its routes (section 3.2.6), which
// of them is selected, and what others were told.
type destination struct {
	alarm
	key        rib.Key
	routes     []*route // one of each neighbor at most, sorted by neighbor
	selected   *route
	originated bool      // by this router, at metric
	metric     uint16    // if originated
	holdUntil  time.Time // lost: unreachable until then; zero: not lost
	recheckAt  time.Time // a better route waits for its smoothed metric; zero: none
	offered    rib.Route // what the driver holds; the zero Route: nothing
	told       told
}

// told is what the neighbors were told last of a destination.
type told struct {
	reachable bool
	routerID  RouterID
	metric    uint16
	egress    addr.NodeID
	by        *iface // that the selected route leaves by; nil: originated
}

// route is an entry of the route table (section 3.2.6).
type route struct {
	alarm
	destination *destination
	neighbor    *neighbor
	routerID    RouterID
	seqno       uint16
	refmetric   uint16
	metric      uint16 // refmetric and the cost of the link; Infinity where that is the sum
	egress      addr.NodeID
	nextHop     netip.Addr
	expires     time.Time
	askAt       time.Time // when it is asked for if it is selected; zero: it was
	// held marks a selected route whose last Update was unfeasible. It may stay
	// selected (section 3.5.3 lets us ignore that Update): its neighbor's
	// feasibility distance has not grown, so it is still below ours.
	held       bool
	standing   Standing
	smoothed   uint16 // appendix A.3
	smoothedAt time.Time
}

// sourceKey and source are the source table (section 3.2.5): the feasibility
// distance of each (prefix, router-id).
type sourceKey struct {
	rib.Key
	routerID RouterID
}

type source struct {
	alarm
	key    sourceKey
	seqno  uint16
	metric uint16
	gcAt   time.Time
}

// due forgets a source that nothing was sent for.
func (s *source) due(r *Router, now time.Time) time.Time {
	if now.Before(s.gcAt) {
		return s.gcAt
	}
	delete(r.sources, s.key)
	return time.Time{}
}

// feasible is the feasibility condition (section 3.5.1) for an announcement at
// a finite metric.
func (r *Router) feasible(key rib.Key, id RouterID, seqno, metric uint16) bool {
	s := r.sources[sourceKey{key, id}]
	return s == nil || seqnoLess(s.seqno, seqno) || s.seqno == seqno && metric < s.metric
}

// record maintains the feasibility distance (section 3.7.3): before an update at
// a finite metric is sent. False: there is no place, and it must not be sent.
func (r *Router) record(now time.Time, key rib.Key, id RouterID, seqno, metric uint16) bool {
	k := sourceKey{key, id}
	s := r.sources[k]
	if s == nil {
		if len(r.sources) >= MaxSources {
			r.refuse(NeighborKey{}, RefusedSources)
			return false
		}
		s = &source{key: k, seqno: seqno, metric: metric}
		r.sources[k] = s
	}
	if seqnoLess(s.seqno, seqno) {
		s.seqno, s.metric = seqno, metric
	} else if s.seqno == seqno {
		s.metric = min(s.metric, metric)
	}
	s.gcAt = now.Add(sourceGC)
	r.timers.arm(s, s.gcAt)
	return true
}

// destination is the entry of key, made if need be.
func (r *Router) destination(key rib.Key) *destination {
	d := r.destinations[key]
	if d == nil {
		d = &destination{key: key}
		r.destinations[key] = d
		r.order = nil
	}
	return d
}

// sorted is all destinations in the order of their keys.
func (r *Router) sorted() []*destination {
	if r.order == nil {
		r.order = make([]*destination, 0, len(r.destinations))
		for _, d := range r.destinations {
			r.order = append(r.order, d)
		}
		slices.SortFunc(r.order, func(a, b *destination) int { return a.key.Compare(b.key) })
	}
	return r.order
}

// forget drops a destination that nothing is known of any more.
func (r *Router) forget(d *destination) {
	if len(d.routes) == 0 && !d.originated && d.holdUntil.IsZero() {
		r.timers.disarm(d)
		delete(r.destinations, d.key)
		r.order = nil
	}
}

// handleUpdate is route acquisition (section 3.5.3).
func (r *Router) handleUpdate(now time.Time, n *neighbor, u Update) {
	if !u.Prefix.IsValid() {
		r.cause = CauseRetracted
		for _, key := range n.keys() {
			if rt := n.routes[key]; rt != nil {
				r.dropRoute(now, rt)
			}
		}
		return
	}
	key := u.Key()
	if !n.iface.belongs(key.Topology) {
		r.refuse(n.key, RefusedTopology)
		return
	}
	rt := n.routes[key]
	// What comes back to us is no way to anywhere.
	echo := u.RouterID == r.cfg.RouterID || n.iface.Fabric && u.Egress == r.cfg.Self
	gone := n.iface.Fabric && r.revoked[u.Egress]
	if gone && u.Metric != Infinity {
		r.refuse(n.key, RefusedRevoked)
	}
	if u.Metric == Infinity || echo || gone {
		if r.cause = CauseRetracted; gone && !echo {
			r.cause = CauseRevoked
		}
		if rt != nil {
			r.dropRoute(now, rt)
		}
		return
	}
	r.cause = CauseUnfeasible
	feasible := r.feasible(key, u.RouterID, u.Seqno, u.Metric)
	if rt == nil {
		if rt = r.newRoute(now, n, key); rt == nil {
			return
		}
	}
	d := rt.destination
	rt.held = !feasible && d.selected == rt && rt.routerID == u.RouterID
	rt.routerID, rt.seqno, rt.refmetric = u.RouterID, u.Seqno, u.Metric
	rt.egress, rt.nextHop = u.Egress, u.NextHop
	rt.setMetric(now)
	r.judge(rt)
	rt.expires = now.Add(time.Duration(routeExpiry * float64(u.Interval)))
	rt.askAt = now.Add(time.Duration(routeAsk * float64(u.Interval)))
	r.timers.arm(rt, rt.askAt)
	r.reselect(now, d)
	if !feasible {
		r.handleUnfeasible(now, rt)
	}
}

// newRoute makes the entry for what a neighbor announces for the first time;
// nil where a limit forbids it.
func (r *Router) newRoute(now time.Time, n *neighbor, key rib.Key) *route {
	switch {
	case len(n.routes) >= MaxRoutesPerNeighbor:
		r.refuse(n.key, RefusedNeighborRoutes)
		return nil
	case r.routes >= MaxRoutes:
		r.refuse(n.key, RefusedRoutes)
		return nil
	}
	d := r.destination(key)
	rt := &route{destination: d, neighbor: n, metric: Infinity, smoothedAt: now}
	at, _ := slices.BinarySearchFunc(d.routes, n.key, func(o *route, k NeighborKey) int { return o.neighbor.key.Compare(k) })
	d.routes = slices.Insert(d.routes, at, rt)
	n.routes[key] = rt
	r.routes++
	return rt
}

// due asks for a selected route that was not refreshed for long, and drops one
// that was not refreshed at all.
func (rt *route) due(r *Router, now time.Time) time.Time {
	switch {
	case !now.Before(rt.expires):
		r.cause = CauseExpired
		r.dropRoute(now, rt)
		return time.Time{}
	case rt.askAt.IsZero() || now.Before(rt.askAt):
	default:
		rt.askAt = time.Time{}
		if rt.destination.selected == rt {
			rt.neighbor.queue = append(rt.neighbor.queue, RouteRequest(rt.destination.key))
		}
	}
	if rt.askAt.IsZero() {
		return rt.expires
	}
	return rt.askAt
}

// dropRoute removes a route: retracted, expired, or its neighbor is gone.
func (r *Router) dropRoute(now time.Time, rt *route) {
	d := rt.destination
	rt.metric = Infinity // for who still holds it
	r.timers.disarm(rt)
	delete(rt.neighbor.routes, d.key)
	d.routes = slices.DeleteFunc(d.routes, func(o *route) bool { return o == rt })
	r.routes--
	r.reselect(now, d)
}

// belongs tells whether routes of a topology may pass an interface.
func (i *iface) belongs(t rib.Topology) bool {
	return t == 0 || i.Fabric && slices.Contains(i.Topologies, t)
}

// isLocator tells whether key lies in the locator range.
func (r *Router) isLocator(key rib.Key) bool {
	return r.cfg.Locators.IsValid() && key.Prefix.Bits() >= r.cfg.Locators.Bits() && r.cfg.Locators.Overlaps(key.Prefix)
}
