package babel

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"re6st/protocols/rib"
)

// requestKey and request are the table of pending seqno requests (section
// 3.2.7).
type requestKey struct {
	rib.Key
	routerID RouterID
}

type request struct {
	alarm
	key        requestKey
	seqno      uint16
	hopCount   uint8
	own        bool          // this router starves; else it only sends on
	asked      []NeighborKey // in the order in which they were asked
	requesters []NeighborKey // who waits for the answer
	tries      int           // resends so far
	next       time.Time     // of the next resend
	sentAt     time.Time     // last
}

// handleRouteRequest answers with an Update or a retraction (section 3.8.1.1).
func (r *Router) handleRouteRequest(now time.Time, n *neighbor, q RouteRequest) {
	if q.Prefix.IsValid() {
		r.trigger(n.iface, q.Key(), now, 1)
		return
	}
	r.answerAll(now, n.iface)
}

// answerAll sends all routes, but not twice within dumpSpacing: one by one where
// that makes them acknowledged.
func (r *Router) answerAll(now time.Time, i *iface) {
	if earliest := i.dumpedAt.Add(dumpSpacing); now.Before(earliest) {
		i.updateAt = minTime(i.updateAt, earliest)
		return
	}
	if !i.acknowledges() {
		r.dump(now, i)
		return
	}
	i.dumpedAt = now
	for _, d := range r.sorted() {
		if _, _, reachable := r.current(d); reachable {
			r.trigger(i, d.key, now, 1)
		}
	}
}

// handleSeqnoRequest answers, or sends on (section 3.8.1.2).
func (r *Router) handleSeqnoRequest(now time.Time, n *neighbor, q SeqnoRequest) {
	d := r.destinations[q.Key()]
	if d == nil {
		return
	}
	id, seqno, reachable := r.current(d)
	if reachable && (id != q.RouterID || !seqnoLess(seqno, q.Seqno)) {
		r.trigger(n.iface, d.key, now, 1)
		return
	}
	if q.RouterID == r.cfg.RouterID {
		if d.originated {
			r.bump() // by one, however much was asked for
			r.trigger(n.iface, d.key, now, 1)
		}
		return
	}
	if q.HopCount < 2 {
		return
	}
	p := r.pendingRequest(n.key, requestKey{d.key, q.RouterID}, q.Seqno, q.HopCount-1)
	if p == nil {
		return
	}
	if !slices.Contains(p.requesters, n.key) {
		p.requesters = append(p.requesters, n.key)
	}
	switch next := r.forwardTo(d, p); {
	case next != nil && !slices.Contains(p.asked, next.key):
		r.ask(now, p, next)
	case len(p.asked) == 0:
		r.dropRequest(p)
	}
	// Else it is a duplicate: the answer will be for all who wait.
}

// current is the source of what is announced for d.
func (r *Router) current(d *destination) (id RouterID, seqno uint16, reachable bool) {
	switch {
	case d.originated:
		return r.cfg.RouterID, r.seqno, true
	case d.selected != nil:
		return d.selected.routerID, d.selected.seqno, true
	}
	return id, 0, false
}

// forwardTo is the neighbor to send a request on to: the next hop of the selected
// route, else of the best feasible one, else of the best unfeasible one; but
// never a requester.
func (r *Router) forwardTo(d *destination, p *request) *neighbor {
	var best *route
	nearer := func(rt *route) bool {
		if best == nil {
			return true
		}
		if f, bf := r.selectable(rt), r.selectable(best); f != bf {
			return f
		}
		return best != d.selected && (rt == d.selected || rt.metric < best.metric)
	}
	for _, rt := range d.routes {
		if rt.metric != Infinity && rt.standing != Barred && !slices.Contains(p.requesters, rt.neighbor.key) && nearer(rt) {
			best = rt
		}
	}
	if best == nil {
		return nil
	}
	return best.neighbor
}

// handleUnfeasible asks for a newer sequence number where an unfeasible route
// would be of use (section 3.8.2.2), or where there is no other (3.8.2.1).
func (r *Router) handleUnfeasible(now time.Time, rt *route) {
	d := rt.destination
	switch {
	case d.originated || rt.metric == Infinity || rt.standing == Barred:
	case d.selected == nil, d.selected == rt, better(rt, d.selected):
		r.askNewer(now, rt)
	}
}

// starve asks all candidates at once when the last feasible route is lost
// (section 3.8.2.1).
func (r *Router) starve(now time.Time, d *destination) {
	for _, rt := range d.routes {
		if rt.metric != Infinity && rt.standing != Barred {
			r.askNewer(now, rt)
		}
	}
}

// askNewer asks the neighbor of an unfeasible route for the sequence number
// that makes it feasible.
func (r *Router) askNewer(now time.Time, rt *route) {
	key := requestKey{rt.destination.key, rt.routerID}
	s := r.sources[sourceKey(key)]
	if s == nil {
		return
	}
	p := r.pendingRequest(rt.neighbor.key, key, s.seqno+1, requestHops)
	if p == nil {
		return
	}
	p.own, p.hopCount = true, requestHops
	switch {
	case !slices.Contains(p.asked, rt.neighbor.key):
		r.ask(now, p, rt.neighbor)
	case now.Sub(p.sentAt) >= requestTimeout: // it has a way, which it may not have had then
		r.begin(now, p)
		p.send(now, rt.neighbor)
	}
}

// pendingRequest is the request for key at seqno or later, made if need be; nil
// where a limit forbids it.
func (r *Router) pendingRequest(from NeighborKey, key requestKey, seqno uint16, hopCount uint8) *request {
	p := r.requests[key]
	switch {
	case p == nil && len(r.requests) >= MaxRequests:
		r.refuse(from, RefusedRequests)
		return nil
	case p == nil:
		p = &request{key: key, seqno: seqno, hopCount: hopCount}
		r.requests[key] = p
	case seqnoLess(p.seqno, seqno):
		// Who waited for less is served by more; who was asked has to be asked anew.
		p.seqno, p.hopCount, p.asked = seqno, max(p.hopCount, hopCount), nil
	}
	return p
}

// ask sends a pending request to one more neighbor.
func (r *Router) ask(now time.Time, p *request, n *neighbor) {
	if len(p.asked) == 0 {
		r.begin(now, p)
	}
	p.asked = append(p.asked, n.key)
	p.send(now, n)
}

// begin has all resends of a request before it.
func (r *Router) begin(now time.Time, p *request) {
	p.tries, p.next = 0, now.Add(requestTimeout)
	r.timers.arm(p, p.next)
}

// unanswered has the requests that a neighbor was sent go another way now: it is gone.
func (r *Router) unanswered(now time.Time, n *neighbor) {
	for _, key := range slices.SortedFunc(maps.Keys(r.requests), requestKey.compare) {
		if p := r.requests[key]; slices.Contains(p.asked, n.key) {
			p.asked = slices.DeleteFunc(p.asked, func(k NeighborKey) bool { return k == n.key })
			p.tries, p.next = 0, now
			r.timers.arm(p, p.next)
		}
	}
}

func (k requestKey) compare(o requestKey) int {
	return cmp.Or(k.Key.Compare(o.Key), bytes.Compare(k.routerID[:], o.routerID[:]))
}

func (p *request) send(now time.Time, n *neighbor) {
	p.sentAt = now
	n.queue = append(n.queue, SeqnoRequest{
		Topology: p.key.Topology, Prefix: p.key.Prefix, Source: p.key.Source,
		Seqno: p.seqno, HopCount: p.hopCount, RouterID: p.key.routerID,
	})
}

// due sends a request again, and in the end gives up.
func (p *request) due(r *Router, now time.Time) time.Time {
	switch {
	case now.Before(p.next):
		return p.next
	case p.tries >= requestTries:
		r.dropRequest(p)
		return time.Time{}
	}
	p.tries++
	p.next = now.Add(requestTimeout << p.tries)
	r.widen(p)
	for _, key := range p.asked {
		if n := r.neighbors[key]; n != nil && n.cost != Infinity {
			p.send(now, n)
		}
	}
	return p.next
}

// widen has a request that was not answered go to whom it would go to now, too: who was
// asked first may have lost the way since.
func (r *Router) widen(p *request) {
	d := r.destinations[p.key.Key]
	if d == nil {
		return
	}
	if next := r.forwardTo(d, p); next != nil && !slices.Contains(p.asked, next.key) {
		p.asked = append(p.asked, next.key)
	}
	if !p.own {
		return
	}
	for _, rt := range d.routes {
		if rt.metric != Infinity && rt.routerID == p.key.routerID && !slices.Contains(p.asked, rt.neighbor.key) {
			p.asked = append(p.asked, rt.neighbor.key)
		}
	}
}

func (r *Router) dropRequest(p *request) {
	r.timers.disarm(p)
	delete(r.requests, p.key)
}

// satisfy ends the requests that the selected route of d answers, and passes
// the answer on to those who wait.
func (r *Router) satisfy(now time.Time, d *destination) {
	id, seqno, reachable := r.current(d)
	if !reachable || d.selected != nil && d.selected.held || len(r.requests) == 0 {
		return
	}
	for _, rt := range d.routes {
		r.satisfyOne(now, d, rt.routerID, id, seqno)
	}
	r.satisfyOne(now, d, id, id, seqno)
}

func (r *Router) satisfyOne(now time.Time, d *destination, asked, id RouterID, seqno uint16) {
	p := r.requests[requestKey{d.key, asked}]
	if p == nil || asked == id && seqnoLess(seqno, p.seqno) {
		return
	}
	r.dropRequest(p)
	for _, key := range p.requesters {
		if n := r.neighbors[key]; n != nil {
			r.trigger(n.iface, d.key, now, 1)
		}
	}
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
