package babel

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"
)

// requestKey and request are the table of pending seqno requests (section
// 3.2.7).
type requestKey struct {
	destination uint32
	routerID    RouterID
}

type request struct {
	alarm
	key        requestKey
	seqno      uint16
	hopCount   uint8
	own        bool      // this router starves; else it only sends on
	tries      uint8     // resends so far
	asked      []uint16  // the slots of neighbors in the order in which they were asked
	requesters []uint16  // who waits for the answer
	next       time.Time // of the next resend
	sentAt     time.Time // last
}

// handleRouteRequest answers with an Update or a retraction (section 3.8.1.1).
func (r *Router) handleRouteRequest(now time.Time, n *neighbor, q RouteRequest) {
	if !q.Prefix.IsValid() {
		r.answerAll(now, n.iface)
		return
	}
	d := r.destination(q.Key()) // of an unknown one the answer is a retraction
	r.trigger(n.iface, d, now, 1)
	r.forget(d)
}

// answerAll sends all routes, but not twice within dumpSpacing.
func (r *Router) answerAll(now time.Time, i *iface) {
	if !i.dumpedAt.IsZero() && !i.acked && i.flying.count > 0 && i.acknowledges() {
		i.hasten(now) // all that was said since is under way
		return
	}
	if earliest := i.dumpedAt.Add(dumpSpacing); now.Before(earliest) {
		i.updateAt = minTime(i.updateAt, earliest)
		return
	}
	r.dump(now, i)
}

// handleSeqnoRequest answers, or sends on (section 3.8.1.2).
func (r *Router) handleSeqnoRequest(now time.Time, n *neighbor, q SeqnoRequest) {
	d := r.find(q.Key())
	if d == nil || !d.known() {
		return
	}
	id, seqno, reachable := r.current(d)
	if reachable && (id != q.RouterID || !seqnoLess(seqno, q.Seqno)) {
		r.trigger(n.iface, d, now, 1)
		return
	}
	if q.RouterID == r.cfg.RouterID {
		if d.originated {
			r.bump() // by one, however much was asked for
			r.trigger(n.iface, d, now, 1)
		}
		return
	}
	if q.HopCount < 2 {
		return
	}
	p := r.pendingRequest(n.key, d, q.RouterID, q.Seqno, q.HopCount-1)
	if p == nil {
		return
	}
	if !slices.Contains(p.requesters, n.slot) {
		p.requesters = append(p.requesters, n.slot)
	}
	switch next := r.forwardTo(d, p, n.slot); {
	case next != nil && !slices.Contains(p.asked, next.slot):
		r.ask(now, p, next)
	case next != nil && now.Sub(p.sentAt) >= requestTimeout: // who waits asks again, and the way may be whole by now
		r.begin(now, p)
		r.sendRequest(now, p, next)
	case len(p.asked) == 0:
		r.dropRequest(p)
	}
	// Else it is a duplicate: the answer will be for all who wait.
}

// current is the source of what is announced for d.
func (r *Router) current(d *destination) (id RouterID, seqno uint16, reachable bool) {
	if d.originated {
		return r.cfg.RouterID, r.seqno, true
	}
	if rt := d.chosen(); rt != nil {
		return d.originOf(rt).routerID, rt.seqno, true
	}
	return id, 0, false
}

// forwardTo is the neighbor to send a request on to: the next hop of the selected
// route, else of the best feasible one, else of the best unfeasible one; but
// never the neighbor in slot from, which asks. Of those that asked before only the first
// may be it: it has a way by now, and others wait for the answer.
func (r *Router) forwardTo(d *destination, p *request, from uint16) *neighbor {
	var best *route
	nearer := func(rt *route) bool {
		if best == nil {
			return true
		}
		if f, bf := d.selectable(rt), d.selectable(best); f != bf {
			return f
		}
		return best.neighbor != d.selected && (rt.neighbor == d.selected || rt.metric < best.metric)
	}
	for i := range d.routes {
		rt := &d.routes[i]
		waits := rt.neighbor == from || rt.neighbor != d.selected && slices.Contains(p.requesters, rt.neighbor)
		if rt.metric != Infinity && rt.standing != Barred && !waits && nearer(rt) {
			best = rt
		}
	}
	if best == nil {
		return nil
	}
	return r.slots[best.neighbor]
}

// handleUnfeasible asks for a newer sequence number where an unfeasible route
// would be of use (section 3.8.2.2), or where there is no other (3.8.2.1).
func (r *Router) handleUnfeasible(now time.Time, d *destination, rt *route) {
	selected := d.chosen()
	switch {
	case d.originated || rt.metric == Infinity || rt.standing == Barred:
	case selected == nil, selected == rt, better(rt, selected):
		r.askNewer(now, d, rt)
	}
}

// starve asks all candidates at once when the last feasible route is lost
// (section 3.8.2.1).
func (r *Router) starve(now time.Time, d *destination) {
	for i := range d.routes {
		if rt := &d.routes[i]; rt.metric != Infinity && rt.standing != Barred {
			r.askNewer(now, d, rt)
		}
	}
}

// seekBetter asks all whose unfeasible routes are better than a selected one that has become
// worse: their next Updates may be minutes away. Not at once: while a network looks for its
// ways anew most of that passes, and each newer seqno makes others look anew too.
func (r *Router) seekBetter(now time.Time) {
	for _, id := range r.worse.take(now) {
		d := r.destinations[id]
		if d == nil || d.chosen() == nil {
			continue
		}
		for i := range d.routes {
			if rt := &d.routes[i]; r.misses(d, rt, d.chosen()) {
				r.askNewer(now, d, rt)
			}
		}
	}
}

// seekLagging has routes asked for that are better than the selected one by so much, and not
// feasible: their neighbors have no reason to announce them again.
func (r *Router) seekLagging(now time.Time, d *destination, by uint16) {
	selected := d.chosen()
	if selected != nil && slices.ContainsFunc(d.routes, func(rt route) bool {
		return r.misses(d, &rt, selected) && (rt.standing < selected.standing || selected.metric-rt.metric >= by)
	}) {
		r.worse.add(d.id, now.Add(seekDelay+r.soon(seekDelay)))
	}
}

// misses tells whether a route would be selected were it feasible.
func (r *Router) misses(d *destination, rt, selected *route) bool {
	return rt.metric != Infinity && rt.standing != Barred && (selected == nil || better(rt, selected)) && !d.selectable(rt)
}

// wants tells whether a request of ours is still of use where no Updates come that would
// renew it.
func (r *Router) wants(d *destination, p *request) bool {
	selected := d.chosen()
	return p.own && !d.originated && slices.ContainsFunc(d.routes, func(rt route) bool {
		return d.originOf(&rt).routerID == p.key.routerID && r.misses(d, &rt, selected) && r.slots[rt.neighbor].iface.assured()
	})
}

// askNewer asks the neighbor of an unfeasible route for the sequence number
// that makes it feasible.
func (r *Router) askNewer(now time.Time, d *destination, rt *route) {
	s := d.distance(d.originOf(rt).routerID)
	if s == nil {
		return
	}
	n := r.slots[rt.neighbor]
	seqno := s.seqno + 1
	if d.selected != nobody && seqnoLess(rt.seqno, s.seqno) && rt.refmetric < s.metric {
		seqno = s.seqno // others have it
	}
	p := r.pendingRequest(n.key, d, s.routerID, seqno, requestHops)
	if p == nil {
		return
	}
	p.own, p.hopCount = true, requestHops
	switch {
	case !slices.Contains(p.asked, n.slot):
		r.ask(now, p, n)
	case now.Sub(p.sentAt) >= requestTimeout: // it has a way, which it may not have had then
		r.begin(now, p)
		r.sendRequest(now, p, n)
	}
}

// pendingRequest is the request for a source of d at seqno or later, made if need
// be; nil where a limit forbids it.
func (r *Router) pendingRequest(from NeighborKey, d *destination, id RouterID, seqno uint16, hopCount uint8) *request {
	key := requestKey{d.id, id}
	p := r.requests[key]
	switch {
	case p == nil && len(r.requests) >= MaxRequests:
		r.refuse(from, RefusedRequests)
		return nil
	case p == nil:
		p = &request{key: key, seqno: seqno, hopCount: hopCount}
		r.requests[key] = p
		d.requests++
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
	p.asked = append(p.asked, n.slot)
	r.sendRequest(now, p, n)
}

// begin has all resends of a request before it.
func (r *Router) begin(now time.Time, p *request) {
	p.tries, p.next = 0, now.Add(requestTimeout)
	r.timers.arm(p, p.next)
}

// unanswered has the requests that a neighbor was sent go another way now, and what
// it asked for not come back to it: it is gone.
func (r *Router) unanswered(now time.Time, n *neighbor) {
	same := func(slot uint16) bool { return slot == n.slot }
	for _, key := range slices.SortedFunc(maps.Keys(r.requests), requestKey.compare) {
		p := r.requests[key]
		p.requesters = slices.DeleteFunc(p.requesters, same)
		if slices.ContainsFunc(p.asked, same) {
			p.asked = slices.DeleteFunc(p.asked, same)
			p.tries, p.next = 0, now
			r.timers.arm(p, p.next)
		}
	}
}

func (k requestKey) compare(o requestKey) int {
	return cmp.Or(cmp.Compare(k.destination, o.destination), bytes.Compare(k.routerID[:], o.routerID[:]))
}

func (r *Router) sendRequest(now time.Time, p *request, n *neighbor) {
	p.sentAt = now
	key := r.destinations[p.key.destination].ribKey()
	n.queue = append(n.queue, SeqnoRequest{
		Topology: key.Topology, Prefix: key.Prefix, Source: key.Source,
		Seqno: p.seqno, HopCount: p.hopCount, RouterID: p.key.routerID,
	})
}

// due sends a request again, and in the end gives up.
func (p *request) due(r *Router, now time.Time) time.Time {
	d := r.destinations[p.key.destination]
	switch {
	case now.Before(p.next):
		return p.next
	case p.tries >= requestTries && !r.wants(d, p):
		r.dropRequest(p)
		r.forget(d)
		return time.Time{}
	}
	p.tries = min(p.tries+1, requestTries)
	p.next = now.Add(requestTimeout << p.tries)
	r.widen(p)
	for _, slot := range p.asked {
		// Who has taken its route back has none to ask for.
		if rt := d.routeBy(slot); rt != nil && rt.metric != Infinity {
			r.sendRequest(now, p, r.slots[slot])
		}
	}
	return p.next
}

// widen has a request that was not answered go to whom it would go to now, too: who was
// asked first may have lost the way since.
func (r *Router) widen(p *request) {
	d := r.destinations[p.key.destination]
	from := uint16(nobody)
	if len(p.requesters) == 1 {
		from = p.requesters[0]
	}
	if next := r.forwardTo(d, p, from); next != nil && !slices.Contains(p.asked, next.slot) {
		p.asked = append(p.asked, next.slot)
	}
	if !p.own {
		return
	}
	for i := range d.routes {
		rt := &d.routes[i]
		if rt.metric != Infinity && d.originOf(rt).routerID == p.key.routerID && !slices.Contains(p.asked, rt.neighbor) {
			p.asked = append(p.asked, rt.neighbor)
		}
	}
}

func (r *Router) dropRequest(p *request) {
	r.timers.disarm(p)
	delete(r.requests, p.key)
	r.destinations[p.key.destination].requests--
}

// satisfy ends the requests that the selected route of d answers, and passes
// the answer on to those who wait.
func (r *Router) satisfy(now time.Time, d *destination) {
	if d.requests == 0 {
		return
	}
	id, seqno, reachable := r.current(d)
	if rt := d.chosen(); !reachable || rt != nil && rt.is(held) {
		return
	}
	for i := range d.routes {
		r.satisfyOne(now, d, d.originOf(&d.routes[i]).routerID, id, seqno)
	}
	r.satisfyOne(now, d, id, id, seqno)
}

func (r *Router) satisfyOne(now time.Time, d *destination, wanted, id RouterID, seqno uint16) {
	p := r.requests[requestKey{d.id, wanted}]
	if p == nil || wanted == id && seqnoLess(seqno, p.seqno) {
		return
	}
	r.dropRequest(p)
	for _, slot := range p.requesters {
		r.trigger(r.slots[slot].iface, d, now, 1)
	}
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
