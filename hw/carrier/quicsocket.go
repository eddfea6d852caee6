package carrier

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"re6st/hw/sock"
	"re6st/protocols/fabric"
)

// maxEndpoints is how many are kept made.
const maxEndpoints = 256

// endpoint is where QUIC's packets go to or come from, and by which address of this node.
type endpoint struct {
	fabric.Path
	text string
}

func newEndpoint(remote netip.AddrPort, local fabric.Local) *endpoint {
	return &endpoint{fabric.Path{Local: local, Remote: remote, Carrier: fabric.QUIC}, remote.String() + " " + local.Addr.String()}
}

// Network is as in net.Addr.
func (e *endpoint) Network() string { return "udp" }

// String is for comparisons, one a packet: QUIC takes two that differ for two paths.
func (e *endpoint) String() string { return e.text }

// quicBatch are packets of QUIC that came by one path, of size bytes each, but for the last.
type quicBatch struct {
	data, rest []byte // rest is what QUIC has not taken yet
	size       int
	remote     netip.AddrPort
	local      fabric.Local
}

var quicBatches = sync.Pool{New: func() any { return new(quicBatch) }}

// toQUIC hands over a copy of packets of QUIC, of size bytes each, but for the last.
func (c *Conn) toQUIC(data []byte, size int, p *sock.Packet) {
	if c.quicIn == nil || c.blocks(fabric.QUIC) {
		return
	}
	count := int64((len(data) + size - 1) / size)
	if c.quicWaiting.Add(count) > quicQueue {
		c.quicWaiting.Add(-count)
		c.dropped.Add(uint64(count))
		return
	}
	b := quicBatches.Get().(*quicBatch)
	b.data = append(b.data[:0], data...)
	b.rest, b.size, b.remote, b.local = b.data, size, p.Addr, fabric.Local{Addr: p.Local, Interface: p.Interface}
	c.quicIn <- b // there is room: no more batches wait than packets
}

// quicSocket is the part of UDP's socket that is QUIC's. QUIC takes it for one that it has alone.
type quicSocket struct {
	*Conn
	standIn   *standIn
	out       *quicOut
	now       *quicBatch // of the one reader
	endpoints map[fabric.Path]*endpoint
}

func newQUICSocket(c *Conn) (*quicSocket, error) {
	s, err := newStandIn()
	if err != nil {
		return nil, err
	}
	q := &quicSocket{Conn: c, standIn: s, out: newQUICOut(), endpoints: make(map[fabric.Path]*endpoint)}
	c.running.Go(func() { q.out.run(c.udp) })
	return q, nil
}

// ReadFrom is as in net.PacketConn.
func (q *quicSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	if q.now == nil {
		select {
		case q.now = <-q.quicIn:
		case <-q.quicDone:
			return 0, nil, net.ErrClosed
		}
	}
	batch := q.now
	packet := batch.rest[:min(batch.size, len(batch.rest))]
	n := copy(b, packet)
	from := q.endpoint(batch)
	q.quicWaiting.Add(-1)
	if batch.rest = batch.rest[len(packet):]; len(batch.rest) == 0 {
		q.now = nil
		quicBatches.Put(batch)
	}
	return n, from, nil
}

// endpoint is made once for all packets of a path.
func (q *quicSocket) endpoint(b *quicBatch) *endpoint {
	path := fabric.Path{Local: b.local, Remote: b.remote}
	e := q.endpoints[path]
	if e == nil {
		if len(q.endpoints) >= maxEndpoints {
			clear(q.endpoints)
		}
		e = newEndpoint(b.remote, b.local)
		q.endpoints[path] = e
	}
	return e
}

// WriteTo is as in net.PacketConn. The packet goes with others of its length that QUIC writes
// meanwhile; where too many wait it waits too.
func (q *quicSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	e, ok := to.(*endpoint)
	if !ok {
		return 0, os.ErrInvalid
	}
	if q.blocks(fabric.QUIC) {
		return len(b), nil
	}
	if !q.out.put(b, e) {
		return 0, net.ErrClosed
	}
	return len(b), nil
}

// LocalAddr is UDP's.
func (q *quicSocket) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(q.udp.LocalAddr()) }

// Close leaves the socket open: it is not QUIC's.
func (q *quicSocket) Close() error { return nil }

// SetDeadline, SetReadDeadline and SetWriteDeadline have nothing to do: quicDone ends a read.
func (q *quicSocket) SetDeadline(time.Time) error      { return nil }
func (q *quicSocket) SetReadDeadline(time.Time) error  { return nil }
func (q *quicSocket) SetWriteDeadline(time.Time) error { return nil }

// SetReadBuffer and SetWriteBuffer change nothing: the buffers are the socket's own.
func (q *quicSocket) SetReadBuffer(int) error  { return nil }
func (q *quicSocket) SetWriteBuffer(int) error { return nil }

// SyscallConn is for QUIC to set the DF bit, which lets it probe for long packets. The socket
// has it set already, and its other options are not QUIC's: so it gets another.
func (q *quicSocket) SyscallConn() (syscall.RawConn, error) { return q.standIn, nil }

// standIn is a socket that sends nothing.
type standIn struct{ fd int }

func newStandIn() (*standIn, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	return &standIn{fd}, nil
}

func (s *standIn) close() { _ = unix.Close(s.fd) }

// Control is as in syscall.RawConn.
func (s *standIn) Control(f func(uintptr)) error {
	f(uintptr(s.fd))
	return nil
}

// Read and Write are not for it.
func (s *standIn) Read(func(uintptr) bool) error  { return os.ErrInvalid }
func (s *standIn) Write(func(uintptr) bool) error { return os.ErrInvalid }
