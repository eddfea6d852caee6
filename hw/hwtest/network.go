package hwtest

import (
	"fmt"
	"math/rand"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"re6st/hw/sock"
)

// Datagram is what crosses a Network.
type Datagram struct {
	From, To netip.AddrPort
	TOS      uint8
	Data     []byte
}

// Network is an underlay in memory: every Conn reaches every other, unless told
// otherwise. Safe for concurrent use.
type Network struct {
	mu    sync.Mutex
	rng   *rand.Rand
	conns map[netip.AddrPort]*Conn
	cut   map[[2]netip.Addr]bool
	loss  float64
	delay time.Duration
	late  []arrival // on their way, the next in front
	tap   func(Datagram)
	nats  []*nat
}

// NewNetwork makes an underlay; the seed makes its losses repeatable.
func NewNetwork(seed int64) *Network {
	return &Network{
		rng: rand.New(rand.NewSource(seed)), conns: make(map[netip.AddrPort]*Conn), cut: make(map[[2]netip.Addr]bool),
	}
}

// SetLoss makes a share of all datagrams, 0 to 1, vanish.
func (n *Network) SetLoss(share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = share
}

// SetDelay makes each datagram take so long; none overtakes another that is due as early.
func (n *Network) SetDelay(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = d
}

// Cut makes all datagrams from one address to the other vanish, without a word:
// one direction only.
func (n *Network) Cut(from, to netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[[2]netip.Addr{from, to}] = true
}

// Heal undoes Cut.
func (n *Network) Heal(from, to netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cut, [2]netip.Addr{from, to})
}

// Tap shows every datagram that is sent, also one that gets lost, to f, which
// must not keep its data nor call the Network.
func (n *Network) Tap(f func(Datagram)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tap = f
}

// Inject sends a datagram that no Conn sent.
func (n *Network) Inject(d Datagram) { n.send(d) }

// Listen opens a Conn; the address must be free.
func (n *Network) Listen(at netip.AddrPort) (*Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conns[at] != nil {
		return nil, fmt.Errorf("hwtest: %s is in use", at)
	}
	c := &Conn{network: n, in: make(chan arrival, depth), closed: make(chan struct{})}
	c.addr.Store(&at)
	n.conns[at] = c
	return c, nil
}

type arrival struct {
	Datagram
	at time.Time
}

func (n *Network) send(d Datagram) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.tap != nil {
		n.tap(d)
	}
	if n.cut[[2]netip.Addr{d.From.Addr(), d.To.Addr()}] || n.loss > 0 && n.rng.Float64() < n.loss {
		return
	}
	d, passes := n.translate(d)
	if !passes {
		return
	}
	d.Data = slices.Clone(d.Data)
	if n.delay > 0 {
		n.delayed(d)
		return
	}
	n.deliver(d)
}

// delayed has a datagram delivered in its turn: timers that end together run in any order.
func (n *Network) delayed(d Datagram) {
	due := time.Now().Add(n.delay)
	i := len(n.late)
	for i > 0 && n.late[i-1].at.After(due) {
		i--
	}
	n.late = slices.Insert(n.late, i, arrival{d, due})
	time.AfterFunc(n.delay, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		next := n.late[0].Datagram
		n.late = slices.Delete(n.late, 0, 1)
		n.deliver(next)
	})
}

func (n *Network) deliver(d Datagram) {
	if c := n.conns[d.To]; c != nil {
		select {
		case c.in <- arrival{d, time.Now()}:
		default: // its buffer is full
		}
	}
}

// Conn is a sock.Conn on a Network.
type Conn struct {
	network        *Network
	addr           atomic.Pointer[netip.AddrPort]
	in             chan arrival
	closed         chan struct{}
	once           sync.Once
	sent, received atomic.Uint64
	truncated      atomic.Uint64
}

// Move gives the Conn another address, as roaming or a NAT does; what is sent to
// the old one is lost.
func (c *Conn) Move(to netip.AddrPort) error {
	n := c.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conns[to] != nil {
		return fmt.Errorf("hwtest: %s is in use", to)
	}
	delete(n.conns, *c.addr.Load())
	n.conns[to] = c
	c.addr.Store(&to)
	return nil
}

// ReadBatch is as in sock.Conn.
func (c *Conn) ReadBatch(packets []sock.Packet) (int, error) {
	if len(packets) == 0 {
		return 0, nil
	}
	n := 0
	for n == 0 {
		select {
		case a := <-c.in:
			n = c.fill(packets, n, a)
		case <-c.closed:
			return 0, net.ErrClosed
		}
	}
	for n < len(packets) {
		select {
		case a := <-c.in:
			n = c.fill(packets, n, a)
		default:
			return n, nil
		}
	}
	return n, nil
}

func (c *Conn) fill(packets []sock.Packet, n int, a arrival) int {
	p := &packets[n]
	if len(a.Data) > cap(p.Data) {
		c.truncated.Add(1)
		return n
	}
	p.Data = append(p.Data[:0], a.Data...)
	p.Segment, p.Addr, p.Local, p.Interface, p.TOS, p.At = 0, a.From, a.To.Addr(), 0, a.TOS, a.at
	c.received.Add(1)
	return n + 1
}

// WriteBatch is as in sock.Conn.
func (c *Conn) WriteBatch(packets []sock.Packet) (int, error) {
	sent := 0
	for _, p := range packets {
		for rest, n := p.Data, p.Datagrams(); n > 0; n-- {
			data := rest
			if n > 1 {
				data, rest = rest[:p.Segment], rest[p.Segment:]
			}
			select {
			case <-c.closed:
				return sent, net.ErrClosed
			default:
			}
			c.sent.Add(1) // before it is there
			c.network.send(Datagram{From: *c.addr.Load(), To: p.Addr, TOS: p.TOS, Data: data})
			sent++
		}
	}
	return sent, nil
}

// LocalAddr is as in sock.Conn.
func (c *Conn) LocalAddr() netip.AddrPort { return *c.addr.Load() }

// Stats is as in sock.Conn.
func (c *Conn) Stats() sock.Stats {
	return sock.Stats{Received: c.received.Load(), Sent: c.sent.Load(), Truncated: c.truncated.Load()}
}

// Close frees the address and unblocks the reader.
func (c *Conn) Close() error {
	c.once.Do(func() {
		c.network.mu.Lock()
		defer c.network.mu.Unlock()
		delete(c.network.conns, *c.addr.Load())
		close(c.closed)
	})
	return nil
}
