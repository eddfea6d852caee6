package fabric

import (
	"io"
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
)

// Limits of Sessions.
const (
	// MaxSessions is with how many nodes there may be keys; one more ends those
	// that were used least recently.
	MaxSessions = 4096
	// SessionIdle ends keys that nobody uses.
	SessionIdle = 120 * time.Second
	// MaxSessionDials is how many handshakes may be under way.
	MaxSessionDials = 256
	// HintInterval is how often a hint that the peer lost its keys is believed,
	// per peer: any relay can send one.
	HintInterval = 5 * time.Second

	sessionRetryFirst = time.Second // after a handshake that failed, doubling
	sessionRetryLast  = 30 * time.Second
	sessionTick       = time.Second // idle, worn and expired keys are looked for that often
)

// SessionsConfig is what Sessions works with. Credentials, Rand and NewIndex are
// needed.
type SessionsConfig struct {
	Credentials *Credentials
	Rand        io.Reader
	NewIndex    func() uint32 // random, not zero, not in use
	// Admit is asked about a peer that proved who it is, as in AcceptorConfig.
	Admit func(peer *cert.Identity) CloseReason
	// Static is the key of a node, where it is known from elsewhere: a round trip
	// less.
	Static func(addr.NodeID) (static [32]byte, known bool)
}

// Sessions has the end-to-end handshakes of a node: it makes keys when a packet
// wants to go somewhere, answers others, keeps keys new and drops them when idle.
//
//	Want, or a handshake of the peer -> InstallSession -> UseSession -> RetireSession
//	                                    '-> SessionFailed
//
// Not safe for concurrent use.
type Sessions struct {
	party
	responder *responder
	admit     func(*cert.Identity) CloseReason
	static    func(addr.NodeID) ([32]byte, bool)

	peers   map[addr.NodeID]*sessionPeer
	order   []*sessionPeer          // of peers, oldest first
	indices map[uint32]*sessionPeer // by local index
	dials   int
	most    int           // peers, MaxSessions at most
	idle    time.Duration // SessionIdle at most
	tick    time.Time     // zero: nothing to look after
	out     outbox
}

// sessionPeer is a node with which there are keys, or shall be.
type sessionPeer struct {
	id      addr.NodeID
	static  *[keyLen]byte
	kept    keptCookie
	dial    *dialer
	ring    keyring[*Session]
	used    time.Time
	rest    time.Time
	resting time.Duration // the next time
	hinted  time.Time
}

// NewSessions makes a machine without sessions.
func NewSessions(c SessionsConfig) *Sessions {
	s := &Sessions{
		party: newParty(c.Credentials, purposeSession, c.Rand, c.NewIndex), admit: c.Admit, static: c.Static,
		peers: make(map[addr.NodeID]*sessionPeer), indices: make(map[uint32]*sessionPeer), most: MaxSessions, idle: SessionIdle,
	}
	s.responder = newResponder(&s.party, s.decide)
	return s
}

// SetCredentials has later handshakes show a renewed certificate.
func (s *Sessions) SetCredentials(c *Credentials) { s.credentials = c }

// SetLimits lowers MaxSessions and SessionIdle; what is above these is these. The sessions
// that are too many end, those that were used least recently.
func (s *Sessions) SetLimits(most int, idle time.Duration) {
	s.most, s.idle = min(most, MaxSessions), min(idle, SessionIdle)
	for len(s.peers) > s.most {
		s.removeOldest()
	}
	for _, p := range s.order {
		p.ring.waits = s.idle
	}
}

// Len is with how many nodes there are keys or handshakes.
func (s *Sessions) Len() int { return len(s.peers) }

// Drops counts handshake messages that were dropped in silence.
func (s *Sessions) Drops() Drops { return *s.drops }

// Want says that packets wait for a session with egress.
func (s *Sessions) Want(now time.Time, egress addr.NodeID) {
	if egress.IsZero() || egress == s.self() {
		return
	}
	p := s.peer(now, egress)
	p.used = now
	if p.ring.current == nil && p.ring.poll(now) {
		s.settle(p) // what wants to go is the answer to what came under these keys
	}
	if p.ring.current != nil || p.dial != nil || now.Before(p.rest) {
		return
	}
	if s.dials >= MaxSessionDials {
		s.fail(now, p, CloseFull)
		return
	}
	s.call(now, p)
}

// HandleUnknownSession takes the hint that egress does not know the session that
// was used. The session stays; new keys replace it.
func (s *Sessions) HandleUnknownSession(now time.Time, egress addr.NodeID) {
	p := s.peers[egress]
	if p == nil || p.ring.current == nil || p.dial != nil || s.dials >= MaxSessionDials ||
		!p.hinted.IsZero() && now.Sub(p.hinted) < HintInterval {
		return
	}
	p.hinted = now
	s.call(now, p)
}

// HandleConfirmed says that the first authentic packet came under the keys with this
// local index. Later ones may be told too, or not: HandleTimeout looks at the sessions'
// counters as well.
func (s *Sessions) HandleConfirmed(now time.Time, index uint32) {
	if p := s.indices[index]; p != nil && p.ring.confirm(now, index) {
		s.settle(p)
	}
}

// HandleTransit takes the payload of a transit message of kind TransitHandshake whose
// ingress field says this node.
func (s *Sessions) HandleTransit(now time.Time, ingress addr.NodeID, payload []byte) {
	h, err := parseHandshakeHeader(payload)
	switch {
	case err != nil:
		s.drops.add(dropMalformed)
		return
	case ingress.IsZero():
		s.drops.add(dropPeer)
		return
	case ingress == s.self():
		s.drops.add(dropSelf)
		return
	}
	if h.kind == TypeFinal && h.variant == variantConfirm {
		s.confirm(now, ingress, h.receiver, payload[handshakeHeaderLen:])
		return
	}
	from := source{node: ingress}
	if p := s.peers[ingress]; p != nil && p.dial != nil && h.receiver != 0 {
		if l, _ := p.dial.find(h.receiver); l != nil {
			s.answered(now, p, p.dial.handle(now, from, payload))
			return
		}
	}
	a := s.responder.handle(now, from, payload)
	if a.agreed != nil && !s.accept(now, a.agreed) {
		return
	}
	for _, b := range a.replies {
		s.out.put(SendTransit{ingress, slices.Clone(b)})
	}
}

// confirm takes the word of an initiator that it has the keys: until then the
// responder does not send with them, and a packet may be long in coming.
func (s *Sessions) confirm(now time.Time, ingress addr.NodeID, index uint32, word []byte) {
	p := s.indices[index]
	if p == nil || p.id != ingress || !p.ring.isConfirm(index, word) {
		s.drops.add(dropIndex)
		return
	}
	s.HandleConfirmed(now, index)
}

// decide is about a peer that proved who it is.
func (s *Sessions) decide(_ time.Time, from source, v verified) decision {
	switch {
	case v.peer.ID != from.node:
		return decision{drop: dropPeer}
	case s.credentials.isRevoked(v.peer):
		return decision{reason: CloseRevoked}
	case s.admit == nil:
		return decision{}
	}
	return decision{reason: s.admit(v.peer)}
}

// accept takes the keys of a handshake that the peer began.
func (s *Sessions) accept(now time.Time, a *agreement) bool {
	session, err := a.session(s.self())
	if err != nil {
		s.drops.add(dropAuth)
		return false
	}
	p := s.peer(now, a.peer.ID)
	s.indices[a.local] = p
	p.ring.offer(now, session, a)
	return true
}

// answered follows the end of a handshake that this node began.
func (s *Sessions) answered(now time.Time, p *sessionPeer, o *outcome) {
	switch {
	case o == nil:
		return
	case o.agreed == nil:
		s.hangUp(p)
		if p.ring.current != nil {
			p.ring.clear() // the peer wants no more of it
		}
		s.fail(now, p, o.refused)
		return
	}
	s.hangUp(p)
	session, err := o.agreed.session(s.self())
	if err != nil {
		s.drops.add(dropAuth)
		s.fail(now, p, CloseUnverified)
		return
	}
	s.indices[o.agreed.local] = p
	p.kept = o.agreed.kept
	p.ring.adopt(now, session, o.agreed)
	confirm := handshakeHeader{kind: TypeFinal, variant: variantConfirm, sender: o.agreed.local, receiver: o.agreed.remote}
	s.out.put(SendTransit{p.id, append(confirm.append(nil), o.agreed.confirm[:]...)})
	s.settle(p)
}

// settle follows a new choice of keys.
func (s *Sessions) settle(p *sessionPeer) {
	k := p.ring.current
	if k == nil {
		return
	}
	s.hangUp(p)
	p.static = &k.agreed.static
	p.rest, p.resting = time.Time{}, 0
	p.ring.forgetOthers(k.agreed.boot) // a peer that restarted opens nothing of before
}

// fail says that there will be no session, and rests.
func (s *Sessions) fail(now time.Time, p *sessionPeer, reason CloseReason) {
	p.resting = min(max(2*p.resting, sessionRetryFirst), sessionRetryLast)
	p.rest = now.Add(p.resting)
	s.out.put(SessionFailed{Egress: p.id, Reason: reason, RetryAfter: p.resting})
}

func (s *Sessions) call(now time.Time, p *sessionPeer) {
	static := p.static
	if static == nil && s.static != nil {
		if k, known := s.static(p.id); known {
			static = &k
		}
	}
	p.dial = &dialer{
		party: &s.party, expect: p.id, static: static,
		send:   func(to source, b []byte) { s.out.put(SendTransit{to.node, slices.Clone(b)}) },
		listen: func(uint32, bool) {}, // transit messages find their handshake by the ingress
	}
	s.dials++
	p.dial.start(now, []source{{node: p.id}}, p.kept, Reach{})
}

func (s *Sessions) hangUp(p *sessionPeer) {
	if p.dial != nil {
		p.dial.stop()
		p.dial = nil
		s.dials--
	}
}

// Drain passes on the events since the last time.
func (s *Sessions) Drain(f func(Event)) { s.out.drain(f) }
