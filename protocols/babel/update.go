package babel

import (
	"slices"
	"time"
)

// announce sends triggered updates (section 3.7.2) where what the neighbors were
// told of d is no longer true enough.
func (r *Router) announce(now time.Time, d *destination) {
	was, is := d.told, told{own: d.originated}
	is.routerID, _, is.reachable = r.current(d)
	if d.originated {
		is.metric = d.metric
	} else if rt := d.chosen(); rt != nil {
		is.metric, is.by, is.egress = rt.metric, r.slots[rt.neighbor].iface.id, d.originOf(rt).egress
	}
	delay, sends := urgentDelay, 1
	switch {
	case !is.reachable && !was.reachable:
		return
	case !is.reachable:
		delay, sends = 0, retractionSends
		is.own, is.by, is.routerID, is.egress = was.own, was.by, was.routerID, was.egress
	case !was.reachable:
	case is.routerID != was.routerID:
		sends = 2
	case is.own != was.own, is.egress != was.egress:
	case max(is.metric, was.metric)-min(is.metric, was.metric) >= significant:
		delay = triggeredDelay
	default:
		r.drift(now, d, is.metric)
		if is.by == was.by {
			return
		}
		is.metric = was.metric // which the others hold for true
		r.turn(now, d, was.by, is.by)
		d.told = is
		return
	}
	d.told = is
	if s := d.distance(was.routerID); was.reachable && s != nil {
		s.gcAt = r.gcAt(now) // it counted for as long as it was told
	}
	for _, i := range r.interfaces {
		behind := i.PointToPoint && is.reachable && !is.own && is.by == i.id
		front := i.PointToPoint && was.reachable && !was.own && was.by == i.id
		if behind && !was.reachable || front && (behind || !is.reachable) {
			continue // split horizon: it was told nothing, and is told nothing
		}
		switch {
		case front && !r.hasWay(i, d):
			r.trigger(i, d, now, sends)
		case front, delay == triggeredDelay:
			r.triggerPatient(now, i, d)
		default:
			r.trigger(i, d, now.Add(r.within(i, now, delay)), sends)
		}
		// The neighbor behind the interface may still hold what we said before its own
		// route was selected.
		i.poison.put(d.id, behind)
	}
}

// drift has the others told of a metric that changed by less than what is significant,
// unless it changes back meanwhile.
func (r *Router) drift(now time.Time, d *destination, metric uint16) {
	if metric == d.told.metric {
		return
	}
	r.drifted.add(d.id, now.Add(driftDelay-r.soon(driftDelay/4)))
}

// tellDrift tells of all that drifted.
func (r *Router) tellDrift(now time.Time) {
	for _, id := range r.drifted.take(now) {
		d := r.destinations[id]
		if d == nil || d.selected == nobody && !d.originated {
			continue
		}
		metric := d.metric
		if rt := d.chosen(); rt != nil {
			metric = rt.metric
		}
		if metric == d.told.metric {
			continue
		}
		d.told.metric = metric
		for _, i := range r.interfaces {
			if i.assured() && (d.told.own || d.told.by != i.id) {
				r.trigger(i, d, now, 1)
			}
		}
	}
}

// soon is a random delay of less than d.
func (r *Router) soon(d time.Duration) time.Duration {
	return time.Duration(r.cfg.Rand.Int63n(int64(d)))
}

// turn tells those whom it concerns that the route to d leaves by another interface
// than before: who is there now must not come this way, and who was there may.
func (r *Router) turn(now time.Time, d *destination, was, is InterfaceID) {
	for _, id := range [...]InterfaceID{is, was} {
		pos, known := r.findInterface(id)
		if !known || !r.interfaces[pos].PointToPoint {
			continue
		}
		i := r.interfaces[pos]
		i.poison.put(d.id, id == is)
		if id == is || r.hasWay(i, d) {
			r.triggerPatient(now, i, d)
		} else {
			r.trigger(i, d, now, 1)
		}
	}
}

// hasWay tells whether a neighbor on an interface has a route to d by now. The one on the
// old way to d could not be told of the new one before: where it has none it cannot wait.
func (r *Router) hasWay(i *iface, d *destination) bool {
	return slices.ContainsFunc(d.routes, func(rt route) bool {
		return rt.metric != Infinity && r.slots[rt.neighbor].iface == i
	})
}

// within is a random delay of at most d, but none of its own where updates leave before
// d is over anyway.
func (r *Router) within(i *iface, now time.Time, d time.Duration) time.Duration {
	if d == 0 || i.fresh.count > i.patient.count && !i.freshAt.After(now.Add(d)) {
		return d
	}
	return r.soon(d)
}

// trigger has an update of d sent on an interface at the given time, or before,
// together with others.
func (r *Router) trigger(i *iface, d *destination, at time.Time, sends int) {
	if i.fresh.count == i.patient.count || at.Before(i.freshAt) {
		i.freshAt = at
	}
	i.patient.put(d.id, false)
	i.freshen(d)
	if sends > 1 && !i.acknowledges() {
		i.sends[d.id] = max(i.sends[d.id], uint8(sends))
	}
}

// triggerPatient has an update of d sent on an interface soon, with all others of its kind:
// of a mere change of metric, or of the way. What changes again meanwhile is told once.
func (r *Router) triggerPatient(now time.Time, i *iface, d *destination) {
	if i.fresh.has(d.id) {
		return
	}
	if i.patient.count == 0 {
		delay := triggeredDelay
		if i.assured() {
			delay = patientDelay
		}
		i.patientAt = now.Add(r.soon(delay))
	}
	i.patient.put(d.id, true)
	i.freshen(d)
}

func (i *iface) freshen(d *destination) {
	if !i.fresh.has(d.id) {
		i.fresh.put(d.id, true)
		if !i.flying.has(d.id) {
			d.waits++
		}
	}
}

// freshDue is when the first of what is fresh is to be sent; of no meaning where nothing is.
func (i *iface) freshDue() time.Time {
	switch i.patient.count {
	case 0:
		return i.freshAt
	case i.fresh.count:
		return i.patientAt
	}
	return minTime(i.freshAt, i.patientAt)
}

// settled ends what an interface had to send of a destination: it has sent it often
// enough, or was told that it arrived.
func (r *Router) settled(i *iface, d *destination) {
	i.poison.put(d.id, false)
	delete(i.sends, d.id)
	if d.waits--; d.waits == 0 {
		r.forget(d)
	}
}

// updatesAt is when an interface has updates to send; the zero Time is never.
func (i *iface) updatesAt() (at time.Time) {
	switch {
	case len(i.dumping) > 0:
		return i.rests
	case i.fresh.count > 0 && i.room() > 0:
		at = i.freshDue()
	}
	if len(i.flights) > 0 && (at.IsZero() || i.repeatAt.Before(at)) {
		at = i.repeatAt
	}
	if !at.IsZero() && at.Before(i.rests) {
		at = i.rests
	}
	return at
}

// flush sends what is due of an interface: updates that were not acknowledged, all that
// are fresh if the first of them is due, and what a full update still lacks.
func (r *Router) flush(now time.Time, i *iface) {
	if at := i.updatesAt(); at.IsZero() && len(i.dumping) == 0 || now.Before(at) {
		return
	}
	r.scratch = r.scratch[:0]
	allowed := i.allowance(now)
	// Half is for a full update: routes that flap must not keep the others from being refreshed.
	n := allowed - min(len(i.dumping), allowed/2)
	repeats, fresh := n, i.fresh.count > 0 && !now.Before(i.freshDue())
	if fresh { // which need not wait for what was sent before
		repeats -= min(i.fresh.count, n/2)
	}
	late := r.repeat(now, i, repeats)
	if fresh {
		late = r.sendFresh(now, i, n-len(r.scratch)) || late
	}
	start := len(r.scratch)
	for _, id := range r.nextOfDump(i, allowed-start) {
		if d := r.destinations[id]; d.known() {
			r.put(now, i, d)
		}
	}
	r.enqueue(i, r.scratch[start:])
	if i.credit -= float64(len(r.scratch)); late || len(i.dumping) > 0 {
		i.rests = now.Add(updateGap) // to look at so many takes time
	}
}

// put adds what an interface is to be told of d to the updates of this flush; false:
// it must not hear of it.
func (r *Router) put(now time.Time, i *iface, d *destination) bool {
	u, ok := r.updateOf(now, i, d)
	if ok {
		r.scratch = append(r.scratch, u)
	}
	return ok
}

// enqueue puts updates in the queue of an interface, which is sent before they
// are made anew.
func (r *Router) enqueue(i *iface, updates []Update) {
	for k := range updates {
		i.queue = append(i.queue, &updates[k])
	}
}

// updateOf is what an interface is to be told of d: the current route, or a
// retraction where there is none; false where it must not hear of it. The
// feasibility distance is maintained: the update has to be sent.
func (r *Router) updateOf(now time.Time, i *iface, d *destination) (Update, bool) {
	if !i.belongs(d.key.topology) || !i.Fabric && r.isLocator(d) || i.NoDefault && d.key.bits == 0 || d.plain && !i.PlainDefault {
		return Update{}, false
	}
	u := Update{
		Topology: d.key.topology, Prefix: d.key.prefix(), RouterID: r.cfg.RouterID,
		Metric: Infinity, Interval: i.updateInterval(), Egress: r.cfg.Self,
	}
	if d.source != nil {
		u.Source = *d.source
	}
	if d.key.four && !i.Fabric {
		if u.NextHop = i.Local4; !i.Local4.IsValid() {
			u.NextHop = i.Local // RFC 9229
		}
	}
	if d.originated {
		u.Seqno, u.Metric = r.seqno, d.metric
		return u, r.record(now, d, u.RouterID, u.Egress, u.Seqno, u.Metric)
	}
	rt := d.chosen()
	if rt == nil {
		return u, true
	}
	by := r.slots[rt.neighbor].iface
	if i.PointToPoint && by == i { // split horizon (section 3.7.4)
		return u, i.poison.has(d.id)
	}
	o := d.originOf(rt)
	u.RouterID, u.Seqno, u.Metric = o.routerID, rt.seqno, rt.metric
	if by.Fabric {
		u.Egress = o.egress
	}
	if r.cfg.FalseMetric > 0 {
		u.Metric = r.cfg.FalseMetric
	}
	return u, r.record(now, d, u.RouterID, o.egress, u.Seqno, u.Metric)
}

// updateInterval is how often all routes are sent. On a link of the fabric that only
// makes sure: what is sent there is repeated until it is acknowledged, who lost what it
// had heard asks for it, and the fabric tells when the link is dead.
func (i *iface) updateInterval() time.Duration {
	if i.assured() {
		return min(fabricHellos*i.HelloInterval, maxInterval)
	}
	return updateHellos * i.HelloInterval
}

// assured tells whether the fabric says if the neighbor is there, and Acks what it knows.
func (i *iface) assured() bool { return i.Fabric && i.acknowledges() }
