package subnet

import (
	"context"
	"net/netip"
	"time"

	"re6st/actors/system"
	"re6st/hw/netlink"
)

// MaxSubnets bounds the parts of a node's prefix.
const MaxSubnets = 32

// setAgain is how soon an address that somebody took away is set again.
const setAgain = time.Second

// Subnet is a part of the node's prefix.
type Subnet struct {
	Interface string
	Part      netip.Prefix
}

// Router is the node's address in the part: the first, with the part's length. The
// one before it is the anycast address of its routers (RFC 4291 section 2.6.1).
func (s Subnet) Router() netip.Prefix {
	return netip.PrefixFrom(s.Part.Masked().Addr().Next(), s.Part.Bits())
}

// Config is what the actor works with.
type Config struct {
	Subnets []Subnet
	// Protocol marks the addresses.
	Protocol uint8
	// Emit must not block.
	Emit func(Event)
	// Open is a connection to the kernel; nil: in the namespace of the process.
	Open func() (*netlink.Conn, error)
}

// Event is Attached or Detached.
//
//sumtype:decl
type Event interface{ event() }

// Attached says that a part lies behind an interface now.
type Attached struct {
	Part    netip.Prefix
	Ifindex int
}

// Detached says that it does not any more.
type Detached struct{ Part netip.Prefix }

func (Attached) event() {}
func (Detached) event() {}

// Message is what the actor takes: what its own pump reports.
//
//sumtype:decl
type Message interface{ subnetMessage() }

type (
	seen   struct{ event netlink.Event }
	failed struct{ err error }
	again  struct{}
)

func (seen) subnetMessage()   {}
func (failed) subnetMessage() {}
func (again) subnetMessage()  {}

// Spawn starts the actor. A node lives without it.
func Spawn(parent system.Parent, cfg Config) (system.Ref[Message], error) {
	if cfg.Open == nil {
		cfg.Open = netlink.Open
	}
	return system.Spawn(parent, "subnets", system.Spec[Message]{
		Kind: "subnets", New: func() system.Handler[Message] { return &subnets{cfg: cfg} },
	})
}

// subnets knows the interfaces, and decides which addresses they are to have.
type subnets struct {
	cfg      Config
	ctx      *system.Context[Message]
	timer    *system.Timer
	orders   chan order // to the pump
	links    map[int]netlink.Link
	held     map[place]bool // addresses with our number
	set      []time.Time    // by subnet, when its address was set last
	attached []int          // by subnet, the link that was told of; 0: none
}

// place is an address on a link.
type place struct {
	link   int
	prefix netip.Prefix
}

// order has an address set on an interface, or taken away.
type order struct {
	name   string
	prefix netip.Prefix
	set    bool
}

// maxOrders is how many may wait for the kernel; what finds no room is ordered again.
const maxOrders = 2 * MaxSubnets

// Start begins to watch the interfaces.
func (s *subnets) Start(ctx *system.Context[Message]) error {
	s.ctx, s.timer, s.orders = ctx, ctx.NewTimer(again{}), make(chan order, maxOrders)
	s.links, s.held = map[int]netlink.Link{}, map[place]bool{}
	s.set, s.attached = make([]time.Time, len(s.cfg.Subnets)), make([]int, len(s.cfg.Subnets))
	cfg, orders := s.cfg, s.orders
	ctx.Pump("watch", func(stop context.Context, p *system.Pump[Message]) error {
		return with(cfg.Open, func(conn *netlink.Conn) error {
			err := conn.Watch(stop, func(e netlink.Event) { _ = p.Deliver(seen{e}) })
			if stop.Err() != nil {
				return nil
			}
			return err
		})
	}, system.WithTurn())
	ctx.Pump("addresses", func(stop context.Context, p *system.Pump[Message]) error {
		return with(cfg.Open, func(conn *netlink.Conn) error {
			carryOut(stop, conn, cfg.Protocol, orders, func(err error) { p.Offer(failed{err}) })
			return nil
		})
	}, system.WithTurn())
	return nil
}

func with(open func() (*netlink.Conn, error), do func(*netlink.Conn) error) error {
	conn, err := open()
	if err != nil {
		return err
	}
	defer conn.Close()
	return do(conn)
}

// carryOut does what is ordered until stop ends, and then takes away what it set.
func carryOut(stop context.Context, conn *netlink.Conn, protocol uint8, orders <-chan order, failed func(error)) {
	done := map[order]bool{}
	for {
		select {
		case <-stop.Done():
			for o := range done {
				_ = conn.RemoveAddress(o.name, o.prefix) // a link that is gone took it along
			}
			return
		case o := <-orders:
			var err error
			if o.set {
				err = conn.SetPart(o.name, o.prefix, protocol)
				done[o] = true
			} else {
				err = conn.RemoveAddress(o.name, o.prefix)
			}
			if err != nil {
				failed(err)
			}
		}
	}
}

// Handle takes what the kernel says, and makes it what it is to be.
func (s *subnets) Handle(ctx *system.Context[Message], m Message) error {
	switch m := m.(type) {
	case seen:
		s.seen(m.event)
	case failed:
		ctx.Event("subnet", m.err.Error())
	case again:
	}
	s.timer.Stop()
	for i := range s.cfg.Subnets {
		s.reconcile(i)
	}
	return nil
}

// Stop has nothing to close: the pump took the addresses away.
func (s *subnets) Stop(*system.Context[Message]) {}

func (s *subnets) seen(e netlink.Event) {
	switch e := e.(type) {
	case netlink.LinkChanged:
		s.links[e.Link.Index] = e.Link
	case netlink.LinkGone:
		delete(s.links, e.Link.Index)
	case netlink.AddrChanged:
		s.address(e.Addr)
	case netlink.AddrGone:
		delete(s.held, place{e.Addr.Link, e.Addr.Prefix})
	}
}

// address notes one of ours, and has one that an earlier run left taken away.
func (s *subnets) address(a netlink.Addr) {
	if a.Protocol != s.cfg.Protocol {
		return
	}
	link := s.links[a.Link]
	for _, sub := range s.cfg.Subnets {
		if sub.Interface == link.Name && sub.Router() == a.Prefix {
			s.held[place{a.Link, a.Prefix}] = true
			return
		}
	}
	s.order(order{link.Name, a.Prefix, false})
}

// order hands one to the pump; false where it has too many.
func (s *subnets) order(o order) bool {
	select {
	case s.orders <- o:
		return true
	default:
		return false
	}
}

// reconcile attaches or detaches one subnet. An address that went is set again, but
// not as often as somebody may take it away.
func (s *subnets) reconcile(i int) {
	sub, index, now := s.cfg.Subnets[i], 0, s.ctx.Now()
	for _, l := range s.links {
		if l.Name == sub.Interface && l.Up {
			index = l.Index
		}
	}
	if index != 0 && !s.held[place{index, sub.Router()}] {
		if now.Sub(s.set[i]) >= setAgain && s.order(order{sub.Interface, sub.Router(), true}) {
			s.set[i] = now
		}
		s.timer.Rearm(now.Add(setAgain), true)
	}
	if was := s.attached[i]; was != index {
		s.attached[i] = index
		if index == 0 {
			s.cfg.Emit(Detached{sub.Part})
		} else {
			s.cfg.Emit(Attached{sub.Part, index})
		}
	}
}
