package claim

import (
	"net/netip"
	"slices"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
)

// Verdict is what the claims say of a route.
type Verdict uint8

// The verdicts.
const (
	Proven       Verdict = iota // its egress claims it, and may
	Unproven                    // no claim says anything
	Contradicted                // it is another's
)

// Judge judges a route to a prefix that a router announces, with an egress. owner is
// the node whose claim contradicts it.
func (s *Store) Judge(prefix netip.Prefix, router babel.RouterID, egress addr.NodeID) (v Verdict, owner addr.NodeID) {
	e := s.held[egress]
	if e != nil {
		for _, p := range e.granted {
			if covers(p.Prefix, prefix) && (p.AnyRouter || e.RouterID == router) {
				return Proven, egress
			}
		}
	}
	within, owner, owned := s.ownerOf(prefix)
	switch {
	case !owned:
		return Unproven, owner
	case owner == egress:
		// Under another router-id than it claims: it may have begun anew a moment ago.
		return Unproven, owner
	case within == prefix && s.held[owner].RouterID == router && (e == nil || e.RouterID != router):
		// The owner's own route, which came by routers that are none of ours; but who claims
		// that router-id too cannot mean that.
		return Unproven, owner
	}
	return Contradicted, owner
}

// ownerOf is the node in whose prefix another one lies.
func (s *Store) ownerOf(prefix netip.Prefix) (within netip.Prefix, owner addr.NodeID, ok bool) {
	for length, n := range s.lengths {
		if n == 0 || length > prefix.Bits() {
			continue
		}
		p, err := prefix.Addr().Prefix(length)
		if err != nil {
			continue // an IPv4 prefix has no such length
		}
		if id, held := s.owners[p]; held && (!ok || p.Bits() > within.Bits()) {
			within, owner, ok = p, id, true
		}
	}
	return within, owner, ok
}

// MaySend tells whether a node may send from an address: it has claimed a prefix that
// holds it, and may. As a gateway it may send from all that lies outside of the network.
func (s *Store) MaySend(id addr.NodeID, src netip.Addr) bool {
	e := s.held[id]
	if e == nil {
		return false
	}
	for _, p := range e.granted {
		if p.Contains(src) && (p.Bits() > 0 || !s.inside(src)) {
			return true
		}
	}
	return false
}

func (s *Store) inside(a netip.Addr) bool {
	return slices.ContainsFunc(s.ranges, func(r netip.Prefix) bool { return r.Contains(a) })
}
