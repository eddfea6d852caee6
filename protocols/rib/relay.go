package rib

import (
	"cmp"
	"slices"

	"re6st/protocols/addr"
)

// relayShards divides the locators so that a change copies a few dozen entries
// and a lookup searches as few. It has to be 256: shard is a byte.
const relayShards = 256

// relay is the next link towards one locator.
type relay struct {
	egress   addr.NodeID
	topology Topology
	link     LinkID
}

func (r relay) compare(o relay) int {
	return cmp.Or(r.egress.Compare(o.egress), cmp.Compare(r.topology, o.topology))
}

// relayMap finds the next link of (topology, egress). Its shards are sorted and
// never changed once published: set makes a new map that shares the others.
type relayMap [relayShards][]relay

// shard mixes all bytes, as node ids may be numbered as well as drawn.
func (r relay) shard() uint8 {
	h := uint32(2166136261) ^ uint32(r.topology) // FNV-1a
	for _, b := range r.egress {
		h = (h ^ uint32(b)) * 16777619
	}
	return uint8(h ^ h>>8 ^ h>>16 ^ h>>24)
}

func (m *relayMap) get(t Topology, egress addr.NodeID) (LinkID, bool) {
	want := relay{egress: egress, topology: t}
	s := m[want.shard()]
	i, ok := slices.BinarySearchFunc(s, want, relay.compare)
	if !ok {
		return 0, false
	}
	return s[i].link, true
}

// set is m with r in it, or without r's key where its link is 0.
func (m *relayMap) set(r relay) *relayMap {
	next := *m
	s := slices.Clone(m[r.shard()])
	i, ok := slices.BinarySearchFunc(s, r, relay.compare)
	switch {
	case ok && r.link == 0:
		s = slices.Delete(s, i, i+1)
	case ok:
		s[i] = r
	case r.link != 0:
		s = slices.Insert(s, i, r)
	}
	next[r.shard()] = s
	return &next
}
