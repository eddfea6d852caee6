package peer

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"re6st/protocols/addr"
)

// Config is what one end of a link knows when the link comes up.
type Config struct {
	Self       addr.NodeID
	Hello      Hello          // what to say of ourselves; its Numbers are set by HandleDocument
	Peer       addr.NodeID    // from the peer's certificate
	PeerPrefix addr.Bits      // from the peer's certificate
	Observed   netip.AddrPort // where the peer's packets come from
	Networks   []netip.Prefix // the mesh's own ranges, in which no endpoint may be
	Epoch      uint32         // random, another for each Exchange
}

// Exchange is one end of one link: what is still to be said, and what was heard.
// It has a single owner.
type Exchange struct {
	cfg      Config
	events   []Event
	sequence uint32
	flight   *flight // the message under way, but for Claims

	// What is still to be said.
	hello, observed bool
	parting         Reason // 0: nothing
	tunnel          []byte // of a ktunnel.Machine, said last; nil: nothing
	tunnelNews      bool   // the peer does not know it
	news            []Peer
	newsNext        time.Time // no news before

	told  map[addr.NodeID]string // what the peer knows of others, from us or because it said so
	peers []Peer                 // what HandlePeers had last

	transfers [Documents]transfer
	claims    []byte    // what a claim.Sync has to say; nil: nothing
	underWay  []*flight // Claims; they need not arrive in order
	window    int       // how many of these there may be

	peerEpoch, peerSequence uint32
	heard                   bool
	before                  uint64  // which of the sequences before peerSequence were heard, the latest in the lowest bit
	credit                  float64 // peers that may still be told
	creditAt                time.Time
}

// flight is a message that waits for its Ack.
type flight struct {
	header Header
	body   []byte
	tries  int
	next   time.Time
}

// New is the Exchange of a link that just came up. It keeps none of cfg's slices.
func New(now time.Time, cfg Config) *Exchange {
	cfg.Networks = slices.Clone(cfg.Networks)
	x := &Exchange{cfg: cfg, told: map[addr.NodeID]string{}, credit: MaxBurst, creditAt: now, window: 1}
	x.setHello(cfg.Hello)
	x.beginAnew()
	x.advance(now)
	return x
}

func (x *Exchange) setHello(h Hello) {
	h.Endpoints = checked(h.Endpoints, x.cfg.Networks)
	x.cfg.Hello = h
	x.hello = true
}

// beginAnew has all said again, as the peer knows nothing.
func (x *Exchange) beginAnew() {
	x.hello, x.observed, x.tunnelNews = true, true, x.tunnel != nil
	clear(x.told)
	x.newsNext = time.Time{}
	for d := range x.transfers {
		x.transfers[d].beginAnew()
	}
	x.findNews()
}

// Drain hands over the events since the last call, in order.
func (x *Exchange) Drain(yield func(Event)) {
	events := x.events
	x.events = nil
	for _, e := range events {
		yield(e)
	}
}

func (x *Exchange) emit(e Event) { x.events = append(x.events, e) }

// NextTimeout is when HandleTimeout is due.
func (x *Exchange) NextTimeout() (time.Time, bool) {
	next, ok := x.newsNext, len(x.news) > 0
	if x.flight != nil {
		next, ok = x.flight.next, true
	}
	for _, f := range x.underWay {
		if !ok || f.next.Before(next) {
			next, ok = f.next, true
		}
	}
	return next, ok
}

// HandleTimeout repeats what was not acknowledged, and says what was held back.
func (x *Exchange) HandleTimeout(now time.Time) {
	if f := x.flight; f != nil && !now.Before(f.next) {
		if f.tries >= MaxTries {
			x.flight = nil
		} else {
			x.send(now, f)
		}
	}
	x.repeatClaims(now)
	x.advance(now)
}

// HandleSelf replaces what is said of ourselves, such as when an address changed.
func (x *Exchange) HandleSelf(now time.Time, h Hello) {
	x.setHello(h)
	x.advance(now)
}

// HandleObserved notes that the peer's packets come from another address.
func (x *Exchange) HandleObserved(now time.Time, from netip.AddrPort) {
	if from != x.cfg.Observed {
		x.cfg.Observed, x.observed = from, true
		x.advance(now)
	}
}

// HandlePeers takes in all known peers, those last seen alive first. Of the first
// MaxTold the peer is told what it does not know yet.
func (x *Exchange) HandlePeers(now time.Time, peers []Peer) {
	x.peers = nil
	for _, p := range peers {
		p.Endpoints = checked(p.Endpoints, x.cfg.Networks)
		if len(x.peers) < MaxTold && len(p.Endpoints) > 0 && p.ID != x.cfg.Peer && p.ID != x.cfg.Self && !p.ID.IsZero() {
			x.peers = append(x.peers, p)
		}
	}
	x.findNews()
	x.advance(now)
}

// note keeps in mind what the peer knows of another node. What is forgotten for
// want of room is at worst told twice.
func (x *Exchange) note(p Peer) {
	if len(x.told) >= MaxNoted {
		clear(x.told)
	}
	x.told[p.ID] = digest(p)
}

func (x *Exchange) findNews() {
	x.news = nil
	for _, p := range x.peers {
		if x.told[p.ID] != digest(p) {
			x.news = append(x.news, p)
		}
	}
}

// digest is equal for equal knowledge, whatever the order and the age.
func digest(p Peer) string {
	p.Age = 0
	p.Endpoints = slices.Clone(p.Endpoints)
	slices.SortFunc(p.Endpoints, netip.AddrPort.Compare)
	return string(appendPeer(nil, p))
}

// HandleDocument notes a signed document that this node now has. signed is not kept.
func (x *Exchange) HandleDocument(now time.Time, d Document, number uint64, signed []byte) {
	if len(signed) <= d.MaxDocument() && x.transfers[d].hold(number, signed) {
		x.advance(now)
	}
}

// Idle tells whether there is place for one more message under way, and nothing more
// urgent to say than what HandleClaims takes.
func (x *Exchange) Idle() bool {
	return x.flight == nil && x.claims == nil && len(x.underWay) < x.window &&
		(len(x.underWay) == 0 || x.sequence-x.underWay[0].header.Sequence < aheadOfAck)
}

// HandleClaims has the peer told what a claim.Sync says, which what was said later may
// overtake where something is lost: make a call while it is Idle. body is not kept.
func (x *Exchange) HandleClaims(now time.Time, body []byte) {
	x.claims = slices.Clone(body)
	x.advance(now)
}

// HandleTunnel has the peer told what a ktunnel.Machine says, in place of what it said
// before. body is not kept.
func (x *Exchange) HandleTunnel(now time.Time, body []byte) {
	x.tunnel, x.tunnelNews = slices.Clone(body), true
	x.advance(now)
}

// HandleGoodbye tells the peer of a leave.
func (x *Exchange) HandleGoodbye(now time.Time, why Reason) {
	x.parting = why
	x.advance(now)
}

// HandleMessage takes in one body of kind 5. An error means that the peer sends
// what it must not; ErrFlood that the message was dropped, to be repeated.
func (x *Exchange) HandleMessage(now time.Time, body []byte) error {
	h, m, err := Decode(body)
	if err != nil {
		return err
	}
	if _, ack := m.(Ack); ack {
		if x.flight != nil && x.flight.header == h {
			x.flight = nil
		}
		x.hearClaimsAck(h)
		x.advance(now)
		return nil
	}
	fresh := !x.heard || h.Epoch != x.peerEpoch
	if list, ok := m.(List); ok && (fresh || h.Sequence > x.peerSequence) && !x.pay(now, len(list.Peers)) {
		return fmt.Errorf("%w: %d peers in a burst, then %d a second", ErrFlood, MaxBurst, HeardRate)
	}
	x.acknowledge(h)
	if fresh && x.heard {
		x.beginAnew()
	}
	if _, claims := m.(Claims); !x.isNews(h, fresh, claims) {
		return nil // a repetition whose Ack was lost
	}
	err = x.hear(m)
	x.advance(now)
	return err
}

func (x *Exchange) acknowledge(h Header) {
	if b, err := Append(nil, h, Ack{}); err == nil {
		x.emit(Send{b})
	}
}

// pay takes n peers from the credit; false: it is used up.
func (x *Exchange) pay(now time.Time, n int) bool {
	x.credit = min(MaxBurst, x.credit+HeardRate*max(0, now.Sub(x.creditAt).Seconds()))
	x.creditAt = now
	if x.credit < float64(n) {
		return false
	}
	x.credit -= float64(n)
	return true
}

func (x *Exchange) hear(m Message) error {
	switch m := m.(type) {
	case Hello:
		if m.Prefix != x.cfg.PeerPrefix {
			return fmt.Errorf("%w: prefix %s, certified is %s", ErrContradiction, m.Prefix.CN(), x.cfg.PeerPrefix.CN())
		}
		m.Endpoints = checked(m.Endpoints, x.cfg.Networks)
		x.emit(Introduced{m})
		for d, number := range m.Numbers {
			x.transfers[d].hearOffer(number)
		}
	case ObservedAddress:
		if err := CheckEndpoint(m.Address, x.cfg.Networks); err != nil {
			return err
		}
		x.emit(SeenAt(m))
	case List:
		x.hearPeers(m.Peers)
	case Offer:
		x.transfers[m.Document].hearOffer(m.Number)
	case Request:
		x.transfers[m.Document].asked = &m
	case Chunk:
		if whole := x.transfers[m.Document].hearChunk(m); whole != nil {
			x.emit(Received{m.Document, m.Number, whole})
		}
	case Claims:
		x.emit(ClaimsHeard(m))
	case Tunnel:
		x.emit(TunnelHeard(m))
	case Goodbye:
		x.emit(Parting(m))
	case Ack, Rendezvous, Unknown: // the second has a way of its own
	}
	return nil
}

func (x *Exchange) hearPeers(peers []Peer) {
	var good []Peer
	for _, p := range peers {
		p.Endpoints = checked(p.Endpoints, x.cfg.Networks)
		if p.ID == x.cfg.Self || p.ID == x.cfg.Peer || len(p.Endpoints) == 0 {
			continue
		}
		good = append(good, p)
		x.note(p)
	}
	if len(good) > 0 {
		x.emit(Learned{good})
	}
}
