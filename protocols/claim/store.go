package claim

import (
	"cmp"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/registry"
)

// Store holds the newest claim of each node. It has a single owner and no locks.
type Store struct {
	ranges   []netip.Prefix
	locators netip.Prefix
	rights   map[addr.NodeID]registry.Right
	held     map[addr.NodeID]*entry
	buckets  [Buckets][]addr.NodeID // sorted
	digest   Digest
	owners   map[netip.Prefix]addr.NodeID // by the certificates
	lengths  map[int]int                  // how many owners there are of each length
	routers  map[babel.RouterID]int       // how many nodes claim a router-id
}

// entry is a claim, and what of it counts.
type entry struct {
	*Claim
	own     []netip.Prefix // that its certificate gives it
	granted []Prefix
}

// Digest is a hash of the claims in each bucket; equal where these are equal.
type Digest [Buckets]uint64

// Version tells which claim of a node it is.
type Version struct {
	Node     addr.NodeID
	Sequence uint64
	Hash     uint64
}

// newerThan tells whether v is to replace o, of the same node. Of two claims of one
// sequence all nodes keep the same.
func (v Version) newerThan(o Version) bool {
	return cmp.Or(cmp.Compare(v.Sequence, o.Sequence), cmp.Compare(v.Hash, o.Hash)) > 0
}

// NewStore is empty. ranges are those of the network's classes.
func NewStore(ranges []netip.Prefix, locators netip.Prefix) *Store {
	return &Store{
		ranges: slices.Clone(ranges), locators: locators, rights: map[addr.NodeID]registry.Right{},
		held: map[addr.NodeID]*entry{}, owners: map[netip.Prefix]addr.NodeID{}, lengths: map[int]int{},
		routers: map[babel.RouterID]int{},
	}
}

// SetRights replaces what the network's parameters give to nodes.
func (s *Store) SetRights(rights []registry.Right) {
	clear(s.rights)
	for _, r := range rights {
		s.rights[r.Node] = r
	}
	for _, e := range s.held {
		e.granted = s.grant(e)
	}
}

// Add takes a claim; false where the one that is held is as new. It keeps c. ErrFull:
// there is no place for another node's.
func (s *Store) Add(c *Claim) (bool, error) {
	if old := s.held[c.Node]; old != nil {
		if !c.version().newerThan(old.version()) {
			return false, nil
		}
		s.remove(c.Node)
	} else if len(s.held) >= MaxClaims {
		return false, fmt.Errorf("%w: of node %s, at most %d", ErrFull, c.Node, MaxClaims)
	}
	e := &entry{Claim: c, own: s.ownOf(c)}
	e.granted = s.grant(e)
	s.held[c.Node] = e
	b := bucketOf(c.Node)
	at, _ := slices.BinarySearchFunc(s.buckets[b], c.Node, addr.NodeID.Compare)
	s.buckets[b] = slices.Insert(s.buckets[b], at, c.Node)
	s.digest[b] ^= c.hash
	s.routers[c.RouterID]++
	for _, p := range e.own {
		if _, taken := s.owners[p]; !taken { // the registry gives each prefix once
			s.owners[p] = c.Node
			s.lengths[p.Bits()]++
		}
	}
	return true, nil
}

func (s *Store) remove(id addr.NodeID) {
	e := s.held[id]
	delete(s.held, id)
	b := bucketOf(id)
	at, _ := slices.BinarySearchFunc(s.buckets[b], id, addr.NodeID.Compare)
	s.buckets[b] = slices.Delete(s.buckets[b], at, at+1)
	s.digest[b] ^= e.hash
	if s.routers[e.RouterID]--; s.routers[e.RouterID] == 0 {
		delete(s.routers, e.RouterID)
	}
	for _, p := range e.own {
		if s.owners[p] == id {
			delete(s.owners, p)
			s.lengths[p.Bits()]--
		}
	}
}

// Expire drops what has expired at now, and tells whether that was anything.
func (s *Store) Expire(now time.Time) bool {
	return s.drop(func(c *Claim) bool { return !now.Before(c.Expires) })
}

// NextExpiry is when the first claim expires; false where there is none.
func (s *Store) NextExpiry() (next time.Time, ok bool) {
	for _, e := range s.held {
		if !ok || e.Expires.Before(next) {
			next, ok = e.Expires, true
		}
	}
	return next, ok
}

// Revoke drops the claims whose certificates are revoked, and tells whether there were
// any.
func (s *Store) Revoke(revoked func(addr.NodeID, *big.Int) bool) bool {
	return s.drop(func(c *Claim) bool { return revoked(c.Node, c.Serial) })
}

func (s *Store) drop(which func(*Claim) bool) (any bool) {
	for id, e := range s.held {
		if which(e.Claim) {
			s.remove(id)
			any = true
		}
	}
	return any
}

// Held is a claim in the Store, with what the CA makes of it.
type Held struct {
	*Claim
	Own     []netip.Prefix // what the certificate gives the node
	Refused []netip.Prefix // what it claims beyond its certificate and rights
}

// Get is the claim of a node.
func (s *Store) Get(id addr.NodeID) (Held, bool) {
	e := s.held[id]
	if e == nil {
		return Held{}, false
	}
	h := Held{Claim: e.Claim, Own: e.own}
	for _, p := range e.Prefixes {
		if !slices.Contains(e.granted, p) {
			h.Refused = append(h.Refused, p.Prefix)
		}
	}
	return h, true
}

// All are the claims of all nodes, by id.
func (s *Store) All() []Held {
	ids := make([]addr.NodeID, 0, len(s.held))
	for id := range s.held {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, addr.NodeID.Compare)
	all := make([]Held, len(ids))
	for i, id := range ids {
		all[i], _ = s.Get(id)
	}
	return all
}

// Len is how many claims there are.
func (s *Store) Len() int { return len(s.held) }

// ownOf are the prefixes that a certificate gives: in each range, of IPv4, and the
// locator.
func (s *Store) ownOf(c *Claim) []netip.Prefix {
	var own []netip.Prefix
	for _, r := range s.ranges {
		if p, err := addr.Subnet(r, c.Bits); err == nil { // else the range has no room for this node
			own = append(own, p)
		}
	}
	if c.IPv4.IsValid() {
		own = append(own, c.IPv4)
	}
	if s.locators.IsValid() {
		own = append(own, netip.PrefixFrom(addr.Locator(s.locators, c.Node), 128))
	}
	return own
}

// grant are those of the claimed prefixes that the node may announce.
func (s *Store) grant(e *entry) (granted []Prefix) {
	right := s.rights[e.Node]
	for _, p := range e.Prefixes {
		ok := slices.ContainsFunc(e.own, func(own netip.Prefix) bool { return covers(own, p.Prefix) }) ||
			right.Gateway && p.Bits() == 0 ||
			slices.ContainsFunc(right.Import, func(given netip.Prefix) bool { return covers(given, p.Prefix) })
		if ok {
			granted = append(granted, p)
		}
	}
	return granted
}

// covers tells whether a prefix holds another one. A default route holds no more than
// itself: it is another right than that to each prefix of the world.
func covers(p, inner netip.Prefix) bool {
	if p.Bits() == 0 {
		return p == inner
	}
	return p.Bits() <= inner.Bits() && p.Contains(inner.Addr())
}

// IsRouter tells whether a node may be the router of an id: no other has claimed it, or
// the node has too.
func (s *Store) IsRouter(id addr.NodeID, router babel.RouterID) bool {
	e := s.held[id]
	return s.routers[router] == 0 || e != nil && e.RouterID == router
}

// Shares tells whether a node other than this one has claimed a router-id.
func (s *Store) Shares(id addr.NodeID, router babel.RouterID) bool {
	others := s.routers[router]
	if e := s.held[id]; e != nil && e.RouterID == router {
		others--
	}
	return others > 0
}

func (c *Claim) version() Version { return Version{c.Node, c.Sequence, c.hash} }

func bucketOf(id addr.NodeID) int { return int(id[len(id)-1]) % Buckets }
