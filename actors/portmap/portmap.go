package portmap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"re6st/actors/system"
	"re6st/protocols/portmap"
)

const (
	// lookEvery is how often the gateway is looked for.
	lookEvery = time.Minute
	// releaseTime is what giving a mapping back may take of the node's end.
	releaseTime = time.Second
)

// Config is what the actor works with.
type Config struct {
	Port  uint16                 // UDP, of this node
	Nonce [portmap.NonceLen]byte // this node's secret, the same in all its lives
	// Gateway is the next hop of the default route; not valid: there is none. It must
	// not block for long.
	Gateway func() (netip.Addr, error)
	Emit    func(Changed)
}

// Changed says where the port is mapped; not valid: nowhere any more.
type Changed struct {
	Protocol string
	External netip.AddrPort
}

// Snapshot is what the actor publishes.
type Snapshot struct {
	Gateway netip.Addr
	Changed
}

// Message is what the actor takes.
//
//sumtype:decl
type Message interface{ portmapMessage() }

// NetworkChanged says that there may be another gateway.
type NetworkChanged struct{}

type (
	look     struct{}
	tick     struct{}
	answered struct {
		from     netip.AddrPort
		datagram []byte
	}
	answeredIGD struct {
		number   int
		by       connection
		external netip.AddrPort
		lifetime time.Duration
		err      error
	}
)

func (NetworkChanged) portmapMessage() {}
func (look) portmapMessage()           {}
func (tick) portmapMessage()           {}
func (answered) portmapMessage()       {}
func (answeredIGD) portmapMessage()    {}

// Spawn starts the actor. A node lives without it.
func Spawn(parent system.Parent, cfg Config) (system.Ref[Message], error) {
	return system.Spawn(parent, "portmap", system.Spec[Message]{
		Kind: "portmap",
		New:  func() system.Handler[Message] { return &mapper{cfg: cfg} },
	})
}

// mapper drives a portmap.Client.
type mapper struct {
	cfg    Config
	ctx    *system.Context[Message]
	client *portmap.Client
	timer  *system.Timer
	looks  *system.Timer
	conn   *net.UDPConn
	igd    connection // by which the port was mapped last
	at     Snapshot
}

// Start opens the socket and looks for the gateway.
func (m *mapper) Start(ctx *system.Context[Message]) error {
	m.ctx, m.client = ctx, portmap.NewClient(m.cfg.Port, m.cfg.Nonce)
	m.timer, m.looks = ctx.NewTimer(tick{}), ctx.NewTimer(look{})
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return fmt.Errorf("portmap: %w", err)
	}
	m.conn = conn
	ctx.Pump("gateway", func(stop context.Context, p *system.Pump[Message]) error {
		buffer := make([]byte, portmap.MaxMessage+1)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			switch {
			case stop.Err() != nil || errors.Is(err, net.ErrClosed):
				return nil
			case err != nil:
				return fmt.Errorf("portmap: %w", err)
			}
			p.Offer(answered{netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), slices.Clone(buffer[:n])})
		}
	}, system.WithCloser(conn), system.WithTurn())
	m.look()
	m.settle()
	return nil
}

// Handle takes one message.
func (m *mapper) Handle(ctx *system.Context[Message], message Message) error {
	now := ctx.Now()
	switch msg := message.(type) {
	case NetworkChanged, look:
		m.look()
	case tick:
		m.client.HandleTimeout(now)
	case answered:
		if msg.from == netip.AddrPortFrom(m.at.Gateway, portmap.Port) {
			m.client.HandleDatagram(now, msg.datagram)
		}
	case answeredIGD:
		if msg.err != nil {
			ctx.Log().Debug("no mapping by UPnP", "error", msg.err)
		}
		m.igd = msg.by
		m.client.HandleIGD(now, msg.number, msg.external, msg.lifetime, msg.err)
	}
	m.settle()
	return nil
}

// look tells the client which gateway there is, and where this node is towards it.
func (m *mapper) look() {
	now := m.ctx.Now()
	m.looks.Rearm(now.Add(lookEvery), true)
	gateway, err := m.cfg.Gateway()
	var self netip.Addr
	if err == nil && gateway.Is4() {
		self, err = towards(gateway)
	}
	if err != nil {
		m.ctx.Log().Debug("no gateway", "error", err)
		gateway, self = netip.Addr{}, netip.Addr{}
	}
	m.at.Gateway = gateway
	m.client.HandleGateway(now, gateway, self)
}

// towards is the address from which this machine sends to another.
func towards(to netip.Addr) (netip.Addr, error) {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, portmap.Port)))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("portmap: the way to %s: %w", to, err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// settle carries out what the client wants.
func (m *mapper) settle() {
	m.client.Drain(func(e portmap.Event) {
		switch e := e.(type) {
		case portmap.Send:
			m.send(m.conn, e.Datagram)
		case portmap.AskIGD:
			m.ctx.Pump("igd", func(stop context.Context, p *system.Pump[Message]) error {
				_ = p.Deliver(askIGD(stop, e)) // fails where nobody waits any more
				return nil
			})
		case portmap.Mapped:
			m.changed(Changed{e.Protocol.String(), e.External})
		case portmap.Unmapped:
			m.changed(Changed{})
		case portmap.ReleaseIGD: // of Stop
		}
	})
	m.timer.Rearm(m.client.NextTimeout())
	m.ctx.Publish(m.at)
}

// changed tells what is mapped now.
func (m *mapper) changed(c Changed) {
	m.at.Changed = c
	if c.External.IsValid() {
		m.ctx.Event("mapped", fmt.Sprintf("%s reaches port %d here, by %s of %s", c.External, m.cfg.Port, c.Protocol, m.at.Gateway))
	} else {
		m.ctx.Event("unmapped", fmt.Sprintf("port %d", m.cfg.Port))
	}
	m.cfg.Emit(c)
}

func (m *mapper) send(conn *net.UDPConn, datagram []byte) {
	if _, err := conn.WriteToUDPAddrPort(datagram, netip.AddrPortFrom(m.at.Gateway, portmap.Port)); err != nil {
		m.ctx.Log().Debug("request not sent", "gateway", m.at.Gateway, "error", err)
	}
}

// Stop gives the mapping back, unless the next incarnation follows. The pumps have ended,
// and the socket with them.
func (m *mapper) Stop(ctx *system.Context[Message]) {
	if ctx.Restarting() || m.client == nil {
		return
	}
	m.client.Release()
	m.client.Drain(func(e portmap.Event) {
		switch e := e.(type) {
		case portmap.Send:
			if conn, err := net.ListenUDP("udp4", nil); err == nil {
				m.send(conn, e.Datagram)
				conn.Close()
			}
		case portmap.ReleaseIGD:
			limit, cancel := context.WithTimeout(context.Background(), releaseTime)
			defer cancel()
			if err := m.igd.DeletePortMappingCtx(limit, "", e.External, udp); err != nil {
				ctx.Log().Debug("mapping not given back", "error", err)
			}
		case portmap.AskIGD, portmap.Mapped, portmap.Unmapped:
		}
	})
}
