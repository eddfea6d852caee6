package babel

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"re6st/protocols/addr"
)

// NeighborConfig tells a Neighbor who it is about.
type NeighborConfig struct {
	Addr     netip.Addr   // the neighbor's link-local address
	Local    netip.Addr   // ours on that interface
	Fabric   bool         // the interface is a fabric link
	Peer     addr.NodeID  // the node at the other end of a fabric link
	Locators netip.Prefix // the network's locator range
	Cost     LinkCost     // how the links of a kernel interface are judged
	Epoch    time.Time    // as the Router's
}

// Neighbor is what is known of one neighbor on one interface: what was heard of
// its Hellos and IHUs, and so the cost of the link. It decodes and checks the
// neighbor's packets. On a fabric link the fabric knows better than Hellos
// whether the link lives: see HandleLink.
//
// Not safe for concurrent use.
type Neighbor struct {
	cfg                NeighborConfig
	multicast, unicast history
	txcost             uint16
	ihuDeadline        time.Time // when txcost becomes Infinity; zero: never
	link               uint16    // cost of a fabric link as the fabric knows it
	rtt                roundTrip
	cost, rxcost       uint16 // as reported last
	expired            bool
	until              time.Time // a first scheduled Hello has to come; zero: nothing was heard, or it came
	refused            [reasons]int
	events             []NeighborEvent
	updates            []Update // of these events
}

// NewNeighbor is a neighbor of which nothing was heard: its cost is Infinity
// without an event that says so.
func NewNeighbor(cfg NeighborConfig) (*Neighbor, error) {
	switch {
	case !cfg.Addr.IsLinkLocalUnicast() || cfg.Addr.Zone() != "" || cfg.Addr.Is4():
		return nil, fmt.Errorf("%w: %s; give its IPv6 link-local address without zone", ErrNeighbor, cfg.Addr)
	case cfg.Fabric && cfg.Peer.IsZero():
		return nil, fmt.Errorf("%w: %s on a fabric link needs the peer's node id", ErrNeighbor, cfg.Addr)
	}
	var err error
	if cfg.Cost, err = cfg.Cost.withDefaults(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNeighbor, cfg.Addr, err)
	}
	if cfg.Cost.MeasuresRTT() && cfg.Epoch.IsZero() {
		return nil, fmt.Errorf("%w: %s: to measure the round trip takes an epoch", ErrNeighbor, cfg.Addr)
	}
	n := &Neighbor{cfg: cfg, txcost: Infinity, link: Infinity, cost: Infinity, rxcost: Infinity}
	if cfg.Fabric {
		n.txcost = BaseCost // the fabric sees both directions; an IHU can only take it away
	}
	return n, nil
}

// HandlePacket takes in a packet. The error, ErrPacket or ErrFrom, is for the
// log: the packet is counted as refused and left no other trace.
func (n *Neighbor) HandlePacket(now time.Time, from netip.Addr, packet []byte) error {
	return n.HandleReceived(now, now, from, packet)
}

// HandleReceived is HandlePacket of a packet that came some time ago, and waited: the
// round trip is measured by when it came.
func (n *Neighbor) HandleReceived(now, received time.Time, from netip.Addr, packet []byte) error {
	if from.WithZone("") != n.cfg.Addr {
		n.refused[RefusedPacket]++
		return fmt.Errorf("%w: from %s, want %s", ErrFrom, from, n.cfg.Addr)
	}
	if !n.cfg.Fabric && !n.promised() && n.until.IsZero() {
		n.until = now.Add(firstHello)
	}
	d, err := newDecoder(packet, n.cfg.Addr, n.cfg.Fabric)
	if err != nil {
		n.refused[RefusedPacket]++
		return err
	}
	var hello Hello
	var ihu IHU
	first := len(n.updates)
	for d.next() {
		if d.typ == typeUpdate { // of which there are many
			n.handleUpdate(d.update(d.value))
			continue
		}
		t, ok := d.tlv(d.typ, d.value)
		if !ok {
			n.refused[RefusedTLV]++
		}
		switch t := t.(type) {
		case AckRequest:
			n.events = append(n.events, AckRequested{t})
		case Ack:
			n.events = append(n.events, Acked{t})
		case Hello:
			n.handleHello(now, t)
			if t.Sent != 0 {
				hello = t
			}
		case IHU:
			if n.handleIHU(now, t); n.isFor(t) {
				ihu = t
			}
		case RouteRequest:
			n.events = append(n.events, RouteRequested{t})
		case SeqnoRequest:
			n.events = append(n.events, SeqnoRequested{t})
		}
	}
	n.handleTimes(received, hello, ihu)
	// The cost first: what the Updates lead to depends on it.
	n.evaluate()
	if len(n.updates) > first {
		n.events = append(n.events, Updates{slices.Clip(n.updates[first:])})
	}
	return nil
}

// handleUpdate keeps an Update that may be believed. One that may not takes the place of
// what the neighbor announced before all the same: as a retraction.
func (n *Neighbor) handleUpdate(u Update, ok bool) {
	if !ok {
		n.refused[RefusedTLV]++
		return
	}
	if !n.accepts(&u) {
		u.Metric, u.RouterID = Infinity, RouterID{}
	}
	n.updates = append(n.updates, u)
}

func (n *Neighbor) handleHello(now time.Time, h Hello) {
	if n.cfg.Fabric {
		return
	}
	n.expired = false
	if h.Unicast {
		n.unicast.hello(now, h)
	} else {
		n.multicast.hello(now, h)
	}
	if n.promised() {
		n.until = time.Time{}
	}
}

// promised tells whether the neighbor ever said when its next Hello comes.
func (n *Neighbor) promised() bool { return n.multicast.interval+n.unicast.interval > 0 }

// overdue tells whether nothing, or no promise, was heard of the neighbor for too long.
func (n *Neighbor) overdue(now time.Time) bool {
	if n.promised() {
		return !n.multicast.live() && !n.unicast.live()
	}
	return !n.until.IsZero() && !now.Before(n.until)
}

func (n *Neighbor) handleIHU(now time.Time, ihu IHU) {
	if !n.isFor(ihu) {
		return
	}
	n.txcost = ihu.Rxcost
	n.ihuDeadline = now.Add(time.Duration(ihuHold * float64(ihu.Interval)))
}

// isFor tells whether an IHU is for this node.
func (n *Neighbor) isFor(ihu IHU) bool {
	return !ihu.Address.IsValid() || ihu.Address == n.cfg.Local
}

// HandleLink says whether a fabric link lives, and its round trip time.
func (n *Neighbor) HandleLink(now time.Time, up bool, rtt time.Duration) {
	if !n.cfg.Fabric {
		return
	}
	if !up {
		n.link, n.txcost, n.ihuDeadline = Infinity, BaseCost, time.Time{}
	} else if cost := linkCost(rtt); n.link == Infinity || differs(cost, n.link) {
		n.link = cost
	}
	n.evaluate()
}

// linkCost is 1 for each millisecond of the round trip, up to maxRTTCost.
func linkCost(rtt time.Duration) uint16 {
	return BaseCost + uint16(min(max(0, rtt/time.Millisecond), maxRTTCost))
}

// differs keeps small changes of the delay out of the metric: it has to change
// by a quarter, and by 10 ms at least.
func differs(a, b uint16) bool {
	d := max(a, b) - min(a, b)
	return d >= 10 && d >= (b-BaseCost)/4
}

// HandleTimeout does what is due.
func (n *Neighbor) HandleTimeout(now time.Time) {
	n.multicast.timeout(now)
	n.unicast.timeout(now)
	if !n.ihuDeadline.IsZero() && !now.Before(n.ihuDeadline) {
		n.ihuDeadline = time.Time{}
		if n.txcost = Infinity; n.cfg.Fabric {
			n.txcost = BaseCost
		}
	}
	n.rtt.timeout(now)
	n.evaluate()
	if !n.cfg.Fabric && !n.expired && n.overdue(now) {
		n.expired, n.until = true, time.Time{}
		n.events = append(n.events, Expired{})
	}
}

// NextTimeout is when HandleTimeout wants to be called; false for never.
func (n *Neighbor) NextTimeout() (time.Time, bool) {
	var next time.Time
	for _, t := range []time.Time{n.multicast.deadline, n.unicast.deadline, n.ihuDeadline, n.rtt.expires, n.until} {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next, !next.IsZero()
}

// evaluate computes the cost of the link and tells where it changed.
func (n *Neighbor) evaluate() {
	var rxcost uint16
	cost := uint16(Infinity)
	switch {
	case n.cfg.Fabric:
		if rxcost = n.link; n.txcost != Infinity {
			cost = n.link
		}
	default:
		rxcost = n.cfg.Cost.rxcost(&n.multicast, &n.unicast)
		if cost = n.cfg.Cost.cost(n.txcost, rxcost); cost != Infinity {
			cost = uint16(min(uint32(cost)+uint32(n.rtt.penalty), Infinity-1))
		}
	}
	if cost != n.cost || rxcost != n.rxcost {
		n.cost, n.rxcost = cost, rxcost
		n.events = append(n.events, CostChanged{cost, rxcost})
	}
}

// Drain calls do for each event since the last call.
func (n *Neighbor) Drain(do func(NeighborEvent)) {
	for _, e := range n.events {
		do(e)
	}
	clear(n.events)
	n.events, n.updates = n.events[:0], n.updates[:0]
	if cap(n.updates) > tlvsKept {
		n.updates = nil
	}
	for reason, count := range n.refused {
		if count > 0 {
			do(Refused{Reason: Reason(reason), Count: count})
		}
	}
	n.refused = [reasons]int{}
}

// NeighborStatus is what a Neighbor knows, in the words of RFC 9046.
type NeighborStatus struct {
	MulticastHistory, UnicastHistory uint16 // the latest Hello is the highest bit
	Txcost, Rxcost, Cost             uint16
	RTT                              time.Duration // smoothed, of a kernel interface; 0: not known
	RTTPenalty                       uint16        // of it, in Cost
}

// Status is for the operator.
func (n *Neighbor) Status() NeighborStatus {
	return NeighborStatus{n.multicast.vector, n.unicast.vector, n.txcost, n.rxcost, n.cost, n.rtt.smoothed, n.rtt.penalty}
}
