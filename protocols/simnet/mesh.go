package simnet

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/peer"
	"re6st/protocols/tunnelplan"
)

// Times of a mesh, as in the daemon.
const (
	gossipDelay  = int64(200 * time.Millisecond) // gathers what is learned before the peers are told
	routingDelay = int64(time.Second)            // between two looks of the planner at the routes
	drained      = time.Second                   // the round trip that a link pretends to have which an end leaves
)

// mesh is the part of a node that chooses its peers, and tells them of others.
type mesh struct {
	planner    *tunnelplan.Planner // nil: not running
	remembered []tunnelplan.Peer   // stored
	dialing    map[int32]uint32    // whom it dials: the number of the dial
	dials      uint32
	gossipAt   int64
	routingAt  int64
	routedAt   int64
}

func newMesh() *mesh {
	return &mesh{dialing: map[int32]uint32{}, gossipAt: never, routingAt: never}
}

func (m *mesh) stop() {
	m.planner, m.gossipAt, m.routingAt = nil, never, never
	clear(m.dialing)
}

// askKind is what a node wants of what is outside of it.
type askKind uint8

const (
	askDial askKind = iota
	askClose
	askRegistry
)

// ask is what a node wants of another, or of the registry: after the window.
type ask struct {
	at     int64
	node   int32
	kind   askKind
	peer   int32
	number uint32 // of the dial, or of the node's lives
}

func (d *node) ask(k askKind, other int32, number uint32) {
	d.shard.asks = append(d.shard.asks, ask{d.shard.now, d.index, k, other, number})
}

func (d *node) startPlanner() {
	draws := draw(d.net.cfg.Seed, 5, uint64(d.index), d.lives)
	limits := tunnelplan.DefaultLimits
	limits.ClientCount, limits.MaxClients = d.net.cfg.Degree, 2*d.net.cfg.Degree
	now := at(d.shard.now)
	d.mesh.planner = tunnelplan.New(now, d.id, limits, rand.New(&draws))
	d.mesh.planner.HandlePeers(now, tunnelplan.Remembered, d.mesh.remembered)
	d.mesh.planner.HandleTimeout(now)
}

// endpoint is where a node can be dialled.
func endpoint(i int32) netip.AddrPort {
	b := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	binary.BigEndian.PutUint32(b[12:], uint32(i)+1)
	return netip.AddrPortFrom(netip.AddrFrom16(b), 326)
}

func static(i int32) (key [32]byte) {
	binary.BigEndian.PutUint32(key[:], uint32(i)+1)
	return key
}

// certified is the prefix of a node: sixteen bits, its number.
func certified(i int32) (b addr.Bits) {
	for bit := 15; bit >= 0; bit-- {
		b = b.Append(i>>bit&1 == 1)
	}
	return b
}

func indexOf(id addr.NodeID) int32 { return int32(binary.BigEndian.Uint64(id[:])) - 1 }

// known is what the planner is told of a node by the registry, or by the link to it.
func known(i int32, seen time.Time) tunnelplan.Peer {
	return tunnelplan.Peer{ID: nodeID(i), Prefix: certified(i), Endpoints: []netip.AddrPort{endpoint(i)}, Static: static(i), Seen: seen}
}

// linkUp has the planner and the peer hear of a new link.
func (d *node) linkUp(s *slot, role tunnelplan.Role) {
	now, other := at(d.shard.now), d.peerOf(s)
	s.exchange = peer.New(now, peer.Config{
		Self: d.id, Peer: nodeID(other), PeerPrefix: certified(other), Observed: endpoint(other), Epoch: uint32(s.link) + 1,
		Hello: peer.Hello{Prefix: certified(d.index), Static: static(d.index), Endpoints: []netip.AddrPort{endpoint(d.index)}, Software: "simnet"},
	})
	d.mesh.planner.HandleUp(now, nodeID(other), role, endpoint(other))
	d.mesh.planner.HandlePeers(now, tunnelplan.Direct, []tunnelplan.Peer{known(other, now)})
	d.gossipSoon()
}

func (d *node) gossipSoon() {
	if d.mesh.gossipAt == never {
		d.mesh.gossipAt = d.shard.now + gossipDelay
	}
}

func (d *node) routingSoon() {
	if d.mesh.routingAt == never {
		d.mesh.routingAt = max(d.shard.now, d.mesh.routedAt+routingDelay)
	}
}

// hear takes a message of the other end of a link.
func (d *node) hear(ev *event) {
	s := d.slotOf(ev.link)
	if s == nil || s.exchange == nil {
		return
	}
	if err := s.exchange.HandleMessage(at(d.shard.now), ev.packet); err != nil {
		d.shard.fail(d, err)
	}
	d.hand(s)
}

// exchange does what the exchange of a link wants.
func (d *node) exchange(s *slot) {
	now := at(d.shard.now)
	s.exchange.Drain(func(e peer.Event) {
		switch e := e.(type) {
		case peer.Send:
			d.send(s.link, peerSpeaks, e.Body)
		case peer.Introduced:
			d.mesh.planner.HandlePeers(now, tunnelplan.Direct, []tunnelplan.Peer{{
				ID: nodeID(d.peerOf(s)), Prefix: e.Hello.Prefix, Static: e.Hello.Static, Endpoints: e.Hello.Endpoints, Seen: now,
			}})
			d.gossipSoon()
		case peer.Learned:
			peers := make([]tunnelplan.Peer, len(e.Peers))
			for i, p := range e.Peers {
				peers[i] = tunnelplan.Peer{ID: p.ID, Prefix: p.Prefix, Static: p.Static, Endpoints: p.Endpoints, Seen: now.Add(-p.Age)}
			}
			d.mesh.planner.HandlePeers(now, tunnelplan.Gossip, peers)
			d.gossipSoon()
		case peer.Parting:
			if e.Reason != peer.Leaving {
				s.parting = e.Reason == peer.Draining
				d.cost(s)
				s.neighbor.Drain(d.onNeighbor)
			}
		case peer.SeenAt, peer.Received, peer.ClaimsHeard, peer.TunnelHeard: // nobody moves, and there are neither documents nor claims nor tunnels
		}
	})
	if next, ok := s.exchange.NextTimeout(); ok {
		s.wake = min(s.wake, int64(next.Sub(epoch)))
	}
}

// planTimeout does what is due of the planner, of what is to be told, and of routing.
func (d *node) planTimeout() {
	m, now := d.mesh, at(d.shard.now)
	if next, ok := m.planner.NextTimeout(); ok && !next.After(now) {
		m.planner.HandleTimeout(now)
	}
	if m.routingAt <= d.shard.now {
		m.routingAt, m.routedAt = never, d.shard.now
		m.planner.HandleRouting(now, d.routing())
	}
	if m.gossipAt <= d.shard.now {
		m.gossipAt = never
		d.gossip(now)
	}
}

// gossip has the peers told of those that this node knows.
func (d *node) gossip(now time.Time) {
	var peers []peer.Peer
	for _, k := range d.mesh.planner.Known(peer.MaxTold) {
		peers = append(peers, peer.Peer{ID: k.ID, Prefix: k.Prefix, Static: k.Static, Endpoints: k.Endpoints, Age: max(0, now.Sub(k.Seen))})
	}
	for i := range d.slots {
		if s := &d.slots[i]; s.exchange != nil {
			s.exchange.HandlePeers(now, peers)
			d.hand(s)
		}
	}
}

// routing is what the planner hears of the routes, as in the daemon.
func (d *node) routing() (r tunnelplan.Routing) {
	choices := map[int32]int{}
	var selected []babel.RouteEntry
	for _, rt := range d.router.Status().Routes {
		if rt.Interface == 0 || rt.Metric == babel.Infinity {
			continue
		}
		if rt.Feasible {
			choices[d.net.dest(rt.Key)]++
		}
		if rt.Selected {
			selected = append(selected, rt)
		}
	}
	use := map[babel.InterfaceID]tunnelplan.LinkUse{}
	for _, rt := range selected {
		dest := d.net.dest(rt.Key)
		if dest%int32(1+d.net.cfg.Ranges) != 0 {
			continue
		}
		u := use[rt.Interface]
		u.Destinations++
		if choices[dest] == 1 {
			u.Sole++
		}
		use[rt.Interface] = u
		r.Reachable = append(r.Reachable, nodeID(d.net.originator(dest)))
	}
	for i := range d.slots {
		if s := &d.slots[i]; s.exchange != nil {
			u := use[s.key.Interface]
			u.Peer = nodeID(d.peerOf(s))
			r.Links = append(r.Links, u)
		}
	}
	return r
}

// settlePlan does what the planner wants, and tells when it is due.
func (d *node) settlePlan() int64 {
	m := d.mesh
	m.planner.Drain(func(e tunnelplan.Event) {
		switch e := e.(type) {
		case tunnelplan.Open:
			m.dials++
			m.dialing[indexOf(e.Peer.ID)] = m.dials
			d.ask(askDial, indexOf(e.Peer.ID), m.dials)
		case tunnelplan.Cancel:
			delete(m.dialing, indexOf(e.ID))
		case tunnelplan.Close:
			d.ask(askClose, indexOf(e.ID), 0)
		case tunnelplan.AskRegistry:
			d.ask(askRegistry, none, uint32(d.lives))
		case tunnelplan.Remember:
			m.remembered = e.Peers
		case tunnelplan.Drain:
			d.leave(indexOf(e.ID), true)
		case tunnelplan.Undrain:
			d.leave(indexOf(e.ID), false)
		case tunnelplan.Meet: // there are no NATs
		}
	})
	wake := min(m.gossipAt, m.routingAt)
	if next, ok := m.planner.NextTimeout(); ok {
		wake = min(wake, int64(next.Sub(epoch)))
	}
	return wake
}

// leave moves routes off a link, or back, and asks the other end to do so.
func (d *node) leave(other int32, draining bool) {
	for i := range d.slots {
		s := &d.slots[i]
		if s.exchange == nil || d.peerOf(s) != other {
			continue
		}
		s.draining = draining
		why := peer.Keeping
		if draining {
			why = peer.Draining
		}
		d.cost(s)
		s.exchange.HandleGoodbye(at(d.shard.now), why)
		d.hand(s)
		d.router.Drain(d.onRouter)
	}
}
