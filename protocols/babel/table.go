package babel

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/rib"
)

// A network of a thousand nodes gives each of them tens of thousands of routes, so
// destinations and routes are small: they name each other and neighbors by numbers,
// and times in ticks.

// destination is all that is known of one key: its routes (section 3.2.6), their
// sources (section 3.2.5), which route is selected, and what others were told.
type destination struct {
	alarm
	key        destKey
	source     *netip.Prefix // of source-specific routes; nil: for all
	id         uint32        // its place in Router.destinations
	routes     []route       // one of each neighbor at most, sorted by neighbor
	origins    []origin
	selected   uint16 // the slot of the neighbor whose route is; nobody: none
	requests   uint16 // seqno requests that are pending for it
	waits      uint16 // interfaces that have yet to send, or to repeat, an update of it
	metric     uint16 // if originated
	originated bool   // by this router, at metric
	plain      bool   // on interfaces with PlainDefault only
	hidesNone  bool   // while it is held, as it was lost to a lie: it is not unreachable then
	holdUntil  time.Time
	recheckAt  time.Time // a better route waits for its smoothed metric; zero: none
	offered    offered
	told       told
}

// destKey is a rib.Key without its source.
type destKey struct {
	hi, lo   uint64 // the address, left-aligned
	topology rib.Topology
	bits     uint8
	four     bool
	pad      [5]uint8 //nolint:unused // zero: a key without gaps is hashed at once
}

// nobody is the slot of no neighbor.
const nobody = 0xffff

// offered is what the driver holds of a destination.
type offered struct {
	state  offerState
	by     uint16 // the slot of the neighbor, if it is reachable
	metric uint16
	egress addr.NodeID
}

type offerState uint8

const (
	nothing offerState = iota
	unreachable
	reachable
	stale // the next hop has changed since
)

// told is what the neighbors were told last of a destination.
type told struct {
	reachable bool
	own       bool   // originated by this router
	metric    uint16 // if reachable, as is what follows
	// Of what was retracted, that before.
	by       InterfaceID // that the selected route leaves by
	routerID RouterID
	egress   addr.NodeID
}

// origin is the router-id that an update of it needs; none for a retraction.
func (t *told) origin() (id RouterID) {
	if t.reachable {
		id = t.routerID
	}
	return id
}

// route is an entry of the route table (section 3.2.6): 24 bytes without pointers.
type route struct {
	neighbor   uint16 // its slot
	origin     uint16 // in destination.origins
	seqno      uint16
	refmetric  uint16
	metric     uint16 // refmetric and the cost of the link; Infinity where that is the sum
	smoothed   uint16 // appendix A.3
	interval   uint16 // centiseconds until the next Update, at most
	standing   Standing
	flags      routeFlags
	expires    tick
	smoothedAt tick
}

type routeFlags uint8

const (
	// held marks a selected route whose last Update was unfeasible. It may stay
	// selected (section 3.5.3 lets us ignore that Update): its neighbor's
	// feasibility distance has not grown, so it is still below ours.
	held  routeFlags = 1 << iota
	asked            // an Update was asked for, as none came
)

func (rt *route) is(f routeFlags) bool { return rt.flags&f != 0 }

func (rt *route) mark(f routeFlags, on bool) {
	if rt.flags &^= f; on {
		rt.flags |= f
	}
}

// asksAt is when a selected route is asked for, lest it expires (section 3.8.2.3).
func (rt *route) asksAt() tick {
	return rt.expires - tick((routeExpiry-routeAsk)*float64(getInterval(rt.interval))/float64(tickLen))
}

func compact(k rib.Key) (c destKey) {
	a := k.Prefix.Addr()
	c.topology, c.bits, c.four = k.Topology, uint8(k.Prefix.Bits()), a.Is4()
	if c.four {
		b := a.As4()
		c.hi = uint64(binary.BigEndian.Uint32(b[:])) << 32
		return c
	}
	b := a.As16()
	c.hi, c.lo = binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	return c
}

func (c destKey) prefix() netip.Prefix {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], c.hi)
	if c.four {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(b[:4])), int(c.bits))
	}
	binary.BigEndian.PutUint64(b[8:], c.lo)
	return netip.PrefixFrom(netip.AddrFrom16(b), int(c.bits))
}

// ribKey is the key as others know it.
func (d *destination) ribKey() rib.Key {
	k := rib.Key{Topology: d.key.topology, Prefix: d.key.prefix()}
	if d.source != nil {
		k.Source = *d.source
	}
	return k
}

// compare is rib.Key.Compare.
func (d *destination) compare(o *destination) int {
	if c := cmp.Or(cmp.Compare(d.key.topology, o.key.topology), cmp.Compare(btoi(!d.key.four), btoi(!o.key.four)),
		cmp.Compare(d.key.hi, o.key.hi), cmp.Compare(d.key.lo, o.key.lo), cmp.Compare(d.key.bits, o.key.bits)); c != 0 {
		return c
	}
	return rib.ComparePrefix(d.ribKey().Source, o.ribKey().Source)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// find is the entry of key; nil where there is none.
func (r *Router) find(key rib.Key) *destination {
	var id uint32
	var ok bool
	if key.Source.IsValid() {
		id, ok = r.specific[key]
	} else {
		id, ok = r.plain[compact(key)]
	}
	if !ok {
		return nil
	}
	return r.destinations[id]
}

// destination is the entry of key, made if need be.
func (r *Router) destination(key rib.Key) *destination {
	if d := r.find(key); d != nil {
		return d
	}
	d := &destination{key: compact(key), selected: nobody}
	if n := len(r.free); n > 0 {
		d.id = r.free[n-1]
		r.free = r.free[:n-1]
		r.destinations[d.id] = d
	} else {
		d.id = uint32(len(r.destinations))
		r.destinations = append(r.destinations, d)
	}
	if key.Source.IsValid() {
		d.source = &key.Source
		r.specific[key] = d.id
	} else {
		r.plain[d.key] = d.id
	}
	r.order = nil
	return d
}

// sorted is all destinations in the order of their keys.
func (r *Router) sorted() []*destination {
	if r.order == nil {
		r.order = slices.DeleteFunc(slices.Clone(r.destinations), func(d *destination) bool { return d == nil })
		slices.SortFunc(r.order, (*destination).compare)
	}
	return r.order
}

// known tells whether there is anything to say of a destination.
func (d *destination) known() bool {
	return len(d.routes) > 0 || d.originated || !d.holdUntil.IsZero()
}

// forget drops a destination that nothing is known of any more, and of which
// nobody has to hear.
func (r *Router) forget(d *destination) {
	if d.known() || d.waits > 0 || d.requests > 0 || len(d.origins) > 0 || r.destinations[d.id] != d {
		return
	}
	r.timers.disarm(d)
	r.destinations[d.id] = nil
	r.free = append(r.free, d.id)
	if d.source != nil {
		delete(r.specific, d.ribKey())
	} else {
		delete(r.plain, d.key)
	}
	r.order = nil
}

// routeBy is the route of the neighbor in a slot; nil where there is none. It is
// valid until a route comes or goes.
func (d *destination) routeBy(slot uint16) *route {
	for i := range d.routes {
		if d.routes[i].neighbor == slot {
			return &d.routes[i]
		}
	}
	return nil
}

// chosen is the selected route; nil where there is none.
func (d *destination) chosen() *route {
	if d.selected == nobody {
		return nil
	}
	return d.routeBy(d.selected)
}

// handleUpdate is route acquisition (section 3.5.3).
func (r *Router) handleUpdate(now time.Time, n *neighbor, u *Update) {
	if !u.Prefix.IsValid() {
		r.cause = CauseRetracted
		r.dropAll(now, n)
		return
	}
	if !n.iface.belongs(u.Topology) {
		r.refuse(n.key, RefusedTopology)
		return
	}
	d := r.find(u.Key())
	var rt *route
	if d != nil {
		rt = d.routeBy(n.slot)
	}
	// What comes back to us is no way to anywhere.
	echo := u.RouterID == r.cfg.RouterID || n.iface.Fabric && u.Egress == r.cfg.Self
	gone := n.iface.Fabric && len(r.revoked) > 0 && r.revoked[u.Egress]
	if gone && u.Metric != Infinity {
		r.refuse(n.key, RefusedRevoked)
	}
	if u.Metric == Infinity || echo || gone {
		if r.cause = CauseRetracted; gone && !echo {
			r.cause = CauseRevoked
		}
		if rt != nil {
			r.dropRoute(now, d, n.slot)
		}
		return
	}
	if rt == nil {
		if d, rt = r.newRoute(now, n, u.Key()); rt == nil {
			return
		}
	}
	r.learn(now, d, rt, u)
}

// learn takes in what a neighbor announces of a destination.
func (r *Router) learn(now time.Time, d *destination, rt *route, u *Update) {
	at := r.tick(now)
	rt.interval, rt.expires = putInterval(u.Interval), at+ticks(routeExpiry*float64(u.Interval))
	rt.mark(asked, false)
	r.timers.armAt(d, rt.asksAt().instant())
	feasible := d.feasible(u.RouterID, u.Seqno, u.Metric)
	if feasible && r.unchanged(d, rt, u) {
		return // it was refreshed, no more
	}
	rt.mark(held, !feasible && d.selected == rt.neighbor && d.originOf(rt).routerID == u.RouterID)
	rt.seqno, rt.refmetric = u.Seqno, u.Metric
	d.setOrigin(rt, u.RouterID, u.Egress)
	r.setNextHop(d, rt, u.NextHop)
	r.judge(d, rt)
	r.setMetric(at, rt)
	r.cause = CauseUnfeasible
	r.reselect(now, d)
	if !feasible {
		r.handleUnfeasible(now, d, d.routeBy(rt.neighbor))
	}
}

// unchanged tells whether an Update says of a route what is known.
func (r *Router) unchanged(d *destination, rt *route, u *Update) bool {
	if rt.metric == Infinity || rt.seqno != u.Seqno || rt.refmetric != u.Metric || rt.smoothed != rt.metric || rt.is(held) || rt.standing == Barred {
		return false
	}
	o := &d.origins[rt.origin]
	return o.routerID == u.RouterID && o.egress == u.Egress && (r.slots[rt.neighbor].iface.Fabric || r.nextHop(d, rt) == u.NextHop)
}

// newRoute makes the entry for what a neighbor announces for the first time;
// nil where a limit forbids it.
func (r *Router) newRoute(now time.Time, n *neighbor, key rib.Key) (*destination, *route) {
	switch {
	case n.routes >= r.most:
		r.refuse(n.key, RefusedNeighborRoutes)
		return nil, nil
	case r.routes >= MaxRoutes:
		r.refuse(n.key, RefusedRoutes)
		return nil, nil
	}
	d := r.destination(key)
	if have := len(d.routes); have == cap(d.routes) { // by steps that end where each neighbor has its own
		d.routes = append(make([]route, 0, max(have+1, min(2*have+2, len(r.neighbors)))), d.routes...)
	}
	at := 0
	for at < len(d.routes) && r.slots[d.routes[at].neighbor].key.Compare(n.key) < 0 {
		at++
	}
	d.routes = slices.Insert(d.routes, at, route{neighbor: n.slot, origin: noOrigin, metric: Infinity, smoothedAt: r.tick(now)})
	n.routes++
	r.routes++
	return d, &d.routes[at]
}

// dropRoute removes the route of a neighbor: retracted, expired, or the neighbor
// is gone.
func (r *Router) dropRoute(now time.Time, d *destination, slot uint16) {
	r.removeRoute(d, slot)
	r.reselect(now, d)
}

func (r *Router) removeRoute(d *destination, slot uint16) {
	rt := d.routeBy(slot)
	r.setNextHop(d, rt, netip.Addr{})
	d.routes = slices.DeleteFunc(d.routes, func(o route) bool { return o.neighbor == slot })
	if len(d.routes) == 0 {
		d.routes = nil
	}
	d.releaseOrigins()
	r.slots[slot].routes--
	r.routes--
}

// dropAll removes all routes of a neighbor.
func (r *Router) dropAll(now time.Time, n *neighbor) {
	for i := 0; i < len(r.destinations) && n.routes > 0; i++ {
		if d := r.destinations[i]; d != nil && d.routeBy(n.slot) != nil {
			r.dropRoute(now, d, n.slot)
		}
	}
}

// nextHop is where a route leads on a kernel interface: to its neighbor, where that
// did not name another router.
func (r *Router) nextHop(d *destination, rt *route) netip.Addr {
	n := r.slots[rt.neighbor]
	if len(n.nextHops) > 0 {
		if hop, ok := n.nextHops[d.id]; ok {
			return hop
		}
	}
	return n.key.Addr
}

// setNextHop keeps a next hop that is not the neighbor itself.
func (r *Router) setNextHop(d *destination, rt *route, hop netip.Addr) {
	n := r.slots[rt.neighbor]
	if !hop.IsValid() || n.iface.Fabric {
		hop = n.key.Addr
	}
	if hop == r.nextHop(d, rt) {
		return
	}
	if d.offered.state == reachable && d.offered.by == rt.neighbor {
		d.offered.state = stale
	}
	switch {
	case hop == n.key.Addr:
		delete(n.nextHops, d.id)
	case n.nextHops == nil:
		n.nextHops = map[uint32]netip.Addr{d.id: hop}
	default:
		n.nextHops[d.id] = hop
	}
}

// belongs tells whether routes of a topology may pass an interface.
func (i *iface) belongs(t rib.Topology) bool {
	return t == 0 || i.Fabric && slices.Contains(i.Topologies, t)
}

// isLocator tells whether a destination lies in the locator range.
func (r *Router) isLocator(d *destination) bool {
	l := r.cfg.Locators
	return l.IsValid() && int(d.key.bits) >= l.Bits() && l.Overlaps(d.key.prefix())
}
