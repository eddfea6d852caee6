package babel_test

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

var (
	locators = netip.MustParsePrefix("fd12:3456:789a:bcde::/64")
	epoch    = time.Unix(1_800_000_000, 0)
)

// network is N routers with their neighbors, in virtual time, linked as the
// fabric links them: every message is a packet that the codec made and reads.
// After each input to a router it checks that no packet could go in circles.
type network struct {
	t      testing.TB
	rnd    *rand.Rand
	now    time.Time
	seq    int
	queue  inputs
	nodes  []*node // nil: not running
	links  map[rib.LinkID]*link
	loss   float64
	delay  time.Duration // one way
	trace  uint64        // hash of all that was sent
	pkts   int
	bytes  int
	refuse map[babel.Reason]int
	moved  map[rib.Key]bool // keys whose routes changed since the last check
	anew   map[int]bool     // nodes that came back under a new router-id
}

type node struct {
	id        addr.NodeID
	router    *babel.Router
	table     *rib.Table
	neighbors map[rib.LinkID]*babel.Neighbor
	timeout   time.Time // when a timeout is queued for; zero: none
	upto      uint16    // what ReserveSeqno asked to store
}

type link struct {
	id    rib.LinkID
	ends  [2]int
	alive bool
	rtt   time.Duration
	topos []rib.Topology
}

// input is something that happens at a time.
type input struct {
	at  time.Time
	seq int
	do  func()
}

type inputs []input

func (q inputs) Len() int { return len(q) }
func (q inputs) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].seq < q[j].seq
}
func (q inputs) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *inputs) Push(x any)   { *q = append(*q, x.(input)) }
func (q *inputs) Pop() any     { x := (*q)[len(*q)-1]; *q = (*q)[:len(*q)-1]; return x }

func newNetwork(t testing.TB, seed int64, nodes int) *network {
	n := &network{
		t: t, rnd: rand.New(rand.NewSource(seed)), now: epoch, links: map[rib.LinkID]*link{},
		delay: 5 * time.Millisecond, nodes: make([]*node, nodes), refuse: map[babel.Reason]int{}, moved: map[rib.Key]bool{}, anew: map[int]bool{},
	}
	for i := range nodes {
		n.start(i, 0)
	}
	return n
}

func (n *network) after(d time.Duration, do func()) {
	n.seq++
	heap.Push(&n.queue, input{n.now.Add(d), n.seq, do})
}

func nodeID(i int) addr.NodeID { return addr.NodeIDFromUint64(uint64(i + 1)) }

// locator is the route key of a node.
func locator(i int, t rib.Topology) rib.Key {
	return rib.Key{Topology: t, Prefix: netip.PrefixFrom(addr.Locator(locators, nodeID(i)), 128)}
}

// start runs node i with a stored sequence number.
func (n *network) start(i int, seqno uint16) { n.startAs(i, babel.RouterID(nodeID(i)), seqno) }

func (n *network) startAs(i int, id babel.RouterID, seqno uint16) {
	r, err := babel.NewRouter(babel.Config{
		Self: nodeID(i), RouterID: id, Seqno: seqno, Locators: locators,
		Rand: rand.New(rand.NewSource(n.rnd.Int63())),
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.nodes[i] = &node{id: nodeID(i), router: r, table: rib.NewTable(locators), neighbors: map[rib.LinkID]*babel.Neighbor{}}
	if err := r.Originate(n.now, locator(i, 0), 0); err != nil {
		n.t.Fatal(err)
	}
	n.settle(i)
}

// connect makes a link that lives, seen up by both ends now.
func (n *network) connect(a, b int, rtt time.Duration, topos ...rib.Topology) *link {
	l := &link{id: rib.LinkID(len(n.links) + 1), ends: [2]int{a, b}, rtt: rtt, topos: topos}
	n.links[l.id] = l
	n.heal(l)
	return l
}

func (n *network) heal(l *link) {
	l.alive = true
	for _, i := range l.ends {
		n.attach(l, i)
	}
}

// attach is the driver's part when a link comes up at node i.
func (n *network) attach(l *link, i int) {
	nd, peer := n.nodes[i], l.peer(i)
	if nd == nil {
		return
	}
	iid := babel.InterfaceID(l.id)
	if err := nd.router.AddInterface(n.now, iid, babel.Interface{Fabric: true, Link: l.id, Local: nd.id.LinkLocal(), Topologies: l.topos}); err != nil {
		n.t.Fatal(err)
	}
	nb, err := babel.NewNeighbor(babel.NeighborConfig{Addr: nodeID(peer).LinkLocal(), Local: nd.id.LinkLocal(), Fabric: true, Peer: nodeID(peer), Locators: locators})
	if err != nil {
		n.t.Fatal(err)
	}
	nd.neighbors[l.id] = nb
	if err := nd.router.AddNeighbor(n.now, babel.NeighborKey{Interface: iid, Addr: nodeID(peer).LinkLocal()}); err != nil {
		n.t.Fatal(err)
	}
	nb.HandleLink(n.now, true, l.rtt)
	n.settle(i)
}

// cut kills a link; both ends notice at once.
func (n *network) cut(l *link) {
	l.alive = false
	for _, i := range l.ends {
		n.detach(l, i)
	}
}

func (n *network) detach(l *link, i int) {
	nd := n.nodes[i]
	if nd == nil || nd.neighbors[l.id] == nil {
		return
	}
	nd.neighbors[l.id].HandleLink(n.now, false, 0)
	n.settle(i)
	nd.router.RemoveInterface(n.now, babel.InterfaceID(l.id))
	delete(nd.neighbors, l.id)
	n.settle(i)
}

// kill stops a node without a word; its neighbors notice at once.
func (n *network) kill(i int) {
	n.nodes[i] = nil
	for _, id := range n.linkIDs() {
		if l := n.links[id]; l.ends[0] == i || l.ends[1] == i {
			l.alive = false
			n.detach(l, l.peer(i))
		}
	}
}

func (n *network) linkIDs() []rib.LinkID {
	ids := make([]rib.LinkID, 0, len(n.links))
	for id := range n.links {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (l *link) peer(i int) int { return l.ends[0] + l.ends[1] - i }

// settle drains the machines of node i, delivers what they send, and arms
// their timers.
func (n *network) settle(i int) {
	nd := n.nodes[i]
	ids := make([]rib.LinkID, 0, len(nd.neighbors))
	for id := range nd.neighbors {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		key := babel.NeighborKey{Interface: babel.InterfaceID(id), Addr: nodeID(n.links[id].peer(i)).LinkLocal()}
		nd.neighbors[id].Drain(func(e babel.NeighborEvent) { nd.router.Handle(n.now, key, e) })
	}
	nd.router.Drain(func(e babel.Event) { n.handle(i, e) })
	n.checkLoops()
	next, ok := nd.router.NextTimeout()
	for _, id := range ids {
		if t, tok := nd.neighbors[id].NextTimeout(); tok && (!ok || t.Before(next)) {
			next, ok = t, true
		}
	}
	if !ok || !nd.timeout.IsZero() && !next.Before(nd.timeout) {
		return
	}
	nd.timeout = next
	n.after(next.Sub(n.now), func() {
		if n.nodes[i] != nd || !nd.timeout.Equal(next) {
			return
		}
		nd.timeout = time.Time{}
		for _, id := range ids {
			if nb := nd.neighbors[id]; nb != nil {
				nb.HandleTimeout(n.now)
			}
		}
		nd.router.HandleTimeout(n.now)
		n.settle(i)
	})
}

func (n *network) handle(i int, e babel.Event) {
	nd := n.nodes[i]
	switch e := e.(type) {
	case babel.Send:
		n.deliver(i, n.links[rib.LinkID(e.Interface)], e)
	case babel.RouteOffered:
		n.moved[e.Route.Key()] = true
		if _, _, err := nd.table.Offer(n.now, rib.OriginBabel, e.Route); err != nil {
			n.t.Fatal(err)
		}
	case babel.RouteWithdrawn:
		nd.table.Withdraw(rib.OriginBabel, e.Key)
	case babel.ReserveSeqno:
		nd.upto = e.Upto
	case babel.Refused:
		n.refuse[e.Reason] += e.Count
	}
}

func (n *network) deliver(i int, l *link, s babel.Send) {
	h := fnv.New64a()
	binary.Write(h, binary.BigEndian, n.trace)
	fmt.Fprintf(h, "%d %d %s", n.now.UnixNano(), i, s.To)
	h.Write(s.Packet)
	n.trace = h.Sum64()
	n.pkts++
	n.bytes += len(s.Packet)
	if n.rnd.Float64() < n.loss || !l.alive {
		return
	}
	to, from := l.peer(i), n.nodes[i].id.LinkLocal()
	n.after(n.delay, func() {
		if n.nodes[to] == nil || n.nodes[to].neighbors[l.id] == nil || !l.alive {
			return
		}
		if err := n.nodes[to].neighbors[l.id].HandlePacket(n.now, from, s.Packet); err != nil {
			n.t.Errorf("node %d from %d: %v", to, i, err)
		}
		n.settle(to)
	})
}

// run lets time pass.
func (n *network) run(d time.Duration) {
	end := n.now.Add(d)
	for len(n.queue) > 0 && !n.queue[0].at.After(end) {
		in := heap.Pop(&n.queue).(input)
		n.now = in.at
		in.do()
	}
	n.now = end
}

// until lets time pass until done, and tells how long that took; it fails the
// test after limit.
func (n *network) until(limit time.Duration, done func() bool) time.Duration {
	n.t.Helper()
	start := n.now
	for !done() {
		if len(n.queue) == 0 || n.queue[0].at.After(start.Add(limit)) {
			n.t.Fatalf("not within %s: %s", limit, n.missing())
		}
		in := heap.Pop(&n.queue).(input)
		n.now = in.at
		in.do()
	}
	return n.now.Sub(start)
}

// walk follows the relays from node i to egress: the nodes on the way, and
// whether it gets there. A way that goes in circles ends when it is too long.
func (n *network) walk(i int, topology rib.Topology, egress int) (path []int, arrived bool) {
	for at := i; ; {
		if path = append(path, at); at == egress {
			return path, true
		}
		if len(path) > len(n.nodes) || n.nodes[at] == nil {
			return path, false
		}
		id, ok := n.nodes[at].table.View().Relay(topology, nodeID(egress))
		if !ok || !n.links[id].alive {
			return path, false
		}
		at = n.links[id].peer(at)
	}
}

// checkLoops fails the test if a packet to a node whose routes just changed
// would go in circles. Babel promises that for one source: a node that came
// back as another router is two of them for a while.
func (n *network) checkLoops() {
	if len(n.moved) == 0 {
		return
	}
	for egress := range n.nodes {
		for topology := range rib.Topology(2) {
			if !n.moved[locator(egress, topology)] || n.anew[egress] {
				continue
			}
			for i := range n.nodes {
				if path, ok := n.walk(i, topology, egress); !ok && len(path) > len(n.nodes) {
					n.t.Fatalf("%s: forwarding loop to %d: %v", n.now.Sub(epoch), egress, path)
				}
			}
		}
	}
	clear(n.moved)
}

func (n *network) whole() bool { return n.missing() == "" }

// missing names a pair of running nodes that cannot reach each other.
func (n *network) missing() string {
	for i := range n.nodes {
		for j := range n.nodes {
			if n.nodes[i] == nil || n.nodes[j] == nil {
				continue
			}
			if path, ok := n.walk(i, 0, j); !ok {
				return fmt.Sprintf("%d does not reach %d: %v", i, j, path)
			}
		}
	}
	return ""
}

// line, ring and grid link a network's nodes.
func (n *network) line() (links []*link) {
	for i := range len(n.nodes) - 1 {
		links = append(links, n.connect(i, i+1, 2*n.delay))
	}
	return links
}

func (n *network) ring() []*link {
	return append(n.line(), n.connect(len(n.nodes)-1, 0, 2*n.delay))
}

func (n *network) grid(width int) (links []*link) {
	for i := range n.nodes {
		if i%width != width-1 {
			links = append(links, n.connect(i, i+1, 2*n.delay))
		}
		if i+width < len(n.nodes) {
			links = append(links, n.connect(i, i+width, 2*n.delay))
		}
	}
	return links
}
