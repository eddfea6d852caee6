package babel

import "time"

// Resync says that until now a neighbor did not listen to this router, or this one not
// to it, as before a challenge is answered (RFC 8967): it is told all again, and asked
// for all.
func (r *Router) Resync(now time.Time, key NeighborKey) {
	if n := r.neighbors[key]; n != nil {
		r.greet(now, n)
		r.finish(now)
	}
}

// greet tells a neighbor who knows nothing of this router all, and asks for all.
func (r *Router) greet(now time.Time, n *neighbor) {
	i := n.iface
	if i.Multicast {
		// One without interval would do, but BIRD 2.0.12 reads that as 10 ms, and so as
		// a dead link soon after.
		i.queue = append(i.queue, Hello{Seqno: i.nextHello(), Interval: i.HelloInterval})
	} else {
		n.queue = append(n.queue, Hello{Unicast: true, Seqno: n.nextHello()})
	}
	n.queue = append(n.queue, r.ihu(n), RouteRequest{})
	r.answerAll(now, i)
}
