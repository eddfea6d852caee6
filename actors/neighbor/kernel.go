package neighbor

import (
	"context"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"re6st/actors/system"
	"re6st/hw/netlink"
	"re6st/protocols/rib"
)

// storeAgain is how long after a failure the disk or the kernel is tried again.
const storeAgain = 5 * time.Second

// defaultMetric is that of the mesh's default route in the kernel: a default route of
// the machine's own goes first, or the mesh's would catch what carries the mesh.
const defaultMetric = 4096

// startPumps starts what blocks: the kernel's tables and the disk.
func (r *router) startPumps() {
	r.seqnos = make(chan uint16, 1)
	seqnos, persist := r.seqnos, r.cfg.Persist
	r.ctx.Pump("seqno", func(stop context.Context, p *system.Pump[Message]) error {
		return each(stop, seqnos, func(seqno uint16) bool {
			err := p.Work("a write", func() error { return persist(seqno) })
			if err != nil {
				p.Offer(notStored{err})
			}
			return err == nil
		})
	}, system.WithTurn())
	if r.cfg.Kernel == nil {
		return
	}
	r.desired, r.recheck = make(chan desired, 1), new(atomic.Bool)
	wanted, recheck, kernel, locators := r.desired, r.recheck, r.cfg.Kernel, r.cfg.Locators
	r.ctx.Pump("kernel", func(stop context.Context, p *system.Pump[Message]) error {
		return kernel.program(stop, wanted, recheck, locators, p)
	}, system.WithTurn())
}

// desired is what the kernel's routes are made of.
type desired struct {
	view *rib.View
	ipv4 netip.Prefix // the network's; not valid: none
}

// programKernel has the kernel hold what the routes are now.
func (r *router) programKernel() {
	if r.desired != nil && r.view != nil {
		system.Replace(r.desired, desired{r.view, r.kept.ipv4})
	}
}

// restoreKernel has the kernel's routes compared with those wanted. A router that has
// none yet does so with its first.
func (r *router) restoreKernel() {
	if r.desired == nil || r.view == nil {
		return
	}
	r.recheck.Store(true)
	r.programKernel()
}

// program keeps the kernel's routes at what the newest view wants. With the first
// one it removes what a crashed run left; where routes may be lost it looks again.
func (k *Kernel) program(stop context.Context, wanted <-chan desired, recheck *atomic.Bool, locators netip.Prefix, p *system.Pump[Message]) error {
	var held []netlink.Route
	known := false // what the kernel has
	return each(stop, wanted, func(d desired) bool {
		want := k.routes(d, locators)
		again := recheck.Swap(false) || !known
		err := p.Work("the kernel's routes", func() (err error) {
			if again {
				_, err = k.Routes.Reconcile(want)
				return err
			}
			return k.Routes.Apply(changed(held, want), gone(held, want))
		})
		held, known = want, err == nil
		if err != nil {
			p.Offer(kernelFailed{err})
		}
		return err == nil
	})
}

// routes is what the kernel needs of a view: the ranges and all that lies
// outside of them lead into the fabric, the rest to where it says.
func (k *Kernel) routes(d desired, locators netip.Prefix) []netlink.Route {
	var want []netlink.Route
	for _, r := range k.Ranges {
		want = append(want, netlink.Route{Dst: r.Prefix, Link: k.TUN, PrefSrc: r.Address})
	}
	if d.ipv4.IsValid() { // the TUN has one address of IPv4, which the kernel takes by itself
		want = append(want, netlink.Route{Dst: d.ipv4, Link: k.TUN})
	}
	covered := func(p netip.Prefix) bool { return k.covers(p) || holds(d.ipv4, p) }
	for _, r := range d.view.Routes() {
		out := netlink.Route{Dst: r.Prefix, Src: r.Source}
		switch {
		case r.Topology != 0 || locators.Contains(r.Prefix.Addr()) || !r.Unreachable && r.NextHop.IsSelf():
			continue
		case r.Unreachable:
			if covered(r.Prefix) || r.Prefix.Bits() == 0 {
				continue // the packet path answers for it, or the machine has its own
			}
			out.Kind = netlink.Unreachable
		case r.NextHop.Link != 0:
			if covered(r.Prefix) || r.Prefix.Bits() == 0 && !k.DefaultRoute {
				continue
			}
			if r.Prefix.Addr().Is4() && (!d.ipv4.IsValid() || r.Prefix.Bits() == 0) {
				continue // a way out of IPv4 would be for all sources: that is the machine's own
			}
			out.Link = k.TUN
			if r.Prefix.Bits() == 0 {
				out.Metric, out.PrefSrc = defaultMetric, k.addressIn(r.Source)
			}
		default:
			out.Link, out.Via = r.NextHop.Ifindex, r.NextHop.Gateway
			out.OnLink = out.Via.Is4() // whatever the length of our own address there
		}
		want = append(want, out)
	}
	return want
}

// addressIn is this node's address that packets from a source may have, if one is there.
func (k *Kernel) addressIn(source netip.Prefix) netip.Addr {
	for _, r := range k.Ranges {
		if !source.IsValid() || source.Contains(r.Address) {
			return r.Address
		}
	}
	return netip.Addr{}
}

// covers tells whether a prefix lies in a range, which leads into the fabric.
func (k *Kernel) covers(p netip.Prefix) bool {
	return slices.ContainsFunc(k.Ranges, func(r Range) bool { return holds(r.Prefix, p) })
}

func holds(p, inner netip.Prefix) bool { return p.Bits() <= inner.Bits() && p.Contains(inner.Addr()) }

// changed is what of want is not held as it is.
func changed(held, want []netlink.Route) (set []netlink.Route) {
	as := make(map[netlink.Route]bool, len(held))
	for _, r := range held {
		as[r] = true
	}
	for _, r := range want {
		if !as[r] {
			set = append(set, r)
		}
	}
	return set
}

// place is what a kernel has one route for.
type place struct {
	dst, src netip.Prefix
	metric   uint32
}

// gone is what of held has no route in its place any more.
func gone(held, want []netlink.Route) (remove []netlink.Route) {
	taken := make(map[place]bool, len(want))
	for _, r := range want {
		taken[place{r.Dst, r.Src, r.Metric}] = true
	}
	for _, r := range held {
		if !taken[place{r.Dst, r.Src, r.Metric}] {
			remove = append(remove, r)
		}
	}
	return remove
}

// each calls do for what comes, and again later where it fails, until stop ends.
func each[T any](stop context.Context, in <-chan T, do func(T) (done bool)) error {
	again := time.NewTimer(0)
	again.Stop()
	defer again.Stop()
	var v T
	for {
		select {
		case <-stop.Done():
			return nil
		case v = <-in:
		case <-again.C:
		}
		if again.Stop(); !do(v) {
			again.Reset(storeAgain)
		}
	}
}
