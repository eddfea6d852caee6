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
	verdicts
)

var verdictNames = [verdicts]string{"selected", "kept", "own", "dead", "unfeasible", "waiting", "worse"}

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
	d := r.destinations[key]
	if d == nil {
		return e, len(e.Changes) > 0
	}
	e.Originated, e.Held = d.originated, d.holdUntil
	switch {
	case d.originated:
		e.Metric = d.metric
	case d.selected != nil:
		e.Metric = d.selected.metric
	}
	entries := r.entries(d)
	for i, rt := range d.routes {
		e.Candidates = append(e.Candidates, r.candidate(now, rt, entries[i]))
	}
	return e, true
}

func (r *Router) candidate(now time.Time, rt *route, entry RouteEntry) Candidate {
	at := *rt // to look at it changes nothing
	at.smooth(now)
	c := Candidate{RouteEntry: entry, Cost: rt.neighbor.cost, Smoothed: at.smoothed, Verdict: r.verdict(rt)}
	if rt.neighbor.iface.Fabric {
		c.Egress = rt.egress
	}
	key := sourceKey{rt.destination.key, rt.routerID}
	if s := r.sources[key]; s != nil {
		c.Distance = &Distance{s.seqno, s.metric}
	}
	p := r.requests[requestKey(key)]
	c.Requested = p != nil && p.own
	return c
}

// verdict follows choose.
func (r *Router) verdict(rt *route) Verdict {
	d := rt.destination
	switch {
	case d.selected == rt && rt.held:
		return Kept
	case d.selected == rt:
		return Chosen
	case d.originated:
		return OwnFirst
	case rt.metric == Infinity:
		return LinkDead
	case !r.selectable(rt):
		return NotFeasible
	case d.selected != nil && rt.metric < d.selected.metric:
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
	causes
)

var causeNames = [causes]string{
	"unfeasible", "retracted", "expired", "link down", "neighbor silent", "neighbor failed", "egress revoked",
	"announced here", "no longer announced here", "learned", "better metric", "seqno request answered", "other egress",
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

func (c *changes) add(one Change) {
	if len(c.ring) < MaxChanges {
		c.ring = append(c.ring, one)
		return
	}
	c.ring[c.next] = one
	c.next = (c.next + 1) % MaxChanges
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

// note keeps what a selection changed: old was selected before, d.offered is yet as it was.
func (r *Router) note(now time.Time, d *destination, old *route) {
	own := r.cause == CauseOriginated || r.cause == CauseWithdrawn
	if old == d.selected && !own && (old == nil || !old.neighbor.iface.Fabric || old.egress == d.offered.Egress) {
		return
	}
	change := Change{At: now, Key: d.key, Cause: r.causeOf(d, old), From: Way{Metric: Infinity}, To: Way{Metric: Infinity}}
	switch {
	case old != nil:
		change.From = Way{old.neighbor.key, d.offered.Egress, d.offered.Metric}
	case r.cause == CauseWithdrawn:
		change.From = Way{Egress: r.cfg.Self, Metric: d.metric}
	}
	switch {
	case d.originated:
		change.To = Way{Egress: r.cfg.Self, Metric: d.metric}
	case d.selected != nil:
		change.To = Way{d.selected.neighbor.key, d.selected.egress, d.selected.metric}
		if !d.selected.neighbor.iface.Fabric {
			change.To.Egress = r.cfg.Self
		}
	}
	r.changes.add(change)
}

// causeOf is what lost the old route, which r.cause knows, or what the new one has before it.
func (r *Router) causeOf(d *destination, old *route) Cause {
	switch {
	case r.cause == CauseOriginated, r.cause == CauseWithdrawn, old != nil && !r.selectable(old):
		return r.cause
	case r.answer(d) != nil && r.answer(d) == d.selected:
		return CauseAnswered
	case old == nil:
		return CauseLearned
	case old == d.selected:
		return CauseEgress
	}
	return CauseBetter
}
