package neighbor

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"re6st/protocols/addr"
	"re6st/protocols/rib"
)

// inboxSize is how many Babel packets of one neighbor may wait; what comes
// beyond is dropped, as a full socket would.
const inboxSize = 64

// How many bytes of Babel packets one neighbor may send per second, and at once: a
// full table of babel.MaxRoutesPerNeighbor, and four times what it takes to refresh
// it. What comes beyond is dropped, as a router must have time for the others.
const (
	NeighborRate  = 128 << 10
	NeighborBurst = 1 << 20
)

// maxEarly bounds the links of which Babel speaks before they are Set: the other
// end may be up a moment earlier, and what it says first must not be lost.
const maxEarly = 64

// Link is a sealed link that is up.
type Link struct {
	ID   rib.LinkID
	Peer addr.NodeID
	RTT  time.Duration
	// Draining asks to leave the link: any other way is better.
	Draining bool
}

// drained is the round trip that a draining link pretends to have: the worst that
// costs differ by.
const drained = time.Second

// rtt is the round trip as the link's cost takes it.
func (l Link) rtt() time.Duration {
	if l.Draining {
		return drained
	}
	return l.RTT
}

// Links is what the tunnels say about their links, kept outside of the router so
// that one that restarts finds them. Safe for concurrent use.
type Links struct {
	mu      sync.RWMutex
	links   map[rib.LinkID]*linkPort
	early   int // of links: not Set yet
	changed func()
	dropped atomic.Uint64
}

// linkPort is a link and the queue of its Babel packets. It is never changed.
type linkPort struct {
	link  Link // without a peer before Set
	inbox chan packet
	rate  *rate.Limiter // of bytes
	since time.Time     // of its first packet, before Set
}

func newPort(link Link) *linkPort {
	return &linkPort{link: link, inbox: make(chan packet, inboxSize), rate: rate.NewLimiter(NeighborRate, NeighborBurst)}
}

// packet is a Babel packet that came.
type packet struct {
	at   time.Time
	from netip.Addr // on an interface of the kernel
	body []byte
}

// NewLinks is without links.
func NewLinks() *Links { return &Links{links: map[rib.LinkID]*linkPort{}} }

// Set says that a link is up, or that its round trip has another length.
func (l *Links) Set(link Link) {
	l.mu.Lock()
	port := newPort(link)
	if p := l.links[link.ID]; p != nil {
		port.inbox, port.rate = p.inbox, p.rate
		if p.isEarly() {
			l.early--
		}
	}
	l.links[link.ID] = port
	changed := l.changed
	l.mu.Unlock()
	notify(changed)
}

// Remove says that a link is gone, or will never be up.
func (l *Links) Remove(id rib.LinkID) {
	l.mu.Lock()
	if p := l.links[id]; p != nil && p.isEarly() {
		l.early--
	}
	delete(l.links, id)
	changed := l.changed
	l.mu.Unlock()
	notify(changed)
}

// Deliver queues a Babel packet that came by a link, which may be about to be
// Set. It copies body and never waits; false where there is no room, or too much has come.
func (l *Links) Deliver(id rib.LinkID, at time.Time, body []byte) bool {
	l.mu.RLock()
	p := l.links[id]
	l.mu.RUnlock()
	if p == nil {
		p = l.arrived(id, at)
	}
	if p.rate.AllowN(at, len(body)) {
		select {
		case p.inbox <- packet{at: at, body: bytes.Clone(body)}:
			return true
		default: // the neighbor's actor is behind
		}
	}
	l.dropped.Add(1)
	return false
}

// arrived makes room for what comes by a link before it is Set. Where there are
// too many of those the oldest goes: it may never be Set, as what was under way
// when a link was removed comes after that.
func (l *Links) arrived(id rib.LinkID, at time.Time) *linkPort {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.links[id]; p != nil {
		return p
	}
	if l.early >= maxEarly {
		l.forgetOldest()
	}
	l.early++
	p := newPort(Link{ID: id})
	p.since = at
	l.links[id] = p
	return p
}

// forgetOldest ends the wait of one link. The caller holds mu.
func (l *Links) forgetOldest() {
	var oldest *linkPort
	for _, p := range l.links {
		if p.isEarly() && (oldest == nil || cmp.Or(p.since.Compare(oldest.since), cmp.Compare(p.link.ID, oldest.link.ID)) < 0) {
			oldest = p
		}
	}
	delete(l.links, oldest.link.ID)
	l.early--
	l.dropped.Add(uint64(len(oldest.inbox)))
}

func (p *linkPort) isEarly() bool { return p.link.Peer.IsZero() }

// rtt is the round trip of a link as its cost takes it; 0 where there is none.
func (l *Links) rtt(id rib.LinkID) time.Duration {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if p := l.links[id]; p != nil {
		return p.link.rtt()
	}
	return 0
}

// Dropped counts the packets for which there was no room, or that were too many.
func (l *Links) Dropped() uint64 { return l.dropped.Load() }

// observe has f called after each change, on the goroutine that made it.
func (l *Links) observe(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed = f
}

// ports is all links that are up, by id.
func (l *Links) ports() []*linkPort {
	l.mu.RLock()
	defer l.mu.RUnlock()
	ports := make([]*linkPort, 0, len(l.links))
	for _, p := range l.links {
		if !p.isEarly() {
			ports = append(ports, p)
		}
	}
	slices.SortFunc(ports, func(a, b *linkPort) int { return cmp.Compare(a.link.ID, b.link.ID) })
	return ports
}

func notify(f func()) {
	if f != nil {
		f()
	}
}
