package babel

import (
	"time"

	"re6st/protocols/rib"
)

// setMetric computes the metric of a route (section 3.5.2), and moves its
// smoothed metric along: a new or newly reachable route begins without a past.
func (r *Router) setMetric(at tick, rt *route) {
	rt.smooth(at)
	was := rt.metric
	rt.metric = Infinity
	if cost := r.slots[rt.neighbor].cost; cost != Infinity && rt.refmetric != Infinity {
		rt.metric = uint16(min(uint32(rt.refmetric)+uint32(cost), Infinity))
	}
	if was == Infinity {
		rt.smoothed = rt.metric
	}
}

// halfLife is that of the smoothed metric.
const halfLife = tick(smoothingHalfLife / tickLen)

// smooth lets the smoothed metric decay towards the metric (appendix A.3), half
// of the way in each half-life, and linearly within one.
func (rt *route) smooth(at tick) {
	for at >= rt.smoothedAt+halfLife && rt.smoothed != rt.metric {
		rt.smoothed = towards(rt.smoothed, rt.metric, halfLife)
		rt.smoothedAt += halfLife
	}
	if rt.smoothed != rt.metric {
		rt.smoothed = towards(rt.smoothed, rt.metric, at-rt.smoothedAt)
	}
	rt.smoothedAt = at
}

// towards is from, moved to its goal by part of a half-life; never less than one
// step, so that it arrives.
func towards(from, to uint16, part tick) uint16 {
	gap := int64(to) - int64(from)
	step := gap * int64(part) / int64(2*halfLife)
	if step == 0 && part > 0 {
		step = min(max(gap, -1), 1)
	}
	return uint16(int64(from) + step)
}

// selectable tells whether a route may be selected (section 3.6).
func (d *destination) selectable(rt *route) bool {
	return rt.standing != Barred && rt.metric != Infinity && (rt.is(held) || d.feasible(d.origins[rt.origin].routerID, rt.seqno, rt.refmetric))
}

// choose is the route to select: of the best standing, and then of the smallest
// metric; but one that is selected stays until the other's smoothed metric is
// smaller too.
func (r *Router) choose(now time.Time, d *destination, current *route) *route {
	if current != nil && !d.selectable(current) {
		current = nil
	}
	if a := r.answer(d); a != nil && (current == nil || current.standing >= a.standing && d.originOf(current).routerID == d.originOf(a).routerID && seqnoLess(current.seqno, a.seqno)) {
		return a
	}
	best := current
	for i := range d.routes {
		if rt := &d.routes[i]; (best == nil || better(rt, best)) && d.selectable(rt) {
			best = rt
		}
	}
	if best == current || current == nil || best.standing < current.standing {
		return best
	}
	at := r.tick(now)
	best.smooth(at)
	current.smooth(at)
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
	if d.requests == 0 {
		return nil
	}
	for i := range d.routes {
		rt := &d.routes[i]
		p := r.requests[requestKey{d.id, d.originOf(rt).routerID}]
		if p != nil && !seqnoLess(rt.seqno, p.seqno) && d.selectable(rt) && (best == nil || better(rt, best)) {
			best = rt
		}
	}
	return best
}

// due looks again at a destination: the smoothed metrics moved, it was lost for long
// enough, or a route or a source was not refreshed.
func (d *destination) due(r *Router, now time.Time) time.Time {
	held, moved := !d.holdUntil.IsZero() && !now.Before(d.holdUntil), !d.recheckAt.IsZero() && !now.Before(d.recheckAt)
	if held {
		d.holdUntil = time.Time{}
		r.doubt(d)
	}
	if held || moved {
		r.reselect(now, d)
	}
	at := r.tick(now)
	for i := 0; i < len(d.routes); {
		rt := &d.routes[i]
		if at >= rt.expires {
			r.cause = CauseExpired
			r.dropRoute(now, d, rt.neighbor)
			continue
		}
		if !rt.is(asked) && at >= rt.asksAt() {
			rt.mark(asked, true)
			if d.selected == rt.neighbor {
				n := r.slots[rt.neighbor]
				n.queue = append(n.queue, RouteRequest(d.ribKey()))
			}
		}
		i++
	}
	r.collect(now, d)
	r.forget(d)
	return r.nextOf(d)
}

// doubt asks those whose announcements of a lost destination are barred once more: they
// may have come from somebody else, and it could be long before their next.
func (r *Router) doubt(d *destination) {
	for i := range d.routes {
		if n := r.slots[d.routes[i].neighbor]; d.routes[i].standing == Barred && n.iface.assured() {
			n.queue = append(n.queue, RouteRequest(d.ribKey()))
		}
	}
}

// nextOf is when a destination wants to be looked at again.
func (r *Router) nextOf(d *destination) (next time.Time) {
	if r.destinations[d.id] != d {
		return next
	}
	for _, t := range []time.Time{d.holdUntil, d.recheckAt} {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	var first tick
	earlier := func(t tick) {
		if first == 0 || t < first {
			first = t
		}
	}
	for i := range d.routes {
		if rt := &d.routes[i]; rt.is(asked) {
			earlier(rt.expires)
		} else {
			earlier(rt.asksAt())
		}
	}
	for i := range d.origins {
		if t := d.origins[i].gcAt; t != 0 {
			earlier(t)
		}
	}
	if first == 0 {
		return next
	}
	if t := r.timers.time(first.instant()); next.IsZero() || t.Before(next) {
		next = t
	}
	return next
}

// reselect chooses anew among the routes of d, and tells whom it concerns.
func (r *Router) reselect(now time.Time, d *destination) {
	was, old := d.selected, d.chosen() // nil where it was dropped
	metric := d.offered.metric
	d.selected, d.recheckAt = nobody, time.Time{}
	if !d.originated {
		if rt := r.choose(now, d, old); rt != nil {
			d.selected = rt.neighbor
		}
	}
	r.note(now, d, was, old)
	if old != nil && was != d.selected {
		old.mark(held, false)
	}
	lost := d.selected == nobody && !d.originated
	if !lost {
		d.holdUntil, d.hidesNone = time.Time{}, false
	} else if d.told.reachable {
		d.holdUntil, d.hidesNone = now.Add(holdTime), false
		r.timers.arm(d, d.holdUntil)
	}
	r.offer(d)
	r.announce(now, d)
	if lost && was != nobody {
		r.starve(now, d)
	} else if rt := d.chosen(); rt != nil && rt.metric > metric && was != nobody {
		r.worse.add(d.id, now.Add(seekDelay+r.soon(seekDelay)))
	}
	r.satisfy(now, d)
	r.forget(d)
}

// offer keeps the driver's copy of the selected route true.
func (r *Router) offer(d *destination) {
	want := offered{state: unreachable, metric: Infinity}
	rt := d.chosen()
	switch {
	case rt != nil:
		want = offered{reachable, rt.neighbor, rt.metric, r.egressOf(d, rt)}
	case d.originated || d.holdUntil.IsZero() || d.hidesNone:
		if d.offered != (offered{}) {
			d.offered = offered{}
			r.emit(RouteWithdrawn{d.ribKey()})
		}
		return
	}
	if want == d.offered {
		return
	}
	d.offered = want
	key := d.ribKey()
	route := rib.Route{
		Topology: key.Topology, Prefix: key.Prefix, Source: key.Source, Origin: rib.OriginBabel,
		Egress: want.egress, Metric: want.metric, Unreachable: want.state == unreachable,
	}
	if rt != nil {
		if i := r.slots[rt.neighbor].iface; i.Fabric {
			route.NextHop.Link = i.Link
		} else {
			route.NextHop.Ifindex, route.NextHop.Gateway = i.Ifindex, r.nextHop(d, rt)
		}
	}
	r.emit(RouteOffered{route})
}
