package node

import (
	"crypto/sha256"
	"net/netip"

	"re6st/actors/portmap"
	"re6st/actors/tunnel"
	"re6st/hw/netlink"
	mapping "re6st/protocols/portmap"
)

// labelMapping is hashed with this node's static key to the nonce of its mapping, which
// has to be secret, and the same after a restart.
const labelMapping = "re6st port mapping v1\x00"

// mapped says that a gateway maps the node's port, or does so no more.
type mapped struct{ external netip.AddrPort }

func (mapped) rootMessage() {}

// spawnPortmap has the gateway map the node's port, where the configuration wants it.
func (r *root) spawnPortmap() error {
	if r.host.kernel == nil || !*r.options.Config.PortMapping {
		return nil
	}
	self := r.ctx.Self()
	secret := sha256.Sum256(append([]byte(labelMapping), r.member.StaticPrivate[:]...))
	mapper, err := portmap.Spawn(r.ctx, portmap.Config{
		Port: r.host.conn.LocalAddr().Port(), Nonce: [mapping.NonceLen]byte(secret[:mapping.NonceLen]), Gateway: defaultGateway,
		Emit: func(c portmap.Changed) { self.Tell(mapped{c.External}) },
	})
	r.mapper = &mapper
	return err
}

// defaultGateway is this machine's.
func defaultGateway() (netip.Addr, error) {
	conn, err := netlink.Open()
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	return conn.Gateway()
}

// lookForGateway has the port mapped by another gateway where there is one now.
func (r *root) lookForGateway() {
	if r.mapper != nil {
		r.mapper.Tell(portmap.NetworkChanged{})
	}
}

// remapped tells peers and registry where the world reaches this node.
func (r *root) remapped(m mapped) {
	r.mappedAt.Store(&m.external)
	r.tunnels.Tell(tunnel.PortMapped{Endpoint: m.external})
	if m.external.IsValid() {
		r.ask()
	}
}

// reachedAt are the addresses of this machine, and that at which a gateway maps it.
func (r *root) reachedAt() ([]netip.AddrPort, error) {
	at, err := endpoints(r.options.Config, r.host, r.ipv4.Load())
	if e := r.mappedAt.Load(); e != nil && e.IsValid() {
		at = append([]netip.AddrPort{*e}, at...)
	}
	return at[:min(len(at), MaxEndpoints)], err
}
