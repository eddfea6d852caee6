package node

import (
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"math"
	"sync/atomic"

	"re6st/actors/tunnel"
	kernel "re6st/hw/ktunnel"
	"re6st/protocols/addr"
	"re6st/protocols/ktunnel"
)

// MaxTunnelPeers is how many peers have kinds of tunnels of their own.
const MaxTunnelPeers = 64

// TunnelPeer is a peer with which other kinds of tunnels are made than with the rest.
type TunnelPeer struct {
	Prefix  addr.Bits      `toml:"prefix"` // such as "5/16"
	Tunnels []ktunnel.Kind `toml:"tunnels"`
	// Trusted has what the two nodes send each other go by the tunnel as it is, where the peer
	// says so too.
	Trusted bool `toml:"trusted"`
}

// checkTunnels checks what is about tunnels of the kernel.
func (c Config) checkTunnels() error {
	seen := map[addr.Bits]bool{}
	for _, p := range c.TunnelPeers {
		if p.Prefix.Len() == 0 || seen[p.Prefix] {
			return fmt.Errorf("%w: tunnel_peer: its prefix %q is missing, or there twice; write { prefix = \"5/16\", tunnels = [\"fou\"] }", ErrConfig, p.Prefix.CN())
		}
		seen[p.Prefix] = true
	}
	if last := int(c.TunnelPort) + kernel.MaxPorts - 1; c.TunnelPort != 0 && last > math.MaxUint16 {
		return fmt.Errorf("%w: tunnel_port is %d; it is the first of %d, and so at most %d", ErrConfig, c.TunnelPort, kernel.MaxPorts, math.MaxUint16+1-kernel.MaxPorts)
	}
	if port := int(*c.Port); c.TunnelPort != 0 && port >= int(c.TunnelPort) && port < int(c.TunnelPort)+kernel.MaxPorts {
		return fmt.Errorf("%w: tunnel_port is %d; the node's port %d is one of the %d from there on", ErrConfig, c.TunnelPort, port, kernel.MaxPorts)
	}
	return nil
}

// wantedTunnels are the kinds that are offered, of a configuration that was checked.
func (c Config) wantedTunnels() tunnel.Wanted {
	w := tunnel.Wanted{Kinds: c.Tunnels, Peers: map[addr.Bits][]ktunnel.Kind{}, Trusted: map[addr.Bits]bool{}, Underlay: c.TrustedUnderlay}
	for _, p := range c.TunnelPeers {
		w.Peers[p.Prefix] = p.Tunnels
		if p.Trusted {
			w.Trusted[p.Prefix] = true
		}
	}
	return w
}

// kernelTunnels is what the tunnels below links are made with; nil: there is no kernel. The
// route protocol is this node's alone on its host, and so are the interfaces' names.
func (r *root) kernelTunnels() (*tunnel.Kernel, error) {
	if r.host.kernel == nil {
		return nil, nil
	}
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	c := r.options.Config
	owner, ports := fmt.Sprintf("re%d", c.RouteProtocol), kernel.NewPorts(c.TunnelPort)
	return &tunnel.Kernel{
		Open:  func() (tunnel.KernelTunnels, error) { return kernel.Open(owner) },
		Owner: owner, Made: new(atomic.Uint32), Mark: *c.Mark, Private: [kernel.KeyLen]byte(key.Bytes()), Public: [kernel.KeyLen]byte(key.PublicKey().Bytes()),
		Port: r.host.conn.LocalAddr().Port(), TakePort: ports.Take, GivePort: ports.Give, MTU: kernel.InterfaceMTU,
		OpenVPN: r.openvpn(owner),
		Trust:   func(peer addr.Bits) (kernel.Trust, error) { return r.host.trust(c, r.member.Identity.Prefix, peer) },
	}, nil
}
