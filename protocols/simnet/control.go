package simnet

import (
	"container/heap"
	"fmt"
	"math"
	"time"

	"re6st/protocols/fabric"
	"re6st/protocols/tunnelplan"
)

// An end of a link notices a silence, as a link in use does, after the patience of its
// probes and up to one interval between them.
const (
	noticeLeast = int64(fabric.ProbePatience * float64(fabric.ProbeInterval))
	noticeMost  = noticeLeast + int64(fabric.ProbeInterval)
)

// retireAfter is how long a link that was made anew stays beside its successor.
const retireAfter = int64(time.Second)

// actKind is what an act is about.
type actKind uint8

const (
	actNotice   actKind = iota // an end finds out that its link is silent
	actDial                    // the handshake over an edge comes to its end
	actRetire                  // a link that has a successor ends
	actDialed                  // the handshake that a planner wanted comes to its end
	actRegistry                // the registry answers, or does not
)

// act is what the control does at a time.
type act struct {
	at      int64
	seq     uint64
	kind    actKind
	on      int32 // the link, the edge, or the node
	end     int8
	version uint32 // of the edge, when the silence began; forced: whatever became of it; of a dial its number
	why     tunnelplan.DownReason
}

const forced = math.MaxUint32

type acts []act

func (q acts) Len() int { return len(q) }
func (q acts) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q acts) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *acts) Push(x any)   { *q = append(*q, x.(act)) }
func (q *acts) Pop() any     { x := (*q)[len(*q)-1]; *q = (*q)[:len(*q)-1]; return x }

func (n *Network) plan(after int64, a act) {
	n.actSeq++
	a.at, a.seq = n.now+after, n.actSeq
	heap.Push(&n.acts, a)
}

// firstAct is the window at whose start the next act is done; never.
func (n *Network) firstAct() int64 {
	if len(n.acts) == 0 {
		return never
	}
	return (n.acts[0].at + n.window - 1) / n.window
}

// Advance lets one window pass in which something happens, if it begins before until;
// else it is until, or in the window before it. False: nothing happened, or Err.
func (n *Network) Advance(until time.Duration) bool {
	if n.problem == nil && n.cfg.Stop != nil {
		n.problem = n.cfg.Stop()
	}
	if n.problem != nil {
		return false
	}
	k := n.nextWindow()
	if k == never || k*n.window >= int64(until) {
		n.now = max(n.now, int64(until)/n.window*n.window)
		return false
	}
	n.now = k * n.window
	for n.firstAct() <= k {
		n.act(heap.Pop(&n.acts).(act))
	}
	n.check.prepare()
	n.cfg.Each(len(n.shards), func(i int) { n.shards[i].run(k) })
	n.now += n.window
	n.cfg.Each(len(n.shards), func(i int) {
		n.check.apply(i)
		n.shards[i].collect()
	})
	n.check.conclude()
	n.answer()
	for _, s := range n.shards {
		if n.problem == nil {
			n.problem = s.problem
		}
	}
	return n.problem == nil
}

func (n *Network) nextWindow() int64 {
	k := n.now / n.window
	next := max(n.firstAct(), k)
	for _, s := range n.shards {
		next = min(next, s.next(k))
	}
	return next
}

// Run lets time pass.
func (n *Network) Run(d time.Duration) error {
	for until := n.Now() + d; n.Advance(until); {
	}
	return n.problem
}

// tell has something happen to a node at the start of the next window.
func (n *Network) tell(node int32, k kind, l int32, why uint8) {
	n.opSeq++
	d := &n.nodes[node]
	d.shard.put(event{at: n.now, order: n.opSeq & math.MaxUint32, node: node, link: l, kind: k, why: why})
}

func (n *Network) act(a act) {
	switch a.kind {
	case actDial:
		n.edges[a.on].dialing = false
		n.connect(a.on)
	case actRetire:
		for end := range int8(2) {
			n.drop(a.on, end, 0)
		}
	case actDialed:
		n.dialed(a)
	case actRegistry:
		n.registryAnswers(a.on, a.version)
	case actNotice:
		n.notice(a)
	}
}

// notice has an end of a link find out that it is silent, if it still is. The other
// end then gets no answers either.
func (n *Network) notice(a act) {
	lk := &n.links[a.on]
	e := &n.edges[lk.edge]
	if !lk.held[a.end] || a.version != forced && a.version != e.version {
		return
	}
	n.drop(a.on, a.end, a.why)
	if lk.held[1-a.end] {
		n.plan(n.patience(), act{kind: actNotice, on: a.on, end: 1 - a.end, version: forced, why: lostIf(n.isMesh())})
	}
	n.dial(lk.edge)
}

func (n *Network) patience() int64 { return noticeLeast + n.control.below(noticeMost-noticeLeast) }

// drop ends a link at one end; why is for its planner, 0: which is not told.
func (n *Network) drop(l int32, end int8, why tunnelplan.DownReason) {
	lk := &n.links[l]
	if !lk.held[end] {
		return
	}
	lk.held[end] = false
	n.tell(n.edges[lk.edge].ends[end], linkDetaches, l, uint8(why))
}

// dial begins a handshake over an edge that has no link both ends hold: there is one
// and a half round trips later.
func (n *Network) dial(i int32) {
	e := &n.edges[i]
	if n.isMesh() || e.dialing || !n.dialable(e) {
		return
	}
	e.dialing = true
	n.plan(3*e.latency, act{kind: actDial, on: i})
}

func (n *Network) dialable(e *edge) bool {
	linked := e.link != none && n.links[e.link].held == [2]bool{true, true}
	return e.passes() && !linked && n.nodes[e.ends[0]].alive && n.nodes[e.ends[1]].alive
}

// connect makes a link over an edge, in place of one that an end may still hold.
func (n *Network) connect(i int32) {
	e := &n.edges[i]
	if !n.dialable(e) {
		return
	}
	n.join(i, 0, 0)
}

// join makes a link over an edge, in place of one that an end may still hold. The roles
// are those of the ends, for their planners.
func (n *Network) join(i int32, roles ...tunnelplan.Role) {
	e := &n.edges[i]
	if old := e.link; old != none && n.links[old].held != [2]bool{true, true} {
		for end, role := range roles {
			n.drop(old, int8(end), lostIf(role != 0))
		}
	}
	e.link = int32(len(n.links))
	n.links = append(n.links, link{edge: i, slots: [2]int32{none, none}, held: [2]bool{true, true}})
	for end, node := range e.ends {
		n.tell(node, linkAttaches, e.link, uint8(roles[end]))
	}
	n.check.rearranged = true
}

func lostIf(is bool) tunnelplan.DownReason {
	if is {
		return tunnelplan.Lost
	}
	return 0
}

// rekey makes a link over an edge anew; the old one ends a moment later.
func (n *Network) rekey(i int32) {
	e := &n.edges[i]
	if e.link == none || n.links[e.link].held != [2]bool{true, true} {
		return
	}
	n.plan(retireAfter, act{kind: actRetire, on: e.link})
	n.join(i, 0, 0)
}

// mute sets whether what an end of an edge sends is lost.
func (n *Network) mute(i int32, end int8, silent bool) {
	e := &n.edges[i]
	if e.silent[end] == silent {
		return
	}
	e.silent[end] = silent
	e.version++
	n.check.rearranged = true
	if e.passes() {
		n.dial(i)
		return
	}
	if e.link == none {
		return
	}
	for end := range int8(2) {
		if n.links[e.link].held[end] {
			n.plan(n.patience(), act{kind: actNotice, on: e.link, end: end, version: e.version, why: lostIf(n.isMesh())})
		}
	}
}

// kill ends a node without a word.
func (n *Network) kill(i int32) {
	d := &n.nodes[i]
	if !d.alive {
		return
	}
	d.alive = false
	d.stop()
	d.shard.timers.set(i, never)
	n.check.forget(i)
	for l := range n.links {
		lk := &n.links[l]
		e := &n.edges[lk.edge]
		end := d.endOf(e)
		if e.ends[end] != i || !lk.held[end] {
			continue
		}
		lk.held[end], lk.slots[end] = false, none
		if lk.held[1-end] {
			n.plan(n.patience(), act{kind: actNotice, on: int32(l), end: 1 - end, version: forced, why: lostIf(n.isMesh())})
		}
	}
}

// rogue has a node announce the prefixes of another as its own.
func (n *Network) rogue(i, of int32) error {
	d, first := &n.nodes[i], n.firstDest(of)
	if !d.alive || d.router == nil || first == none {
		return fmt.Errorf("%w: %s does not run, or %s has no prefix", ErrAction, nodeName(i), nodeName(of))
	}
	for k := range int32(1 + n.cfg.Ranges) {
		if err := d.router.Originate(at(n.now), n.key(first+k), 0); err != nil {
			return err
		}
		n.check.columns[first+k].rogue = i
	}
	n.check.rearranged = true
	n.settleNode(d)
	return nil
}

// start runs a node, which then dials over all its edges.
func (n *Network) start(i int32) {
	d := &n.nodes[i]
	if d.alive {
		return
	}
	d.alive = true
	n.check.rearranged = true
	n.tell(i, nodeStarts, none, 0)
	for _, e := range n.around[i] {
		n.dial(e)
	}
}

// delay changes the latency of an edge; what is under way is not overtaken.
func (n *Network) delay(i int32, latency time.Duration) error {
	if latency < n.cfg.Least || latency > MaxLatency {
		return fmt.Errorf("%w: a latency of %v; from %v, the least of this network, to %v are possible", ErrAction, latency, n.cfg.Least, MaxLatency)
	}
	e := &n.edges[i]
	e.latency = int64(latency)
	if e.link != none {
		for end, node := range e.ends {
			if n.links[e.link].held[end] {
				n.tell(node, delayChanges, e.link, 0)
			}
		}
	}
	return nil
}

// rtt is the round trip over an edge.
func rtt(e *edge) time.Duration { return time.Duration(2 * e.latency) }
