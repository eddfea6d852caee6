package neighbor

import (
	"context"
	"net/netip"
	"slices"

	"re6st/actors/system"
	"re6st/protocols/rib"
)

// everywhere is the default route's key.
var everywhere = rib.Key{Prefix: netip.PrefixFrom(netip.IPv6Unspecified(), 0)}

// outside tells whether this machine has a way out of the mesh.
type outside struct{ reachable bool }

func (outside) routerMessage() {}

// startGateway watches for this machine's own way out.
func (r *router) startGateway() {
	if r.cfg.Kernel == nil || !r.cfg.Kernel.Gateway {
		return
	}
	watch := r.cfg.Kernel.Outside
	r.ctx.Pump("way out", func(stop context.Context, p *system.Pump[Message]) error {
		err := watch(stop, func(reachable bool) { _ = p.Deliver(outside{reachable}) })
		if stop.Err() != nil {
			return nil
		}
		return err
	})
}

// outside announces the default route, or takes it back.
func (r *router) outside(o outside) error {
	if o.reachable {
		return r.offer(r.ctx.Now(), Offer{rib.OriginStatic, rib.Route{Prefix: everywhere.Prefix, Egress: r.cfg.Self}})
	}
	r.ctx.Event("gateway", "this machine has no IPv6 default route; the mesh's is not announced")
	r.table.Withdraw(rib.OriginStatic, everywhere)
	r.babel.Withdraw(r.ctx.Now(), everywhere)
	return nil
}

// reportGateways tells of the nodes that offer a way out, where they changed.
func (r *router) reportGateways() {
	if r.cfg.SetGateways == nil || r.held {
		return
	}
	if now := r.babel.Egresses(everywhere); !slices.Equal(now, r.gateways) {
		r.gateways = now
		r.cfg.SetGateways(now)
	}
}

// forwardsOut tells whether the kernel sends what comes by a trusted interface, and
// is for nowhere else, out of the mesh or into it.
func (k *Kernel) forwardsOut() bool { return k.DefaultRoute || k.Gateway }
