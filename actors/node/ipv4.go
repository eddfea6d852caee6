package node

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"re6st/actors/monitor"
	"re6st/actors/neighbor"
	"re6st/actors/registry"
	"re6st/hw/netlink"
	"re6st/protocols/addr"
	wire "re6st/protocols/registry"
	"re6st/protocols/rib"
)

// ipv4Range is the network's IPv4, as its parameters have it.
type ipv4Range struct {
	prefix netip.Prefix // not valid: it has none
	length int          // of a share
}

func rangeOf(p wire.Params) ipv4Range {
	if !p.IPv4.IsValid() {
		return ipv4Range{}
	}
	return ipv4Range{p.IPv4, p.IPv4Share}
}

// ipv4 is that, and the share of this node. The zero value, and nil, is nothing.
type ipv4 struct {
	ipv4Range
	share netip.Prefix // not valid: it has none
}

// address is this node's own; not valid where it has no share.
func (v *ipv4) address() netip.Addr {
	if v == nil || !v.share.IsValid() {
		return netip.Addr{}
	}
	return addr.ShareAddress(v.share)
}

// holds tells whether an address is of the network's range.
func (v *ipv4) holds(a netip.Addr) bool { return v != nil && v.prefix.Contains(a) }

// ranges is the range in a list.
func (v *ipv4) ranges() []netip.Prefix {
	if v == nil || !v.prefix.IsValid() {
		return nil
	}
	return []netip.Prefix{v.prefix}
}

// isNode tells whether an address to which that route leads is a node's own.
func (v *ipv4) isNode(route netip.Prefix, a netip.Addr) bool {
	return v != nil && addr.InShares(v.prefix, v.length, route) && addr.ShareAddress(route) == a
}

// wantedIPv4 is what the newest parameters and certificate say.
func (n *parts) wantedIPv4() *ipv4 {
	v := &ipv4{ipv4Range: rangeOf(n.parameters.Load().Params)}
	if share := n.identity.newest().Identity.IPv4; addr.InShares(v.prefix, v.length, share) {
		v.share = share
	}
	return v
}

// lacksIPv4 tells whether another certificate would give this node the share that it
// lacks: none was got since the network has its range.
func (n *parts) lacksIPv4() bool {
	v := n.wantedIPv4()
	var asked ipv4Range
	n.identity.change(func(i *identity) { asked = i.asked })
	return v.prefix.IsValid() && !v.share.IsValid() && asked != v.ipv4Range
}

// startIPv4 tells all who need to know; the router is a new one.
func (r *root) startIPv4() error {
	now := r.wantedIPv4()
	r.ipv4.Store(now)
	r.followIPv4(ipv4{}, *now)
	return nil
}

// takeIPv4 has all follow the newest parameters and certificate, and tells whether the
// share is another one.
func (r *root) takeIPv4() bool {
	old, now := r.ipv4.Load(), r.wantedIPv4()
	if *old == *now {
		return false
	}
	r.ipv4.Store(now)
	r.followIPv4(*old, *now)
	if r.lacksIPv4() {
		r.watcher.Tell(registry.CallAgain{})
	}
	if old.share == now.share {
		return false
	}
	text := "this node has no share any more"
	if now.share.IsValid() {
		text = "this node's share is " + now.share.String()
	}
	r.ctx.Event("ipv4", text)
	return true
}

func (r *root) followIPv4(old, now ipv4) {
	r.plane.SetIPv4(now.prefix)
	r.router.Tell(neighbor.IPv4Changed{Range: now.prefix})
	if old.share != now.share {
		if old.share.IsValid() {
			r.router.Tell(neighbor.Withdraw{Origin: rib.OriginLocal, Key: rib.Key{Prefix: old.share}})
		}
		if now.share.IsValid() {
			r.router.Tell(neighbor.Offer{Origin: rib.OriginLocal, Route: rib.Route{Prefix: now.share, Egress: r.member.Identity.ID}})
		}
	}
	if r.keeper != nil {
		r.keeper.Tell(readdress{})
	}
}

// forwardIPv4 has the kernel forward IPv4, once something of it lies behind this machine,
// until the node ends.
func (n *parts) forwardIPv4() error {
	v := n.ipv4.Load()
	if v == nil || !v.prefix.IsValid() || n.host.undo4.Load() != nil || !n.hasIPv4Behind() {
		return nil
	}
	undo, err := netlink.ForwardIPv4(runtimeDir)
	if err != nil {
		return errors.Join(err, undo())
	}
	n.host.undo4.Store(&undo)
	return nil
}

// hasIPv4Behind tells whether the configuration has routers or LANs of IPv4 behind this
// machine.
func (n *parts) hasIPv4Behind() bool {
	c := n.settings.get()
	if len(c.Trusted)+len(c.BabelInterfaces) > 0 {
		return true
	}
	return n.hasIPv4Subnets()
}

func (n *parts) hasIPv4Subnets() bool {
	return slices.ContainsFunc(n.options.Config.Subnets, func(s SubnetConfig) bool { return s.Part.Addr().Is4() })
}

// acceptIPv4 is accept for IPv4, of a peer whose certificate gives it that share.
func (n *parts) acceptIPv4(peer addr.NodeID, share netip.Prefix, src netip.Addr) bool {
	v := n.ipv4.Load()
	switch {
	case v.holds(src):
		return share.Contains(src) || n.origins.maySend(peer, src)
	case v == nil || !v.prefix.IsValid():
		return false
	}
	route, ok := n.view.Load().Lookup(netip.Addr{}, src)
	return ok && route.Prefix.Bits() > 0 && route.Egress == peer || n.origins.maySend(peer, src)
}

// ipv4Status is for `re6st status`; nil: the network has none.
func (n *parts) ipv4Status() (s *monitor.IPv4, notice string) {
	v := n.ipv4.Load()
	if v == nil || !v.prefix.IsValid() {
		return nil, ""
	}
	s = &monitor.IPv4{Range: v.prefix, Share: v.share, Address: v.address()}
	from := n.dividedFrom.Load()
	switch {
	case v.share.IsValid() && from != nil && from.share != v.share && n.hasIPv4Subnets():
		notice = fmt.Sprintf("restart this node to hand out subnets of its share of IPv4, %s", v.share)
	case v.share.IsValid():
	case n.lacksIPv4():
		notice = fmt.Sprintf("this node has no share of the network's IPv4 %s yet; its next certificate brings one", v.prefix)
	default:
		notice = fmt.Sprintf("this node has no share of the network's IPv4 %s: the registry had none left", v.prefix)
	}
	return s, notice
}
