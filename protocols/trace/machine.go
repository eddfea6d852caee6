package trace

import (
	"slices"
	"time"

	"re6st/protocols/addr"
)

// Bounds of a Config, and what the machine keeps to.
const (
	MaxProbes               = 10
	MinTimeout, MaxTimeout  = 10 * time.Millisecond, 10 * time.Second
	MaxHops                 = 64
	DefaultProbes           = 3
	DefaultTimeout          = time.Second
	DefaultHops             = 32
	maxSilent               = 2                     // hops without an answer, one after the other
	spacing                 = 10 * time.Millisecond // between two probes: relays bound them
	proofs                  = 3                     // probes more, for a session to come
	proofPause              = 50 * time.Millisecond
	fullProbes              = 2
	loopAt                  = 3 // times that a node is met
	leastPatience, patience = 100 * time.Millisecond, 4
)

// Config tells what to trace. Values out of their bounds are the driver's to refuse.
type Config struct {
	ID      ID
	Self    addr.NodeID
	Egress  addr.NodeID
	Probes  int           // for each hop, 1 to MaxProbes
	Timeout time.Duration // for each probe
	Hops    int           // at most, 1 to MaxHops
	// Full is the length of a probe whose frame is as long as that of the largest
	// inner packet: each hop gets one such, to see if it passes. 0: none.
	Full int
}

// Arrival is a reply as it came.
type Arrival struct {
	Reply
	Node     addr.NodeID // who says to have answered
	Proven   bool        // that it was Node
	HopsBack int         // links that the reply has passed; 0: not known
}

// Event is what the driver is to do, or to tell.
//
//sumtype:decl
type Event interface{ event() }

// Send is a probe to send towards the egress.
type Send struct {
	HopLimit uint8
	Payload  []byte // the driver's
}

// Want asks for a session with a node, so that it can prove its replies.
type Want struct{ Node addr.NodeID }

// Hop is what was found at one number of links from here.
type Hop struct {
	Number         int         // of links from here, from 1
	Node           addr.NodeID // zero: no answer
	Proven         bool
	Code           Code
	Prefix         addr.Bits
	From, Back     addr.NodeID
	HopsBack       int
	Way            Way // from here on
	Sent, Received int
	Best, Worst    time.Duration // round trips
	Full           Fullness
	// Others answered in place of Node at this number: the path changed.
	Others []addr.NodeID
	// Strayed says that the probe did not come from the hop before: the path changed
	// between the two.
	Strayed bool
}

// Fullness tells whether a packet of full size passes as far as a hop.
type Fullness uint8

// Of a hop.
const (
	NotTried Fullness = iota
	Passes
	Fails
)

// Outcome is how a trace ended.
type Outcome uint8

// The outcomes.
const (
	Reached  Outcome = iota + 1 // the egress answered
	Stuck                       // a node has no route
	Silent                      // no answer beyond After
	HopsGone                    // the hop limit of the trace was reached
	Loop                        // the same node came again and again
)

// End is the last event.
type End struct {
	Outcome Outcome
	After   addr.NodeID // the last one that answered; Self where none did
	Changed bool        // the path did, while it was traced
}

func (Send) event() {}
func (Want) event() {}
func (Hop) event()  {}
func (End) event()  {}

// phase is what the probes at hand are for.
type phase uint8

const (
	measuring phase = iota // round trips
	proving                // a session may be there by now
	filling                // full size
)

// Machine traces one path. It has a single owner and no locks.
type Machine struct {
	cfg    Config
	hop    Hop
	phase  phase
	tries  int // in this phase
	number uint16
	first  uint16               // number of this hop's first probe
	sent   map[uint16]time.Time // of this hop's probes; answered ones are taken out
	sizes  map[uint16]bool      // those of full size
	wait   time.Time            // for the next probe, or for the answer
	silent int
	last   addr.NodeID // that answered
	seen   map[addr.NodeID]int
	ended  bool
	change bool
	events []Event
}

// New begins a trace.
func New(now time.Time, cfg Config) *Machine {
	m := &Machine{cfg: cfg, last: cfg.Self, seen: map[addr.NodeID]int{}}
	m.begin(now, 1)
	return m
}

// NextTimeout is when HandleTimeout is due; false after End.
func (m *Machine) NextTimeout() (time.Time, bool) { return m.wait, !m.ended }

// Drain calls f with what is to be done, oldest first.
func (m *Machine) Drain(f func(Event)) {
	for len(m.events) > 0 {
		e := m.events[0]
		m.events = m.events[1:]
		f(e)
	}
}

func (m *Machine) emit(e Event) { m.events = append(m.events, e) }

// begin starts with a hop.
func (m *Machine) begin(now time.Time, number int) {
	m.hop, m.phase, m.tries = Hop{Number: number}, measuring, 0
	m.first, m.sent, m.sizes = m.number+1, map[uint16]time.Time{}, map[uint16]bool{}
	m.probe(now)
}

// probe sends the next one of this phase.
func (m *Machine) probe(now time.Time) {
	m.number++
	m.tries++
	size, wait := 0, m.cfg.Timeout
	if m.phase == filling {
		size = m.cfg.Full
		m.sizes[m.number] = true
	}
	if m.phase == measuring {
		m.hop.Sent++
	} else { // it answers: no need to wait for as long
		wait = min(wait, leastPatience+patience*m.hop.Worst)
	}
	m.sent[m.number] = now
	m.wait = now.Add(wait)
	m.emit(Send{uint8(m.hop.Number), Probe{ID: m.cfg.ID, Number: m.number, Extends: true}.Append(nil, size)})
}

// HandleReply takes an answer; what is none of this trace, or late, is ignored.
func (m *Machine) HandleReply(now time.Time, a Arrival) {
	at, ok := m.sent[a.Number]
	if m.ended || a.ID != m.cfg.ID || !ok || a.Node.IsZero() || a.Node == m.cfg.Self {
		return
	}
	delete(m.sent, a.Number)
	m.note(a, max(0, now.Sub(at)))
	if a.Number == m.number {
		m.wait = now.Add(m.pause())
	}
}

// pause is until the next probe.
func (m *Machine) pause() time.Duration {
	if m.phase == proving && !m.hop.Proven {
		return proofPause
	}
	return spacing
}

// note takes into the hop what an answer says.
func (m *Machine) note(a Arrival, rtt time.Duration) {
	h := &m.hop
	if m.sizes[a.Number] {
		h.Full = Passes
	} else if int(a.Number-m.first) < m.cfg.Probes {
		if h.Received++; h.Received == 1 {
			h.Best = rtt
		}
		h.Best, h.Worst = min(h.Best, rtt), max(h.Worst, rtt)
	}
	switch {
	case h.Node.IsZero():
		m.take(a)
		if !a.Proven {
			m.emit(Want{a.Node})
		}
	case h.Node != a.Node:
		if !slices.Contains(h.Others, a.Node) {
			h.Others = append(h.Others, a.Node)
		}
	case a.Proven || !h.Proven:
		m.take(a)
	}
}

// take makes the answer the hop's own: the newest, of those that are proven if
// there are any.
func (m *Machine) take(a Arrival) {
	h := &m.hop
	h.Node, h.Proven, h.Code, h.Prefix = a.Node, a.Proven, a.Code, a.Prefix
	h.From, h.Back, h.HopsBack, h.Way = a.From, a.Back, a.HopsBack, a.Way
}

// HandleTimeout goes on where an answer has come or is not waited for any more.
func (m *Machine) HandleTimeout(now time.Time) {
	if m.ended || now.Before(m.wait) {
		return
	}
	if m.phase == measuring && m.tries >= m.cfg.Probes {
		m.phase, m.tries = proving, 0
	}
	if m.phase == proving && (m.hop.Node.IsZero() || m.hop.Proven || m.tries >= proofs) {
		m.phase, m.tries = filling, 0
	}
	if m.phase == filling && (m.cfg.Full == 0 || m.hop.Node.IsZero() || m.hop.Full == Passes || m.tries >= fullProbes) {
		m.finish(now)
		return
	}
	m.probe(now)
}

// finish tells the hop, and goes to the next one or to the end.
func (m *Machine) finish(now time.Time) {
	h := &m.hop
	if m.cfg.Full > 0 && !h.Node.IsZero() && h.Full != Passes {
		h.Full = Fails
	}
	// Only where the hop before is known can it be told that this one is not behind it.
	h.Strayed = !h.Node.IsZero() && m.silent == 0 && h.From != m.last
	m.change = m.change || h.Strayed || len(h.Others) > 0
	m.emit(*h)
	if h.Node.IsZero() {
		m.silent++
	} else {
		m.silent, m.last = 0, h.Node
		m.seen[h.Node]++
	}
	switch {
	case h.Code == Arrived:
		m.end(Reached)
	case h.Code == NoRoute:
		m.end(Stuck)
	case m.silent >= maxSilent:
		m.end(Silent)
	case m.seen[h.Node] >= loopAt:
		m.end(Loop)
	case h.Number >= m.cfg.Hops:
		m.end(HopsGone)
	default:
		m.begin(now, h.Number+1)
	}
}

func (m *Machine) end(o Outcome) {
	m.ended = true
	m.emit(End{o, m.last, m.change})
}
