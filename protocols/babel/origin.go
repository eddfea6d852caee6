package babel

import (
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/rib"
)

// Announcement is a route as a neighbor announces it: what its origin is judged by.
type Announcement struct {
	Neighbor NeighborKey
	rib.Key
	RouterID  RouterID
	Egress    addr.NodeID // this router on an interface of the kernel: it would be the last of ours
	Refmetric uint16
}

// Standing is what Config.Origins makes of an announcement. Routes of a better
// standing are selected before those of a worse one, whatever their metrics
// (section 3.6 leaves the choice among feasible routes free).
type Standing uint8

// The standings, the best first.
const (
	Claimed   Standing = iota // its origin has proved that it may announce it
	Unclaimed                 // nobody has: used where there is nothing better
	Barred                    // never selected
)

// judge gives a route its standing, as it comes in.
func (r *Router) judge(d *destination, rt *route) {
	if rt.standing = r.standingOf(d, rt); rt.standing == Barred {
		r.refuse(r.slots[rt.neighbor].key, RefusedOrigin)
	}
}

func (r *Router) standingOf(d *destination, rt *route) Standing {
	if r.cfg.Origins == nil {
		return Claimed
	}
	return r.cfg.Origins(Announcement{r.slots[rt.neighbor].key, d.ribKey(), d.originOf(rt).routerID, r.egressOf(d, rt), rt.refmetric})
}

// Rejudge asks Config.Origins again about all routes: what it knows of origins has
// changed. A route that is good by now is selected at once.
func (r *Router) Rejudge(now time.Time) {
	for _, d := range r.destinations {
		if d == nil {
			continue
		}
		changed := false
		for i := range d.routes {
			rt := &d.routes[i]
			was := rt.standing
			rt.standing = r.standingOf(d, rt)
			changed = changed || rt.standing != was
		}
		if changed {
			r.reselect(now, d)
		}
		if !d.holdUntil.IsZero() && r.toldLie(d) {
			r.unhold(d)
		}
	}
	r.finish(now)
}

// toldLie tells whether the origin of what was told last of a lost destination had no
// right to it.
func (r *Router) toldLie(d *destination) bool {
	if _, known := r.findInterface(d.told.by); r.cfg.Origins == nil || !known || d.told.own {
		return false
	}
	const refmetric = 1 // it is not known any more; 0 says something else
	a := Announcement{NeighborKey{Interface: d.told.by}, d.ribKey(), d.told.routerID, d.told.egress, refmetric}
	return r.cfg.Origins(a) == Barred
}

// unhold lets what was lost as its origin had no right to it be reached at once by the
// less specific route that it hid. Without interfaces of the kernel that makes no loop
// (what section 2.8 holds it for): packets are sealed to the egress of that route, and
// relays look for the way there alone.
func (r *Router) unhold(d *destination) {
	if slices.ContainsFunc(r.interfaces, func(i *iface) bool { return !i.Fabric }) {
		return
	}
	d.hidesNone = true
	r.offer(d)
}

// better tells whether a is to be selected rather than b.
func better(a, b *route) bool {
	if a.standing != b.standing {
		return a.standing < b.standing
	}
	return a.metric < b.metric
}

// egressOf is where a route leaves the fabric: here, if it was imported.
func (r *Router) egressOf(d *destination, rt *route) addr.NodeID {
	if r.slots[rt.neighbor].iface.Fabric {
		return d.originOf(rt).egress
	}
	return r.cfg.Self
}
