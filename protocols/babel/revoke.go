package babel

import (
	"slices"
	"time"

	"re6st/protocols/addr"
)

// Revoke drops the routes whose egress is one of these nodes, from whichever
// neighbor, and refuses them from now on: a certificate that was revoked does not
// come back.
func (r *Router) Revoke(now time.Time, nodes []addr.NodeID) {
	for _, id := range nodes {
		r.revoked[id] = true
	}
	for _, d := range slices.Clone(r.sorted()) {
		r.dropRevoked(now, d)
	}
	r.finish(now)
}

// dropRevoked removes all such routes of a destination before another is chosen,
// or one would take the place of the next.
func (r *Router) dropRevoked(now time.Time, d *destination) {
	kept := slices.DeleteFunc(slices.Clone(d.routes), func(rt *route) bool {
		return rt.neighbor.iface.Fabric && r.revoked[rt.egress]
	})
	if len(kept) == len(d.routes) {
		return
	}
	for _, rt := range d.routes {
		if !slices.Contains(kept, rt) {
			rt.metric = Infinity // for who still holds it
			r.timers.disarm(rt)
			delete(rt.neighbor.routes, d.key)
			r.routes--
		}
	}
	d.routes = kept
	r.cause = CauseRevoked
	r.reselect(now, d)
}

// SetHelloInterval changes how often is said hello on all interfaces, and with it
// how often all routes are sent. What the neighbors wait for goes out at once:
// they would take a longer interval for silence.
func (r *Router) SetHelloInterval(now time.Time, d time.Duration) {
	if d == 0 {
		d = HelloInterval
	}
	for _, i := range r.interfaces {
		if i.HelloInterval == d {
			continue
		}
		i.HelloInterval, i.hellos = d, 0
		r.hello(now, i)
		i.dumpedAt = time.Time{}
		r.answerAll(now, i)
		i.updateAt = now.Add(r.jitter(i.updateInterval()))
	}
	r.finish(now)
}
