package neighbor

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"re6st/actors/system"
	"re6st/protocols/addr"
	"re6st/protocols/babel"
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
	}, system.WithTurn())
}

// outside announces the default route from each source, or takes it back.
func (r *router) outside(o outside) error {
	if !o.reachable {
		r.ctx.Event("gateway", "this machine has no IPv6 default route; the mesh's is not announced")
	}
	for _, source := range r.cfg.Kernel.Sources {
		route := rib.Route{Prefix: everywhere.Prefix, Egress: r.cfg.Self}
		if source.Bits() > 0 {
			route.Source = source
		}
		if o.reachable {
			if err := r.offer(r.ctx.Now(), Offer{rib.OriginStatic, route}); err != nil {
				return err
			}
			continue
		}
		r.table.Withdraw(rib.OriginStatic, route.Key())
		r.babel.Withdraw(r.ctx.Now(), route.Key())
	}
	return nil
}

// reportGateways tells of the nodes that offer a way out, where they changed.
func (r *router) reportGateways() {
	if r.cfg.SetGateways == nil || r.held {
		return
	}
	var now []addr.NodeID
	for _, route := range r.table.View().At(0, everywhere.Prefix) { // for some sources, or for all
		now = append(now, r.babel.Egresses(route.Key())...)
	}
	slices.SortFunc(now, addr.NodeID.Compare)
	if now = slices.Compact(now); !slices.Equal(now, r.gateways) {
		r.gateways = now
		r.cfg.SetGateways(now)
	}
}

// offerPlain keeps the plain default route in step with those that are for some sources,
// and tells whether it changed anything.
func (r *router) offerPlain(now time.Time) bool {
	if r.cfg.Kernel == nil || len(r.cfg.Kernel.PlainDefault) == 0 {
		return false
	}
	was := r.plain
	if r.plain = r.plainMetric(); r.plain == was {
		return false
	}
	if r.plain != babel.Infinity {
		if err := r.babel.OriginatePlain(now, r.plain); err != nil {
			r.ctx.Event("refused", err.Error())
		}
		return true
	}
	if own, ok := r.table.View().Get(everywhere); ok && own.Origin != rib.OriginBabel {
		return false // it has taken its place
	}
	r.babel.Withdraw(now, everywhere)
	return true
}

// plainMetric is that of the best default route for some sources; babel.Infinity where
// there is none, or one for all, which will do.
func (r *router) plainMetric() uint16 {
	best := uint16(babel.Infinity)
	for _, route := range r.table.View().At(0, everywhere.Prefix) {
		switch {
		case route.Unreachable:
		case !route.Source.IsValid():
			return babel.Infinity
		default:
			best = min(best, route.Metric)
		}
	}
	if slices.ContainsFunc(r.babel.Choices(everywhere), func(c babel.RouteEntry) bool { return c.Metric != babel.Infinity }) {
		return babel.Infinity
	}
	return best
}

// forwardsOut tells whether the kernel sends what comes by a trusted interface, and
// is for nowhere else, out of the mesh or into it.
func (k *Kernel) forwardsOut() bool { return k.DefaultRoute || k.Gateway }
