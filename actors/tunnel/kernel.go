package tunnel

import (
	"fmt"
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
	// Private and Public are this process's keys of WireGuard.
	Private, Public [kernel.KeyLen]byte
	TakePort        func() (uint16, error)         // for FOU and WireGuard, one for each link
	GivePort        func(uint16)                   // back
	MTU             func(ifindex int) (int, error) // of the interface by which outer packets leave
	OpenVPN         *OpenVPN                       // nil: it is not offered
}

// KernelTunnels are those in the kernel: hw/ktunnel's.
type KernelTunnels interface {
	Add(kernel.Spec) error
	Index(name string) (int, error)
	Remove(name string) error
	Sweep(keep ...string) ([]string, error)
	Close()
}

// Wanted are the kinds of tunnels that are offered, best first.
type Wanted struct {
	Kinds []ktunnel.Kind
	Peers map[addr.Bits][]ktunnel.Kind // instead of Kinds, by the peer's prefix
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
