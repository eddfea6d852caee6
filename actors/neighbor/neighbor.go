package neighbor

import (
	"context"
	"net/netip"
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
	HandlePacket(now time.Time, from netip.Addr, packet []byte) error
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
	ctx.Pump("inbox", func(stop context.Context, p *system.Pump[neighborMessage]) error {
		for {
			select {
			case <-stop.Done():
				return nil
			case packet := <-n.inbox:
				if p.Deliver(received{packet}) != nil {
					return nil
				}
			}
		}
	})
	if n.cfg.Fabric {
		n.machine.HandleLink(ctx.Now(), true, n.rtt())
	}
	n.settle()
	return nil
}

// Handle takes one message.
func (n *neighbor) Handle(ctx *system.Context[neighborMessage], m neighborMessage) error {
	now := ctx.Now()
	switch m := m.(type) {
	case received:
		if err := n.machine.HandlePacket(now, n.sender(m.packet), m.body); err != nil {
			ctx.Log().Debug("babel packet refused", "error", err)
		}
	case linkRTT:
		n.machine.HandleLink(now, true, m.rtt)
	case neighborTick:
		n.machine.HandleTimeout(now)
	}
	n.settle()
	return nil
}

// sender is who a packet is from: on a link there is one peer only.
func (n *neighbor) sender(p packet) netip.Addr {
	if n.cfg.Fabric {
		return n.cfg.Addr
	}
	return p.from
}

// Stop has nothing to close: the pump has been joined.
func (n *neighbor) Stop(*system.Context[neighborMessage]) {}

func (n *neighbor) settle() {
	var events []babel.NeighborEvent
	n.machine.Drain(func(e babel.NeighborEvent) { events = append(events, e) })
	if len(events) > 0 {
		n.router.Tell(checked{n.self, n.key, events, n.machine.Status()})
	}
	n.timer.Rearm(n.machine.NextTimeout())
}
