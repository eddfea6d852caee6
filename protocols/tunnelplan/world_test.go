package tunnelplan_test

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/tunnelplan"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// world is a mesh in memory: planners, an underlay in which only some pairs can
// talk, routes that follow the links after a moment, and a registry.
type world struct {
	t        *testing.T
	now      time.Time
	rand     *rand.Rand
	queue    calls
	order    int
	nodes    []*simNode
	can      map[[2]int]bool // pairs of the underlay, lower first
	links    map[[2]int]int  // pairs that are linked -> who opened
	sorted   [][2]int        // links, or nil
	cost     map[[2]int]bool // pairs whose link is drained
	registry bool
	limits   tunnelplan.Limits
	settling bool // a routing tick is due
	trace    []string

	dials, refusals, asks, closes int
	mostLinks                     int
	watch                         func()                // after each routing tick
	traffic                       func(a, b int) uint64 // packets a second between two
	shortcuts                     int                   // dials for it
}

type simNode struct {
	index       int
	plan        *tunnelplan.Planner
	armed       time.Time
	dialing     map[int]int // whom it dials -> number of the dial
	remembered  []tunnelplan.Peer
	down        bool
	incarnation int
}

type call struct {
	at    time.Time
	order int
	do    func()
}

type calls []call

func (c calls) Len() int { return len(c) }
func (c calls) Less(i, j int) bool {
	return c[i].at.Before(c[j].at) || c[i].at.Equal(c[j].at) && c[i].order < c[j].order
}
func (c calls) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *calls) Push(x any)   { *c = append(*c, x.(call)) }
func (c *calls) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

func newWorld(t *testing.T, seed uint64, n int, limits tunnelplan.Limits) *world {
	w := &world{
		t: t, now: epoch, rand: rand.New(rand.NewPCG(seed, 1)), registry: true, limits: limits,
		can: map[[2]int]bool{}, links: map[[2]int]int{}, cost: map[[2]int]bool{},
	}
	for i := range n {
		w.nodes = append(w.nodes, &simNode{index: i, down: true})
	}
	return w
}

func pair(a, b int) [2]int { return [2]int{min(a, b), max(a, b)} }

func id(i int) addr.NodeID { return addr.NodeIDFromUint64(uint64(i) + 1) }

func known(i int) tunnelplan.Peer {
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 326)
	return tunnelplan.Peer{ID: id(i), Endpoints: []netip.AddrPort{at}, Static: [32]byte{byte(i + 1)}}
}

func index(id addr.NodeID) int { return int(id[7]) + int(id[6])<<8 - 1 }

func (w *world) after(d time.Duration, do func()) {
	w.order++
	heap.Push(&w.queue, call{w.now.Add(d), w.order, do})
}

// run lets d pass.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for w.step(end) {
	}
	w.now = end
}

// until lets time pass until done, at most d; it tells how long it took.
func (w *world) until(d time.Duration, done func() bool) time.Duration {
	w.t.Helper()
	start, end := w.now, w.now.Add(d)
	for !done() {
		if !w.step(end) {
			w.t.Fatalf("not so after %v: %d dials, %d refusals, %d parts", d, w.dials, w.refusals, w.parts())
		}
	}
	return w.now.Sub(start)
}

func (w *world) step(end time.Time) bool {
	if len(w.queue) == 0 || w.queue[0].at.After(end) {
		return false
	}
	c := heap.Pop(&w.queue).(call)
	w.now = c.at
	c.do()
	return true
}

func (w *world) start(i int) {
	n := w.nodes[i]
	n.down, n.dialing = false, map[int]int{}
	n.incarnation++
	n.plan = tunnelplan.New(w.now, id(i), w.limits, rand.New(rand.NewPCG(w.rand.Uint64(), uint64(i))))
	n.plan.HandlePeers(w.now, tunnelplan.Remembered, n.remembered)
	n.plan.HandleTimeout(w.now)
	w.drain(n)
}

// stop takes a node away; its peers notice.
func (w *world) stop(i int) {
	w.nodes[i].down = true
	for _, p := range w.sortedLinks() {
		if p[0] == i || p[1] == i {
			w.unlink(p, tunnelplan.Lost, tunnelplan.Lost)
		}
	}
}

// drain does what a node's planner asks for, and arms its timer.
func (w *world) drain(n *simNode) {
	n.plan.Drain(func(e tunnelplan.Event) {
		w.trace = append(w.trace, fmt.Sprintf("%v %d %T", w.now.Sub(epoch), n.index, e))
		switch e := e.(type) {
		case tunnelplan.Open:
			if e.Shortcut {
				w.shortcuts++
			}
			w.dial(n, index(e.Peer.ID))
		case tunnelplan.Meet: // no NAT is in this world
		case tunnelplan.Cancel:
			delete(n.dialing, index(e.ID))
		case tunnelplan.AskRegistry:
			w.ask(n)
		case tunnelplan.Remember:
			n.remembered = e.Peers
		case tunnelplan.Close:
			w.closes++
			w.after(0, func() { w.closeLink(n, index(e.ID)) })
		case tunnelplan.Drain:
			w.cost[pair(n.index, index(e.ID))] = true
			w.settle()
		case tunnelplan.Undrain:
			delete(w.cost, pair(n.index, index(e.ID)))
			w.settle()
		}
	})
	w.arm(n)
}

func (w *world) arm(n *simNode) {
	next, ok := n.plan.NextTimeout()
	if !ok || next.Equal(n.armed) {
		return
	}
	if !next.After(w.now) {
		w.t.Fatalf("node %d wants to be called at %v, which is past", n.index, next.Sub(epoch))
	}
	n.armed = next
	life := n.incarnation
	w.after(next.Sub(w.now), func() {
		if n.down || n.incarnation != life || !n.armed.Equal(w.now) {
			return
		}
		n.armed = time.Time{}
		n.plan.HandleTimeout(w.now)
		w.drain(n)
	})
}

func (w *world) ask(n *simNode) {
	w.asks++
	life := n.incarnation
	w.after(50*time.Millisecond, func() {
		if n.down || n.incarnation != life {
			return
		}
		if !w.registry {
			n.plan.HandleRegistryFailed(w.now)
		} else {
			n.plan.HandlePeers(w.now, tunnelplan.Registry, w.running(n.index))
		}
		w.drain(n)
	})
}

func (w *world) running(except int) (out []tunnelplan.Peer) {
	for _, n := range w.nodes {
		if !n.down && n.index != except {
			out = append(out, known(n.index))
		}
	}
	return out
}

const (
	dialTime    = 40 * time.Millisecond
	dialTimeout = 5 * time.Second
	routeTime   = 200 * time.Millisecond
)

func (w *world) dial(n *simNode, to int) {
	w.dials++
	m := w.nodes[to]
	n.dialing[to] = w.dials
	this := w.dials
	took := dialTime
	if m.down || !w.can[pair(n.index, to)] {
		took = dialTimeout
	}
	w.after(took, func() {
		if n.down || n.dialing[to] != this {
			return
		}
		delete(n.dialing, to)
		w.finishDial(n, m)
		w.drain(n)
		if !m.down {
			w.drain(m)
		}
	})
}

func (w *world) finishDial(n, m *simNode) {
	p := pair(n.index, m.index)
	if _, linked := w.links[p]; linked {
		return
	}
	switch {
	case m.down || !w.can[p]:
		n.plan.HandleFailed(w.now, id(m.index))
	case m.plan.Admit(w.now, id(n.index)) != nil:
		w.refusals++
		n.plan.HandleRefused(w.now, id(m.index))
	default:
		w.links[p] = n.index
		w.sorted = nil
		n.plan.HandleUp(w.now, id(m.index), tunnelplan.Opened, known(m.index).Endpoints[0])
		m.plan.HandleUp(w.now, id(n.index), tunnelplan.Accepted, netip.AddrPort{})
		m.plan.HandlePeers(w.now, tunnelplan.Direct, []tunnelplan.Peer{known(n.index)})
		n.plan.HandlePeers(w.now, tunnelplan.Direct, []tunnelplan.Peer{known(m.index)})
		w.settle()
	}
}

func (w *world) closeLink(n *simNode, to int) {
	p := pair(n.index, to)
	if _, ok := w.links[p]; !ok {
		return
	}
	if n.index == p[0] {
		w.unlink(p, tunnelplan.Closed, tunnelplan.Drained)
	} else {
		w.unlink(p, tunnelplan.Drained, tunnelplan.Closed)
	}
}

func (w *world) unlink(p [2]int, why ...tunnelplan.DownReason) {
	delete(w.links, p)
	w.sorted = nil
	delete(w.cost, p)
	for i, n := range p {
		if !w.nodes[n].down {
			w.nodes[n].plan.HandleDown(w.now, id(p[1-i]), why[i])
		}
	}
	for _, n := range p {
		if !w.nodes[n].down {
			w.drain(w.nodes[n])
		}
	}
	w.settle()
}

// cut keeps every pair that across takes from talking, and breaks its link.
func (w *world) cut(across func(a, b int) bool) {
	for _, p := range w.sortedLinks() {
		if across(p[0], p[1]) {
			w.unlink(p, tunnelplan.Lost, tunnelplan.Lost)
		}
	}
	for p := range w.can {
		if across(p[0], p[1]) {
			delete(w.can, p)
		}
	}
}

// sortedLinks is kept until the links change.
func (w *world) sortedLinks() [][2]int {
	if w.sorted == nil {
		w.sorted = slices.SortedFunc(maps.Keys(w.links), func(a, b [2]int) int { return slices.Compare(a[:], b[:]) })
	}
	return w.sorted
}

// settle lets routes follow the links, and peers tell each other of others.
func (w *world) settle() {
	if w.settling {
		return
	}
	w.settling = true
	w.after(routeTime, func() {
		w.settling = false
		for _, n := range w.nodes {
			if !n.down {
				n.plan.HandleRouting(w.now, w.routing(n.index))
				w.drain(n)
			}
		}
		w.gossip()
		w.mostLinks = max(w.mostLinks, w.busiest())
		if w.watch != nil {
			w.watch()
		}
	})
}

func (w *world) gossip() {
	for range 2 {
		for _, p := range w.sortedLinks() {
			a, b := w.nodes[p[0]], w.nodes[p[1]]
			b.plan.HandlePeers(w.now, tunnelplan.Gossip, a.plan.Known(64))
			a.plan.HandlePeers(w.now, tunnelplan.Gossip, b.plan.Known(64))
			w.drain(a)
			w.drain(b)
		}
	}
}

// routing is node i's shortest paths; a drained link costs as much as 1000 others.
func (w *world) routing(i int) (r tunnelplan.Routing) {
	via := w.paths(i, [2]int{-1, -1})
	count := map[int]int{}
	for to := range w.nodes {
		if next, ok := via[to]; ok && to != i {
			r.Reachable = append(r.Reachable, id(to))
			count[next]++
		}
	}
	for _, p := range w.sortedLinks() {
		if p[0] != i && p[1] != i {
			continue
		}
		to := p[0] + p[1] - i
		sole := len(via) - len(w.paths(i, p))
		r.Links = append(r.Links, tunnelplan.LinkUse{Peer: id(to), Destinations: count[to], Sole: sole})
	}
	return r
}

// measure has the planners hear of the traffic from now on, which goes by the shortest paths.
func (w *world) measure() {
	w.after(time.Second, func() {
		exchanged, carried := make([][]tunnelplan.Traffic, len(w.nodes)), make([]map[int]uint64, len(w.nodes))
		via := make([]map[int]int, len(w.nodes))
		for i := range w.nodes {
			via[i], carried[i] = w.paths(i, [2]int{-1, -1}), map[int]uint64{}
		}
		for a := range w.nodes {
			for b := range w.nodes {
				packets := w.traffic(a, b)
				if a == b || packets == 0 {
					continue
				}
				links := 0
				for at := a; at != b; links++ {
					next, ok := via[at][b]
					if !ok {
						break
					}
					carried[at][next] += packets
					carried[next][at] += packets
					at = next
				}
				exchanged[a] = append(exchanged[a], tunnelplan.Traffic{Node: id(b), Packets: packets, Bytes: 100 * packets, Links: links})
			}
		}
		for i, n := range w.nodes {
			var links []tunnelplan.Carried
			for _, to := range slices.Sorted(maps.Keys(carried[i])) {
				links = append(links, tunnelplan.Carried{Peer: id(to), Packets: carried[i][to], Bytes: 100 * carried[i][to]})
			}
			n.plan.HandleTraffic(w.now, exchanged[i], links)
			w.drain(n)
		}
		w.measure()
	})
}

// paths is the first hop from i to every node that it reaches without one link.
func (w *world) paths(i int, without [2]int) map[int]int {
	const far = 1 << 30
	dist, first := make([]int, len(w.nodes)), make([]int, len(w.nodes))
	for n := range dist {
		dist[n] = far
	}
	dist[i], first[i] = 0, i
	links := w.sortedLinks()
	relax := func(p [2]int, a, b int) bool {
		d := dist[a] + 1
		if w.cost[p] {
			d += 1000
		}
		if dist[a] == far || d >= dist[b] {
			return false
		}
		dist[b], first[b] = d, first[a]
		if a == i {
			first[b] = b
		}
		return true
	}
	for changed := true; changed; {
		changed = false
		for _, p := range links {
			if p != without {
				changed = relax(p, p[0], p[1]) || changed
				changed = relax(p, p[1], p[0]) || changed
			}
		}
	}
	via := map[int]int{}
	for n, d := range dist {
		if d < far {
			via[n] = first[n]
		}
	}
	return via
}

// parts is how many islands the running nodes form.
func (w *world) parts() (n int) {
	seen := map[int]bool{}
	for _, node := range w.nodes {
		if node.down || seen[node.index] {
			continue
		}
		n++
		for to := range w.paths(node.index, [2]int{-1, -1}) {
			seen[to] = true
		}
	}
	return n
}

func (w *world) whole() bool { return w.parts() == 1 }

func (w *world) degree(i int) (opened, accepted int) {
	for p, by := range w.links {
		switch {
		case p[0] != i && p[1] != i:
		case by == i:
			opened++
		default:
			accepted++
		}
	}
	return opened, accepted
}

func (w *world) busiest() (most int) {
	for i := range w.nodes {
		o, a := w.degree(i)
		most = max(most, o+a)
	}
	return most
}

func (w *world) hash() uint64 {
	h := fnv.New64a()
	for _, line := range w.trace {
		fmt.Fprintln(h, line)
	}
	return h.Sum64()
}

// The shapes of an underlay.

func (w *world) full() {
	for a := range w.nodes {
		for b := range a {
			w.can[pair(a, b)] = true
		}
	}
}

func (w *world) line() {
	for i := 1; i < len(w.nodes); i++ {
		w.can[pair(i-1, i)] = true
	}
}

func (w *world) star() {
	for i := 1; i < len(w.nodes); i++ {
		w.can[pair(0, i)] = true
	}
}

// random is a connected graph: a tree and a few more pairs.
func (w *world) random(more int) {
	for i := 1; i < len(w.nodes); i++ {
		w.can[pair(w.rand.IntN(i), i)] = true
	}
	for range more {
		a, b := w.rand.IntN(len(w.nodes)), w.rand.IntN(len(w.nodes))
		if a != b {
			w.can[pair(a, b)] = true
		}
	}
}

func (w *world) startAll() {
	for i := range w.nodes {
		w.start(i)
	}
}
