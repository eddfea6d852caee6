package tunnel

import (
	"fmt"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
)

// Two live nodes with one certificate: the newcomer must not go on. Neither knows
// when the other began; so the one that is new itself, or that nobody has a link
// with, takes itself for the newcomer.
const (
	// newcomerFor is how long a node is new.
	newcomerFor = 2 * time.Minute
	// disownings is how often others have to say that this node is the second one:
	// a single member can say what it likes.
	disownings = 2
)

// duplicate takes note of two nodes that proved to have one certificate.
func (m *manager) duplicate(now time.Time, d fabric.Duplicate) {
	if d.Peer == m.self() && !m.isNew(now) && m.linked() {
		m.ctx.Event("duplicate", fmt.Sprintf("another node uses this node's certificate, at %s; that one is to end", d.From))
		return
	}
	m.cfg.Emit(Duplicate{Peer: d.Peer, From: d.From})
}

// disowned takes note of a peer that refuses this node as the second one.
func (m *manager) disowned(now time.Time, by addr.NodeID) {
	m.refusals[by]++
	m.ctx.Event("duplicate", fmt.Sprintf("node %s refuses this one: another live node has its certificate", by))
	said := 0
	for _, n := range m.refusals {
		said += n
	}
	if m.linked() && (!m.isNew(now) || len(m.refusals) < disownings) || said < disownings {
		return
	}
	m.cfg.Emit(Duplicate{Peer: m.self()})
}

func (m *manager) isNew(now time.Time) bool { return now.Sub(m.kept.started) < newcomerFor }

// linked tells whether a link is up.
func (m *manager) linked() bool {
	for _, t := range m.tunnels {
		if t.snap.Up {
			return true
		}
	}
	return false
}
