package carrier

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"re6st/hw/sock"
	"re6st/protocols/fabric"
)

// Socket is a sock.Conn for UDP whose ReadBatch fails with os.ErrDeadlineExceeded at a time.
type Socket interface {
	sock.Conn
	SetReadDeadline(time.Time) error
}

// Config tells what carriers to open.
type Config struct {
	// UDP is the Conn's own from then on.
	UDP Socket
	// More are further sockets of UDP's port, the Conn's own too: see Lanes.
	More []sock.Conn
	// Carriers are those to use.
	Carriers fabric.CarrierSet
	// TLSPort is the TCP port to listen on; 0 is none: then TLS is for dialling.
	TLSPort uint16
	// Mark is SO_MARK of what goes by TLS; 0 is none.
	Mark uint32
}

// Conn is a sock.Conn by several carriers.
type Conn struct {
	udp      Socket
	more     []sock.Conn
	carriers fabric.CarrierSet
	mark     uint32
	port     uint16 // of TLS that is served; 0: none
	refused  error  // why TLS is not served

	client, server *tls.Config
	transport      *quic.Transport
	quicIn         chan *quicBatch
	quicWaiting    atomic.Int64 // packets, of all batches
	quicDone       chan struct{}
	quicOut        *quicOut

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	once    sync.Once
	closed  error

	mu      sync.Mutex
	open    map[key]*connection
	all     map[*connection]bool
	gone    map[key]time.Time // who dialled and is gone: it has no port to dial
	failed  map[key]time.Time // dials that came to nothing, of late
	sources sources

	arrived chan *batch
	woken   atomic.Bool
	held    *batch // of the one reader
	rest    []byte // of held, what is still to be read
	inRow   int    // reads that went by UDP's
	blocked atomic.Uint32

	received, sent, dropped, truncated atomic.Uint64
	stopped                            atomic.Uint64 // by Block, on the way in
	connections                        [fabric.Carriers]atomic.Int64
}

// takesTurn is after how many reads of connections UDP has a turn.
const (
	takesTurn = 64
	aMoment   = 100 * time.Microsecond
)

// Open opens the carriers. Where the TLS port is another's, or is not to be had, the rest goes
// on: see TLSRefused.
func Open(c Config) (*Conn, error) {
	certificate, err := throwAway()
	if err != nil {
		return nil, fmt.Errorf("carrier: %w", err)
	}
	o := &Conn{
		udp: c.UDP, more: c.More, carriers: c.Carriers, mark: c.Mark, client: clientTLS(), server: serverTLS(certificate),
		open: make(map[key]*connection), all: make(map[*connection]bool), gone: make(map[key]time.Time), failed: make(map[key]time.Time),
		arrived: make(chan *batch, MaxArrived),
	}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	if c.Carriers.Has(fabric.TLS) && c.TLSPort != 0 {
		o.listenTLS(c.TLSPort)
	}
	if c.Carriers.Has(fabric.QUIC) {
		if err := o.listenQUIC(); err != nil {
			o.cancel()
			o.running.Wait()
			return nil, fmt.Errorf("carrier: quic: %w", err)
		}
	}
	o.running.Go(o.keepHouse)
	return o, nil
}

// Carriers are those that are used.
func (c *Conn) Carriers() fabric.CarrierSet { return c.carriers }

// TLSPort is the TCP port that is served; 0: none.
func (c *Conn) TLSPort() uint16 { return c.port }

// TLSRefused is why TLS is not served, though it was to be; nil: it is, or was not to be.
func (c *Conn) TLSRefused() error { return c.refused }

// Block has the traffic of some carriers dropped, both ways, as by a firewall.
func (c *Conn) Block(s fabric.CarrierSet) { c.blocked.Store(uint32(s)) }

// Blocked are those that Block named last.
func (c *Conn) Blocked() fabric.CarrierSet { return fabric.CarrierSet(c.blocked.Load()) }

func (c *Conn) blocks(carrier fabric.Carrier) bool { return c.Blocked().Has(carrier) }

// Connections is how many there are by a carrier.
func (c *Conn) Connections(by fabric.Carrier) int { return int(c.connections[by].Load()) }

// ReadBatch is as in sock.Conn.
func (c *Conn) ReadBatch(packets []sock.Packet) (int, error) {
	for {
		if c.held != nil || len(c.arrived) > 0 {
			if c.inRow++; c.inRow%takesTurn != 0 {
				if c.take(packets) {
					return 1, nil
				}
				continue
			}
			c.woken.Store(true)
			_ = c.udp.SetReadDeadline(time.Now().Add(aMoment))
		}
		n, err := c.udp.ReadBatch(packets)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if c.ctx.Err() != nil {
				return 0, net.ErrClosed
			}
			_ = c.udp.SetReadDeadline(time.Time{})
			c.woken.Store(false)
			continue
		}
		if err != nil {
			return 0, err
		}
		if n = c.sift(packets[:n]); n > 0 {
			return n, nil
		}
	}
}

// wake has the reader look at what arrived.
func (c *Conn) wake() {
	if c.woken.CompareAndSwap(false, true) {
		_ = c.udp.SetReadDeadline(time.Unix(1, 0))
	}
}

// isQUIC tells whether a datagram is QUIC's, by the fixed bit of its first byte (RFC 9000
// section 17), which is zero in ours.
func isQUIC(first byte) bool { return first&0x40 != 0 }

// sift takes out what is not the reader's, and keeps the rest in front.
func (c *Conn) sift(packets []sock.Packet) int {
	kept := 0
	for i := range packets {
		p := &packets[i]
		if len(p.Data) == 0 {
			continue
		}
		step := p.Segment
		if step <= 0 {
			step = len(p.Data)
		}
		for at := 0; at < len(p.Data); at += step {
			if isQUIC(p.Data[at]) {
				c.siftBatch(p)
				break
			}
		}
		if len(p.Data) == 0 {
			continue
		}
		if c.blocks(fabric.UDP) {
			c.stopped.Add(1)
			continue
		}
		if kept != i {
			packets[kept], packets[i] = packets[i], packets[kept]
		}
		kept++
	}
	return kept
}

// siftBatch hands QUIC's datagrams out of a packet, those one behind another together, and
// moves ours together.
func (c *Conn) siftBatch(p *sock.Packet) {
	size := p.Segment
	if size <= 0 {
		size = len(p.Data)
	}
	ours := p.Data[:0]
	for rest := p.Data; len(rest) > 0; {
		run := 0
		for run < len(rest) && isQUIC(rest[run]) {
			run += size
		}
		if run = min(run, len(rest)); run > 0 {
			c.toQUIC(rest[:run], size, p)
			rest = rest[run:]
			continue
		}
		d := rest[:min(size, len(rest))]
		rest = rest[len(d):]
		ours = append(ours, d...)
	}
	p.Data = ours
}

// take gives the reader what arrived, datagrams of one length by one path together; false
// where there is no room for it.
func (c *Conn) take(packets []sock.Packet) bool {
	if c.held == nil {
		c.hold(<-c.arrived)
	}
	p := &packets[0]
	room, path := p.Data[:0], c.held.path
	*p = sock.Packet{
		Data: room, Addr: path.Remote, Local: path.Local.Addr, Interface: path.Local.Interface, Carrier: path.Carrier, At: c.held.at,
	}
	length := 0
	for count := range sock.MaxSegments {
		if c.held == nil {
			select {
			case b := <-c.arrived:
				c.hold(b)
			default:
				return true
			}
			if c.held.path != path {
				return true
			}
		}
		d, rest := cutFrame(c.rest)
		switch {
		case count == 0 && len(d) > cap(room):
			c.truncated.Add(1)
			c.read(rest)
			return false
		case count == 0:
			length = len(d)
		case len(d) > length || len(p.Data)+len(d) > cap(room):
			return true
		default:
			p.Segment = length
		}
		p.Data = append(p.Data, d...)
		c.read(rest)
		if len(d) < length {
			return true
		}
	}
	return true
}

func (c *Conn) hold(b *batch) { c.held, c.rest = b, b.data }

// read notes what is still to be read of what is held.
func (c *Conn) read(rest []byte) {
	if c.rest = rest; len(rest) == 0 {
		c.held.free()
		c.held = nil
	}
}

// WriteBatch is as in sock.Conn. What is for a connection waits in its queue, and counts as
// handed over.
func (c *Conn) WriteBatch(packets []sock.Packet) (int, error) { return c.writeVia(c.udp, packets) }

// writeVia is WriteBatch by one of the sockets of UDP.
func (c *Conn) writeVia(udp sock.Conn, packets []sock.Packet) (int, error) {
	for i := range packets {
		if packets[i].Carrier != fabric.UDP || c.blocked.Load() != 0 {
			return c.writeMixed(udp, packets)
		}
	}
	return udp.WriteBatch(packets)
}

func (c *Conn) writeMixed(udp sock.Conn, packets []sock.Packet) (sent int, err error) {
	for i := range packets {
		p := &packets[i]
		switch {
		case c.blocks(p.Carrier):
			sent += p.Datagrams() // a firewall says nothing either
		case p.Carrier == fabric.UDP:
			n, err := udp.WriteBatch(packets[i : i+1])
			if sent += n; err != nil {
				return sent, err
			}
		default:
			sent += c.writeBy(p)
		}
	}
	return sent, nil
}

// writeBy puts a packet's datagrams into the queue of its connection.
func (c *Conn) writeBy(p *sock.Packet) (sent int) {
	n := c.connectionFor(fabric.Path{
		Local: fabric.Local{Addr: p.Local, Interface: p.Interface}, Remote: p.Addr, Carrier: p.Carrier,
	})
	if n == nil {
		c.dropped.Add(uint64(p.Datagrams()))
		return 0
	}
	size := p.Segment
	if size <= 0 {
		size = len(p.Data)
	}
	sent = n.put(p.Data, size)
	c.dropped.Add(uint64(p.Datagrams() - sent))
	c.sent.Add(uint64(sent))
	return sent
}

// LocalAddr is UDP's.
func (c *Conn) LocalAddr() netip.AddrPort { return c.udp.LocalAddr() }

// Stats is as in sock.Conn, of all carriers, but for what is its lanes'. NoBuffer has what a queue dropped.
func (c *Conn) Stats() sock.Stats {
	s := c.udp.Stats()
	s.Received += c.received.Load()
	s.Sent += c.sent.Load()
	s.NoBuffer += c.dropped.Load()
	s.Truncated += c.truncated.Load()
	return s
}

// Close ends all connections, unblocks the reader, and joins every goroutine.
func (c *Conn) Close() error {
	c.once.Do(func() { c.closed = c.close() })
	return c.closed
}

func (c *Conn) close() error {
	c.cancel()
	c.mu.Lock()
	open := make([]*connection, 0, len(c.all))
	for n := range c.all {
		open = append(open, n)
	}
	c.mu.Unlock()
	for _, n := range open {
		n.close()
	}
	c.closeQUIC()
	err := c.udp.Close()
	for _, udp := range c.more {
		err = errors.Join(err, udp.Close())
	}
	c.running.Wait()
	return err
}
