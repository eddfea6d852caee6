package fabric

import (
	"io"
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
)

// party is this node in the handshakes of one machine.
type party struct {
	credentials *Credentials
	purpose     purpose
	rand        io.Reader
	newIndex    func() uint32
	key         macKey
	drops       *Drops
}

func newParty(c *Credentials, p purpose, rand io.Reader, newIndex func() uint32) party {
	return party{c, p, rand, newIndex, newMACKey(c.Authority.Fingerprint), new(Drops)}
}

func (p *party) self() addr.NodeID { return p.credentials.Identity.ID }

// size is how long a datagram of a handshake may be; QUIC has a header of its own.
func (p *party) size(by Carrier) int {
	if p.purpose == purposeSession || by == QUIC {
		return SessionHandshakeSize
	}
	return LinkHandshakeSize
}

// agreement is what a handshake came to.
type agreement struct {
	peer          *cert.Identity
	boot          BootID
	static        [keyLen]byte
	suite         Suite
	keys          Keys
	confirm       [keyLen]byte // the initiator shows by it that it has the keys
	local, remote uint32       // indices
	initiator     bool         // this node
	with          source
	rtt           time.Duration // initiator: of the last message and its answer
	kept          keptCookie    // initiator: for the next handshake
}

// verified is a peer's hello that was found true.
type verified struct {
	hello
	peer   *cert.Identity
	static [keyLen]byte
}

// judge checks what the peer says of itself in an authentic message.
func (p *party) judge(now time.Time, payload []byte, static [keyLen]byte) (verified, dropReason) {
	h, err := parseHello(payload)
	switch {
	case err != nil:
		return verified{}, dropMalformed
	case h.refusal != CloseNone:
		return verified{hello: h}, dropNone
	}
	peer, drop := p.credentials.verify(now, h, static)
	if drop != dropNone {
		return verified{}, drop
	}
	h.certificate, h.binding = slices.Clone(h.certificate), slices.Clone(h.binding)
	return verified{h, peer, static}, dropNone
}

// conclude makes the agreement of a finished exchange.
func (p *party) conclude(x *exchange, v verified, local uint32, with source) (*agreement, dropReason) {
	ours, theirs := p.credentials.Suites, v.suites
	if !x.initiator {
		ours, theirs = theirs, ours
	}
	suite, ok := agree(ours, theirs)
	if !ok {
		return nil, dropSuite
	}
	keys, err := x.keys()
	if err != nil {
		return nil, dropAuth
	}
	confirm, err := x.derive(0, labelConfirm)
	if err != nil {
		return nil, dropAuth
	}
	return &agreement{
		peer: v.peer, boot: v.boot, static: v.static, suite: suite, keys: keys, confirm: confirm,
		local: local, remote: v.index, initiator: x.initiator, with: with,
	}, dropNone
}

func (a *agreement) link() (*LinkSession, error) {
	return NewLinkSession(a.suite, a.keys, a.local, a.remote)
}

func (a *agreement) session(self addr.NodeID) (*Session, error) {
	return NewSession(a.suite, a.keys, a.local, a.remote, self, a.peer.ID)
}

// earlier is the earliest of the times that there are.
func earlier(times ...time.Time) (first time.Time, ok bool) {
	for _, t := range times {
		if !t.IsZero() && (!ok || t.Before(first)) {
			first, ok = t, true
		}
	}
	return first, ok
}
