package discovery

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"re6st/actors/system"
	"re6st/hw/netlink"
	"re6st/hw/sock"
	"re6st/protocols/addr"
	wire "re6st/protocols/discovery"
)

// MaxInterfaces bounds the interfaces on which this node speaks.
const MaxInterfaces = 16

// Config is what the actor works with.
type Config struct {
	Fingerprint [32]byte // of the network's CA
	// Self is what is said at the start; Renewed brings another.
	Self wire.Beacon
	// Interfaces, by name, are those to use; none: all that are fit.
	Interfaces []string
	// Emit is called by the actor's children; it must not block.
	Emit func(Found)

	// Watch reports links and addresses as netlink.Conn.Watch does; nil: the
	// kernel's, in the namespace of the process.
	Watch func(ctx context.Context, report func(netlink.Event)) error
	// Listen joins the group on an interface; nil: the kernel's.
	Listen func(name string) (*sock.Multicast, error)
}

// Found is a node on a LAN of this machine, at a link-local address with its zone.
type Found struct {
	ID       addr.NodeID
	Prefix   addr.Bits
	Static   [32]byte
	Endpoint netip.AddrPort
}

// Message is what the actor takes: Renewed, and what its own pump reports.
//
//sumtype:decl
type Message interface{ lanMessage() }

// Renewed has something else said of this node from now on: it has other keys.
type Renewed struct{ Self wire.Beacon }

type changed struct{ event netlink.Event }

func (Renewed) lanMessage() {}
func (changed) lanMessage() {}

// Snapshot is what the actor publishes: the interfaces that it speaks on, sorted.
type Snapshot struct{ Interfaces []string }

// Spawn starts the actor. A node lives without it.
func Spawn(parent system.Parent, cfg Config) (system.Ref[Message], error) {
	if cfg.Watch == nil {
		cfg.Watch = watchKernel
	}
	if cfg.Listen == nil {
		cfg.Listen = func(name string) (*sock.Multicast, error) { return sock.ListenMulticast(name, wire.Group) }
	}
	self := new(atomic.Pointer[wire.Beacon])
	self.Store(&cfg.Self)
	return system.Spawn(parent, "lan", system.Spec[Message]{
		Kind: "lan", New: func() system.Handler[Message] { return &lan{cfg: cfg, self: self} },
	})
}

func watchKernel(ctx context.Context, report func(netlink.Event)) error {
	conn, err := netlink.Open()
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Watch(ctx, report)
}

// lan knows the interfaces of this machine, and is the parent of the segments.
type lan struct {
	cfg      Config
	self     *atomic.Pointer[wire.Beacon] // outlives the actor and its segments
	ctx      *system.Context[Message]
	key      wire.Key
	links    map[int]netlink.Link
	locals   map[int][]netip.Addr // link-local ones that are usable, by link
	segments map[int]*child       // by link
	spawned  int
	full     bool // there are more than MaxInterfaces
}

// child is a segment, and what of its interface it was made for.
type child struct {
	ref   system.Ref[segmentMessage]
	name  string
	local netip.Addr
}

// Start begins to watch.
func (l *lan) Start(ctx *system.Context[Message]) (err error) {
	l.ctx = ctx
	l.links, l.locals, l.segments = map[int]netlink.Link{}, map[int][]netip.Addr{}, map[int]*child{}
	if l.key, err = wire.NewKey(l.cfg.Fingerprint); err != nil {
		return &system.Fault{Op: "key", Kind: system.BadConfig, Err: err}
	}
	watch := l.cfg.Watch
	ctx.Pump("watch", func(stop context.Context, p *system.Pump[Message]) error {
		err := watch(stop, func(e netlink.Event) { _ = p.Deliver(changed{e}) })
		if stop.Err() != nil {
			return nil
		}
		return err
	}, system.WithTurn())
	ctx.Publish(Snapshot{})
	return nil
}

// Handle takes note of a change, and makes the segments what they are to be.
func (l *lan) Handle(ctx *system.Context[Message], m Message) error {
	if renewed, ok := m.(Renewed); ok {
		l.renewed(renewed.Self)
		return nil
	}
	switch e := m.(changed).event.(type) {
	case netlink.LinkChanged:
		l.links[e.Link.Index] = e.Link
	case netlink.LinkGone:
		delete(l.links, e.Link.Index)
	case netlink.AddrChanged:
		l.address(e.Addr, !e.Addr.Tentative)
	case netlink.AddrGone:
		l.address(e.Addr, false)
	}
	l.reconcile()
	s := Snapshot{}
	for _, c := range l.segments {
		s.Interfaces = append(s.Interfaces, c.name)
	}
	slices.Sort(s.Interfaces)
	ctx.Publish(s)
	return nil
}

func (l *lan) renewed(self wire.Beacon) {
	l.self.Store(&self)
	for _, c := range l.segments {
		c.ref.Tell(renewed{})
	}
}

// Stop has nothing to close: the children stop next.
func (l *lan) Stop(*system.Context[Message]) {}

// address keeps the usable link-local addresses of a link, in order.
func (l *lan) address(a netlink.Addr, usable bool) {
	ip := a.Prefix.Addr()
	if !ip.Is6() || !ip.IsLinkLocalUnicast() {
		return
	}
	locals := slices.DeleteFunc(l.locals[a.Link], func(o netip.Addr) bool { return o == ip })
	if usable {
		locals = append(locals, ip)
	}
	if l.locals[a.Link] = locals; len(locals) == 0 {
		delete(l.locals, a.Link)
	}
}

// fit tells whether this node is to speak on a link.
func (l *lan) fit(link netlink.Link) bool {
	if !link.Running || !link.Multicast || link.Loopback || link.Group == netlink.TunnelGroup || len(l.locals[link.Index]) == 0 {
		return false
	}
	if len(l.cfg.Interfaces) > 0 {
		return slices.Contains(l.cfg.Interfaces, link.Name)
	}
	return link.Master == 0 && !strings.HasPrefix(link.Kind, "tun")
}

// reconcile ends the segments whose interface is not as it was, and begins new ones,
// the interfaces that came first first.
func (l *lan) reconcile() {
	for index, c := range l.segments {
		link := l.links[index]
		if !l.fit(link) || link.Name != c.name || !slices.Contains(l.locals[index], c.local) {
			c.ref.Stop()
			delete(l.segments, index)
		}
	}
	for _, index := range slices.Sorted(maps.Keys(l.links)) {
		link := l.links[index]
		if l.segments[index] != nil || !l.fit(link) {
			continue
		}
		if len(l.segments) >= MaxInterfaces {
			if !l.full {
				l.full = true
				l.ctx.Event("lan", fmt.Sprintf("more than %d interfaces; name those to use in lan_interfaces", MaxInterfaces))
			}
			return
		}
		l.spawn(link, l.locals[index][0])
	}
}

func (l *lan) spawn(link netlink.Link, local netip.Addr) {
	l.spawned++ // the name of one that is still stopping is taken
	ref, err := system.Spawn(l.ctx, fmt.Sprintf("%s.%d", link.Name, l.spawned), system.Spec[segmentMessage]{
		Kind: "segment", New: func() system.Handler[segmentMessage] {
			return &segment{cfg: l.cfg, self: l.self, key: l.key, name: link.Name}
		},
	})
	if err != nil {
		l.ctx.Event("lan", fmt.Sprintf("%s: %s", link.Name, err))
		return
	}
	l.segments[link.Index] = &child{ref, link.Name, local}
}
