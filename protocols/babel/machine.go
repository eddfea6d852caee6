package babel

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand"
	"net/netip"
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/rib"
)

// Config is what a Router is made of.
type Config struct {
	Self     addr.NodeID  // this node: the egress of what it originates or imports
	RouterID RouterID     // stable; a new one where the stored Seqno was lost
	Seqno    uint16       // what the last ReserveSeqno asked to store; any at first
	Locators netip.Prefix // the network's locator range; the zero Prefix without a fabric
	Rand     *rand.Rand   // for jitter; the Router is its only user
	Changes  int          // that are remembered for Explain; 0: MaxChanges
	// Origins judges whether a route comes from who may announce it; nil: all do.
	// Rejudge tells that it would judge otherwise by now.
	Origins func(Announcement) Standing
	// FalseMetric is what is said of the routes of others, to see in tests what a liar gets;
	// 0: their metric.
	FalseMetric uint16
	Epoch       time.Time // when the clock of timestamps was 0; a time of the same clock as now's
}

// Interface describes where Babel is spoken.
type Interface struct {
	Fabric bool // a sealed link to one peer; else an interface of the kernel
	// Link is the fabric link, and Ifindex the kernel's interface: the next hop
	// of what is learned there.
	Link    rib.LinkID
	Ifindex int
	Local   netip.Addr // our link-local address there
	// Local4 is our IPv4 address on a kernel interface; without it IPv4 routes are
	// announced there with Local as next hop (RFC 9229).
	Local4 netip.Addr
	// Multicast sends to the group, and so finds neighbors; else each neighbor
	// gets its own packets.
	Multicast bool
	// PointToPoint leads to one neighbor only: split horizon (section 3.7.4).
	// Fabric links always do.
	PointToPoint bool
	// NoDefault keeps default routes to this router: it would not forward what
	// followed them from there.
	NoDefault bool
	// PlainDefault has neighbors that may not know of sources: see OriginatePlain.
	PlainDefault bool
	// Unicast has Multicast only find neighbors: Hellos go to the group and to each
	// neighbor, all else to each neighbor.
	Unicast bool
	// Timestamps are sent, so that the round trip is measured (RFC 9616).
	Timestamps    bool
	MaxPacket     int            // bytes of Babel that fit; 0 is DefaultPacket
	HelloInterval time.Duration  // 0 is HelloInterval
	OwnHello      bool           // SetHelloInterval leaves it
	Topologies    []rib.Topology // that a fabric link belongs to beside 0
}

// Router owns the tables of RFC 8966 section 3.2: interfaces, neighbors,
// sources, routes, pending requests. What neighbors say comes from their
// Neighbor by Handle.
//
// Not safe for concurrent use.
type Router struct {
	cfg          Config
	seqno        uint16
	reserved     uint16 // the first sequence number that may not be used yet
	interfaces   []*iface
	neighbors    map[NeighborKey]*neighbor
	slots        []*neighbor    // them again: routes name them by their place here
	destinations []*destination // routes and interfaces name them by their place here; nil: free
	free         []uint32       // those places
	plain        map[destKey]uint32
	specific     map[rib.Key]uint32 // those for one source
	order        []*destination     // all of them, sorted by key; nil where that changed
	requests     map[requestKey]*request
	routes       int
	most         int // routes of one neighbor, MaxRoutesPerNeighbor at most
	sources      int // feasibility distances
	timers       timers
	events       []Event
	refused      map[NeighborKey]*[reasons]int
	retracted    bool
	revoked      map[addr.NodeID]bool
	changes      changes
	cause        Cause // of a selected route's loss, as far as the input at hand tells
	now          time.Time
	drained      bool     // nothing came in since
	drifted      batch    // whose metric changed a little since they were told
	worse        batch    // whose selected route became worse
	scratch      []Update // of one flush, until they are sent
	ids          []uint32 // of one flush
	packing      packing
}

// iface is an entry of the interface table (section 3.2.3).
type iface struct {
	Interface
	id         InterfaceID
	neighbors  []*neighbor // sorted
	helloSeqno uint16      // of multicast Hellos
	hellos     int         // sent on schedule
	helloAt    time.Time
	updateAt   time.Time // of the next full update
	dumpedAt   time.Time // of the last one
	fresh      idSet     // destinations of which an update is to be sent
	freshAt    time.Time // when those that are not patient; of no meaning where there is none
	patient    idSet     // those of fresh that can wait
	patientAt  time.Time // until when; of no meaning where there is none
	flying     idSet     // those whose update is to be sent again
	flights    []flight  // in which they are
	repeatAt   time.Time // when the first of these is due
	inFlight   int       // updates sent once that the neighbor may yet acknowledge
	acked      bool      // it did so since it was told all
	opaque     uint16    // of the last AckRequest
	acks       []TLV     // that wait for company, of an assured interface
	acksAt     time.Time // until when; of no meaning where there are none
	poison     idSet     // to be retracted, though the route leads there (see announce)
	sends      map[uint32]uint8
	dumping    []uint32  // what a full update still lacks
	rests      time.Time // no updates before, as there were too many
	credit     float64   // updates that may be sent
	creditAt   time.Time
	queue      []TLV // to all neighbors
}

// neighbor is an entry of the neighbor table (section 3.2.4).
type neighbor struct {
	alarm
	key          NeighborKey
	iface        *iface
	cost, rxcost uint16
	slot         uint16 // its place in Router.slots
	routes       int
	nextHops     map[uint32]netip.Addr // of destinations whose next hop is not the neighbor
	helloSeqno   uint16                // of unicast Hellos
	staleUntil   time.Time
	missed       bool  // the link was dead for a while: ask for what was missed
	queue        []TLV // to this one
	times        TimesHeard
}

// NewRouter is a router without interfaces.
func NewRouter(cfg Config) (*Router, error) {
	if !cfg.RouterID.IsValid() {
		return nil, fmt.Errorf("%w: %s is reserved", ErrRouterID, cfg.RouterID)
	}
	if cfg.Changes <= 0 || cfg.Changes > MaxChanges {
		cfg.Changes = MaxChanges
	}
	r := &Router{
		cfg: cfg, seqno: cfg.Seqno, reserved: cfg.Seqno, most: MaxRoutesPerNeighbor,
		neighbors: map[NeighborKey]*neighbor{},
		plain:     map[destKey]uint32{},
		specific:  map[rib.Key]uint32{},
		requests:  map[requestKey]*request{},
		refused:   map[NeighborKey]*[reasons]int{},
		revoked:   map[addr.NodeID]bool{},
	}
	r.reserve()
	return r, nil
}

// AddInterface begins to speak on an interface: a Hello at once.
func (r *Router) AddInterface(now time.Time, id InterfaceID, cfg Interface) error {
	pos, known := r.findInterface(id)
	switch {
	case known:
		return fmt.Errorf("%w: %d is there already", ErrInterface, id)
	case cfg.Fabric && cfg.Link == 0, !cfg.Fabric && cfg.Ifindex == 0:
		return fmt.Errorf("%w: %d has neither link nor ifindex", ErrInterface, id)
	case !cfg.Local.Is6() || !cfg.Local.IsLinkLocalUnicast() || cfg.Local.Zone() != "":
		return fmt.Errorf("%w: %d: %s is not a link-local address without zone", ErrInterface, id, cfg.Local)
	case cfg.MaxPacket != 0 && (cfg.MaxPacket < MinPacket || cfg.MaxPacket > MaxPacket):
		return fmt.Errorf("%w: %d: packets of %d bytes, want %d to %d", ErrInterface, id, cfg.MaxPacket, MinPacket, MaxPacket)
	case cfg.Timestamps && (cfg.Fabric || r.cfg.Epoch.IsZero()):
		return fmt.Errorf("%w: %d: timestamps need a kernel interface and an epoch", ErrInterface, id)
	}
	if cfg.MaxPacket == 0 {
		cfg.MaxPacket = DefaultPacket
	}
	if cfg.HelloInterval == 0 {
		cfg.HelloInterval = HelloInterval
	}
	cfg.PointToPoint = cfg.PointToPoint || cfg.Fabric
	cfg.Topologies = slices.Clone(cfg.Topologies)
	i := &iface{Interface: cfg, id: id, sends: map[uint32]uint8{}}
	i.helloSeqno = uint16(r.cfg.Rand.Uint32())
	i.helloAt, i.updateAt = now.Add(r.jitter(i.helloInterval())), now.Add(r.jitter(i.updateInterval()))
	r.interfaces = slices.Insert(r.interfaces, pos, i)
	if i.Multicast {
		r.hello(now, i)
	}
	r.finish(now)
	return nil
}

// RemoveInterface drops an interface with its neighbors and their routes.
func (r *Router) RemoveInterface(now time.Time, id InterfaceID) {
	pos, known := r.findInterface(id)
	if !known {
		return
	}
	i := r.interfaces[pos]
	r.interfaces = slices.Delete(r.interfaces, pos, pos+1)
	for _, n := range slices.Clone(i.neighbors) {
		r.dropNeighbor(now, n, CauseLinkDown)
	}
	r.dropUpdates(i)
	r.finish(now)
}

// freeSlot is a place for a neighbor.
func (r *Router) freeSlot() uint16 {
	at := slices.Index(r.slots, nil)
	if at < 0 {
		at = len(r.slots)
		r.slots = append(r.slots, nil)
	}
	return uint16(at)
}

// AddNeighbor begins to speak to a neighbor: a Hello out of turn, an IHU, a
// request for all its routes and a full update go out at once. Its cost is
// Infinity until its Neighbor says otherwise.
func (r *Router) AddNeighbor(now time.Time, key NeighborKey) error {
	pos, known := r.findInterface(key.Interface)
	switch {
	case !known:
		return fmt.Errorf("%w: %s on unknown interface %d", ErrNeighbor, key.Addr, key.Interface)
	case r.neighbors[key] != nil:
		return fmt.Errorf("%w: %s on interface %d is there already", ErrNeighbor, key.Addr, key.Interface)
	case len(r.neighbors) >= MaxNeighbors:
		return fmt.Errorf("%w: no place for neighbor %s, at most %d", ErrFull, key.Addr, MaxNeighbors)
	}
	i := r.interfaces[pos]
	n := &neighbor{key: key, iface: i, cost: Infinity, rxcost: Infinity, slot: r.freeSlot()}
	if i.Fabric {
		// The fabric says that the link lives: a first IHU of Infinity could
		// overtake the one that follows.
		n.rxcost = BaseCost
	}
	n.helloSeqno = uint16(r.cfg.Rand.Uint32())
	r.neighbors[key], r.slots[n.slot] = n, n
	if i.acknowledges() {
		i.dumpedAt = time.Time{} // another one was told all, if any
	}
	at, _ := slices.BinarySearchFunc(i.neighbors, key, func(n *neighbor, k NeighborKey) int { return n.key.Compare(k) })
	i.neighbors = slices.Insert(i.neighbors, at, n)
	r.greet(now, n)
	r.finish(now)
	return nil
}

// RemoveNeighbor drops a neighbor and all its routes.
func (r *Router) RemoveNeighbor(now time.Time, key NeighborKey) {
	if n := r.neighbors[key]; n != nil {
		r.dropNeighbor(now, n, CauseLinkDown)
		r.finish(now)
	}
}

// NeighborStale says that the neighbor's Neighbor failed and is made anew. Its
// routes stay for one second more; a finite CostChanged within that second
// keeps them, and asks the neighbor for what was missed.
func (r *Router) NeighborStale(now time.Time, key NeighborKey) {
	if n := r.neighbors[key]; n != nil {
		n.staleUntil, n.missed = now.Add(staleTime), true
		r.timers.arm(n, n.staleUntil)
	}
}

// due drops a neighbor that stayed stale.
func (n *neighbor) due(r *Router, now time.Time) time.Time {
	if n.staleUntil.IsZero() || now.Before(n.staleUntil) {
		return n.staleUntil
	}
	n.staleUntil = time.Time{}
	r.cause = CauseFailed
	r.setCost(now, n, Infinity, Infinity)
	r.dropAll(now, n)
	return time.Time{}
}

func (r *Router) dropNeighbor(now time.Time, n *neighbor, cause Cause) {
	n.cost, r.cause = Infinity, cause
	r.timers.disarm(n)
	delete(r.neighbors, n.key)
	n.iface.acks = nil
	n.iface.neighbors = slices.DeleteFunc(n.iface.neighbors, func(o *neighbor) bool { return o == n })
	r.dropAll(now, n)
	r.unanswered(now, n)
	r.slots[n.slot] = nil
}

// Handle takes in what the Neighbor of key says.
func (r *Router) Handle(now time.Time, key NeighborKey, event NeighborEvent) {
	n := r.neighbors[key]
	if n == nil {
		r.refuse(key, RefusedNeighbor)
		return
	}
	switch e := event.(type) {
	case Updates:
		for k := range e.Updates {
			r.handleUpdate(now, n, &e.Updates[k])
		}
	case RouteRequested:
		r.handleRouteRequest(now, n, e.RouteRequest)
	case SeqnoRequested:
		r.handleSeqnoRequest(now, n, e.SeqnoRequest)
	case AckRequested:
		n.acknowledge(now, e.AckRequest)
	case Acked:
		r.handleAck(now, n.iface, e.Opaque)
	case CostChanged:
		r.handleCost(now, n, e)
	case TimesHeard:
		n.times = e
	case Expired:
		r.dropNeighbor(now, n, CauseSilent)
	case Refused:
		if e.Reason < reasons {
			r.counts(key)[e.Reason] += e.Count
		}
	}
	r.finish(now)
}

func (r *Router) handleCost(now time.Time, n *neighbor, c CostChanged) {
	r.cause = CauseLinkDown
	if c.Cost == Infinity {
		n.missed = n.missed || n.cost != Infinity
	} else if n.missed {
		n.missed, n.staleUntil = false, time.Time{}
		n.queue = append(n.queue, RouteRequest{})
	}
	r.setCost(now, n, c.Cost, c.Rxcost)
}

// setCost applies the cost of a link to all routes over it, and tells the
// neighbor what receiving from it costs.
func (r *Router) setCost(now time.Time, n *neighbor, cost, rxcost uint16) {
	if rxcost != n.rxcost {
		n.rxcost = rxcost
		n.queue = append(n.queue, r.ihu(n))
	}
	if cost = max(cost, 1); cost == n.cost {
		return
	}
	n.cost = cost
	at := r.tick(now)
	for k, left := 0, n.routes; k < len(r.destinations) && left > 0; k++ {
		d := r.destinations[k]
		if d == nil {
			continue
		}
		if rt := d.routeBy(n.slot); rt != nil {
			r.setMetric(at, rt)
			r.reselect(now, d)
			r.seekLagging(now, d, significant) // less than that would have each wavering round trip ask
			left--
		}
	}
}

// Originate announces a prefix of this node's own, or one it imports by other
// means than Babel, at a metric of 0 to Infinity-1. Calling it again changes the
// metric. Locators go out over fabric links only.
func (r *Router) Originate(now time.Time, key rib.Key, metric uint16) error {
	key.Prefix = key.Prefix.Masked()
	if key.Source = key.Source.Masked(); key.Source.Bits() <= 0 {
		key.Source = netip.Prefix{}
	}
	if !key.Prefix.IsValid() || martian(key.Prefix) || metric == Infinity {
		return fmt.Errorf("%w: %s at metric %d", ErrPrefix, key, metric)
	}
	d := r.destination(key)
	if !d.originated {
		r.cause = CauseOriginated
	}
	d.originated, d.plain, d.metric = true, false, metric
	r.reselect(now, d)
	r.finish(now)
	return nil
}

// OriginatePlain announces the IPv6 default route for packets from everywhere, on
// interfaces with PlainDefault alone: in place of one from some sources, which others
// cannot take (RFC 9079 section 6). It is no other router's
// route, so that the sequence number is this one's. Calling it again changes the metric;
// Withdraw takes it back.
func (r *Router) OriginatePlain(now time.Time, metric uint16) error {
	d := r.destination(rib.Key{Prefix: netip.PrefixFrom(netip.IPv6Unspecified(), 0)})
	if metric == Infinity {
		return fmt.Errorf("%w: %s at metric %d", ErrPrefix, d.ribKey(), metric)
	}
	if !d.originated {
		r.cause = CauseOriginated
	}
	d.originated, d.plain, d.metric = true, true, metric
	r.reselect(now, d)
	r.finish(now)
	return nil
}

// Withdraw takes back what Originate said. A route that a neighbor offers
// takes its place, where it is feasible.
func (r *Router) Withdraw(now time.Time, key rib.Key) {
	if d := r.find(key); d != nil && d.originated {
		d.originated, d.plain, r.cause = false, false, CauseWithdrawn
		r.reselect(now, d)
		r.finish(now)
	}
}

// Disown takes back what an earlier Router of this node, which failed, announced of keys:
// those that this one has no route to. To be called once the neighbors have told theirs.
func (r *Router) Disown(now time.Time, keys []rib.Key) {
	for _, key := range keys {
		d := r.destination(key)
		if _, _, reachable := r.current(d); reachable {
			continue
		}
		for _, i := range r.interfaces {
			r.trigger(i, d, now, retractionSends)
		}
		r.forget(d)
	}
	r.finish(now)
}

// Retract takes back, at shutdown, all that this router ever announced. The
// Router says nothing more after that.
func (r *Router) Retract(now time.Time) {
	for _, i := range r.interfaces {
		r.dropUpdates(i) // or it would follow the retraction
		i.queue = append(i.queue, Update{Metric: Infinity, Interval: i.updateInterval()})
	}
	r.sendAll(now)
	r.retracted = true
}

// HandleTimeout does what is due.
func (r *Router) HandleTimeout(now time.Time) {
	for _, i := range r.interfaces {
		if !now.Before(i.helloAt) {
			r.hello(now, i)
		}
		if !now.Before(i.updateAt) {
			r.dump(now, i)
		}
	}
	r.timers.run(r, now)
	r.tellDrift(now)
	r.seekBetter(now)
	r.finish(now)
}

// NextTimeout is when HandleTimeout wants to be called; false for never.
func (r *Router) NextTimeout() (time.Time, bool) {
	next := r.timers.next()
	for _, t := range [...]time.Time{r.drifted.next(), r.worse.next()} {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, i := range r.interfaces {
		for _, t := range [...]time.Time{i.helloAt, i.updateAt, i.updatesAt(), i.acksDue()} {
			if !t.IsZero() && (next.IsZero() || t.Before(next)) {
				next = t
			}
		}
	}
	return next, !next.IsZero() && !r.retracted
}

// Drain calls do for each event since the last call.
func (r *Router) Drain(do func(Event)) {
	if !r.drained {
		r.sendAll(r.now)
	}
	for _, e := range r.events {
		do(e)
	}
	clear(r.events)
	if r.events = r.events[:0]; cap(r.events) > eventsKept {
		r.events = nil
	}
	if len(r.refused) == 0 {
		return
	}
	for _, k := range slices.SortedFunc(maps.Keys(r.refused), NeighborKey.Compare) {
		for reason, count := range r.refused[k] {
			if count > 0 {
				do(Refused{k, Reason(reason), count})
			}
		}
	}
	clear(r.refused)
}

func (r *Router) emit(e Event) { r.events = append(r.events, e) }

func (r *Router) refuse(key NeighborKey, reason Reason) { r.counts(key)[reason]++ }

func (r *Router) counts(key NeighborKey) *[reasons]int {
	c := r.refused[key]
	if c == nil {
		c = new([reasons]int)
		r.refused[key] = c
	}
	return c
}

// bump raises this router's sequence number by one (section 3.8.1.2).
func (r *Router) bump() {
	r.seqno++
	r.reserve()
}

// reserve keeps at least half a block of sequence numbers in store.
func (r *Router) reserve() {
	if r.reserved-r.seqno < seqnoBlock/2 {
		r.reserved = r.seqno + seqnoBlock
		r.emit(ReserveSeqno{r.reserved})
	}
}

// jitter is a random part of d, at least nine tenths: no two routers keep step,
// and what was promised within d is not late.
func (r *Router) jitter(d time.Duration) time.Duration {
	return d - time.Duration(r.cfg.Rand.Int63n(int64(d)/10+1))
}

func (r *Router) findInterface(id InterfaceID) (int, bool) {
	return slices.BinarySearchFunc(r.interfaces, id, func(i *iface, id InterfaceID) int { return cmp.Compare(i.id, id) })
}
