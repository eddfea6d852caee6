package registry

import (
	"math/rand/v2"
	"time"

	"re6st/protocols/addr"
)

// How long ago a node may have said where it is: fresh ones are handed out
// first, stale ones only to fill up, older ones not at all.
const (
	FreshPeer = 15 * time.Minute
	StalePeer = 7 * 24 * time.Hour
)

// Peers are the nodes that have bootstrapped, one entry each. It has one owner.
type Peers struct {
	entries []peerEntry
	index   map[addr.NodeID]int
}

type peerEntry struct {
	peer Peer
	seen time.Time
}

// Put adds a node or replaces what is known of it. The caller no longer changes p.
func (t *Peers) Put(p Peer, seen time.Time) {
	if t.index == nil {
		t.index = map[addr.NodeID]int{}
	}
	i, ok := t.index[p.ID]
	if !ok {
		i = len(t.entries)
		t.entries = append(t.entries, peerEntry{})
		t.index[p.ID] = i
	}
	t.entries[i] = peerEntry{p, seen}
}

// Remove forgets a node.
func (t *Peers) Remove(id addr.NodeID) {
	i, ok := t.index[id]
	if !ok {
		return
	}
	last := len(t.entries) - 1
	t.swap(i, last)
	t.entries = t.entries[:last]
	delete(t.index, id)
}

// Sample draws up to n nodes other than asker that can be reached somewhere,
// fresh ones first, in random order. The caller must not change them.
func (t *Peers) Sample(rng *rand.Rand, asker addr.NodeID, n int, now time.Time) []Peer {
	fresh, stale := make([]Peer, 0, n), make([]Peer, 0, n)
	for i := 0; i < len(t.entries) && len(fresh) < n; i++ {
		t.swap(i, i+rng.IntN(len(t.entries)-i))
		e := t.entries[i]
		age := now.Sub(e.seen)
		switch {
		case e.peer.ID == asker, len(e.peer.Endpoints) == 0, age > StalePeer:
		case age <= FreshPeer:
			fresh = append(fresh, e.peer)
		case len(stale) < n:
			stale = append(stale, e.peer)
		}
	}
	return append(fresh, stale[:min(len(stale), n-len(fresh))]...)
}

func (t *Peers) swap(i, j int) {
	t.entries[i], t.entries[j] = t.entries[j], t.entries[i]
	t.index[t.entries[i].peer.ID] = i
	t.index[t.entries[j].peer.ID] = j
}
