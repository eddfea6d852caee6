package simnet

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"re6st/protocols/tunnelplan"
)

// tick is how often a node looks at what came in, as one that has much to do: packets
// and timeouts are for the next multiple of it.
const tick = time.Millisecond

// ceil is the first multiple of tick at or after a time.
func ceil(at int64) int64 { return (at + int64(tick) - 1) / int64(tick) * int64(tick) }

// kind is what an event is.
type kind uint8

const (
	packetArrives kind = iota
	nodeStarts
	linkAttaches
	linkDetaches
	delayChanges
	peerSpeaks // a packet of protocols/peer arrives
)

// event is what happens to a node at a time.
type event struct {
	at     int64
	order  uint64 // of those at the same time: what the control does, then by sender and its order
	node   int32
	link   int32
	kind   kind
	why    uint8 // of linkAttaches the node's Role, of linkDetaches the DownReason; 0: its planner is not told
	packet []byte
}

func (e event) compare(o event) int {
	return cmp.Or(cmp.Compare(e.node, o.node), cmp.Compare(e.at, o.at), cmp.Compare(e.order, o.order))
}

// shard is a part of the nodes, and what is to happen to them.
type shard struct {
	net     *Network
	index   int
	now     int64
	ring    [][]event // by window: what arrives in the next windows
	spare   [][]event // empty, for ring
	queued  int       // in ring
	outbox  [][]event // for each shard: what was sent to it in this window
	timers  timers
	due     []int32 // nodes, of this window
	changes [][]change
	asks    []ask
	problem error
}

func newShard(n *Network, index int) *shard {
	return &shard{
		net: n, index: index, outbox: make([][]event, n.cfg.Shards), changes: make([][]change, n.cfg.Shards),
		ring: make([][]event, int64(MaxLatency+tick)/n.window+2), timers: timers{nodes: n.nodes},
	}
}

// fail keeps the first problem of a window.
func (s *shard) fail(d *node, err error) {
	if s.problem == nil {
		s.problem = fmt.Errorf("%w: %s at %v: %w", ErrDriver, nodeName(d.index), time.Duration(s.now), err)
	}
}

// post takes an event for another node, which is for a later window.
func (s *shard) post(e event) {
	to := s.net.nodes[e.node].shard.index
	s.outbox[to] = append(s.outbox[to], e)
}

// note takes a change for the part of the checker that holds its column.
func (s *shard) note(c change) {
	c.at = s.now
	part := int(c.dest) % len(s.changes)
	s.changes[part] = append(s.changes[part], c)
}

func (s *shard) put(e event) {
	b := &s.ring[(e.at/s.net.window)%int64(len(s.ring))]
	if last := len(s.spare) - 1; *b == nil && last >= 0 {
		*b, s.spare = s.spare[last], s.spare[:last]
	}
	*b = append(*b, e)
	s.queued++
}

// next is the first window at or after k in which something happens here; never.
func (s *shard) next(k int64) int64 {
	next := int64(never)
	if wake := s.timers.first(); wake != never {
		next = max(k, wake/s.net.window)
	}
	if s.queued == 0 {
		return next
	}
	for w := k; w < next; w++ {
		if len(s.ring[w%int64(len(s.ring))]) > 0 {
			return w
		}
	}
	return next
}

// collect takes in what the shards sent to this one in the last window.
func (s *shard) collect() {
	for _, from := range s.net.shards {
		for _, e := range from.outbox[s.index] {
			s.put(e)
		}
		clear(from.outbox[s.index])
		from.outbox[s.index] = from.outbox[s.index][:0]
	}
}

// run runs window k, node by node.
func (s *shard) run(k int64) {
	at := k % int64(len(s.ring))
	events := s.ring[at]
	slices.SortFunc(events, event.compare)
	end := (k + 1) * s.net.window
	s.due = s.due[:0]
	for i := range events {
		if i == 0 || events[i].node != events[i-1].node {
			s.due = append(s.due, events[i].node)
		}
	}
	s.due = s.timers.take(end, s.due)
	slices.Sort(s.due)
	s.due = slices.Compact(s.due)
	rest := events
	for _, i := range s.due {
		n := 0
		for n < len(rest) && rest[n].node == i {
			n++
		}
		d := &s.net.nodes[i]
		s.runNode(d, rest[:n], end)
		s.timers.set(i, d.wake)
		rest = rest[n:]
	}
	s.queued -= len(events)
	clear(events) // the packets
	if s.ring[at] = nil; events != nil {
		s.spare = append(s.spare, events[:0])
	}
}

// runNode runs what happens to one node before end, its timeouts among it. Of what comes
// at the same time it does what there is to do, and then looks once what has come of it.
func (s *shard) runNode(d *node, events []event, end int64) {
	for {
		next := d.wake
		if len(events) > 0 {
			next = min(next, events[0].at)
		}
		if next >= end {
			return
		}
		s.now = next
		for len(events) > 0 && events[0].at == next {
			s.dispatch(d, &events[0])
			events = events[1:]
		}
		if d.router == nil {
			continue
		}
		if d.wake <= next {
			d.timeout()
		}
		d.settle()
	}
}

func (s *shard) dispatch(d *node, e *event) {
	switch {
	case e.kind == nodeStarts:
		d.start()
	case d.router == nil:
	case e.kind == packetArrives:
		d.receive(e)
	case e.kind == linkAttaches:
		d.attach(e.link, tunnelplan.Role(e.why))
	case e.kind == linkDetaches:
		d.detach(e.link, tunnelplan.DownReason(e.why))
	case e.kind == delayChanges:
		d.measure(e.link)
	case e.kind == peerSpeaks:
		d.hear(e)
	}
}

// timers are the nodes of a shard that wait for a time: a heap, the earliest first.
type timers struct {
	nodes []node // of the network
	heap  []waiting
}

type waiting struct {
	at   int64
	node int32
}

func (t *timers) first() int64 {
	if len(t.heap) == 0 {
		return never
	}
	return t.heap[0].at
}

// take adds to due the nodes that wait for a time before end. They stay.
func (t *timers) take(end int64, due []int32) []int32 { return t.below(0, end, due) }

func (t *timers) below(i int, end int64, due []int32) []int32 {
	if i >= len(t.heap) || t.heap[i].at >= end {
		return due
	}
	due = append(due, t.heap[i].node)
	return t.below(2*i+2, end, t.below(2*i+1, end, due))
}

// set has a node wait for a time; never: for none.
func (t *timers) set(i int32, at int64) {
	place := t.nodes[i].place
	switch {
	case place == none && at == never:
		return
	case place == none:
		place = len(t.heap)
		t.heap = append(t.heap, waiting{at, i})
		t.nodes[i].place = place
	case at == never:
		last := len(t.heap) - 1
		t.swap(place, last)
		t.heap = t.heap[:last]
		if t.nodes[i].place = none; place == last {
			return
		}
	default:
		t.heap[place].at = at
	}
	t.down(t.up(place))
}

func (t *timers) up(i int) int {
	for i > 0 && t.heap[i].at < t.heap[(i-1)/2].at {
		t.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	return i
}

func (t *timers) down(i int) {
	for {
		least := i
		for _, c := range []int{2*i + 1, 2*i + 2} {
			if c < len(t.heap) && t.heap[c].at < t.heap[least].at {
				least = c
			}
		}
		if least == i {
			return
		}
		t.swap(i, least)
		i = least
	}
}

func (t *timers) swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.nodes[t.heap[i].node].place, t.nodes[t.heap[j].node].place = i, j
}
