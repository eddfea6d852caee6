package node

import (
	"context"
	"slices"
	"strings"

	"re6st/actors/system"
	"re6st/actors/tunnel"
	"re6st/hw/netlink"
	"re6st/protocols/fabric"
)

// uplinksSeen is how this machine reaches others; it may be as before.
type uplinksSeen struct{ uplinks []netlink.Uplink }

func (uplinksSeen) rootMessage() {}

// underlay is the actor that watches how this machine reaches others. A node without it
// lives on where it is.
type underlay struct {
	open func() (*netlink.Conn, error)
	seen func([]netlink.Uplink)
}

// underlayMessage is what the underlay takes: nothing.
//
//sumtype:decl
type underlayMessage interface{ underlayMessage() }

func (r *root) spawnUnderlay() error {
	if r.host.kernel == nil {
		return nil
	}
	self := r.ctx.Self()
	u := underlay{open: r.openKernel, seen: func(u []netlink.Uplink) { self.Tell(uplinksSeen{u}) }}
	_, err := system.Spawn(r.ctx, "underlay", system.Spec[underlayMessage]{
		Kind: "underlay", New: func() system.Handler[underlayMessage] { return &u },
	})
	return err
}

// Start watches the kernel, which tells first how everything is.
func (u *underlay) Start(ctx *system.Context[underlayMessage]) error {
	ctx.Pump("watch", func(stop context.Context, _ *system.Pump[underlayMessage]) error {
		conn, err := u.open()
		if err != nil {
			return err
		}
		defer conn.Close()
		err = conn.WatchUplinks(stop, u.seen)
		if stop.Err() != nil {
			return nil
		}
		return err
	}, system.WithTurn())
	return nil
}

// Handle has nothing to do.
func (u *underlay) Handle(*system.Context[underlayMessage], underlayMessage) error { return nil }

// Stop has nothing to close: it is all the pump's.
func (u *underlay) Stop(*system.Context[underlayMessage]) {}

// uplinksSeen has the marked packets follow the default routes, and the links the
// addresses.
func (r *root) uplinksSeen(seen []netlink.Uplink) {
	if r.host.bypass != nil {
		if err := r.host.bypass.Sync(); err != nil {
			r.ctx.Event("underlay", err.Error())
		}
	}
	r.syncDirect() // somebody may have flushed the rules
	ipv4 := r.ipv4.Load()
	seen = slices.DeleteFunc(seen, func(u netlink.Uplink) bool { return r.host.inRange(u.Prefix.Addr()) || ipv4.holds(u.Prefix.Addr()) })
	at, err := endpoints(r.options.Config, r.host, ipv4)
	if err != nil {
		r.ctx.Event("underlay", "addresses of this machine: "+err.Error())
		return
	}
	if r.uplinks != nil && slices.Equal(seen, r.uplinks) && slices.Equal(at, r.endpoints) {
		if len(r.settings.get().RemoteGateways) > 0 {
			r.tunnels.Tell(tunnel.UnderlaySeen{})
		}
		return
	}
	if r.uplinks != nil {
		r.ctx.Event("underlay", "this machine's addresses: "+addresses(seen))
	}
	r.uplinks, r.endpoints = append([]netlink.Uplink{}, seen...), at
	uplinks := make([]fabric.Uplink, len(seen))
	for i, u := range seen {
		uplinks[i] = fabric.Uplink{
			Local: fabric.Local{Addr: u.Prefix.Addr(), Interface: u.Link}, OnLink: u.Prefix.Masked(), Default: u.Default,
		}
	}
	r.tunnels.Tell(tunnel.NetworkChanged{Uplinks: uplinks, Endpoints: at})
	r.lookForGateway()
}

// addresses is for people.
func addresses(uplinks []netlink.Uplink) string {
	var all []string
	for _, u := range uplinks {
		all = append(all, u.Prefix.Addr().String())
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}
