package babel

import (
	"fmt"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/rib"
)

// Explanation is why the route to a destination is the one it is.
type Explanation struct {
	rib.Key
	Originated bool        // by this router, at Metric: no neighbor's route counts
	Metric     uint16      // of what is announced; Infinity: nothing is
	Held       time.Time   // lost, and unreachable until then; zero: not lost
	Candidates []Candidate // sorted by neighbor
	Changes    []Change    // those of the last MaxChanges that concern it, the oldest first
}

// Candidate is what one neighbor announces, and what became of it.
type Candidate struct {
	RouteEntry
	Egress    addr.NodeID // zero on an interface of the kernel
	Cost      uint16      // of the link to the neighbor; Infinity: it is dead
	Smoothed  uint16      // the metric of appendix A.3
	Distance  *Distance   // nil: none, so that any metric is feasible
	Requested bool        // a newer sequence number was asked for
	Verdict   Verdict
}

// Distance is a feasibility distance (RFC 8966 section 3.2.5): a route of that source is
// feasible with a newer Seqno, or with the same and a smaller refmetric.
type Distance struct{ Seqno, Metric uint16 }

// Verdict is what the selection made of a candidate.
type Verdict uint8

// The verdicts.
const (
	Chosen      Verdict = iota // it is selected
	Kept                       // it is selected, though its last Update was unfeasible: no loop can come of that
	OwnFirst                   // this router originates the prefix itself
	LinkDead                   // the link to its neighbor costs Infinity, or the sum does
	NotFeasible                // it might lead in a circle
	Waiting                    // its metric is the smallest, its smoothed metric not yet
	Worse                      // its metric is not smaller than the selected one's
	NotEntitled                // its origin may not announce it (Barred)
	NotProven                  // the selected one's origin has proved that it may, its own has not
	verdicts
)

var verdictNames = [verdicts]string{"selected", "kept", "own", "dead", "unfeasible", "waiting", "worse", "barred", "unclaimed"}

// String is the verdict in a word.
func (v Verdict) String() string {
	if v < verdicts {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict %d", uint8(v))
}

// Explain tells why the route to key is the one it is; false where nothing is known of
// it, nor was of late.
func (r *Router) Explain(now time.Time, key rib.Key) (Explanation, bool) {
	e := Explanation{Key: key, Metric: Infinity, Changes: r.changes.of(key)}
	d := r.find(key)
	if d == nil || !d.known() {
		return e, len(e.Changes) > 0
	}
	if e.Originated = d.originated; !d.hidesNone {
		e.Held = d.holdUntil
	}
	switch rt := d.chosen(); {
	case d.originated:
		e.Metric = d.metric
	case rt != nil:
		e.Metric = rt.metric
	}
	entries := r.entries(d)
	for i := range d.routes {
		e.Candidates = append(e.Candidates, r.candidate(now, d, &d.routes[i], entries[i]))
	}
	return e, true
}

func (r *Router) candidate(now time.Time, d *destination, rt *route, entry RouteEntry) Candidate {
	at := *rt // to look at it changes nothing
	at.smooth(r.tick(now))
	n := r.slots[rt.neighbor]
	c := Candidate{RouteEntry: entry, Cost: n.cost, Smoothed: at.smoothed, Verdict: r.verdict(d, rt)}
	o := d.originOf(rt)
	if n.iface.Fabric {
		c.Egress = o.egress
	}
	if s := d.distance(o.routerID); s != nil {
		c.Distance = &Distance{s.seqno, s.metric}
	}
	p := r.requests[requestKey{d.id, o.routerID}]
	c.Requested = p != nil && p.own
	return c
}

// verdict follows choose.
func (r *Router) verdict(d *destination, rt *route) Verdict {
	selected := d.chosen()
	switch {
	case selected == rt && rt.is(held):
		return Kept
	case selected == rt:
		return Chosen
	case d.originated:
		return OwnFirst
	case rt.metric == Infinity:
		return LinkDead
	case rt.standing == Barred:
		return NotEntitled
	case !d.selectable(rt):
		return NotFeasible
	case selected != nil && rt.standing > selected.standing:
		return NotProven
	case selected != nil && rt.metric < selected.metric:
		return Waiting
	}
	return Worse
}

// Change is how the selected route to a destination became another.
type Change struct {
	At       time.Time
	Key      rib.Key
	From, To Way
	Cause    Cause
}

// Way is one end of a Change.
type Way struct {
	Neighbor NeighborKey // zero: this router itself, or nobody where Metric is Infinity
	Egress   addr.NodeID
	Metric   uint16
}

// Cause is why a selected route became another.
type Cause uint8

// The causes. Those of what was selected come first.
const (
	CauseUnfeasible Cause = iota // another source's Update, which might lead in a circle
	CauseRetracted               // its neighbor took it back, or goes by this router now
	CauseExpired                 // its neighbor announced it no more
	CauseLinkDown                // the link to its neighbor died
	CauseSilent                  // its neighbor expired
	CauseFailed                  // its Neighbor did not come back within a second
	CauseRevoked                 // its egress was revoked
	CauseOriginated              // this router announces the prefix itself
	CauseWithdrawn               // this router does so no more
	CauseLearned                 // there was none before
	CauseBetter                  // the other's metric is smaller
	CauseAnswered                // the other answers a seqno request
	CauseEgress                  // the neighbor leads to another egress
	CauseBarred                  // its origin may not announce it
	CauseProven                  // the other's origin has proved that it may announce it
	causes
)

var causeNames = [causes]string{
	"unfeasible", "retracted", "expired", "link down", "neighbor silent", "neighbor failed", "egress revoked",
	"announced here", "no longer announced here", "learned", "better metric", "seqno request answered", "other egress",
	"origin not entitled", "origin proven",
}

// String is the cause in words.
func (c Cause) String() string {
	if c < causes {
		return causeNames[c]
	}
	return fmt.Sprintf("cause %d", uint8(c))
}

// changes are the last MaxChanges of a Router, of all destinations.
type changes struct {
	ring []Change
	next int // the oldest, once the ring is full
}

func (c *changes) add(one Change, limit int) {
	if len(c.ring) < limit {
		c.ring = append(c.ring, one)
		return
	}
	c.ring[c.next] = one
	c.next = (c.next + 1) % limit
}

// of are those of one destination, the oldest first.
func (c *changes) of(key rib.Key) (all []Change) {
	for i := range c.ring {
		if one := c.ring[(c.next+i)%len(c.ring)]; one.Key == key {
			all = append(all, one)
		}
	}
	return all
}

// note keeps what a selection changed: the neighbor in the slot was was selected before,
// with the route old if there still is one, and d.offered is yet as it was.
func (r *Router) note(now time.Time, d *destination, was uint16, old *route) {
	own := r.cause == CauseOriginated || r.cause == CauseWithdrawn
	if was == d.selected && !own && (old == nil || r.egressOf(d, old) == d.offered.egress) {
		return
	}
	change := Change{At: now, Key: d.ribKey(), Cause: r.causeOf(d, was, old), From: Way{Metric: Infinity}, To: Way{Metric: Infinity}}
	switch {
	case was != nobody:
		change.From = Way{r.slots[was].key, d.offered.egress, d.offered.metric}
	case r.cause == CauseWithdrawn:
		change.From = Way{Egress: r.cfg.Self, Metric: d.metric}
	}
	switch rt := d.chosen(); {
	case d.originated:
		change.To = Way{Egress: r.cfg.Self, Metric: d.metric}
	case rt != nil:
		change.To = Way{r.slots[rt.neighbor].key, r.egressOf(d, rt), rt.metric}
	}
	r.changes.add(change, r.cfg.Changes)
}

// causeOf is what lost the old route, which r.cause knows, or what the new one has before it.
func (r *Router) causeOf(d *destination, was uint16, old *route) Cause {
	answer := r.answer(d)
	switch {
	case old != nil && old.standing == Barred:
		return CauseBarred
	case old != nil && d.chosen() != nil && d.chosen().standing < old.standing:
		return CauseProven
	case r.cause == CauseOriginated, r.cause == CauseWithdrawn, was != nobody && (old == nil || !d.selectable(old)):
		return r.cause
	case answer != nil && answer.neighbor == d.selected:
		return CauseAnswered
	case was == nobody:
		return CauseLearned
	case was == d.selected:
		return CauseEgress
	}
	return CauseBetter
}
