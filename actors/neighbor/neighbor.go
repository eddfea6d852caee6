package neighbor

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"re6st/actors/system"
	"re6st/protocols/babel"
)

// neighbor is one Babel neighbor: it decodes and checks, and hands up structs.
type neighbor struct {
	cfg     babel.NeighborConfig
	key     babel.NeighborKey
	rtt     func() time.Duration // of a link as it is now; nil on an interface of the kernel
	inbox   <-chan packet
	router  system.Ref[Message]
	self    *child // as the router knows this actor
	machine machine
	timer   *system.Timer
}

// machine is what a neighbor drives: babel.Neighbor.
type machine interface {
	HandleReceived(now, received time.Time, from netip.Addr, packet []byte) error
	HandleLink(now time.Time, up bool, rtt time.Duration)
	HandleTimeout(now time.Time)
	NextTimeout() (time.Time, bool)
	Drain(func(babel.NeighborEvent))
	Status() babel.NeighborStatus
}

// newMachine is replaced by tests, with one that fails when they say.
var newMachine = func(cfg babel.NeighborConfig) (machine, error) { return babel.NewNeighbor(cfg) }

// Start begins with a machine that knows nothing: the router keeps the routes.
func (n *neighbor) Start(ctx *system.Context[neighborMessage]) error {
	machine, err := newMachine(n.cfg)
	if err != nil {
		return &system.Fault{Op: "neighbor", Kind: system.BadConfig, Err: err}
	}
	n.machine = machine
	n.timer = ctx.NewTimer(neighborTick{})
	room := make(slots, maxUnderWay)
	ctx.Pump("inbox", func(stop context.Context, p *system.Pump[neighborMessage]) error {
		return n.read(stop, p, room)
	}, system.WithQueue(func() int { return min(len(n.inbox), cap(room)-len(room)) }))
	if n.cfg.Fabric {
		n.machine.HandleLink(ctx.Now(), true, n.rtt())
	}
	n.settle(nil)
	return nil
}

// slots are as many as there may be packets between a neighbor's queue and their end
// in the router: so a router that is behind leaves the others of one neighbor in that
// one's queue, and is not late for the rest.
type slots chan struct{}

// maxUnderWay is how many packets of one neighbor the router may owe an answer.
const maxUnderWay = 8

// release makes room for a packet; the slots may be those of an incarnation that ended.
func (s slots) release() {
	select {
	case <-s:
	default:
	}
}

// read takes packets out of the queue, a few at a time.
func (n *neighbor) read(stop context.Context, p *system.Pump[neighborMessage], room slots) error {
	for {
		select {
		case <-stop.Done():
			return nil
		case room <- struct{}{}:
		}
		select {
		case <-stop.Done():
			return nil
		case packet := <-n.inbox:
			if stop.Err() != nil || p.Deliver(received{packet, room}) != nil {
				return nil
			}
		}
	}
}

// Handle takes one message.
func (n *neighbor) Handle(ctx *system.Context[neighborMessage], m neighborMessage) error {
	now := ctx.Now()
	var taken slots
	switch m := m.(type) {
	case received:
		taken = m.slots
		if err := n.machine.HandleReceived(now, m.at, n.sender(m.packet), m.body); err != nil {
			ctx.Log().Debug("babel packet refused", "error", err)
		}
	case linkRTT:
		n.machine.HandleLink(now, true, m.rtt)
	case neighborTick:
		n.machine.HandleTimeout(now)
	}
	n.settle(taken)
	return nil
}

// sender is who a packet is from: on a link there is one peer only.
func (n *neighbor) sender(p packet) netip.Addr {
	if n.cfg.Fabric {
		return n.cfg.Addr
	}
	return p.from
}

// Stop has nothing to close: it is all the pump's.
func (n *neighbor) Stop(*system.Context[neighborMessage]) {}

// settle hands up what came of a message; of a packet, the router makes room again.
func (n *neighbor) settle(taken slots) {
	var events []babel.NeighborEvent
	n.machine.Drain(func(e babel.NeighborEvent) {
		if updates, ok := e.(babel.Updates); ok { // the machine needs their place for the next
			e = babel.Updates{Updates: slices.Clone(updates.Updates)}
		}
		events = append(events, e)
	})
	if len(events) > 0 {
		n.router.Tell(checked{n.self, n.key, events, n.machine.Status(), taken})
	} else {
		taken.release()
	}
	n.timer.Rearm(n.machine.NextTimeout())
}
