package rib

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"re6st/protocols/addr"
)

// Topology is a named set of links with routes of its own. The zero Topology
// is "any": all links.
type Topology uint8

// LinkID names a link of the fabric at this node; 0 is none.
type LinkID uint32

// NextHop is where a route leaves this node: by the fabric where Link is not
// 0; else by the kernel interface Ifindex towards Gateway (link-local); all
// zero for what this node itself receives.
type NextHop struct {
	Link    LinkID
	Ifindex int
	Gateway netip.Addr
}

// IsSelf tells whether n is this node itself.
func (n NextHop) IsSelf() bool { return n == NextHop{} }

// Origin is who offered a route. A lower one is preferred, whatever the metric.
type Origin uint8

const (
	OriginLocal  Origin = 1 // this node's own prefixes
	OriginStatic Origin = 2 // configured
	OriginKernel Origin = 3 // another program's routes, read from the kernel
	OriginBabel  Origin = 4
	OriginBGP    Origin = 5
)

// String is the origin's name as status shows it.
func (o Origin) String() string {
	switch o {
	case OriginLocal:
		return "local"
	case OriginStatic:
		return "static"
	case OriginKernel:
		return "kernel"
	case OriginBabel:
		return "babel"
	case OriginBGP:
		return "bgp"
	}
	return fmt.Sprintf("origin %d", uint8(o))
}

// Key is what a table has one best route for. Source is the zero Prefix where
// the route is for packets from everywhere.
type Key struct {
	Topology       Topology
	Prefix, Source netip.Prefix
}

// Compare orders keys by topology, family, prefix and source.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Topology, o.Topology), ComparePrefix(k.Prefix, o.Prefix), ComparePrefix(k.Source, o.Source))
}

// ComparePrefix orders prefixes by address, then by length; IPv4 before IPv6,
// and the zero Prefix before all.
func ComparePrefix(p, o netip.Prefix) int {
	return cmp.Or(p.Addr().Compare(o.Addr()), cmp.Compare(p.Bits(), o.Bits()))
}

// String is the key as status shows it: "2001:db8::/48 from fd00::/8 topology 1".
func (k Key) String() string {
	s := k.Prefix.String()
	if k.Source.IsValid() {
		s += " from " + k.Source.String()
	}
	if k.Topology != 0 {
		s += fmt.Sprintf(" topology %d", k.Topology)
	}
	return s
}

// Route is a way to a prefix.
type Route struct {
	Topology Topology
	Prefix   netip.Prefix // destination
	Source   netip.Prefix // of the packets it is for; the zero Prefix (or length 0) for all
	Egress   addr.NodeID  // the last node of ours on the way: packets are sealed to it
	NextHop  NextHop
	Metric   uint16 // 0 to 65534, comparable within one Origin only
	Origin   Origin
	// Unreachable marks a prefix whose way was lost a moment ago: packets to it
	// are dropped, lest a shorter prefix leads them in circles (RFC 8966 section
	// 2.8). Lookup does not find it, the kernel needs a route of type unreachable.
	// Any other offer for the key is preferred to it.
	Unreachable bool
	Since       time.Time // when the table began to use this next hop and egress
}

// Key is what the route is for.
func (r Route) Key() Key { return Key{r.Topology, r.Prefix, r.Source} }

// normalize masks the prefixes, and refuses what is not a route.
func (r Route) normalize() (Route, error) {
	if !r.Prefix.IsValid() || r.Prefix.Addr().Is4In6() || r.Prefix.Addr().Zone() != "" {
		return r, fmt.Errorf("%w: destination %q; give a valid prefix without zone", ErrRoute, r.Prefix)
	}
	r.Prefix = r.Prefix.Masked()
	if r.Source.Bits() <= 0 {
		r.Source = netip.Prefix{}
		return r, nil
	}
	if r.Source.Addr().Is4() != r.Prefix.Addr().Is4() {
		return r, fmt.Errorf("%w: %s from %s mixes address families", ErrRoute, r.Prefix, r.Source)
	}
	r.Source = r.Source.Masked()
	return r, nil
}

// sameWay tells whether both leave by the same next hop to the same egress.
func (r Route) sameWay(o Route) bool {
	return r.NextHop == o.NextHop && r.Egress == o.Egress && r.Origin == o.Origin
}
