package dataplane

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
	"re6st/tsn/class"
)

// What packets pass from end to end. Every node knows what its own links carry, and a relay
// whose next link is narrower says so (RelayTooBig). That is a hint: the ingress asks the
// egress, inside of their session, by two probes, one as long as what was refused and one as
// long as what is said to pass. Where only the short one is answered, the hint is believed.
//
//	ingress                    relay            egress
//	  | frame, 1452 bytes        |                |
//	  |------------------------->| refused        |
//	  |          too big: 1300   |                |
//	  |<-------------------------|                |
//	  | probe of 1380, of 1300   |                |
//	  |------------------------->|--- of 1300 --->|
//	  |                                   answer  |
//	  |<-------------------------------------------
//
// A search by such probes alone would cost each session what it costs a link, and be as
// slow; a hint comes with the first frame that does not fit.
const (
	// pathRaiseAfter is when what a path was said to carry is forgotten, and longer packets
	// are tried (RFC 8201 section 5.3); so it is as soon as another link leads there.
	pathRaiseAfter = 10 * time.Minute
	// pathAskEvery is how far apart hints about one egress are that are looked into.
	pathAskEvery = 100 * time.Millisecond
	// maxNarrow is of how many paths less is known than what the first link carries.
	maxNarrow = fabric.MaxSessions
)

// pathTo tells paths apart: those of two topologies may go by other links, or part beyond.
type pathTo struct {
	topology uint8
	egress   addr.NodeID
}

// narrowPath is a path that carries less than its first link.
type narrowPath struct {
	mtu   int // of inner packets, in bytes; ipv6MinMTU at least
	by    rib.LinkID
	until time.Time
	token uint32
}

// asked is a hint that is being looked into.
type asked struct {
	narrowPath
	at time.Time
}

// endToEnd is what is known of paths beyond their first link.
type endToEnd struct {
	mu     sync.Mutex
	asked  map[pathTo]asked
	token  uint32
	narrow atomic.Pointer[map[pathTo]narrowPath] // a snapshot; nil: of none
}

// change replaces the snapshot; the lock is held.
func (e *endToEnd) change(f func(map[pathTo]narrowPath)) {
	next := map[pathTo]narrowPath{}
	if old := e.narrow.Load(); old != nil {
		maps.Copy(next, *old)
	}
	if f(next); len(next) == 0 {
		e.narrow.Store(nil)
		return
	}
	e.narrow.Store(&next)
}

// narrowed is the longest inner packet of a path by a link, where the path beyond carries
// less than the link; else 0.
func (p *Plane) narrowed(to pathTo, by *link) int {
	all := p.paths.narrow.Load()
	if all == nil {
		return 0
	}
	if n, ok := (*all)[to]; ok && n.by == by.id {
		return n.mtu
	}
	return 0
}

// whole is the longest inner packet that a link and what is known of the path beyond carry in
// one piece.
func (p *Plane) whole(to pathTo, by *link) int {
	n := p.tuns[0].MTU()
	if limit := int(by.mtu.Load()); limit > 0 {
		n = min(n, limit-fabric.Overhead)
	}
	if path := p.narrowed(to, by); path > 0 {
		n = min(n, path)
	}
	return n
}

// tooBigFor tells whether a packet that entered the mesh here is too long for its path.
func (p *Plane) tooBigFor(r *recent) bool {
	n := p.narrowed(r.to, r.link)
	return !r.relayed && n > 0 && r.size-fabric.Overhead > n
}

// hintTooBig looks into what a relay says.
func (w *worker) hintTooBig(e fabric.RelayError, session *fabric.Session, now time.Time) {
	l, to := w.linkTo(e.Topology, e.Egress), pathTo{e.Topology, e.Egress}
	if l == nil || !session.HasSent(e.Session) || !w.sendsIn(to) {
		return
	}
	mtu, most := max(ipv6MinMTU, int(e.MTU)), w.whole(to, l)
	if mtu >= most {
		return
	}
	p := &w.paths
	p.mu.Lock()
	before, again := p.asked[to]
	if again && now.Sub(before.at) < pathAskEvery || !again && len(p.asked) >= maxNarrow {
		p.mu.Unlock()
		return
	}
	if p.asked == nil {
		p.asked = map[pathTo]asked{}
	}
	p.token += 2
	token := p.token
	p.asked[to] = asked{narrowPath{mtu, l.id, now.Add(pathRaiseAfter), token}, now}
	p.mu.Unlock()
	w.sendPathProbe(l, session, e.Topology, fabric.PathProbe{Token: token | 1}, most) // first, so that its answer would be
	w.sendPathProbe(l, session, e.Topology, fabric.PathProbe{Token: token}, mtu)
}

// sendsIn tells whether packets that start here may go by a path: in topology 0 all may, in
// another those for which that has a route. Others' words would only fill the room.
func (w *worker) sendsIn(to pathTo) bool {
	if to.topology == 0 {
		return true
	}
	_, ok := w.view.Load().Relay(rib.Topology(to.topology), to.egress)
	return ok
}

func (w *worker) sendPathProbe(l *link, session *fabric.Session, topology uint8, probe fabric.PathProbe, size int) {
	hop := fabric.HopHeader{
		Class: uint8(class.General), Topology: topology, HopLimit: fabric.InitialHopLimit, Egress: session.Peer(), Ingress: w.self,
	}
	frame := make([]byte, fabric.HopHeaderLen, fabric.Overhead+size)
	hop.Put(frame)
	frame, err := session.Seal(frame, hop.Class, probe.Append(nil, size))
	if err != nil {
		w.drop(DropKeysUsedUp)
		return
	}
	w.transmit(l, frame, &hop, false, 0)
	w.depart()
}

// sessionMessage takes what the other end of a session says to this one.
func (w *worker) sessionMessage(peer addr.NodeID, packet []byte, hop fabric.HopHeader, now time.Time) {
	probe, err := fabric.ParsePathProbe(packet)
	switch {
	case err != nil:
		w.drop(DropMalformed)
	case probe.Answer:
		w.pathAnswered(pathTo{hop.Topology, peer}, probe.Token)
	case !w.pathLimit.allow(now, peer):
		w.drop(DropTransitRate)
	default:
		l, session := w.linkTo(hop.Topology, peer), w.sessions.Load().byEgress[peer]
		if l != nil && session != nil {
			probe.Answer = true
			w.sendPathProbe(l, session, hop.Topology, probe, fabric.PathProbeLen)
		}
	}
}

// pathAnswered believes a hint, or not any more.
func (p *Plane) pathAnswered(to pathTo, token uint32) {
	e := &p.paths
	e.mu.Lock()
	a, ok := e.asked[to]
	switch {
	case !ok || a.token != token&^1:
		e.mu.Unlock()
		return
	case token&1 == 1: // the long one passed
		e.change(func(all map[pathTo]narrowPath) {
			if all[to].token == a.token {
				delete(all, to)
			}
		})
		delete(e.asked, to)
		e.mu.Unlock()
		return
	}
	e.change(func(all map[pathTo]narrowPath) { all[to] = a.narrowPath })
	e.mu.Unlock()
	p.tellRecent(func(r *recent) bool { return r.to == to })
}

// forgetPaths ends what was known for long, or of another way.
func (w *worker) forgetPaths(now time.Time) {
	e := &w.paths
	e.mu.Lock()
	defer e.mu.Unlock()
	old := func(to pathTo, n narrowPath) bool {
		l := w.linkTo(to.topology, to.egress)
		return l == nil || l.id != n.by || now.After(n.until)
	}
	maps.DeleteFunc(e.asked, func(to pathTo, a asked) bool { return old(to, a.narrowPath) })
	if all := e.narrow.Load(); all != nil {
		if slices.ContainsFunc(slices.Collect(maps.Keys(*all)), func(to pathTo) bool { return old(to, (*all)[to]) }) {
			e.change(func(next map[pathTo]narrowPath) { maps.DeleteFunc(next, old) })
		}
	}
}
