package node

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"re6st/actors/neighbor"
	"re6st/actors/system"
	"re6st/hw/netlink"
)

// keeper is the actor that keeps the TUN as the node needs it: up, and with the
// node's addresses. Whoever sets it down, or flushes it, takes addresses and routes
// away; both come back, as do the routes by another interface that was down. A TUN that
// is deleted ends the node, by the packet path.
type keeper struct {
	open    func() (*netlink.Conn, error)
	ifindex int
	ranges  []neighbor.Range
	mended  func() // the kernel may have lost routes
}

// keeperMessage is what the keeper takes: nothing.
//
//sumtype:decl
type keeperMessage interface{ keeperMessage() }

func (r *root) spawnKeeper() error {
	if r.host.kernel == nil {
		return nil
	}
	router := r.router
	_, err := system.Spawn(r.ctx, "tun", keeperSpec(keeper{
		open: r.openKernel, ifindex: r.host.ifindex, ranges: r.host.ranges,
		mended: func() { router.Tell(neighbor.KernelLost{}) },
	}))
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

// Handle has nothing to do.
func (k *keeper) Handle(*system.Context[keeperMessage], keeperMessage) error { return nil }

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
		return e.Addr.Link == k.ifindex && slices.ContainsFunc(k.ranges, func(r neighbor.Range) bool { return r.Address == e.Addr.Prefix.Addr() })
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
	return done, nil
}
