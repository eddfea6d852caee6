package simnet

import (
	"cmp"
	"container/heap"
	"slices"

	"re6st/protocols/fabric"
	"re6st/protocols/registry"
	"re6st/protocols/tunnelplan"
)

// answer takes what the nodes of a mesh asked for in the last window.
func (n *Network) answer() {
	var asks []ask
	for _, s := range n.shards {
		asks = append(asks, s.asks...)
		s.asks = s.asks[:0]
	}
	slices.SortStableFunc(asks, func(a, b ask) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.node, b.node)) })
	for _, a := range asks {
		switch a.kind {
		case askDial:
			n.dialFor(a)
		case askClose:
			n.closeFor(a)
		case askRegistry:
			trip := 2 * (int64(n.cfg.Least) + n.control.below(int64(n.cfg.Most-n.cfg.Least)+1))
			n.planAt(a.at+trip, act{kind: actRegistry, on: a.node, version: a.number})
		}
	}
}

func (n *Network) planAt(at int64, a act) {
	n.actSeq++
	a.at, a.seq = max(at, n.now), n.actSeq
	heap.Push(&n.acts, a)
}

// dialFor begins a handshake: what becomes of it is known a round trip later, or when
// nobody has answered for long.
func (n *Network) dialFor(a ask) {
	i := n.edgeOf(a.node, a.peer)
	e := &n.edges[i]
	after := 2 * e.latency
	if !e.passes() || !n.nodes[a.peer].alive {
		after = int64(fabric.DialTimeout)
	}
	n.planAt(a.at+after, act{kind: actDialed, on: i, end: n.nodes[a.node].endOf(e), version: a.number})
}

// dialed ends a handshake: the other node has a place for a link, or has not, or does
// not answer.
func (n *Network) dialed(a act) {
	e := &n.edges[a.on]
	d, other := &n.nodes[e.ends[a.end]], &n.nodes[e.ends[1-a.end]]
	if !d.alive || d.mesh.planner == nil || d.mesh.dialing[other.index] != a.version {
		return
	}
	delete(d.mesh.dialing, other.index)
	now := at(n.now)
	switch {
	case e.link != none && n.links[e.link].held == [2]bool{true, true}: // the other was faster
	case !e.passes() || !other.alive || other.mesh.planner == nil:
		d.mesh.planner.HandleFailed(now, other.id)
	case other.mesh.planner.Admit(now, d.id) != nil:
		d.mesh.planner.HandleRefused(now, other.id)
	default:
		roles := []tunnelplan.Role{tunnelplan.Accepted, tunnelplan.Accepted}
		roles[a.end] = tunnelplan.Opened
		n.join(a.on, roles...)
		return
	}
	n.settleNode(d)
}

// settleNode does what a node wants after the control spoke to its planner.
func (n *Network) settleNode(d *node) {
	d.shard.now = n.now
	d.settle()
	d.shard.timers.set(d.index, d.wake)
}

// closeFor ends a link, of which the other end hears a moment later.
func (n *Network) closeFor(a ask) {
	i := n.edgeOf(a.node, a.peer)
	e := &n.edges[i]
	if e.link == none {
		return
	}
	end := n.nodes[a.node].endOf(e)
	n.drop(e.link, end, tunnelplan.Closed)
	if n.links[e.link].held[1-end] {
		n.planAt(a.at+e.latency, act{kind: actNotice, on: e.link, end: 1 - end, version: forced, why: tunnelplan.Drained})
	}
}

// registryAnswers tells a node of some of the others, whether they run or not.
func (n *Network) registryAnswers(i int32, life uint32) {
	d := &n.nodes[i]
	if !d.alive || d.mesh.planner == nil || uint32(d.lives) != life {
		return
	}
	now := at(n.now)
	if n.dead {
		d.mesh.planner.HandleRegistryFailed(now)
		n.settleNode(d)
		return
	}
	others := make([]int32, 0, len(n.nodes))
	for k := range n.nodes {
		if int32(k) != i {
			others = append(others, int32(k))
		}
	}
	var peers []tunnelplan.Peer
	for k := range min(registry.MaxPeers, len(others)) {
		j := k + int(n.control.below(int64(len(others)-k)))
		others[k], others[j] = others[j], others[k]
		peers = append(peers, known(others[k], now))
	}
	d.mesh.planner.HandlePeers(now, tunnelplan.Registry, peers)
	n.settleNode(d)
}
