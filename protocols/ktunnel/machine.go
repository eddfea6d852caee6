package ktunnel

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"

	"re6st/protocols/addr"
)

// labelKey is hashed with both ends to the key of their tunnel.
const labelKey = "re6st kernel tunnel v1\x00"

// Agreement is a tunnel as one end makes it. Comparable.
type Agreement struct {
	Kind               Kind
	Local, Remote      netip.AddrPort // outer; the ports are 0 for GRE
	Key                uint32         // of GRE and FOU, the same at both ends; never 0
	PeerKey            [keyLen]byte   // WireGuard's, of the other end; zeros for other kinds
	Inside, PeerInside netip.Addr     // link-local addresses in the tunnel
	Waits              bool           // OpenVPN: this end waits at Local, the other dials
	Underlay           int            // bytes that an outer packet may have: the lower of both ends'
	Trusted            bool           // both ends would have their own packets go unsealed in it; never in OpenVPN's
}

// Event is what a Machine wants done: Say, Agreed or Ended.
//
//sumtype:decl
type Event interface{ event() }

// Say asks to hand Body to the peer's HandleMessage.
type Say struct{ Body []byte }

// Agreed asks for this tunnel, in place of the one before.
type Agreed struct{ Agreement Agreement }

// Ended says that there is none any more.
type Ended struct{}

func (Say) event()    {}
func (Agreed) event() {}
func (Ended) event()  {}

// Config is what one end knows when the sealed link comes up.
type Config struct {
	Self, Peer addr.NodeID
	Nonce      uint32 // random, another for each Machine
}

// Machine is one end of one sealed link. It knows no time. It has a single owner.
type Machine struct {
	cfg    Config
	own    message
	peer   message
	said   bool
	agreed Agreement // the zero one: none
	events []Event
}

// New is the Machine of a link that just came up: nothing is offered yet.
func New(cfg Config) *Machine { return &Machine{cfg: cfg} }

// HandleOwn takes what this end offers from now on. Kinds of which something lacks are left out.
func (m *Machine) HandleOwn(o Offer) {
	next := message{o.tidy(), m.cfg.Nonce}
	if m.said && m.own.equal(next) {
		return
	}
	m.own, m.said = next, true
	m.events = append(m.events, Say{next.append(nil)})
	m.settle()
}

// HandleMessage takes what the peer's Machine said; an error is the peer's fault, and changes nothing.
func (m *Machine) HandleMessage(body []byte) error {
	peer, err := decode(body)
	if err != nil {
		return err
	}
	m.peer = peer
	m.settle()
	return nil
}

// Drain hands over the events since the last call, in order.
func (m *Machine) Drain(yield func(Event)) {
	events := m.events
	m.events = nil
	for _, e := range events {
		yield(e)
	}
}

// settle reports what follows from the two Offers, where that is something else than before.
func (m *Machine) settle() {
	next := m.agree()
	if next == m.agreed {
		return
	}
	m.agreed = next
	if next == (Agreement{}) {
		m.events = append(m.events, Ended{})
		return
	}
	m.events = append(m.events, Agreed{next})
}

func (m *Machine) agree() Agreement {
	low, high := m.own, m.peer
	if m.cfg.Peer.Compare(m.cfg.Self) < 0 {
		low, high = high, low
	}
	i := slices.IndexFunc(low.Kinds, func(k Kind) bool { return slices.Contains(high.Kinds, k) })
	ours, theirs := m.own.Address, m.peer.Address
	if i < 0 || ours.Is4() != theirs.Is4() || ours == theirs {
		return Agreement{}
	}
	kind := low.Kinds[i]
	a := Agreement{
		Kind:  kind,
		Local: netip.AddrPortFrom(ours, m.own.port(kind)), Remote: netip.AddrPortFrom(theirs, m.peer.port(kind)),
		Inside: m.cfg.Self.LinkLocal(), PeerInside: m.cfg.Peer.LinkLocal(),
		Underlay: int(min(m.own.MTU, m.peer.MTU)),
		Trusted:  m.own.Trusts && m.peer.Trusts && !kind.IsOpenVPN(),
	}
	switch kind {
	case WireGuard:
		a.PeerKey = m.peer.PublicKey
	case OpenVPNUDP, OpenVPNTCP:
		a.Waits = m.cfg.Self.Compare(m.cfg.Peer) < 0
	default:
		a.Key = tunnelKey(low.nonce, high.nonce)
	}
	return a
}

// tunnelKey is the same at both ends.
func tunnelKey(low, high uint32) uint32 {
	b := binary.BigEndian.AppendUint32([]byte(labelKey), low)
	sum := sha256.Sum256(binary.BigEndian.AppendUint32(b, high))
	return max(1, binary.BigEndian.Uint32(sum[:]))
}
