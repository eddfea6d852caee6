package babel

import (
	"net/netip"

	"re6st/protocols/addr"
)

// accepts tells whether an Update may be believed as far as one packet shows,
// and counts why not. Whether the route is feasible is the Router's question.
func (n *Neighbor) accepts(u *Update) bool {
	reason, ok := n.judge(u)
	if !ok {
		n.refused[reason]++
	}
	return ok
}

func (n *Neighbor) judge(u *Update) (Reason, bool) {
	if !u.Prefix.IsValid() {
		return 0, true // retracts everything
	}
	if martian(u.Prefix) {
		return RefusedMartian, false
	}
	locator := n.cfg.Locators.IsValid() && n.cfg.Locators.Overlaps(u.Prefix) && u.Prefix.Bits() >= n.cfg.Locators.Bits()
	if !n.cfg.Fabric {
		return RefusedLocator, !locator
	}
	if u.Egress.IsZero() {
		return RefusedEgress, false
	}
	if u.Metric == Infinity {
		return 0, true
	}
	if locator {
		if id, ok := locatorID(n.cfg.Locators, u); !ok || id != u.Egress {
			return RefusedLocator, false
		}
	}
	// Costs are positive: only its origin, or who imported it, can say 0.
	if u.Metric == 0 && u.Egress != n.cfg.Peer {
		return RefusedForeign, false
	}
	return 0, true
}

// locatorID is the node whose locator an Update is about.
func locatorID(locators netip.Prefix, u *Update) (addr.NodeID, bool) {
	if u.Prefix.Bits() != 128 || u.Source.IsValid() {
		return addr.NodeID{}, false
	}
	return addr.NodeIDFromLocator(locators, u.Prefix.Addr())
}

// martian tells whether a prefix must never be routed: link-local, loopback,
// multicast, and the unspecified address.
func martian(p netip.Prefix) bool {
	a := p.Addr()
	switch {
	case a.IsUnspecified():
		return p.IsSingleIP() || a.Is4() && p.Bits() >= 8
	case a.Is4():
		return p.Bits() >= 4 && a.IsMulticast() || p.Bits() >= 8 && a.IsLoopback() || p.Bits() >= 16 && a.IsLinkLocalUnicast()
	}
	return a.IsMulticast() && p.Bits() >= 8 || a.IsLoopback() || a.IsLinkLocalUnicast() && p.Bits() >= 10
}
