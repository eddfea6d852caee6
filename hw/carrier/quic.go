package carrier

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"

	"re6st/hw/sock"
	"re6st/protocols/fabric"
)

const (
	// quicPacket is the length of QUIC's first packets, in bytes: the least MTU of IPv6 is not
	// passed. It then probes for what the path carries (RFC 9000 section 14.3), to 1452 at most.
	quicPacket = 1232
	// quicQueue is how many of its packets wait for QUIC.
	quicQueue = 512
	quicIdle  = 30 * time.Second
	quicAlive = 12 * time.Second // between signs of life of who dialled, for NATs
)

// listenQUIC serves QUIC on UDP's port.
func (c *Conn) listenQUIC() error {
	c.quicIn, c.quicDone = make(chan *quicBatch, quicQueue), make(chan struct{})
	socket, err := newQUICSocket(c)
	if err != nil {
		return err
	}
	defer socket.standIn.close()
	server := c.server.Clone()
	server.NextProtos = alpnQUIC
	c.transport = &quic.Transport{
		Conn:                socket,
		VerifySourceAddress: func(net.Addr) bool { return true },
		ConnContext: func(ctx context.Context, i *quic.ClientInfo) (context.Context, error) {
			e, ok := i.RemoteAddr.(*endpoint)
			if !ok || !c.sources.take(time.Now(), e.Remote.Addr()) {
				return nil, errors.New("too many connections")
			}
			context.AfterFunc(ctx, func() { c.sources.release(e.Remote.Addr()) })
			return ctx, nil
		},
	}
	c.quicOut = socket.out
	l, err := c.transport.Listen(server, quicConfig(false))
	if err != nil {
		c.quicOut.close()
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
		EnableDatagrams: true, InitialPacketSize: quicPacket, MaxIdleTimeout: quicIdle,
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
	c.quicOut.close()
}

func (c *Conn) acceptQUIC(conn *quic.Conn) {
	e, ok := conn.RemoteAddr().(*endpoint)
	if !ok {
		_ = conn.CloseWithError(0, "")
		return
	}
	n := c.newConnection(e.Path, true)
	l := newDatagrams(conn)
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
	conn, err := c.transport.Dial(ctx, newEndpoint(path.Remote, path.Local), client, quicConfig(true))
	if err != nil {
		return nil, path.Local, err
	}
	return newDatagrams(conn), path.Local, nil
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
