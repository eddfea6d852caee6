package netcheck

import (
	"net/netip"
	"slices"
	"time"

	"re6st/protocols/fabric"
)

// What is tried.
const (
	// MaxTargets is how many addresses are asked.
	MaxTargets = 32
	// Tries is how often a question is asked that nobody answers.
	Tries = 3
	// Smallest and Largest are of the IP packets whose passing is tried, in bytes.
	Smallest, Largest = 1200, 1500

	firstWait              = 500 * time.Millisecond // for the first answer; it doubles
	leastWait, longestWait = 150 * time.Millisecond, time.Second
	// granularity is how close to the truth Result.Largest is, in bytes.
	granularity = 4
)

// Config tells what to ask.
type Config struct {
	Fingerprint [32]byte         // of the network's CA
	Targets     []netip.AddrPort // those beyond MaxTargets are not asked
	Index       uint32           // random: of the first question; the others follow
	Sizes       bool             // find the largest packet too
}

// Machine asks. It has a single owner and no locks.
type Machine struct {
	asker   fabric.Asker
	sizes   bool
	targets []*target
	index   uint32
	events  []Event
}

// target is one address, and the question at hand.
type target struct {
	Result
	size  int // of the question's packet; 0: the shortest question
	tries int
	asked []question // of this size
	due   time.Time  // the end of the wait; zero: all is known
	wait  time.Duration
	less  int // the longest size that passed, or is not tried but shorter than all
	more  int // the shortest that did not pass
	next  int // a size to try first: a router named it
}

type question struct {
	datagram []byte
	index    uint32
	sent     time.Time
}

// New begins the examination.
func New(now time.Time, c Config) *Machine {
	m := &Machine{asker: fabric.NewAsker(c.Fingerprint), sizes: c.Sizes, index: c.Index}
	for _, to := range c.Targets[:min(len(c.Targets), MaxTargets)] {
		t := &target{Result: Result{Target: to}, wait: firstWait}
		m.targets = append(m.targets, t)
		m.ask(now, t)
	}
	return m
}

// Results are those of the targets, in their order; they may change until the end.
func (m *Machine) Results() []Result {
	all := make([]Result, len(m.targets))
	for i, t := range m.targets {
		all[i] = t.Result
	}
	return all
}

// NextTimeout is when HandleTimeout is due; false at the end.
func (m *Machine) NextTimeout() (next time.Time, ok bool) {
	for _, t := range m.targets {
		if !t.due.IsZero() && (!ok || t.due.Before(next)) {
			next, ok = t.due, true
		}
	}
	return next, ok
}

// Drain calls f with what is to be done, oldest first.
func (m *Machine) Drain(f func(Event)) {
	events := m.events
	m.events = nil
	for _, e := range events {
		f(e)
	}
}

// headers is how long IP's and UDP's are.
func headers(to netip.AddrPort) int {
	if to.Addr().Unmap().Is4() {
		return 20 + 8
	}
	return 40 + 8
}

// ask sends the question at hand.
func (m *Machine) ask(now time.Time, t *target) {
	if m.index++; m.index == 0 {
		m.index++
	}
	t.tries++
	datagram := m.asker.Append(nil, m.index, max(0, t.size-headers(t.Target)))
	t.asked = append(t.asked, question{slices.Clone(datagram), m.index, now})
	t.due = now.Add(t.wait)
	m.events = append(m.events, Send{t.Target, datagram})
}

// HandleDatagram takes what came to a socket; what is no answer is ignored. It counts for who
// was asked, though he may answer from another address.
func (m *Machine) HandleDatagram(now time.Time, datagram []byte) {
	index, err := fabric.HandshakeIndex(datagram)
	if err != nil {
		return
	}
	for _, t := range m.targets {
		i := slices.IndexFunc(t.asked, func(q question) bool { return q.index == index })
		if i < 0 {
			continue
		}
		if seen, ok := m.asker.Answers(t.asked[i].datagram, datagram); ok {
			m.answered(now, t, seen, now.Sub(t.asked[i].sent))
		}
		return
	}
}

func (m *Machine) answered(now time.Time, t *target, seen netip.AddrPort, rtt time.Duration) {
	if !t.Answered || rtt < t.RTT {
		t.RTT = rtt
	}
	t.Answered, t.Refusal = true, NotRefused
	if seen.IsValid() {
		t.Seen = seen
	}
	if t.due.IsZero() {
		return // late
	}
	if t.size > 0 {
		t.less, t.Largest = t.size, t.size
	}
	m.goOn(now, t)
}

// HandleRefused takes what the kernel says of datagrams to a target.
func (m *Machine) HandleRefused(to netip.AddrPort, why Refusal) {
	for _, t := range m.targets {
		if t.Target == to && !t.Answered {
			t.Refusal = why
		}
	}
}

// HandleTooBig says that a packet to a target does not fit: that of this machine's interface
// or, on a router's word, of a link on the way, which takes mtu bytes; 0: it did not say.
func (m *Machine) HandleTooBig(now time.Time, to netip.AddrPort, mtu int) {
	for _, t := range m.targets {
		if t.Target != to || t.size == 0 || t.due.IsZero() || mtu >= t.size {
			continue
		}
		if mtu > 0 {
			t.Told = mtu
		}
		if mtu > t.less && mtu >= Smallest {
			t.next = mtu
		}
		m.failed(now, t)
	}
}

// HandleTimeout asks again where there was no answer, or gives up.
func (m *Machine) HandleTimeout(now time.Time) {
	for _, t := range m.targets {
		switch {
		case t.due.IsZero() || now.Before(t.due):
		case t.tries < Tries:
			if t.size == 0 {
				t.wait *= 2
			}
			m.ask(now, t)
		case t.size == 0:
			t.due = time.Time{}
		default:
			m.failed(now, t)
		}
	}
}

// failed takes a size for one that does not pass.
func (m *Machine) failed(now time.Time, t *target) {
	t.more, t.TooBig = t.size, t.size
	m.goOn(now, t)
}

// goOn asks with the next size, where there is one to try.
func (m *Machine) goOn(now time.Time, t *target) {
	if !m.sizes {
		t.due = time.Time{}
		return
	}
	t.size = t.nextSize()
	if t.size == 0 {
		t.due = time.Time{}
		return
	}
	t.tries, t.asked = 0, nil
	t.wait = min(max(leastWait, 3*t.RTT), longestWait)
	m.ask(now, t)
}

// nextSize is what to try next; 0: it is known.
func (t *target) nextSize() int {
	next := t.next
	t.next = 0
	switch {
	case t.more == 0 && t.less == 0:
		return Largest
	case t.more == 0 || t.more == Smallest:
		return 0 // all pass, or none
	case next > t.less && next < t.more:
		return next
	case t.less > 0 && t.less == t.Told:
		t.TooBig = t.less + 1 // the router's word holds
		return 0
	case t.less == 0:
		return Smallest
	case t.more-t.less <= granularity:
		return 0
	}
	return (t.less + t.more) / 2
}
