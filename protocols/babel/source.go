package babel

import (
	"slices"
	"time"

	"re6st/protocols/addr"
)

// origin is where routes to a destination come from; and an entry of the source table
// (section 3.2.5), the feasibility distance of (prefix, router-id), while gcAt is not
// zero. It is kept for the routes that refer to it, and for its distance.
type origin struct {
	routerID      RouterID
	egress        addr.NodeID
	seqno, metric uint16 // the feasibility distance
	gcAt          tick   // when that is forgotten; zero: there is none
}

// noOrigin is that of a route of which nothing was heard yet.
const noOrigin = 0xffff

// distance is the feasibility distance of a source; nil where there is none.
func (d *destination) distance(id RouterID) *origin {
	for i := range d.origins {
		if o := &d.origins[i]; o.gcAt != 0 && o.routerID == id {
			return o
		}
	}
	return nil
}

// feasible is the feasibility condition (section 3.5.1) for an announcement at
// a finite metric.
func (d *destination) feasible(id RouterID, seqno, metric uint16) bool {
	s := d.distance(id)
	return s == nil || seqnoLess(s.seqno, seqno) || s.seqno == seqno && metric < s.metric
}

// originOf is the origin of a route.
func (d *destination) originOf(rt *route) origin {
	if rt.origin == noOrigin {
		return origin{}
	}
	return d.origins[rt.origin]
}

// setOrigin says where a route comes from.
func (d *destination) setOrigin(rt *route, id RouterID, egress addr.NodeID) {
	if o := d.originOf(rt); rt.origin != noOrigin && o.routerID == id && o.egress == egress {
		return
	}
	moved := rt.origin != noOrigin
	rt.origin = d.addOrigin(id, egress)
	if moved {
		d.releaseOrigins()
	}
}

// addOrigin is the place of an origin, which is made if need be.
func (d *destination) addOrigin(id RouterID, egress addr.NodeID) uint16 {
	at := slices.IndexFunc(d.origins, func(o origin) bool { return o.routerID == id && o.egress == egress })
	if at < 0 {
		at = len(d.origins)
		if at == 0 {
			d.origins = make([]origin, 0, 1) // there is seldom more than one
		}
		d.origins = append(d.origins, origin{routerID: id, egress: egress})
	}
	return uint16(at)
}

// releaseOrigins drops those that are of no use any more.
func (d *destination) releaseOrigins() {
	for i := len(d.origins) - 1; i >= 0; i-- {
		used := slices.ContainsFunc(d.routes, func(rt route) bool { return int(rt.origin) == i })
		if used || d.origins[i].gcAt != 0 {
			continue
		}
		last := len(d.origins) - 1
		d.origins[i] = d.origins[last]
		d.origins = d.origins[:last]
		for j := range d.routes {
			if int(d.routes[j].origin) == last {
				d.routes[j].origin = uint16(i)
			}
		}
	}
	if len(d.origins) == 0 {
		d.origins = nil
	}
}

// record maintains the feasibility distance (section 3.7.3): before an update at
// a finite metric is sent. False: there is no place, and it must not be sent.
func (r *Router) record(now time.Time, d *destination, id RouterID, egress addr.NodeID, seqno, metric uint16) bool {
	s := d.distance(id)
	if s == nil {
		if r.sources >= MaxSources || len(d.origins) >= MaxSourcesOfPrefix {
			r.refuse(NeighborKey{}, RefusedSources)
			return false
		}
		r.sources++
		s = &d.origins[d.addOrigin(id, egress)]
		s.seqno, s.metric = seqno, metric
	}
	if seqnoLess(s.seqno, seqno) {
		s.seqno, s.metric = seqno, metric
		r.seekLagging(now, d, 1)
	} else if s.seqno == seqno {
		s.metric = min(s.metric, metric)
	}
	s.gcAt = r.gcAt(now)
	r.timers.armAt(d, s.gcAt.instant())
	return true
}

// gcAt is when a source is forgotten of which an update is sent now: a whole second,
// so that many are looked at together.
func (r *Router) gcAt(now time.Time) tick {
	const second = tick(time.Second / tickLen)
	return (r.tick(now)+ticks(float64(sourceGC))+second-2)/second*second + 1
}

// collect forgets the sources of d for which nothing was sent for long. What the
// neighbors were told last counts for as long as they may hold it.
func (r *Router) collect(now time.Time, d *destination) {
	at, gone := r.tick(now), false
	for i := range d.origins {
		switch o := &d.origins[i]; {
		case o.gcAt == 0 || at < o.gcAt:
		case d.told.reachable && d.told.routerID == o.routerID:
			o.gcAt = r.gcAt(now)
		default:
			o.gcAt, gone = 0, true
			r.sources--
		}
	}
	if gone {
		d.releaseOrigins()
	}
}
