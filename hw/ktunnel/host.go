package ktunnel

import (
	"errors"
	"fmt"
	"net"
	"sync"

	vnl "github.com/vishvananda/netlink"
)

// MaxPorts is how many UDP ports tunnels have from the first one on, where that is given.
const MaxPorts = 64

// ErrPorts says that all are taken.
var ErrPorts = errors.New("ktunnel: no UDP port is left")

// Ports are the UDP ports of this process's FOU and WireGuard tunnels, of which each has
// one of its own. Safe for concurrent use.
type Ports struct {
	first uint16
	mu    sync.Mutex
	taken map[uint16]bool
}

// NewPorts has MaxPorts ports from first on; 0: whichever are free.
func NewPorts(first uint16) *Ports { return &Ports{first: first, taken: map[uint16]bool{}} }

// Take gives a port, until it is given back. It fails with ErrPorts.
func (p *Ports) Take() (uint16, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range uint16(MaxPorts) {
		port := p.first + i
		if p.first == 0 {
			var err error
			if port, err = freePort(); err != nil {
				return 0, err
			}
		}
		if port != 0 && !p.taken[port] {
			p.taken[port] = true
			return port, nil
		}
	}
	return 0, fmt.Errorf("%w: %d from %d on", ErrPorts, MaxPorts, p.first)
}

// Give takes a port back.
func (p *Ports) Give(port uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taken, port)
}

// freePort is one that nobody uses now.
func freePort() (uint16, error) {
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		return 0, fmt.Errorf("ktunnel: a free UDP port: %w", err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port(), nil
}

// InterfaceMTU is that of the interface by which outer packets leave, in bytes.
func InterfaceMTU(index int) (int, error) {
	i, err := net.InterfaceByIndex(index)
	if err != nil {
		return 0, fmt.Errorf("ktunnel: MTU of interface %d: %w", index, err)
	}
	return i.MTU, nil
}

// Index is the interface's of a tunnel of ours; 0: it is not there.
func (t *Tunnels) Index(name string) (int, error) {
	link, err := t.handle.LinkByName(name)
	if _, missing := errors.AsType[vnl.LinkNotFoundError](err); missing {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("ktunnel: link %s: %w", name, err)
	}
	if !t.owns(link) {
		return 0, fmt.Errorf("%w: %s, of type %s", ErrForeign, name, link.Type())
	}
	return link.Attrs().Index, nil
}
