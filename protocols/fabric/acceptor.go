package fabric

import (
	"io"
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
)

// VerifiedFor is for how long the answer to a probe shows that a peer lives, when
// another node comes with its certificate.
const VerifiedFor = 2 * time.Second

// AcceptorConfig is what an Acceptor works with. All but Admit are needed.
type AcceptorConfig struct {
	Credentials *Credentials
	Rand        io.Reader
	NewIndex    func() uint32 // random, not zero, not in use
	// Admit is asked last, about a peer that proved who it is. CloseNone takes
	// it; else it is told the reason: CloseFull, CloseDraining, CloseRevoked.
	Admit func(peer *cert.Identity) CloseReason
}

// Acceptor answers the handshakes of links that others begin. A stranger gets at
// most one Retry per datagram, and leaves no state before it has shown that it
// receives at its address.
//
//	initiation without a good cookie -> Retry
//	initiation IK -> response, Accepted
//	initiation XX -> response, half open -> final -> Accepted, verdict
//
// Not safe for concurrent use.
type Acceptor struct {
	party
	responder *responder
	admit     func(*cert.Identity) CloseReason
	links     map[addr.NodeID]*incumbent
	out       outbox
}

// incumbent is a peer with a link, in whose place another may come.
type incumbent struct {
	boot            BootID
	asked, answered time.Time
}

// NewAcceptor makes an Acceptor.
func NewAcceptor(c AcceptorConfig) *Acceptor {
	a := &Acceptor{
		party: newParty(c.Credentials, purposeLink, c.Rand, c.NewIndex), admit: c.Admit,
		links: make(map[addr.NodeID]*incumbent),
	}
	a.responder = newResponder(&a.party, a.decide)
	return a
}

// SetCredentials has later handshakes show a renewed certificate.
func (a *Acceptor) SetCredentials(c *Credentials) { a.credentials = c }

// HandleDatagram takes a handshake datagram that no Link expects.
func (a *Acceptor) HandleDatagram(now time.Time, from Path, datagram []byte) {
	r := a.responder.handle(now, from.source(), datagram)
	if r.agreed == nil {
		for _, b := range r.replies {
			a.out.put(Send{To: from, Datagram: slices.Clone(b)})
		}
		return
	}
	session, err := r.agreed.link()
	if err != nil {
		a.drops.add(dropAuth)
		return
	}
	a.out.put(Accepted{
		Peer: r.agreed.peer, BootID: r.agreed.boot, From: from.Remote, Session: session, agreed: r.agreed, reply: r.replies,
	})
}

// HandleUp says that a link with this peer is up.
func (a *Acceptor) HandleUp(peer addr.NodeID, boot BootID) { a.links[peer] = &incumbent{boot: boot} }

// HandleDown says that there is no link with this peer any more.
func (a *Acceptor) HandleDown(peer addr.NodeID) { delete(a.links, peer) }

// HandleVerified says that the peer's link emitted Verified.
func (a *Acceptor) HandleVerified(now time.Time, peer addr.NodeID) {
	if l := a.links[peer]; l != nil {
		l.answered = now
	}
}

// decide is about a peer that proved who it is.
func (a *Acceptor) decide(now time.Time, from source, v verified) decision {
	if v.peer.ID == a.self() {
		if v.boot != a.credentials.BootID {
			a.out.put(Duplicate{Peer: v.peer.ID, BootID: v.boot, From: from.addr})
		}
		return decision{drop: dropSelf}
	}
	if a.credentials.isRevoked(v.peer) {
		return decision{reason: CloseRevoked}
	}
	if l := a.links[v.peer.ID]; l != nil && l.boot != v.boot {
		if !l.answered.IsZero() && now.Sub(l.answered) < VerifiedFor {
			a.out.put(Duplicate{Peer: v.peer.ID, BootID: v.boot, From: from.addr})
			return decision{reason: CloseDuplicate}
		}
		if l.asked.IsZero() || now.Sub(l.asked) >= VerifiedFor {
			l.asked = now
			a.out.put(Verify{Peer: v.peer.ID})
		}
		return decision{later: true}
	}
	if a.admit == nil {
		return decision{}
	}
	return decision{reason: a.admit(v.peer)}
}

// HandleTimeout forgets what waited for too long.
func (a *Acceptor) HandleTimeout(now time.Time) { a.responder.handleTimeout(now) }

// NextTimeout is when HandleTimeout has something to do.
func (a *Acceptor) NextTimeout() (time.Time, bool) { return a.responder.nextTimeout() }

// Drain passes on the events since the last time: Send, Accepted, Verify,
// Duplicate.
func (a *Acceptor) Drain(f func(Event)) { a.out.drain(f) }

// Drops counts what was dropped in silence.
func (a *Acceptor) Drops() Drops { return *a.drops }

// HalfOpen is how many handshakes wait for their third message.
func (a *Acceptor) HalfOpen() int { return len(a.responder.waiting) }
