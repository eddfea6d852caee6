package session

import (
	"context"
	"crypto/rand"
	"time"

	"re6st/actors/system"
	"re6st/hw/dataplane"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/fabric"
)

// Config is what the actor works with.
type Config struct {
	// Credentials are those of the start; Renewed brings others.
	Credentials *fabric.Credentials
	Plane       Plane
	// Limits are the network's, zero: fabric's; Limited brings others.
	Limits Limits
	// Keys are what the actor has in the packet path. They outlive the actor, and
	// whoever spawns it, as long as the packet path does.
	Keys *Keys
	// Identified is told who a peer proved to be, before packets of it are
	// accepted.
	Identified func(*cert.Identity)
	// Forgotten is told with whom there are no keys any more.
	Forgotten func(addr.NodeID)
	// Static is the key of a node, where it is known; it may be nil.
	Static func(addr.NodeID) ([32]byte, bool)
}

// Plane is what the actor needs of the packet path.
type Plane interface {
	Wanted() <-chan addr.NodeID
	Transits() <-chan dataplane.Transit
	UnknownSessions() <-chan addr.NodeID
	SendTransit(egress addr.NodeID, payload []byte) error
	InstallSession(*fabric.Session)
	UseSession(*fabric.Session)
	RetireSession(index uint32)
	NewIndex() uint32
}

// Limits of sessions end to end, below those of fabric.
type Limits struct {
	Sessions int
	Idle     time.Duration
}

// Message is what the actor takes.
//
//sumtype:decl
type Message interface{ sessionMessage() }

// Revoked says which nodes are revoked: all keys with them end.
type Revoked struct{ Nodes []addr.NodeID }

// Limited brings other limits of the network.
type Limited struct{ Limits Limits }

// Renewed brings another certificate of this node, for later handshakes.
type Renewed struct{ Credentials *fabric.Credentials }

type (
	wanted  struct{ egress addr.NodeID }
	unknown struct{ egress addr.NodeID }
	transit struct{ dataplane.Transit }
	tick    struct{}
	review  struct{}
)

func (Limited) sessionMessage() {}
func (Revoked) sessionMessage() {}
func (Renewed) sessionMessage() {}
func (wanted) sessionMessage()  {}
func (transit) sessionMessage() {}
func (unknown) sessionMessage() {}
func (tick) sessionMessage()    {}
func (review) sessionMessage()  {}

// Snapshot is what the actor publishes.
type Snapshot struct {
	Peers int          // nodes with keys or handshakes
	Drops fabric.Drops // handshake messages dropped in silence
}

// Spawn starts the actor.
func Spawn(parent system.Parent, cfg Config) (system.Ref[Message], error) {
	if cfg.Limits == (Limits{}) {
		cfg.Limits = Limits{fabric.MaxSessions, fabric.SessionIdle}
	}
	cfg.Keys.credentials, cfg.Keys.limits = cfg.Credentials, cfg.Limits
	return system.Spawn(parent, "session", system.Spec[Message]{
		Kind:     "session",
		New:      func() system.Handler[Message] { return &sessions{cfg: cfg, keys: cfg.Keys} },
		OnBudget: system.Escalate,
	})
}

// sessions drives fabric.Sessions.
type sessions struct {
	cfg     Config
	ctx     *system.Context[Message]
	machine *fabric.Sessions
	timer   *system.Timer
	keys    *Keys

	leftovers  []leftover
	handedOver time.Time // when they go
}

// Start begins without sessions of its own, and looks after those that it finds.
func (s *sessions) Start(ctx *system.Context[Message]) error {
	s.ctx = ctx
	s.machine = fabric.NewSessions(fabric.SessionsConfig{
		Credentials: s.keys.credentials, Rand: rand.Reader, NewIndex: s.cfg.Plane.NewIndex, Static: s.cfg.Static,
	})
	s.machine.SetLimits(s.keys.limits.Sessions, s.keys.limits.Idle)
	s.timer = ctx.NewTimer(tick{})
	s.takeOver()
	plane := s.cfg.Plane
	ctx.Pump("wanted", func(stop context.Context, p *system.Pump[Message]) error {
		return system.Forward(stop, plane.Wanted(), p, func(egress addr.NodeID) Message { return wanted{egress} })
	}, system.Queue(plane.Wanted()))
	ctx.Pump("unknown", func(stop context.Context, p *system.Pump[Message]) error {
		return system.Forward(stop, plane.UnknownSessions(), p, func(egress addr.NodeID) Message { return unknown{egress} })
	}, system.Queue(plane.UnknownSessions()))
	ctx.Pump("transit", func(stop context.Context, p *system.Pump[Message]) error {
		return system.Forward(stop, plane.Transits(), p, func(t dataplane.Transit) Message { return transit{t} })
	}, system.Queue(plane.Transits()))
	s.settle()
	return nil
}

// Handle takes one message.
func (s *sessions) Handle(ctx *system.Context[Message], m Message) error {
	now := ctx.Now()
	switch m := m.(type) {
	case wanted:
		s.machine.Want(now, m.egress)
	case unknown:
		s.lost(now, m.egress)
	case transit:
		s.machine.HandleTransit(now, m.Ingress, m.Payload)
	case tick:
		s.machine.HandleTimeout(now)
	case review:
		s.review(now)
	case Revoked:
		s.revoked(m.Nodes)
	case Limited:
		s.keys.limits = m.Limits
		s.machine.SetLimits(m.Limits.Sessions, m.Limits.Idle)
	case Renewed:
		s.keys.credentials = m.Credentials
		s.machine.SetCredentials(m.Credentials)
	}
	s.settle()
	return nil
}

// Stop leaves the keys to the packet path.
func (s *sessions) Stop(*system.Context[Message]) {}

// settle carries out what the machine wants.
func (s *sessions) settle() {
	s.machine.Drain(func(e fabric.Event) {
		switch e := e.(type) {
		case fabric.SendTransit:
			if err := s.cfg.Plane.SendTransit(e.Egress, e.Payload); err != nil {
				s.ctx.Log().Debug("handshake not sent", "egress", e.Egress, "error", err)
			}
		case fabric.InstallSession:
			s.cfg.Identified(e.Peer)
			s.keys.hold(e.Session)
			s.cfg.Plane.InstallSession(e.Session)
		case fabric.UseSession:
			s.cfg.Plane.UseSession(e.Session)
		case fabric.RetireSession:
			s.retire(e.Index)
		case fabric.SessionFailed:
			s.ctx.Event("session", "none with "+e.Egress.String()+": "+e.Reason.String()+"; again in "+e.RetryAfter.String())
		}
	})
	s.timer.Rearm(s.machine.NextTimeout())
	s.ctx.Publish(Snapshot{s.machine.Len(), s.machine.Drops()})
}
