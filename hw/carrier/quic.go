package carrier

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/quic-go/quic-go"

	"re6st/hw/sock"
	"re6st/protocols/fabric"
)

const (
	// quicPacket is the length of QUIC's packets, in bytes: so long that a datagram of 1200
	// bytes fits in, as handshakes and probes have, and the least MTU of IPv6 is not passed.
	quicPacket = 1232
	// quicQueue is how many of its packets wait for QUIC.
	quicQueue = 512
	quicIdle  = 30 * time.Second
	quicAlive = 12 * time.Second // between signs of life of who dialled, for NATs
)

// endpoint is where QUIC's packets go to or come from, and by which address of this node.
type endpoint struct {
	remote netip.AddrPort
	local  fabric.Local
}

// Network is as in net.Addr.
func (e *endpoint) Network() string { return "udp" }

// String is for comparisons: QUIC takes two that differ for two paths.
func (e *endpoint) String() string { return fmt.Sprintf("%s %s", e.remote, e.local.Addr) }

// quicDatagram is a packet of QUIC.
type quicDatagram struct {
	data []byte
	from *endpoint
}

// listenQUIC serves QUIC on UDP's port.
func (c *Conn) listenQUIC() error {
	c.quicIn, c.quicDone = make(chan quicDatagram, quicQueue), make(chan struct{})
	server := c.server.Clone()
	server.NextProtos = alpnQUIC
	c.transport = &quic.Transport{
		Conn:                c.quicConn(),
		VerifySourceAddress: func(net.Addr) bool { return true },
		ConnContext: func(ctx context.Context, i *quic.ClientInfo) (context.Context, error) {
			e, ok := i.RemoteAddr.(*endpoint)
			if !ok || !c.sources.take(time.Now(), e.remote.Addr()) {
				return nil, errors.New("too many connections")
			}
			context.AfterFunc(ctx, func() { c.sources.release(e.remote.Addr()) })
			return ctx, nil
		},
	}
	l, err := c.transport.Listen(server, quicConfig(false))
	if err != nil {
		return err
	}
	c.running.Go(func() {
		for {
			conn, err := l.Accept(c.ctx)
			if err != nil {
				return
			}
			c.acceptQUIC(conn)
		}
	})
	return nil
}

func quicConfig(dials bool) *quic.Config {
	q := &quic.Config{
		EnableDatagrams: true, InitialPacketSize: quicPacket, DisablePathMTUDiscovery: true, MaxIdleTimeout: quicIdle,
		HandshakeIdleTimeout: FirstWithin, MaxIncomingStreams: -1, MaxIncomingUniStreams: -1,
	}
	if dials {
		q.KeepAlivePeriod = quicAlive
	}
	return q
}

func (c *Conn) closeQUIC() {
	if c.transport == nil {
		return
	}
	close(c.quicDone)
	_ = c.transport.Close()
}

func (c *Conn) acceptQUIC(conn *quic.Conn) {
	e, ok := conn.RemoteAddr().(*endpoint)
	if !ok {
		_ = conn.CloseWithError(0, "")
		return
	}
	n := c.newConnection(fabric.Path{Local: e.local, Remote: e.remote, Carrier: fabric.QUIC}, true)
	l := &datagrams{conn}
	n.link = l // before a packet finds it
	if !c.accept(n) {
		_ = conn.CloseWithError(0, "")
		return
	}
	c.running.Go(func() {
		defer n.end()
		n.serve(l)
	})
}

func (c *Conn) dialQUIC(ctx context.Context, path fabric.Path) (link, fabric.Local, error) {
	if !path.Local.Addr.IsValid() {
		path.Local = c.chosen(ctx, path.Remote)
	}
	client := c.client.Clone()
	client.NextProtos = alpnQUIC
	conn, err := c.transport.Dial(ctx, &endpoint{path.Remote, path.Local}, client, quicConfig(true))
	if err != nil {
		return nil, path.Local, err
	}
	return &datagrams{conn}, path.Local, nil
}

// chosen is the address of this node from which the kernel would send.
func (c *Conn) chosen(ctx context.Context, remote netip.AddrPort) fabric.Local {
	d := net.Dialer{}
	if c.mark != 0 {
		d.Control = sock.Mark(c.mark)
	}
	conn, err := d.DialContext(ctx, "udp", remote.String())
	if err != nil {
		return fabric.Local{}
	}
	defer conn.Close()
	a := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	return fabric.Local{Addr: a.WithZone(""), Interface: interfaceOf(a)}
}

// datagrams is a link by QUIC.
type datagrams struct{ conn *quic.Conn }

func (d *datagrams) send(first []byte, _ func() []byte) error {
	err := d.conn.SendDatagram(first)
	var tooLarge *quic.DatagramTooLargeError
	if errors.As(err, &tooLarge) {
		return nil // lost, as where UDP's is longer than the path: it is probed for
	}
	return err
}

func (d *datagrams) receive() ([]byte, error) {
	b, err := d.conn.ReceiveDatagram(d.conn.Context())
	if err != nil {
		return nil, err
	}
	if _, err := fabric.TypeOf(b); err != nil {
		return nil, errFrame
	}
	return b, nil
}

func (d *datagrams) close() { _ = d.conn.CloseWithError(0, "") }

// toQUIC hands over a copy of a packet of QUIC.
func (c *Conn) toQUIC(data []byte, p *sock.Packet) {
	if c.quicIn == nil || c.blocks(fabric.QUIC) {
		return
	}
	select {
	case c.quicIn <- quicDatagram{slices.Clone(data), &endpoint{p.Addr, fabric.Local{Addr: p.Local, Interface: p.Interface}}}:
	default:
		c.dropped.Add(1)
	}
}

// quicConn is the part of UDP's socket that is QUIC's. It has the methods that keep QUIC from
// complaining about the size of buffers, which are the socket's own.
type quicConn struct{ *Conn }

func (c *Conn) quicConn() net.PacketConn { return quicConn{c} }

// ReadFrom is as in net.PacketConn.
func (q quicConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-q.quicIn:
		return copy(b, d.data), d.from, nil
	case <-q.quicDone:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo is as in net.PacketConn.
func (q quicConn) WriteTo(b []byte, to net.Addr) (int, error) {
	e, ok := to.(*endpoint)
	if !ok {
		return 0, os.ErrInvalid
	}
	if q.blocks(fabric.QUIC) {
		return len(b), nil
	}
	packets := [1]sock.Packet{{Data: b, Addr: e.remote, Local: e.local.Addr, Interface: e.local.Interface}}
	_, err := q.udp.WriteBatch(packets[:])
	return len(b), err
}

// LocalAddr is UDP's.
func (q quicConn) LocalAddr() net.Addr { return &endpoint{remote: q.udp.LocalAddr()} }

// Close leaves the socket open: it is not QUIC's.
func (q quicConn) Close() error { return nil }

// SetDeadline, SetReadDeadline and SetWriteDeadline have nothing to do: quicDone ends a read.
func (q quicConn) SetDeadline(time.Time) error      { return nil }
func (q quicConn) SetReadDeadline(time.Time) error  { return nil }
func (q quicConn) SetWriteDeadline(time.Time) error { return nil }

// SetReadBuffer and SetWriteBuffer change nothing.
func (q quicConn) SetReadBuffer(int) error  { return nil }
func (q quicConn) SetWriteBuffer(int) error { return nil }
