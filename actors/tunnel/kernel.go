package tunnel

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"

	kernel "re6st/hw/ktunnel"
	"re6st/protocols/addr"
	"re6st/protocols/ktunnel"
)

// Kernel is what tunnels of the kernel below links are made with. Its functions are called
// by any goroutine.
type Kernel struct {
	Open  func() (KernelTunnels, error) // for one goroutine; closed by it
	Owner string                        // before the interfaces' names
	Made  *atomic.Uint32                // how many there were: a name does not come back, as sockets may know the old one
	Mark  uint32                        // of the outer packets
	Port  uint16                        // of UDP, at which this node takes what comes by links
	// Private and Public are this process's keys of WireGuard.
	Private, Public [kernel.KeyLen]byte
	TakePort        func() (uint16, error)         // for FOU and WireGuard, one for each link
	GivePort        func(uint16)                   // back
	MTU             func(ifindex int) (int, error) // of the interface by which outer packets leave
	OpenVPN         *OpenVPN                       // nil: it is not offered
	// Trust is what may go unsealed between this node and one with that prefix, in a tunnel that
	// both trust; nil: nothing.
	Trust func(peer addr.Bits) (kernel.Trust, error)
}

// KernelTunnels are those in the kernel: hw/ktunnel's.
type KernelTunnels interface {
	Add(kernel.Spec) error
	Index(name string) (int, error)
	Remove(name string) error
	Sweep(keep ...string) ([]string, error)
	Lead(s kernel.Spec, via netip.Addr) error
	Unlead(kernel.Spec) error
	Carried(name string) (packets, bytes uint64, err error)
	Close()
}

// Wanted are the kinds of tunnels that are offered, best first.
type Wanted struct {
	Kinds []ktunnel.Kind
	Peers map[addr.Bits][]ktunnel.Kind // instead of Kinds, by the peer's prefix
	// Trusted are the peers with which packets go unsealed in a tunnel, Underlay where those are
	// too: both ends' outer addresses lie in one of these prefixes.
	Trusted  map[addr.Bits]bool
	Underlay []netip.Prefix
}

// trusts tells whether packets to a peer may go unsealed, as far as it is for this end to say.
func (w Wanted) trusts(peer addr.Bits, local, remote netip.Addr) bool {
	return w.Trusted[peer] || slices.ContainsFunc(w.Underlay, func(p netip.Prefix) bool { return p.Contains(local) && p.Contains(remote.Unmap()) })
}

func (w Wanted) of(peer addr.Bits) []ktunnel.Kind {
	if kinds, ok := w.Peers[peer]; ok {
		return kinds
	}
	return w.Kinds
}

// sweep removes what an earlier run left in the kernel.
func (m *manager) sweep() {
	k := m.cfg.Kernel
	if k == nil {
		return
	}
	tunnels, err := k.Open()
	if err != nil {
		m.ctx.Event("kernel tunnel", "what an earlier run left is not removed: "+err.Error())
		return
	}
	defer tunnels.Close()
	swept, err := tunnels.Sweep()
	if err != nil {
		m.ctx.Event("kernel tunnel", "not all that an earlier run left is removed: "+err.Error())
	}
	if len(swept) > 0 {
		m.ctx.Event("kernel tunnel", fmt.Sprintf("removed, of an earlier run: %v", swept))
	}
}

// without are the kinds that are not among those that lack.
func without(kinds, lack []ktunnel.Kind) []ktunnel.Kind {
	return slices.DeleteFunc(slices.Clone(kinds), func(k ktunnel.Kind) bool { return slices.Contains(lack, k) })
}
