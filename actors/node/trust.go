package node

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"re6st/hw/ktunnel"
	"re6st/hw/netlink"
	"re6st/protocols/addr"
	"re6st/protocols/inbound"
	kinds "re6st/protocols/ktunnel"
)

// MaxUnderlays is how many prefixes of trusted_underlay there may be.
const MaxUnderlays = 16

// errNoRules is why nothing goes unsealed.
var errNoRules = errors.New("the kernel has no rules for what goes by trusted tunnels: `re6st events` tells why")

// direct has packets of the node's own prefix take trusted tunnels past the TUN, where the
// configuration trusts any.
type direct struct {
	*netlink.Direct
	on atomic.Bool // the rules are there; any goroutine reads it
}

// openDirect takes away what a crashed run left, where nothing is trusted any more.
func (h *host) openDirect(c Config, prefix addr.Bits) error {
	own, err := addr.Subnet(h.ranges[0].Prefix, prefix)
	if err != nil {
		return err
	}
	if h.direct.Direct, err = netlink.NewDirect(h.kernel, uint8(c.RouteProtocol), own, h.ranges[0].Prefix); err != nil {
		return err
	}
	return h.direct.sync(c.trustsAny())
}

func (d *direct) sync(wanted bool) error {
	if d.Direct == nil {
		return nil
	}
	err := d.Sync(wanted)
	d.on.Store(wanted && err == nil)
	return err
}

// syncDirect has the rules as the configuration in force wants them.
func (r *root) syncDirect() {
	if err := r.host.direct.sync(r.settings.get().trustsAny()); err != nil {
		r.ctx.Event("kernel tunnel", "packets stay sealed: "+err.Error())
	}
}

// trust is what this node and one with that prefix may send each other unsealed: of the
// general class alone. Any goroutine calls it.
func (h *host) trust(c Config, prefix, peer addr.Bits) (t ktunnel.Trust, err error) {
	if !h.direct.on.Load() {
		return t, errNoRules
	}
	t.Source, t.Protocol = h.ranges[0].Address, uint8(c.RouteProtocol)
	if t.Own, err = addr.Subnet(h.ranges[0].Prefix, prefix); err != nil {
		return t, err
	}
	t.Peer, err = addr.Subnet(h.ranges[0].Prefix, peer)
	return t, err
}

// trustsAny tells whether packets may go unsealed to anybody.
func (c Config) trustsAny() bool {
	return len(c.TrustedUnderlay) > 0 || slices.ContainsFunc(c.TunnelPeers, func(p TunnelPeer) bool { return p.Trusted })
}

// checkTrust checks what may go unsealed.
func (c Config) checkTrust() error {
	for _, p := range c.TunnelPeers {
		if p.Trusted && !slices.ContainsFunc(p.Tunnels, func(k kinds.Kind) bool { return !k.IsOpenVPN() }) {
			return fmt.Errorf("%w: tunnel_peer %s is trusted and has none of the kernel's tunnels; write { prefix = \"%s\", tunnels = [\"wireguard\"], trusted = true }",
				ErrConfig, p.Prefix.CN(), p.Prefix.CN())
		}
	}
	for _, p := range c.TrustedUnderlay {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			return fmt.Errorf("%w: trusted_underlay has %s; a prefix without bits behind its length is needed, such as 192.0.2.0/24", ErrConfig, p)
		}
	}
	switch {
	case !c.trustsAny():
		return nil
	case c.Inbound != inbound.All:
		return fmt.Errorf("%w: inbound is %q, and what comes by a trusted tunnel passes it by; trust none, or write inbound = \"all\" and use the kernel's filter", ErrConfig, c.Inbound)
	case slices.Contains([]uint32{*c.Mark, netlink.HostTable(*c.Mark)}, netlink.DirectTable(uint8(c.RouteProtocol))):
		return fmt.Errorf("%w: mark is %#x, by which the table of trusted tunnels would be used for what carries the mesh; take another", ErrConfig, *c.Mark)
	}
	return nil
}
