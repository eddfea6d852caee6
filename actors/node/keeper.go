package node

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"

	"re6st/actors/neighbor"
	"re6st/actors/system"
	"re6st/hw/netlink"
)

// keeper is the actor that keeps the TUN as the node needs it: up, and with the
// node's addresses, of which that of IPv4 comes and goes. Whoever sets it down, or flushes it, takes addresses and routes
// away; both come back, as do the routes by another interface that was down. A TUN that
// is deleted ends the node, by the packet path.
type keeper struct {
	open    func() (*netlink.Conn, error)
	ifindex int
	ranges  []neighbor.Range
	// ipv4 is the address of IPv4 that is wanted now; not valid, or nil: none.
	ipv4    func() netip.Addr
	had     *lastIPv4    // what the TUN was given of that
	forward func() error // of IPv4, where that is wanted; nil: never
	mended  func()       // the kernel may have lost routes

	wake chan struct{} // to the pump that follows ipv4
}

// lastIPv4 is the address of IPv4 that a TUN was given last; not valid: never one.
type lastIPv4 struct {
	mu      sync.Mutex // guards address, and what is done about it
	address netip.Addr
}

// keeperMessage is what the keeper takes.
//
//sumtype:decl
type keeperMessage interface{ keeperMessage() }

// readdress says that ipv4 has news.
type readdress struct{}

func (readdress) keeperMessage() {}

func (r *root) spawnKeeper() error {
	if r.host.kernel == nil {
		return nil
	}
	router := r.router
	ref, err := system.Spawn(r.ctx, "tun", keeperSpec(keeper{
		open: r.openKernel, ifindex: r.host.ifindex, ranges: r.host.ranges,
		ipv4: func() netip.Addr { return r.ipv4.Load().address() }, had: &r.host.ipv4, forward: r.forwardIPv4,
		mended: func() { router.Tell(neighbor.KernelLost{}) },
	}))
	r.keeper = &ref
	return err
}

// openKernel is for an actor's own use of the kernel's tables.
func (n *parts) openKernel() (*netlink.Conn, error) {
	conn, err := netlink.Open()
	if err == nil {
		conn.SetFaults(n.faults)
	}
	return conn, err
}

func keeperSpec(k keeper) system.Spec[keeperMessage] {
	return system.Spec[keeperMessage]{Kind: "keeper", New: func() system.Handler[keeperMessage] { one := k; return &one }}
}

// Start watches the kernel, which tells first how everything is.
func (k *keeper) Start(ctx *system.Context[keeperMessage]) error {
	k.wake = make(chan struct{}, 1)
	wake := k.wake
	ctx.Pump("addresses", func(stop context.Context, p *system.Pump[keeperMessage]) error {
		return k.follow(stop, wake, p)
	}, system.WithTurn())
	ctx.Pump("watch", func(stop context.Context, _ *system.Pump[keeperMessage]) error {
		conn, err := k.open()
		if err != nil {
			return err
		}
		defer conn.Close()
		return k.watch(stop, conn, func(text string) { ctx.Event("tun", text) })
	}, system.WithTurn())
	return nil
}

// Handle has the address of IPv4 followed.
func (k *keeper) Handle(*system.Context[keeperMessage], keeperMessage) error {
	select {
	case k.wake <- struct{}{}:
	default: // it will look in any case
	}
	return nil
}

// follow makes the TUN as it must be each time that this changes.
func (k *keeper) follow(stop context.Context, wake <-chan struct{}, p *system.Pump[keeperMessage]) error {
	for {
		select {
		case <-stop.Done():
			return nil
		case <-wake:
		}
		err := p.Work("the addresses", func() error {
			conn, err := k.open()
			if err != nil {
				return err
			}
			defer conn.Close()
			done, err := k.mend(conn)
			if done != "" {
				k.mended()
			}
			if err == nil && k.forward != nil {
				err = k.forward()
			}
			return err
		})
		if err != nil {
			return err
		}
	}
}

// Stop has nothing to close: it is all the pump's.
func (k *keeper) Stop(*system.Context[keeperMessage]) {}

// watch mends until stop ends. An error of the kernel ends it too: the next incarnation
// looks at everything anew.
func (k *keeper) watch(stop context.Context, conn *netlink.Conn, say func(string)) error {
	ctx, cancel := context.WithCancelCause(stop)
	defer cancel(nil)
	up := map[int]bool{}
	err := conn.Watch(ctx, func(e netlink.Event) {
		if e, ok := e.(netlink.LinkChanged); ok && e.Link.Index != k.ifindex {
			if was, known := up[e.Link.Index]; known && !was && e.Link.Up {
				k.mended() // the kernel dropped its routes when it went down
			}
			up[e.Link.Index] = e.Link.Up
		}
		if !k.concerns(e) {
			return
		}
		done, err := k.mend(conn)
		if err != nil {
			cancel(err)
		}
		if done != "" {
			say(done)
			k.mended()
		}
	})
	if stop.Err() != nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// concerns tells whether an event may be about a loss.
func (k *keeper) concerns(e netlink.Event) bool {
	switch e := e.(type) {
	case netlink.LinkChanged:
		return e.Link.Index == k.ifindex
	case netlink.AddrGone:
		gone := e.Addr.Prefix.Addr()
		return e.Addr.Link == k.ifindex &&
			(gone == k.wantedIPv4() || slices.ContainsFunc(k.ranges, func(r neighbor.Range) bool { return r.Address == gone }))
	default: // of a TUN that is gone the packet path tells, and ends the node
		return false
	}
}

// mend makes the TUN as it must be, and tells what it had to do. A TUN that is gone is
// no error here.
func (k *keeper) mend(conn *netlink.Conn) (done string, err error) {
	links, err := conn.Links()
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(links, func(l netlink.Link) bool { return l.Index == k.ifindex })
	if at < 0 {
		return "", nil
	}
	name := links[at].Name
	if !links[at].Up {
		if err := conn.SetUp(name, true); err != nil {
			return "", err
		}
		done = name + " was set down; it is up again"
	}
	addrs, err := conn.Addresses()
	if err != nil {
		return done, err
	}
	for i, r := range k.ranges {
		if slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.Link == k.ifindex && a.Prefix.Addr() == r.Address }) {
			continue
		}
		if err := conn.SetAddress(name, netip.PrefixFrom(r.Address, 128), i > 0); err != nil {
			return done, err
		}
		done = cmp.Or(done, name+" had lost an address; it has it again")
	}
	changed, err := k.mendIPv4(conn, name, addrs)
	return cmp.Or(done, changed), err
}

func (k *keeper) wantedIPv4() netip.Addr {
	if k.ipv4 == nil {
		return netip.Addr{}
	}
	return k.ipv4()
}

// mendIPv4 gives the TUN its address of IPv4, and takes away one that it had before.
func (k *keeper) mendIPv4(conn *netlink.Conn, name string, addrs []netlink.Addr) (done string, err error) {
	if k.ipv4 == nil {
		return "", nil
	}
	has := func(wanted netip.Addr) bool {
		return slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.Link == k.ifindex && a.Prefix.Addr() == wanted })
	}
	k.had.mu.Lock() // with the other pump
	defer k.had.mu.Unlock()
	want := k.ipv4()
	if old := k.had.address; old.IsValid() && old != want {
		if err := conn.RemoveAddress(name, netip.PrefixFrom(old, old.BitLen())); err != nil {
			return "", err
		}
		k.had.address = netip.Addr{}
		done = name + " has the address " + old.String() + " no more"
	}
	if !want.IsValid() || has(want) {
		return done, nil
	}
	if err := conn.SetAddress(name, netip.PrefixFrom(want, want.BitLen()), false); err != nil {
		return done, err
	}
	k.had.address = want
	return name + " has the address " + want.String(), nil
}
