package node

import (
	"errors"
	"fmt"

	"re6st/actors/tunnel"
	"re6st/hw/fault"
	"re6st/hw/netlink"
	"re6st/protocols/firsthop"
)

// checkGateways looks at the routers through which peers are to be reached.
func (c Config) checkGateways() error {
	if err := firsthop.Check(c.RemoteGateways); err != nil {
		return fmt.Errorf("%w: remote_gateways: %w", ErrConfig, err)
	}
	if len(c.RemoteGateways) > 0 && *c.Mark == 0 {
		return fmt.Errorf("%w: remote_gateways is given and mark is 0; it needs a mark, by which the kernel tells what carries the mesh", ErrConfig)
	}
	return nil
}

// openGateways makes ready for routes through routers, which a reload may bring. One that is not
// there now may come later; this machine itself will not be its own router.
func (h *host) openGateways(c Config, faults *fault.Table) (err error) {
	if h.bypass == nil {
		return nil
	}
	if h.routers, err = netlink.Open(); err != nil {
		return err
	}
	h.routers.SetFaults(faults)
	h.hosts, err = netlink.NewHostRoutes(h.routers, *c.Mark, uint8(c.RouteProtocol))
	if len(c.RemoteGateways) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: remote_gateways: %w", ErrConfig, err)
	}
	_, unfit, err := h.hosts.Routers(c.RemoteGateways)
	for _, g := range c.RemoteGateways {
		if errors.Is(unfit[g], netlink.ErrOwnAddress) {
			return fmt.Errorf("%w: remote_gateways has %v, an address of this machine itself; the address of a router on one of its links is needed", ErrConfig, g)
		}
	}
	return err
}

// gateways are those of the tunnels; nil: there can be none.
func (h *host) gateways(c Config) *tunnel.Gateways {
	if h.hosts == nil {
		return nil
	}
	return &tunnel.Gateways{Addrs: c.RemoteGateways, Routes: h.hosts}
}

// followGateways has peers go through the routers in force.
func (r *root) followGateways() {
	gateways := r.settings.get().RemoteGateways
	if r.host.hosts == nil {
		if len(gateways) > 0 {
			r.ctx.Event("gateway", "remote_gateways takes a restart here, with the mark")
		}
		return
	}
	r.host.bypass.UseHostRoutes(len(gateways) > 0)
	if err := r.host.bypass.Sync(); err != nil {
		r.ctx.Event("gateway", err.Error())
	}
	r.tunnels.Tell(tunnel.GatewaysWanted{Addrs: gateways})
}
