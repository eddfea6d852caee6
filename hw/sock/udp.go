package sock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"re6st/hw/fault"
)

// DefaultBuffer is the size of the kernel's receive and send buffers, in bytes:
// 25 ms of a full gigabit each.
const DefaultBuffer = 4 << 20

// A reader that fails again and again, each time for one packet as it seems, must not
// keep a processor busy: after so many failures in a row it waits between two.
const (
	quickRetries = 16
	slowRetry    = 10 * time.Millisecond
)

// Config tells how to open a socket.
type Config struct {
	// Addr is what to bind; the zero AddrPort is any address and a port that the
	// kernel picks. An unspecified address takes both families.
	Addr netip.AddrPort
	// Mark is SO_MARK of all that is sent; 0 is none. It needs CAP_NET_ADMIN.
	Mark uint32
	// Buffer is the size of either kernel buffer in bytes; 0 is DefaultBuffer. The
	// kernel may give less to who lacks CAP_NET_ADMIN.
	Buffer int
	// Batches has the kernel, where it can, cut a Packet of several datagrams (UDP_SEGMENT),
	// and hand over those that came close behind one another in one (UDP_GRO): the reader
	// gives room for ReadRoom bytes each. Without it datagrams go and come one by one.
	Batches bool
	// Faults are calls that fail on purpose; nil: none.
	Faults *fault.Table

	shared bool // the port is another socket's of ours
}

// UDP is the real Conn.
type UDP struct {
	conn   *net.UDPConn
	raw    syscall.RawConn
	six    bool // AF_INET6
	local  netip.AddrPort
	faults *fault.Table

	// Of the one reader:
	in      inbox
	receive func(fd uintptr) bool

	received, sent, truncated, tooBig, noBuffer, refused, unreachable, other atomic.Uint64
	receivedBatches, sentBatches, unbatched                                  atomic.Uint64
	lastError                                                                atomic.Pointer[string]

	scopes     scopes
	noSegments atomic.Bool // the kernel does not cut what is sent
	noTogether atomic.Bool // the kernel has no sendmmsg
}

// Listen opens a socket. The error names the option that the kernel refused.
func Listen(c Config) (*UDP, error) {
	if c.Buffer == 0 {
		c.Buffer = DefaultBuffer
	}
	if !c.Addr.Addr().IsValid() {
		c.Addr = netip.AddrPortFrom(netip.IPv6Unspecified(), c.Addr.Port())
	}
	network := "udp"
	if a := c.Addr.Addr(); !a.IsUnspecified() {
		network = "udp6"
		if a.Unmap().Is4() {
			network = "udp4"
		}
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) { err = setOptions(int(fd), c, network != "udp4") }); e != nil {
			return e
		}
		return err
	}}
	pc, err := lc.ListenPacket(context.Background(), network, c.Addr.String())
	if err != nil {
		return nil, fmt.Errorf("sock: open %s: %w", c.Addr, err)
	}
	conn := pc.(*net.UDPConn)
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sock: open %s: %w", c.Addr, err), conn.Close())
	}
	u := &UDP{
		conn: conn, raw: raw, six: network != "udp4", local: netip.AddrPortFrom(local.Addr().Unmap(), local.Port()), faults: c.Faults,
	}
	u.receive = u.in.call
	err = raw.Control(func(fd uintptr) {
		joins, e := unix.GetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO)
		u.in.singly = e == nil && joins != 0
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sock: open %s: %w", c.Addr, err), conn.Close())
	}
	u.noSegments.Store(!c.Batches)
	return u, nil
}

// setOptions sets all options before the bind; six tells that the socket is
// AF_INET6, which takes IPv4's options too.
func setOptions(fd int, c Config, six bool) error {
	type option struct {
		name              string
		level, opt, value int
	}
	options := []option{
		{"IP_MTU_DISCOVER", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE},
		{"IP_RECVTOS", unix.IPPROTO_IP, unix.IP_RECVTOS, 1},
		{"SO_TIMESTAMPNS", unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1},
	}
	if six {
		options = append(options, []option{
			{"IPV6_MTU_DISCOVER", unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE},
			{"IPV6_DONTFRAG", unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1},
			{"IPV6_RECVTCLASS", unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1},
			{"IPV6_RECVPKTINFO", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1},
		}...)
	} else {
		options = append(options, option{"IP_PKTINFO", unix.IPPROTO_IP, unix.IP_PKTINFO, 1})
	}
	if c.Mark != 0 {
		options = append(options, option{"SO_MARK", unix.SOL_SOCKET, unix.SO_MARK, int(c.Mark)})
	}
	if c.shared {
		options = append(options, option{"SO_REUSEPORT", unix.SOL_SOCKET, unix.SO_REUSEPORT, 1})
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.opt, o.value); err != nil {
			return fmt.Errorf("set %s to %d: %w", o.name, o.value, err)
		}
	}
	if c.Batches {
		_ = unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1) // without it they come one by one
	}
	for _, b := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, b[0], c.Buffer) == nil {
			continue
		}
		// Without the privilege the kernel gives what net.core allows.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, b[1], c.Buffer); err != nil {
			return fmt.Errorf("set the buffers to %d bytes: %w", c.Buffer, err)
		}
	}
	return nil
}

// ReadBatch is as in Conn. It makes one system call, for ReadPackets at most.
func (u *UDP) ReadBatch(packets []Packet) (int, error) {
	if len(packets) == 0 {
		return 0, nil
	}
	for failures := 0; ; failures++ {
		n, err := u.read(packets)
		switch {
		case n > 0:
			return n, nil
		case errors.Is(err, net.ErrClosed):
			return 0, net.ErrClosed
		case errors.Is(err, os.ErrDeadlineExceeded):
			return 0, os.ErrDeadlineExceeded
		case err != nil && !u.forgive(err):
			return 0, fmt.Errorf("sock: read: %w", err)
		case err != nil && failures >= quickRetries:
			time.Sleep(slowRetry)
		}
	}
}

// outOOB is memory for the control messages of what is being written.
var outOOB = sync.Pool{New: func() any { return new([oobLen]byte) }}

// WriteBatch is as in Conn. It makes one system call for each packet, unless the kernel
// does not cut packets of several datagrams.
func (u *UDP) WriteBatch(packets []Packet) (int, error) {
	oob := outOOB.Get().(*[oobLen]byte)
	defer outOOB.Put(oob)
	sent := 0
	for i := range packets {
		packets[i].TooBig = false
		n, err := u.writeOut(&packets[i], oob)
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// writeOut sends what is in a packet; n is how many datagrams were handed over.
func (u *UDP) writeOut(p *Packet, oob *[oobLen]byte) (n int, err error) {
	if n = p.Datagrams(); n > 1 {
		err := u.writeSegments(p, oob)
		switch {
		case err == nil:
			u.sent.Add(uint64(n))
			return n, nil
		case errors.Is(err, net.ErrClosed):
			return 0, net.ErrClosed
		case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM): // nor would there be for one
			u.forgive(err)
			u.noBuffer.Add(uint64(n - 1))
			return 0, nil
		}
		return u.writeSingly(p, oob)
	}
	err = u.write(p, oob)
	if err != nil && p.Local.IsValid() && isUnreachable(err) {
		// Our address went away; the peer will learn of the new one.
		err = u.write(&Packet{Data: p.Data, Addr: p.Addr, TOS: p.TOS}, oob)
	}
	return u.settle(p, err)
}

// settle counts what became of one datagram.
func (u *UDP) settle(p *Packet, err error) (n int, fatal error) {
	switch {
	case err == nil:
		u.sent.Add(1)
		return 1, nil
	case errors.Is(err, net.ErrClosed):
		return 0, net.ErrClosed
	case !u.forgive(err):
		u.other.Add(1)
	}
	p.TooBig = errors.Is(err, unix.EMSGSIZE)
	return 0, nil
}

func (u *UDP) write(p *Packet, oob *[oobLen]byte) error {
	if err := u.faults.Check(fault.SockSend); err != nil {
		return err
	}
	m := outgoings.Get().(*outgoing)
	defer outgoings.Put(m)
	m.point(p.Data, putOOB(oob, p))
	defer m.forget()
	if !m.aim(p.Addr, u.six, &u.scopes) {
		_, _, err := u.conn.WriteMsgUDPAddrPort(p.Data, putOOB(oob, p), p.Addr)
		return err
	}
	err := m.result("sendmsg", u.raw.Write(m.send))
	if err != nil && p.Addr.Addr().Zone() != "" {
		u.scopes.doubt()
	}
	return err
}

func isUnreachable(err error) bool {
	return errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.ENETDOWN) ||
		errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EINVAL)
}

// forgive counts an error that is known to concern one packet only.
func (u *UDP) forgive(err error) bool {
	text := err.Error()
	u.lastError.Store(&text)
	switch {
	case errors.Is(err, unix.EMSGSIZE):
		u.tooBig.Add(1)
	case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EAGAIN):
		u.noBuffer.Add(1)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.ECONNREFUSED):
		u.refused.Add(1)
	case isUnreachable(err):
		u.unreachable.Add(1)
	default:
		return false
	}
	return true
}

// SetReadDeadline has ReadBatch fail with os.ErrDeadlineExceeded at a time and from then on;
// the zero time is never.
func (u *UDP) SetReadDeadline(t time.Time) error { return u.conn.SetReadDeadline(t) }

// LocalAddr is as in Conn.
func (u *UDP) LocalAddr() netip.AddrPort { return u.local }

// Stats is as in Conn.
func (u *UDP) Stats() Stats {
	s := Stats{
		Received: u.received.Load(), Sent: u.sent.Load(), Truncated: u.truncated.Load(), TooBig: u.tooBig.Load(),
		ReceivedBatches: u.receivedBatches.Load(), SentBatches: u.sentBatches.Load(), Unbatched: u.unbatched.Load(),
		NoBuffer: u.noBuffer.Load(), Refused: u.refused.Load(), Unreachable: u.unreachable.Load(), OtherErrors: u.other.Load(),
	}
	if e := u.lastError.Load(); e != nil {
		s.LastError = *e
	}
	return s
}

// Close closes the socket and unblocks its reader.
func (u *UDP) Close() error { return u.conn.Close() }
