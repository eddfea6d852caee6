package babel

import (
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
	for _, d := range r.destinations {
		if d != nil {
			r.dropRevoked(now, d)
		}
	}
	r.finish(now)
}

// dropRevoked removes all such routes of a destination before another is chosen,
// or one would take the place of the next.
func (r *Router) dropRevoked(now time.Time, d *destination) {
	had := len(d.routes)
	for k := 0; k < len(d.routes); {
		rt := &d.routes[k]
		if r.slots[rt.neighbor].iface.Fabric && r.revoked[d.originOf(rt).egress] {
			r.removeRoute(d, rt.neighbor)
		} else {
			k++
		}
	}
	if len(d.routes) < had {
		r.cause = CauseRevoked
		r.reselect(now, d)
	}
}

// SetRoutesPerNeighbor lowers MaxRoutesPerNeighbor. Routes that are there stay.
func (r *Router) SetRoutesPerNeighbor(n int) { r.most = min(n, MaxRoutesPerNeighbor) }

// SetHelloInterval changes how often is said hello on all interfaces, and with it
// how often all routes are sent. What the neighbors wait for goes out at once:
// they would take a longer interval for silence.
func (r *Router) SetHelloInterval(now time.Time, d time.Duration) {
	if d == 0 {
		d = HelloInterval
	}
	for _, i := range r.interfaces {
		if i.HelloInterval == d || i.OwnHello {
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
