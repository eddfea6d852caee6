package babel

import (
	"time"

	"re6st/protocols/rib"
)

// setMetric computes the metric of a route (section 3.5.2), and moves its
// smoothed metric along: a new or newly reachable route begins without a past.
func (rt *route) setMetric(now time.Time) {
	rt.smooth(now)
	was := rt.metric
	rt.metric = Infinity
	if rt.neighbor.cost != Infinity && rt.refmetric != Infinity {
		rt.metric = uint16(min(uint32(rt.refmetric)+uint32(rt.neighbor.cost), Infinity))
	}
	if was == Infinity {
		rt.smoothed = rt.metric
	}
}

// smooth lets the smoothed metric decay towards the metric (appendix A.3), half
// of the way in each half-life, and linearly within one.
func (rt *route) smooth(now time.Time) {
	for now.Sub(rt.smoothedAt) >= smoothingHalfLife && rt.smoothed != rt.metric {
		rt.smoothed = towards(rt.smoothed, rt.metric, smoothingHalfLife/2)
		rt.smoothedAt = rt.smoothedAt.Add(smoothingHalfLife)
	}
	rt.smoothed = towards(rt.smoothed, rt.metric, min(now.Sub(rt.smoothedAt), smoothingHalfLife)/2)
	rt.smoothedAt = now
}

// towards is from, moved to its goal by part of a half-life; never less than one
// step, so that it arrives.
func towards(from, to uint16, part time.Duration) uint16 {
	gap := int64(to) - int64(from)
	step := gap * int64(part/time.Millisecond) / int64(smoothingHalfLife/time.Millisecond)
	if step == 0 && part > 0 {
		step = min(max(gap, -1), 1)
	}
	return uint16(int64(from) + step)
}

// selectable tells whether a route may be selected (section 3.6).
func (r *Router) selectable(rt *route) bool {
	return rt.metric != Infinity && rt.standing != Barred && (rt.held || r.feasible(rt.destination.key, rt.routerID, rt.seqno, rt.refmetric))
}

// choose is the route to select: of the smallest metric, but one that is
// selected stays until the other's smoothed metric is smaller too.
func (r *Router) choose(now time.Time, d *destination, current *route) *route {
	if current != nil && !r.selectable(current) {
		current = nil
	}
	if a := r.answer(d); a != nil && (current == nil || current.standing >= a.standing && current.routerID == a.routerID && seqnoLess(current.seqno, a.seqno)) {
		return a
	}
	best := current
	for _, rt := range d.routes {
		if r.selectable(rt) && (best == nil || better(rt, best)) {
			best = rt
		}
	}
	if best == current || current == nil || best.standing < current.standing {
		return best
	}
	best.smooth(now)
	current.smooth(now)
	if best.smoothed < current.smoothed {
		return best
	}
	d.recheckAt = now.Add(smoothingHalfLife / 4)
	r.timers.arm(d, d.recheckAt)
	return current
}

// answer is the best route that answers a pending seqno request for d: whoever
// waits for it hears of it only if it is selected.
func (r *Router) answer(d *destination) (best *route) {
	if len(r.requests) == 0 {
		return nil
	}
	for _, rt := range d.routes {
		p := r.requests[requestKey{d.key, rt.routerID}]
		if p != nil && !seqnoLess(rt.seqno, p.seqno) && r.selectable(rt) && (best == nil || better(rt, best)) {
			best = rt
		}
	}
	return best
}

// due looks again at a destination: the smoothed metrics moved, or it was lost
// for long enough.
func (d *destination) due(r *Router, now time.Time) time.Time {
	if !d.holdUntil.IsZero() && !now.Before(d.holdUntil) {
		d.holdUntil = time.Time{}
	}
	r.reselect(now, d)
	if d.recheckAt.IsZero() || !d.holdUntil.IsZero() && d.holdUntil.Before(d.recheckAt) {
		return d.holdUntil
	}
	return d.recheckAt
}

// reselect chooses anew among the routes of d, and tells whom it concerns.
func (r *Router) reselect(now time.Time, d *destination) {
	old := d.selected
	d.selected, d.recheckAt = nil, time.Time{}
	if !d.originated {
		d.selected = r.choose(now, d, old)
	}
	r.note(now, d, old)
	if old != nil && old != d.selected {
		old.held = false
	}
	lost := d.selected == nil && !d.originated
	if !lost {
		d.holdUntil = time.Time{}
	} else if d.told.reachable {
		d.holdUntil = now.Add(holdTime)
		r.timers.arm(d, d.holdUntil)
	}
	r.offer(d)
	r.announce(now, d)
	if lost && old != nil {
		r.starve(now, d)
	}
	r.satisfy(now, d)
	r.forget(d)
}

// offer keeps the driver's copy of the selected route true.
func (r *Router) offer(d *destination) {
	var want rib.Route
	switch {
	case d.selected != nil:
		rt := d.selected
		want = rib.Route{Egress: rt.egress, Metric: rt.metric}
		if i := rt.neighbor.iface; i.Fabric {
			want.NextHop.Link = i.Link
		} else {
			// This node is the last of ours on the way.
			want.Egress = r.cfg.Self
			want.NextHop.Ifindex, want.NextHop.Gateway = i.Ifindex, rt.nextHop
		}
	case d.originated || d.holdUntil.IsZero():
		if d.offered != (rib.Route{}) {
			d.offered = rib.Route{}
			r.emit(RouteWithdrawn{d.key})
		}
		return
	default:
		want.Unreachable, want.Metric = true, Infinity
	}
	want.Topology, want.Prefix, want.Source = d.key.Topology, d.key.Prefix, d.key.Source
	want.Origin = rib.OriginBabel
	if want != d.offered {
		d.offered = want
		r.emit(RouteOffered{want})
	}
}
