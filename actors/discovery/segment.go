package discovery

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"re6st/actors/system"
	"re6st/hw/sock"
	wire "re6st/protocols/discovery"
)

// segmentMessage is what the actor of one interface takes.
//
//sumtype:decl
type segmentMessage interface{ segmentMessage() }

type (
	packet struct {
		at   time.Time
		from netip.Addr
		body []byte
	}
	speak   struct{}
	renewed struct{}
)

func (packet) segmentMessage()  {}
func (speak) segmentMessage()   {}
func (renewed) segmentMessage() {}

// segment speaks and listens on one interface.
type segment struct {
	cfg     Config
	self    *atomic.Pointer[wire.Beacon]
	key     wire.Key
	name    string
	ctx     *system.Context[segmentMessage]
	conn    *sock.Multicast
	machine *wire.Machine
	timer   *system.Timer
}

// Start joins the group.
func (s *segment) Start(ctx *system.Context[segmentMessage]) error {
	conn, err := s.cfg.Listen(s.name)
	if err != nil {
		return err
	}
	s.ctx, s.conn = ctx, conn
	s.machine = wire.New(ctx.Now(), wire.Config{
		Key: s.key, Self: *s.self.Load(), Local: conn.Local(), Nonces: rand.Reader, Rand: ctx.Rand(),
	})
	s.timer = ctx.NewTimer(speak{})
	ctx.Pump("beacons", func(_ context.Context, p *system.Pump[segmentMessage]) error {
		return read(conn, p)
	}, system.WithCloser(conn), system.WithTurn())
	s.settle()
	return nil
}

// read passes on what is heard, until the socket is closed.
func read(conn *sock.Multicast, p *system.Pump[segmentMessage]) error {
	buffer := make([]byte, wire.MaxBeacon+1) // one that is too long is seen to be
	for {
		n, from, at, err := conn.Read(buffer)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		p.Offer(packet{at, from, append([]byte(nil), buffer[:n]...)})
	}
}

// Handle takes one message and then does all that came of it.
func (s *segment) Handle(ctx *system.Context[segmentMessage], m segmentMessage) error {
	switch m := m.(type) {
	case packet:
		if err := s.machine.HandlePacket(m.at, m.from, m.body); err != nil {
			ctx.Log().Debug("beacon refused", "from", m.from, "error", err)
		}
	case speak:
		s.machine.HandleTimeout(ctx.Now())
	case renewed:
		s.machine.HandleSelf(ctx.Now(), *s.self.Load())
	}
	s.settle()
	return nil
}

// Stop has nothing to close: the pump's end closed the socket.
func (s *segment) Stop(*system.Context[segmentMessage]) {}

// settle carries out what the machine wants. What cannot be sent now is sent again.
func (s *segment) settle() {
	s.machine.Drain(func(e wire.Event) {
		switch e := e.(type) {
		case wire.Send:
			if err := s.conn.Write(netip.Addr{}, e.Packet); err != nil {
				s.ctx.Log().Debug("beacon not sent", "error", err)
			}
		case wire.Heard:
			s.cfg.Emit(Found{e.ID, e.Prefix, e.Static, netip.AddrPortFrom(e.From.WithZone(s.name), e.Port)})
		}
	})
	s.timer.Rearm(s.machine.NextTimeout())
}
