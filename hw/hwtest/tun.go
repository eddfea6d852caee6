package hwtest

import (
	"os"
	"slices"
	"sync"

	"re6st/hw/tun"
)

// depth is how many packets wait in any queue of this package.
const depth = 1024

// TUN is a tun.Device of which the test is the kernel.
type TUN struct {
	name    string
	mtu     int
	in, out chan []byte
	closed  chan struct{}
	once    sync.Once
}

// NewTUN makes an open device.
func NewTUN(name string, mtu int) *TUN {
	return &TUN{name: name, mtu: mtu, in: make(chan []byte, depth), out: make(chan []byte, depth), closed: make(chan struct{})}
}

// Inject is a packet that the kernel routes into the device. It waits while the
// queue is full.
func (t *TUN) Inject(packet []byte) {
	select {
	case t.in <- slices.Clone(packet):
	case <-t.closed:
	}
}

// Out is what was written for the kernel to take.
func (t *TUN) Out() <-chan []byte { return t.out }

// Read is as in tun.Device.
func (t *TUN) Read(packet []byte, wait bool) (int, tun.Offload, error) {
	if !wait {
		select {
		case p := <-t.in:
			return copy(packet, p), tun.Offload{}, nil
		default:
			return 0, tun.Offload{}, tun.ErrNothing
		}
	}
	select {
	case p := <-t.in:
		return copy(packet, p), tun.Offload{}, nil
	case <-t.closed:
		return 0, tun.Offload{}, os.ErrClosed
	}
}

// Support is none: packets come and go one by one.
func (t *TUN) Support() tun.Support { return tun.Support{} }

// WriteSuper is as in tun.Device.
func (t *TUN) WriteSuper(tun.Offload, int, [][]byte) error { return tun.ErrOffload }

// Write is as in tun.Device; where nobody reads Out it drops, as a kernel does.
func (t *TUN) Write(packet []byte) (int, error) {
	select {
	case <-t.closed:
		return 0, os.ErrClosed
	default:
	}
	select {
	case t.out <- slices.Clone(packet):
	default:
	}
	return len(packet), nil
}

// Name is as in tun.Device.
func (t *TUN) Name() string { return t.name }

// MTU is as in tun.Device.
func (t *TUN) MTU() int { return t.mtu }

// Close unblocks the reader.
func (t *TUN) Close() error {
	t.once.Do(func() { close(t.closed) })
	return nil
}
