package discovery

import (
	"io"
	"math/rand/v2"
	"net/netip"
	"time"

	"re6st/protocols/addr"
)

// Config is what a machine works with.
type Config struct {
	Key   Key
	Self  Beacon
	Local netip.Addr // our link-local address on the interface, without zone
	// Nonces is a source of unpredictable bytes, Rand spreads times.
	Nonces io.Reader
	Rand   *rand.Rand
}

// Event is what the machine has for its driver: Send or Heard.
//
//sumtype:decl
type Event interface{ event() }

// Send is a packet for the group.
type Send struct{ Packet []byte }

// Heard is a node that is on this LAN.
type Heard struct {
	Beacon
	From netip.Addr // link-local, without zone
}

func (Send) event()  {}
func (Heard) event() {}

// Machine speaks and listens on one interface. It has a single owner.
type Machine struct {
	cfg    Config
	known  map[addr.NodeID]known
	begun  time.Time // when the first beacon is due
	count  int       // of the beacons sent of start
	last   time.Time // when a beacon was sent
	next   time.Time
	tokens float64
	filled time.Time
	events []Event
}

// known is a node that was heard.
type known struct {
	said Heard
	at   time.Time // when it was heard last
	told time.Time // when that was emitted
}

// New begins to speak at once: HandleTimeout is due.
func New(now time.Time, cfg Config) *Machine {
	return &Machine{cfg: cfg, known: map[addr.NodeID]known{}, begun: now, next: now, tokens: PacketBurst, filled: now}
}

// NextTimeout is when HandleTimeout is due.
func (m *Machine) NextTimeout() (time.Time, bool) { return m.next, true }

// Drain hands over the events since the last call, in order.
func (m *Machine) Drain(yield func(Event)) {
	events := m.events
	m.events = nil
	for _, e := range events {
		yield(e)
	}
}

// Known is how many nodes were heard lately.
func (m *Machine) Known() int { return len(m.known) }

// HandleTimeout sends a beacon if one is due. Without a nonce there is none; the
// next is sent in its time.
func (m *Machine) HandleTimeout(now time.Time) {
	if now.Before(m.next) {
		return
	}
	if packet, err := m.cfg.Key.Seal(m.cfg.Nonces, m.cfg.Local, m.cfg.Self); err == nil {
		m.events = append(m.events, Send{packet})
	}
	m.last = now
	for m.count < len(start) && !m.begun.Add(start[m.count]).After(now) {
		m.count++
	}
	m.next = now.Add(Interval - Interval/4 + time.Duration(m.cfg.Rand.Int64N(int64(Interval/2))))
	if m.count < len(start) {
		m.next = m.begun.Add(start[m.count])
	}
	for id, k := range m.known {
		if now.Sub(k.at) >= Lifetime {
			delete(m.known, id)
		}
	}
}

// HandleSelf replaces what is said of this node, such as after it got new keys: all on
// the LAN hear of it soon.
func (m *Machine) HandleSelf(now time.Time, self Beacon) {
	if self == m.cfg.Self {
		return
	}
	m.cfg.Self = self
	m.answer(now)
}

// HandlePacket takes what came to the group, or to our address at its port, from a
// link-local address. It fails with ErrForeign, ErrMalformed or ErrRate.
func (m *Machine) HandlePacket(now time.Time, from netip.Addr, packet []byte) error {
	if !m.allow(now) {
		return ErrRate
	}
	b, err := m.cfg.Key.Open(from, packet)
	if err != nil {
		return err
	}
	if b.ID == m.cfg.Self.ID {
		return nil // our own voice, or a second node with our certificate: the handshake tells
	}
	was, ok := m.known[b.ID]
	k := known{Heard{b, from}, now, was.told}
	if !ok || now.Sub(was.at) >= Lifetime {
		m.answer(now)
	}
	if !ok || was.said != k.said || now.Sub(was.told) >= Repeat {
		k.told = now
		m.events = append(m.events, k.said)
	}
	if ok || len(m.known) < MaxKnown {
		m.known[b.ID] = k
	}
	return nil
}

// answer has a newcomer, or all, hear of us soon.
func (m *Machine) answer(now time.Time) {
	at := now.Add(AnswerMin + time.Duration(m.cfg.Rand.Int64N(int64(AnswerMax-AnswerMin))))
	if !m.last.IsZero() && at.Before(m.last.Add(Gap)) {
		at = m.last.Add(Gap)
	}
	if at.Before(m.next) {
		m.next = at
	}
}

// allow takes a token of the bucket that bounds what strangers can make us compute.
func (m *Machine) allow(now time.Time) bool {
	m.tokens = min(PacketBurst, m.tokens+PacketRate*max(0, now.Sub(m.filled).Seconds()))
	m.filled = now
	if m.tokens < 1 {
		return false
	}
	m.tokens--
	return true
}
