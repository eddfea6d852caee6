package neighbor

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/rib"
)

// inboxSize is how many Babel packets of one neighbor may wait; what comes
// beyond is dropped, as a full socket would.
const inboxSize = 64

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
	changed func()
	dropped atomic.Uint64
}

// linkPort is a link and the queue of its Babel packets.
type linkPort struct {
	link  Link
	inbox chan packet
}

// packet is a Babel packet that came.
type packet struct {
	at   time.Time
	from netip.Addr
	body []byte
}

// NewLinks is without links.
func NewLinks() *Links { return &Links{links: map[rib.LinkID]*linkPort{}} }

// Set says that a link is up, or that its round trip has another length.
func (l *Links) Set(link Link) {
	l.mu.Lock()
	if p := l.links[link.ID]; p != nil {
		// A new value: the router compares pointers' contents without the lock.
		l.links[link.ID] = &linkPort{link, p.inbox}
	} else {
		l.links[link.ID] = &linkPort{link, make(chan packet, inboxSize)}
	}
	changed := l.changed
	l.mu.Unlock()
	notify(changed)
}

// Remove says that a link is gone.
func (l *Links) Remove(id rib.LinkID) {
	l.mu.Lock()
	delete(l.links, id)
	changed := l.changed
	l.mu.Unlock()
	notify(changed)
}

// Deliver queues a Babel packet that came by a link. It copies body and never
// waits; false where the link is unknown or its queue full.
func (l *Links) Deliver(id rib.LinkID, at time.Time, body []byte) bool {
	l.mu.RLock()
	p := l.links[id]
	l.mu.RUnlock()
	if p == nil {
		return false
	}
	select {
	case p.inbox <- packet{at, p.link.Peer.LinkLocal(), bytes.Clone(body)}:
		return true
	default:
		l.dropped.Add(1)
		return false
	}
}

// Dropped counts the packets for which there was no room.
func (l *Links) Dropped() uint64 { return l.dropped.Load() }

// observe has f called after each change, on the goroutine that made it.
func (l *Links) observe(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed = f
}

// ports is all links, by id.
func (l *Links) ports() []*linkPort {
	l.mu.RLock()
	defer l.mu.RUnlock()
	ports := make([]*linkPort, 0, len(l.links))
	for _, p := range l.links {
		ports = append(ports, p)
	}
	slices.SortFunc(ports, func(a, b *linkPort) int { return cmp.Compare(a.link.ID, b.link.ID) })
	return ports
}

func notify(f func()) {
	if f != nil {
		f()
	}
}
