package simnet

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// change is what the checker is told: a new next hop, or what a node said.
type change struct {
	at       int64
	node     int32
	dest     int32
	via      int32 // the link's number from 1; 0: no route; lost or told
	distance distance
}

const (
	lost = -1 // the prefix is held as unreachable
	told = -2 // the node announced it at distance
)

// distance is a feasibility distance (RFC 8966 section 3.2.5).
type distance struct {
	known  bool
	seqno  uint16
	metric uint16
}

// better tells whether d is strictly better than o.
func (d distance) better(o distance) bool {
	return int16(d.seqno-o.seqno) > 0 || d.seqno == o.seqno && d.metric < o.metric
}

// checker knows the next hops of all nodes. A column is those to one prefix.
type checker struct {
	net     *Network
	nodes   int
	via     []int32    // column by column: the link's number from 1; 0 or lost
	said    []distance // of the sampled nodes, column by column
	samples int
	columns []column
	parts   []part // of the columns: column i is of part i modulo their number

	rearranged bool    // links, edges or nodes changed since the last window
	component  []int32 // of each node in the underlay; none: not running
	sizes      []int32
}

// column is what is known of the next hops to one prefix.
type column struct {
	routes   int32 // nodes with a next hop
	lost     int32 // nodes that hold it as unreachable
	expected int32 // nodes to which the underlay has a path
	rogue    int32 // that announces it too, and itself needs no route to it; none
	whole    bool
	dirty    bool
}

// part is what one call of Each works on.
type part struct {
	log     []change
	mark    []int32 // of the walk that went by each node
	walk    int32
	path    []int32
	problem error
	Checks
}

// Checks count what was checked.
type Checks struct {
	Loops    int64 `json:"loops"`    // paths that were walked at a change
	Feasible int64 `json:"feasible"` // next hops whose distance was compared
	Columns  int64 `json:"columns"`  // prefixes that were looked at from all nodes
}

func newChecker(n *Network) *checker {
	nodes, dests := len(n.nodes), n.destinations()
	c := &checker{
		net: n, nodes: nodes, via: make([]int32, nodes*dests), samples: min(nodes, sampleNodes),
		columns: make([]column, dests), parts: make([]part, n.cfg.Shards), component: make([]int32, nodes), rearranged: true,
	}
	c.said = make([]distance, c.samples*dests)
	for i := range c.parts {
		c.parts[i].mark = make([]int32, nodes)
	}
	for i := range c.columns {
		c.columns[i].rogue = none
	}
	n.check = c
	c.choose()
	return c
}

// choose samples the nodes that are next to the first one: the edges among them count.
func (c *checker) choose() {
	for i := range c.net.nodes {
		c.net.nodes[i].sample = none
	}
	if c.net.isMesh() {
		for i := range c.samples {
			c.net.nodes[i].sample = int32(i)
		}
		return
	}
	queue := []int32{0}
	c.net.nodes[0].sample = 0
	for at := 0; at < len(queue); at++ {
		for _, e := range c.net.around[queue[at]] {
			ends := c.net.edges[e].ends
			peer := ends[0] + ends[1] - queue[at]
			if c.net.nodes[peer].sample == none && len(queue) < c.samples {
				c.net.nodes[peer].sample = int32(len(queue))
				queue = append(queue, peer)
			}
		}
	}
}

// sampleOf is the place of a node among the sampled ones; none.
func (c *checker) sampleOf(i int32) int32 { return c.net.nodes[i].sample }

// prepare takes in what the control did to the underlay.
func (c *checker) prepare() {
	if !c.rearranged {
		return
	}
	c.rearranged = false
	c.components()
	for d := range c.columns {
		origin := c.net.originator(int32(d))
		c.columns[d].expected = 0
		if c.net.nodes[origin].alive {
			c.columns[d].expected = c.sizes[c.component[origin]] - 1
			if rogue := c.columns[d].rogue; rogue != none && c.component[rogue] == c.component[origin] {
				c.columns[d].expected--
			}
		}
		c.columns[d].dirty = true
	}
}

// settle takes in what was done to the network from outside, at once.
func (c *checker) settle() {
	c.prepare()
	c.net.cfg.Each(len(c.parts), c.apply)
	c.conclude()
}

// components finds what edges that pass in both directions connect.
func (c *checker) components() {
	for i := range c.component {
		c.component[i] = none
	}
	c.sizes = c.sizes[:0]
	for i := range c.component {
		if c.component[i] != none || !c.net.nodes[i].alive {
			continue
		}
		if c.net.isMesh() {
			c.spread(int32(i))
			continue
		}
		this := int32(len(c.sizes))
		queue := []int32{int32(i)}
		c.component[i] = this
		for at := 0; at < len(queue); at++ {
			for _, e := range c.net.around[queue[at]] {
				edge := &c.net.edges[e]
				peer := edge.ends[0] + edge.ends[1] - queue[at]
				if edge.passes() && c.net.nodes[peer].alive && c.component[peer] == none {
					c.component[peer] = this
					queue = append(queue, peer)
				}
			}
		}
		c.sizes = append(c.sizes, int32(len(queue)))
	}
}

// spread finds whom a node of a mesh can have a path to: all are adjacent to each other
// but for edges that do not pass.
func (c *checker) spread(from int32) {
	this := int32(len(c.sizes))
	queue := []int32{from}
	c.component[from] = this
	for at := 0; at < len(queue); at++ {
		for i := range c.component {
			if c.component[i] != none || !c.net.nodes[i].alive {
				continue
			}
			a, b := min(queue[at], int32(i)), max(queue[at], int32(i))
			if e, ok := c.net.pairs[[2]int32{a, b}]; !ok || c.net.edges[e].passes() {
				c.component[i] = this
				queue = append(queue, int32(i))
			}
		}
	}
	c.sizes = append(c.sizes, int32(len(queue)))
}

// forget drops all that is known of a node that was killed.
func (c *checker) forget(i int32) {
	for d := range c.columns {
		c.set(int32(d), i, 0)
		if c.columns[d].rogue == i {
			c.columns[d].rogue = none
		}
	}
	if s := int(c.net.nodes[i].sample); s != none {
		for d := range c.columns {
			c.said[d*c.samples+s] = distance{}
		}
	}
	c.rearranged = true
}

func (c *checker) set(dest, node, via int32) {
	at, col := &c.via[int(dest)*c.nodes+int(node)], &c.columns[dest]
	col.routes -= count(*at > 0)
	col.lost -= count(*at == lost)
	*at = via
	col.routes += count(via > 0)
	col.lost += count(via == lost)
	col.dirty = true
}

func count(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// apply takes the changes of a window to the columns of one part, in the order of time.
func (c *checker) apply(i int) {
	p := &c.parts[i]
	p.log = p.log[:0]
	for _, s := range c.net.shards {
		p.log = append(p.log, s.changes[i]...)
		s.changes[i] = s.changes[i][:0]
	}
	slices.SortStableFunc(p.log, func(a, b change) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.node, b.node)) })
	for _, ch := range p.log {
		if ch.via == told {
			c.say(ch)
			continue
		}
		c.set(ch.dest, ch.node, ch.via)
		if ch.via > 0 && c.columns[ch.dest].rogue == none {
			c.checkLoop(p, ch)
			c.checkFeasible(p, ch)
		}
	}
	for d := i; d < len(c.columns); d += len(c.parts) {
		c.look(p, int32(d))
	}
}

func (c *checker) say(ch change) {
	at := &c.said[int(ch.dest)*c.samples+int(c.net.nodes[ch.node].sample)]
	if !at.known || ch.distance.better(*at) {
		*at = ch.distance
	}
}

// hop is the node behind the next hop of a node; none where there is none.
func (c *checker) hop(dest, node int32) (peer, via int32) {
	if via = c.via[int(dest)*c.nodes+int(node)]; via <= 0 {
		return none, via
	}
	e := &c.net.edges[c.net.links[via-1].edge]
	return e.ends[0] + e.ends[1] - node, via
}

// checkLoop walks from a node whose next hop changed, as far as the links are held at
// both ends: who forgot a session drops what comes by it.
func (c *checker) checkLoop(p *part, ch change) {
	p.Loops++
	p.walk++
	p.path = p.path[:0]
	for node := ch.node; ; {
		p.path = append(p.path, node)
		if p.mark[node] == p.walk {
			c.broken(p, ch, fmt.Errorf("%w: packets to %s go by %s", ErrLoop, c.net.key(ch.dest).Prefix, names(p.path)))
			return
		}
		p.mark[node] = p.walk
		peer, via := c.hop(ch.dest, node)
		if peer == none || !c.isHeld(via-1) {
			return
		}
		node = peer
	}
}

// checkFeasible compares what both ends of a new next hop have said so far. A node that
// started anew does not know what it said over the sessions that it forgot.
func (c *checker) checkFeasible(p *part, ch change) {
	peer, via := c.hop(ch.dest, ch.node)
	if !c.isHeld(via - 1) {
		return
	}
	mine, theirs := c.net.nodes[ch.node].sample, c.net.nodes[peer].sample
	if mine == none || theirs == none {
		return
	}
	said := c.said[int(ch.dest)*c.samples:]
	if said[theirs].known && said[mine].known {
		p.Feasible++
		if !said[theirs].better(said[mine]) {
			c.broken(p, ch, fmt.Errorf("%w: %s goes to %s by %s, which said %v; itself it said %v", ErrFeasible,
				nodeName(ch.node), c.net.key(ch.dest).Prefix, nodeName(peer), said[theirs], said[mine]))
		}
	}
}

func (c *checker) broken(p *part, ch change, err error) {
	if p.problem == nil {
		p.problem = fmt.Errorf("at %v: %w", time.Duration(ch.at), err)
	}
}

func names(nodes []int32) (all []string) {
	for _, i := range nodes {
		all = append(all, nodeName(i))
	}
	return all
}

// look finds out whether all nodes that can reach a prefix do. Only where all of them
// have a next hop is it worth following them.
func (c *checker) look(p *part, dest int32) {
	col := &c.columns[dest]
	if !col.dirty {
		return
	}
	col.dirty, col.whole = false, false
	if col.routes < col.expected {
		return
	}
	p.Columns++
	origin := c.net.originator(dest)
	p.walk++
	good := p.walk
	if c.net.nodes[origin].alive {
		p.mark[origin] = good
	}
	for i := range c.net.nodes {
		if c.isExpected(col, origin, int32(i)) && !c.arrives(p, dest, int32(i), good) {
			return
		}
	}
	col.whole = true
}

// isExpected tells whether a node has to have a route to what an originator has.
func (c *checker) isExpected(col *column, origin, i int32) bool {
	return c.component[i] != none && c.net.nodes[origin].alive && c.component[i] == c.component[origin] && i != col.rogue
}

// arrives follows the next hops from a node to one that is marked, and marks the way.
func (c *checker) arrives(p *part, dest, node, good int32) bool {
	p.path = p.path[:0]
	for p.mark[node] != good {
		peer, via := c.hop(dest, node)
		if peer == none || len(p.path) > c.nodes || !c.carries(via-1) {
			return false
		}
		p.path = append(p.path, node)
		node = peer
	}
	for _, i := range p.path {
		p.mark[i] = good
	}
	return true
}

// carries tells whether packets pass a link.
func (c *checker) carries(l int32) bool {
	return c.isHeld(l) && c.net.edges[c.net.links[l].edge].passes()
}

// isHeld tells whether both ends hold a link.
func (c *checker) isHeld(l int32) bool { return c.net.links[l].held == [2]bool{true, true} }

// conclude says what the window has come to.
func (c *checker) conclude() {
	n := c.net
	for i := range c.parts {
		if p := &c.parts[i]; n.problem == nil {
			n.problem = p.problem
		}
	}
	whole, clean := true, true
	for i := range c.columns {
		col := &c.columns[i]
		whole = whole && col.whole
		clean = clean && col.routes == col.expected && col.lost == 0
	}
	since(&n.wholeAt, whole, n.now)
	since(&n.cleanAt, whole && clean, n.now)
}

func since(at *int64, is bool, now int64) {
	if !is {
		*at = notWhole
	} else if *at == notWhole {
		*at = now
	}
}
