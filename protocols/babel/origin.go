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
func (r *Router) judge(rt *route) {
	if rt.standing = r.standingOf(rt); rt.standing == Barred {
		r.refuse(rt.neighbor.key, RefusedOrigin)
	}
}

func (r *Router) standingOf(rt *route) Standing {
	if r.cfg.Origins == nil {
		return Claimed
	}
	a := Announcement{rt.neighbor.key, rt.destination.key, rt.routerID, rt.egress, rt.refmetric}
	if !rt.neighbor.iface.Fabric {
		a.Egress = r.cfg.Self
	}
	return r.cfg.Origins(a)
}

// Rejudge asks Config.Origins again about all routes: what it knows of origins has
// changed. A route that is good by now is selected at once.
func (r *Router) Rejudge(now time.Time) {
	for _, d := range slices.Clone(r.sorted()) {
		changed := false
		for _, rt := range d.routes {
			was := rt.standing
			rt.standing = r.standingOf(rt)
			changed = changed || rt.standing != was
		}
		if changed {
			r.reselect(now, d)
		}
	}
	r.finish(now)
}

// better tells whether a is to be selected rather than b.
func better(a, b *route) bool {
	if a.standing != b.standing {
		return a.standing < b.standing
	}
	return a.metric < b.metric
}
