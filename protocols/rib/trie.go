package rib

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// node is one node of a persistent path-compressed binary trie over destination
// prefixes: never changed once it is reachable from a View.
type node struct {
	key    bitKey
	routes []Route // to this very prefix, most specific source first; none in a fork
	child  [2]*node
}

// bitKey is a left-aligned bit string of n bits; the rest of hi and lo is zero.
type bitKey struct {
	hi, lo uint64
	n      uint8
}

func keyOf(p netip.Prefix) bitKey { return addrKey(p.Addr()).cut(uint8(p.Bits())) }

// addrKey is all bits of a: 32 for IPv4 and 128 for IPv6, which live in
// tries of their own.
func addrKey(a netip.Addr) bitKey {
	if a.Is4() {
		b := a.As4()
		return bitKey{uint64(binary.BigEndian.Uint32(b[:])) << 32, 0, 32}
	}
	b := a.As16()
	return bitKey{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), 128}
}

// cut is the first n bits of k. Shifts of 64 and more are zero in Go, which is
// just what the ends need.
func (k bitKey) cut(n uint8) bitKey {
	if n <= 64 {
		return bitKey{k.hi &^ (^uint64(0) >> n), 0, n}
	}
	return bitKey{k.hi, k.lo &^ (^uint64(0) >> (n - 64)), n}
}

// bit is bit i of k, 0 the first.
func (k bitKey) bit(i uint8) int {
	if i < 64 {
		return int(k.hi >> (63 - i) & 1)
	}
	return int(k.lo >> (127 - i) & 1)
}

// common is the number of leading bits that k and o share.
func (k bitKey) common(o bitKey) uint8 {
	n := bits.LeadingZeros64(k.hi ^ o.hi)
	if n == 64 {
		n += bits.LeadingZeros64(k.lo ^ o.lo)
	}
	return min(uint8(n), k.n, o.n)
}

// set is the trie n with routes under key; no routes removes the key.
func (n *node) set(key bitKey, routes []Route) *node {
	if n == nil {
		if len(routes) == 0 {
			return nil
		}
		return &node{key: key, routes: routes}
	}
	c := n.key.common(key)
	if c < n.key.n && len(routes) == 0 {
		return n
	}
	switch {
	case c == n.key.n && c == key.n:
		return (&node{key: key, routes: routes, child: n.child}).squeeze()
	case c == n.key.n:
		m := *n
		b := key.bit(c)
		m.child[b] = n.child[b].set(key, routes)
		return m.squeeze()
	case c == key.n:
		m := &node{key: key, routes: routes}
		m.child[n.key.bit(c)] = n
		return m
	}
	fork := &node{key: key.cut(c)}
	fork.child[n.key.bit(c)] = n
	fork.child[key.bit(c)] = &node{key: key, routes: routes}
	return fork
}

// squeeze drops a node that neither holds routes nor forks.
func (n *node) squeeze() *node {
	switch {
	case len(n.routes) > 0 || n.child[0] != nil && n.child[1] != nil:
		return n
	case n.child[0] != nil:
		return n.child[0]
	}
	return n.child[1]
}

// get is the routes under exactly key.
func (n *node) get(key bitKey) []Route {
	for n != nil && n.key.n <= key.n && n.key.common(key) == n.key.n {
		if n.key.n == key.n {
			return n.routes
		}
		n = n.child[key.bit(n.key.n)]
	}
	return nil
}

// lookup is the route of the longest destination that holds dst and that has a
// route for src; nil if there is none. It does not allocate.
func (n *node) lookup(src netip.Addr, dst bitKey) (best *Route) {
	for n != nil && n.key.common(dst) == n.key.n {
		for i := range n.routes {
			if s := n.routes[i].Source; !s.IsValid() || s.Contains(src) {
				best = &n.routes[i]
				break
			}
		}
		if n.key.n == dst.n {
			break
		}
		n = n.child[dst.bit(n.key.n)]
	}
	return best
}

// walk calls yield for each route, sorted by Key.
func (n *node) walk(yield func(Route)) {
	if n == nil {
		return
	}
	// The trie keeps the longest source first, for lookups; keys sort otherwise.
	sorted := n.routes
	if len(sorted) > 1 {
		sorted = slices.SortedFunc(slices.Values(sorted), func(a, b Route) int { return a.Key().Compare(b.Key()) })
	}
	for _, r := range sorted {
		yield(r)
	}
	n.child[0].walk(yield)
	n.child[1].walk(yield)
}
