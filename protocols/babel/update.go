package babel

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"re6st/protocols/rib"
)

// pendingUpdate is an update that is to be sent on one interface before the
// next full one.
type pendingUpdate struct {
	at    time.Time
	sends int // how often, unless it is acknowledged before
	sent  int
	// opaque is that of the AckRequest that went with the last one.
	opaque uint16
	// poison: the neighbor behind the interface may still hold what we said
	// before its own route was selected (see announce).
	poison bool
	from   *iface // by which it came, as far as that is known; nil: this router's own
}

// announce sends triggered updates (section 3.7.2) where what the neighbors were
// told of d is no longer true enough.
func (r *Router) announce(now time.Time, d *destination) {
	was, is := d.told, told{}
	is.routerID, _, is.reachable = r.current(d)
	if d.originated {
		is.metric = d.metric
	} else if d.selected != nil {
		is.metric, is.by, is.egress = d.selected.metric, d.selected.neighbor.iface, d.selected.egress
	}
	delay, sends := r.soon(urgentDelay), 1
	switch {
	case !is.reachable && !was.reachable:
		return
	case !is.reachable:
		delay, sends = 0, retractionSends
	case !was.reachable:
	case is.routerID != was.routerID:
		sends = 2
	case is.by != was.by, is.egress != was.egress:
		// The neighbor on the old way could not be told of this route before: it
		// may be waiting for it.
		delay = 0
	case max(is.metric, was.metric)-min(is.metric, was.metric) >= significant:
		delay = r.soon(triggeredDelay)
	default:
		return
	}
	d.told = is
	for _, i := range r.interfaces {
		behind := i.PointToPoint && is.by == i
		if behind && !was.reachable || i.PointToPoint && was.by == i && (behind || !is.reachable) {
			continue // split horizon: it was told nothing, and is told nothing
		}
		r.trigger(i, d.key, now.Add(delay), sends)
		p := i.pending[d.key]
		if p.poison, p.from = behind, is.by; !is.reachable {
			p.from = was.by
		}
	}
}

// soon is a random delay of at most d.
func (r *Router) soon(d time.Duration) time.Duration {
	return time.Duration(r.cfg.Rand.Int63n(int64(d)))
}

// trigger has an update of key sent on an interface at the given time, or
// before, together with others.
func (r *Router) trigger(i *iface, key rib.Key, at time.Time, sends int) {
	p := i.pending[key]
	if p == nil {
		p = &pendingUpdate{at: at}
		i.pending[key] = p
	}
	if p.at, p.sends, p.sent = minTime(p.at, at), max(p.sends, sends), 0; i.acknowledges() {
		p.sends = ackSends
	}
	at = p.at
	if at.Before(i.rests) {
		at = i.rests
	}
	if i.flushAt.IsZero() || at.Before(i.flushAt) {
		i.flushAt = at
	}
}

// flush sends the pending updates of an interface if the first of them is due,
// and with it the others that were not sent yet; then what a full update still lacks.
func (r *Router) flush(now time.Time, i *iface) {
	if i.flushAt.IsZero() || now.Before(i.flushAt) {
		return
	}
	allowed := i.allowance(now)
	// Half is for a full update: routes that flap must not keep the others from being refreshed.
	keys, late := r.due(now, i, allowed-min(len(i.dumping), allowed/2))
	var updates []Update
	for _, key := range keys {
		p := i.pending[key]
		u, ok := r.updateOf(now, i, key, p.poison)
		if p.sent++; !ok || p.sent >= p.sends {
			delete(i.pending, key)
		}
		if ok {
			p.at = now.Add(repeatDelay << (p.sent - 1))
			updates = append(updates, u)
		}
	}
	var full []Update
	for _, key := range i.nextOfDump(allowed - len(updates)) {
		if u, ok := r.updateOf(now, i, key, false); ok && r.destinations[key] != nil {
			full = append(full, u)
		}
	}
	i.credit -= float64(len(updates) + len(full))
	i.flushAt = time.Time{}
	for _, p := range i.pending {
		if i.flushAt.IsZero() || p.at.Before(i.flushAt) {
			i.flushAt = p.at
		}
	}
	if late || len(i.dumping) > 0 {
		i.rests = now.Add(updateGap) // to look at so many takes time
		i.flushAt = i.rests
	}
	groupByRouterID(full)
	i.enqueue(full)
	groupByRouterID(updates)
	for chunk := range slices.Chunk(updates, ackUpdates) {
		i.enqueue(chunk)
		i.requestAck(chunk)
	}
}

// due are the pending updates to send now, n at most; late tells whether there are
// more.
func (r *Router) due(now time.Time, i *iface, n int) (keys []rib.Key, late bool) {
	for _, key := range slices.SortedFunc(maps.Keys(i.pending), rib.Key.Compare) {
		if p := i.pending[key]; p.sent == 0 || !now.Before(p.at) {
			keys = append(keys, key)
		}
	}
	if len(keys) <= n {
		return keys, false
	}
	r.fewestFirst(i, keys)
	return keys[:n], true
}

// acknowledges tells whether there is one neighbor whose Acks say that an
// update arrived (section 3.7.2).
func (i *iface) acknowledges() bool { return i.PointToPoint && !i.Multicast }

// requestAck asks for an Ack of the updates that are in the queue's end.
func (i *iface) requestAck(updates []Update) {
	if !i.acknowledges() {
		return
	}
	i.opaque++
	i.queue = append(i.queue, AckRequest{i.opaque, repeatDelay})
	for _, u := range updates {
		if p := i.pending[u.Key()]; p != nil {
			p.opaque = i.opaque
		}
	}
}

// acked ends the repetition of what an Ack was asked for.
func (i *iface) acked(opaque uint16) {
	maps.DeleteFunc(i.pending, func(_ rib.Key, p *pendingUpdate) bool { return p.sent > 0 && p.opaque == opaque })
}

// groupByRouterID sorts updates so that those of one router-id share its TLV.
func groupByRouterID(updates []Update) {
	slices.SortFunc(updates, func(a, b Update) int {
		return cmp.Or(bytes.Compare(a.RouterID[:], b.RouterID[:]), a.Key().Compare(b.Key()))
	})
}

func (i *iface) enqueue(updates []Update) {
	for _, u := range updates {
		i.queue = append(i.queue, u)
	}
}

// updateOf is what an interface is to be told of key: the current route, or a
// retraction where there is none; false where it must not hear of it. The
// feasibility distance is maintained: the update has to be sent.
func (r *Router) updateOf(now time.Time, i *iface, key rib.Key, poison bool) (Update, bool) {
	u := Update{
		Topology: key.Topology, Prefix: key.Prefix, Source: key.Source, RouterID: r.cfg.RouterID,
		Metric: Infinity, Interval: i.updateInterval(), Egress: r.cfg.Self,
	}
	if !i.belongs(key.Topology) || !i.Fabric && r.isLocator(key) || i.NoDefault && key.Prefix.Bits() == 0 {
		return u, false
	}
	if key.Prefix.Addr().Is4() && !i.Fabric {
		if u.NextHop = i.Local4; !i.Local4.IsValid() {
			return u, false
		}
	}
	d := r.destinations[key]
	switch {
	case d == nil:
		return u, true
	case d.originated:
		u.Seqno, u.Metric = r.seqno, d.metric
	case d.selected == nil:
		return u, true
	case i.PointToPoint && d.selected.neighbor.iface == i: // split horizon (section 3.7.4)
		return u, poison
	default:
		rt := d.selected
		u.RouterID, u.Seqno, u.Metric = rt.routerID, rt.seqno, rt.metric
		if rt.neighbor.iface.Fabric {
			u.Egress = rt.egress
		}
	}
	return u, r.record(now, key, u.RouterID, u.Seqno, u.Metric)
}

func (i *iface) updateInterval() time.Duration { return updateHellos * i.HelloInterval }
