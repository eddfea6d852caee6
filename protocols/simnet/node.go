package simnet

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math"
	"math/rand"
	"net/netip"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/peer"
	"re6st/protocols/rib"
	"re6st/protocols/tunnelplan"
)

// never is the wake of what waits for nothing.
const never = math.MaxInt64

// node is the machines of one node, and their driver.
type node struct {
	net   *Network
	shard *shard
	index int32
	id    addr.NodeID
	local netip.Addr

	alive   bool          // as the control has it
	router  *babel.Router // nil: not running
	slots   []slot        // links that it holds
	seqno   uint16        // stored, as ReserveSeqno asked
	wake    int64         // when its first timeout is due
	place   int           // in its shard's queue; none
	lives   uint64        // how often it was started
	draws   source        // what is lost of what it sends
	order   uint32        // of what it sent last
	hash    hash.Hash     // of all that it sent
	sample  int32         // its place among those whose packets are read; none
	current *slot         // whose packet is being handled
	count   Totals
	mesh    *mesh // nil: the node does not choose its peers

	onNeighbor func(babel.NeighborEvent)
	onRouter   func(babel.Event)
}

// slot is a link that a node holds.
type slot struct {
	link     int32 // none: free
	end      int8  // of the edge
	neighbor *babel.Neighbor
	key      babel.NeighborKey
	wake     int64
	exchange *peer.Exchange // of a mesh
	draining bool           // this node leaves the link
	parting  bool           // the other one does
}

// Totals count what was sent.
type Totals struct {
	Packets int64 `json:"packets"`
	Bytes   int64 `json:"bytes"` // of routing packets, before they are sealed
	Lost    int64 `json:"lost"`  // packets that the links lost
	Routes  int64 `json:"route_changes"`
	Refused int64 `json:"refused"` // that routers dropped and say so
}

func (t *Totals) add(o Totals) {
	t.Packets += o.Packets
	t.Bytes += o.Bytes
	t.Lost += o.Lost
	t.Routes += o.Routes
	t.Refused += o.Refused
}

func (d *node) init(n *Network, i int32) {
	*d = node{
		net: n, shard: n.shards[int(i)*len(n.shards)/len(n.nodes)], index: i, id: nodeID(i), wake: never, place: none,
		draws: draw(n.cfg.Seed, 3, uint64(i)), hash: sha256.New(), sample: n.check.sampleOf(i),
	}
	d.local = d.id.LinkLocal()
	d.onNeighbor = func(e babel.NeighborEvent) { d.router.Handle(at(d.shard.now), d.current.key, e) }
	d.onRouter = d.handle
	if n.isMesh() {
		d.mesh = newMesh()
	}
}

// start makes the router, with the sequence number that was stored.
func (d *node) start() {
	draws := draw(d.net.cfg.Seed, 4, uint64(d.index), d.lives)
	d.lives++
	c := babel.Config{Self: d.id, RouterID: babel.RouterID(d.id), Seqno: d.seqno, Locators: d.net.locators, Rand: rand.New(&draws), Changes: 1}
	if !d.net.cfg.Trusting {
		c.Origins = d.net.origins
	}
	router, err := babel.NewRouter(c)
	if err != nil {
		d.shard.fail(d, err)
		return
	}
	d.router, d.slots = router, d.slots[:0]
	if first := d.net.firstDest(d.index); first != none {
		for k := range int32(1 + d.net.cfg.Ranges) {
			if err := router.Originate(at(d.shard.now), d.net.key(first+k), 0); err != nil {
				d.shard.fail(d, err)
			}
		}
	}
	if d.mesh != nil {
		d.startPlanner()
	}
}

// stop forgets all but what was stored.
func (d *node) stop() {
	d.router, d.wake = nil, never
	clear(d.slots)
	d.slots = d.slots[:0]
	if d.mesh != nil {
		d.mesh.stop()
	}
}

// attach is the driver's part when a link comes up.
func (d *node) attach(l int32, role tunnelplan.Role) {
	lk := &d.net.links[l]
	e := &d.net.edges[lk.edge]
	end := d.endOf(e)
	other, now, id := nodeID(e.ends[1-end]), at(d.shard.now), babel.InterfaceID(l+1)
	s := slot{link: l, end: end, key: babel.NeighborKey{Interface: id, Addr: other.LinkLocal()}, wake: never}
	nb, err := babel.NewNeighbor(babel.NeighborConfig{Addr: s.key.Addr, Local: d.local, Fabric: true, Peer: other, Locators: d.net.locators})
	if err == nil {
		err = d.router.AddInterface(now, id, babel.Interface{Fabric: true, Link: rib.LinkID(id), Local: d.local, MaxPacket: d.net.cfg.MTU})
	}
	if err == nil {
		err = d.router.AddNeighbor(now, s.key)
	}
	if err != nil {
		d.shard.fail(d, err)
		return
	}
	s.neighbor = nb
	nb.HandleLink(now, true, rtt(e))
	lk.slots[end] = int32(d.put(s))
	if role != 0 {
		d.linkUp(&d.slots[lk.slots[end]], role)
	}
	d.hand(&d.slots[lk.slots[end]])
}

// put places a slot where one is free.
func (d *node) put(s slot) int {
	for i := range d.slots {
		if d.slots[i].link == none {
			d.slots[i] = s
			return i
		}
	}
	d.slots = append(d.slots, s)
	return len(d.slots) - 1
}

// detach is the driver's part when a link is gone.
func (d *node) detach(l int32, why tunnelplan.DownReason) {
	s := d.slotOf(l)
	if s == nil {
		return
	}
	s.neighbor.HandleLink(at(d.shard.now), false, 0)
	d.hand(s)
	d.router.Drain(d.onRouter)
	d.router.RemoveInterface(at(d.shard.now), s.key.Interface)
	d.net.links[l].slots[s.end] = none
	other := d.peerOf(s)
	*s = slot{link: none, wake: never}
	if why != 0 {
		d.mesh.planner.HandleDown(at(d.shard.now), nodeID(other), why)
		d.gossipSoon()
	}
}

// peerOf is the node at the other end of a slot's link.
func (d *node) peerOf(s *slot) int32 { return d.net.edges[d.net.links[s.link].edge].ends[1-s.end] }

// measure tells the router what the round trip of a link is now.
func (d *node) measure(l int32) {
	if s := d.slotOf(l); s != nil {
		d.cost(s)
		d.hand(s)
	}
}

// cost tells the neighbor what its link costs: all that a link can where an end leaves it.
func (d *node) cost(s *slot) {
	trip := rtt(&d.net.edges[d.net.links[s.link].edge])
	if s.draining || s.parting {
		trip = drained
	}
	s.neighbor.HandleLink(at(d.shard.now), true, trip)
}

func (d *node) slotOf(l int32) *slot {
	lk := &d.net.links[l]
	at := lk.slots[d.endOf(&d.net.edges[lk.edge])]
	if at == none {
		return nil
	}
	return &d.slots[at]
}

func (d *node) endOf(e *edge) int8 {
	if e.ends[0] == d.index {
		return 0
	}
	return 1
}

// receive takes a packet of the other end.
func (d *node) receive(ev *event) {
	s := d.slotOf(ev.link)
	if s == nil {
		return
	}
	if err := s.neighbor.HandlePacket(at(d.shard.now), s.key.Addr, ev.packet); err != nil {
		d.shard.fail(d, err)
	}
	d.hand(s)
}

// timeout does what is due.
func (d *node) timeout() {
	now := at(d.shard.now)
	for i := range d.slots {
		if s := &d.slots[i]; s.wake <= d.shard.now {
			s.neighbor.HandleTimeout(now)
			if s.exchange != nil {
				s.exchange.HandleTimeout(now)
			}
			d.hand(s)
		}
	}
	d.router.HandleTimeout(now)
	if d.mesh != nil {
		d.planTimeout()
	}
}

// hand gives the router what a neighbor has to say.
func (d *node) hand(s *slot) {
	d.current = s
	s.neighbor.Drain(d.onNeighbor)
	s.wake = never
	if next, ok := s.neighbor.NextTimeout(); ok {
		s.wake = int64(next.Sub(epoch))
	}
	if s.exchange != nil {
		d.exchange(s)
	}
}

// settle does what the machines want that had an input, and finds out when the first of
// them is due.
func (d *node) settle() {
	d.router.Drain(d.onRouter)
	d.wake = never
	if next, ok := d.router.NextTimeout(); ok {
		d.wake = int64(next.Sub(epoch))
	}
	for i := range d.slots {
		d.wake = min(d.wake, d.slots[i].wake)
	}
	if d.mesh != nil {
		d.wake = min(d.wake, d.settlePlan())
	}
	if d.wake != never {
		d.wake = ceil(max(d.wake, d.shard.now+1))
	}
}

func (d *node) handle(e babel.Event) {
	switch e := e.(type) {
	case babel.Send:
		d.send(int32(e.Interface)-1, packetArrives, e.Packet)
	case babel.RouteOffered:
		via := int32(e.Route.NextHop.Link)
		if e.Route.Unreachable {
			via = lost
		}
		d.changed(e.Route.Key(), via)
	case babel.RouteWithdrawn:
		d.changed(e.Key, 0)
	case babel.ReserveSeqno:
		d.seqno = e.Upto
	case babel.Refused:
		d.count.Refused += int64(e.Count)
	}
}

func (d *node) changed(key rib.Key, via int32) {
	d.count.Routes++
	d.shard.note(change{node: d.index, dest: d.net.dest(key), via: via})
	if d.mesh != nil {
		d.routingSoon()
	}
}

// send puts a packet on a link, which may lose it.
func (d *node) send(l int32, k kind, packet []byte) {
	lk := &d.net.links[l]
	e := &d.net.edges[lk.edge]
	end := d.endOf(e)
	var head [21]byte
	binary.BigEndian.PutUint64(head[:], uint64(d.shard.now))
	binary.BigEndian.PutUint64(head[8:], uint64(l))
	binary.BigEndian.PutUint32(head[16:], uint32(len(packet)))
	head[20] = byte(k)
	d.hash.Write(head[:])
	d.hash.Write(packet)
	d.count.Packets++
	d.count.Bytes += int64(len(packet))
	if d.sample != none && k == packetArrives {
		d.overhear(packet)
	}
	if e.silent[end] || len(packet) > d.net.cfg.MTU && k == packetArrives || e.loss > 0 && d.draws.share() < e.loss {
		d.count.Lost++
		return
	}
	d.order++
	d.shard.post(event{
		at: ceil(d.shard.now + e.latency), order: uint64(d.index+1)<<32 | uint64(d.order),
		node: e.ends[1-end], link: l, kind: k, packet: packet,
	})
}

// overhear reads a packet of a sampled node, for what it says of its distances.
func (d *node) overhear(packet []byte) {
	tlvs, _, err := babel.Decode(packet, d.local, true)
	if err != nil {
		d.shard.fail(d, fmt.Errorf("its packet: %w", err))
		return
	}
	for _, t := range tlvs {
		if u, ok := t.(babel.Update); ok && u.Prefix.IsValid() && u.Metric != babel.Infinity {
			d.shard.note(change{node: d.index, dest: d.net.dest(u.Key()), via: told, distance: distance{true, u.Seqno, u.Metric}})
		}
	}
}
