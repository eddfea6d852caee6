package netlink

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// Kind is what a route does with a packet.
type Kind uint8

// The kinds of route, a part of rtnetlink's RTN_* types.
const (
	Unicast     Kind = iota // send it on
	Unreachable             // answer "no route" (ICMPv6 type 1 code 0)
	Blackhole               // drop it without a word
	Prohibit                // answer "administratively prohibited"
)

func (k Kind) String() string {
	switch k {
	case Unreachable:
		return "unreachable"
	case Blackhole:
		return "blackhole"
	case Prohibit:
		return "prohibit"
	default:
		return "unicast"
	}
}

// defaultMetric6 is what the kernel makes of metric 0 in IPv6.
const defaultMetric6 = 1024

// Route is one route of a Table. Comparable; the zero Dst is not a route.
type Route struct {
	Dst     netip.Prefix // host bits must be zero
	Src     netip.Prefix // IPv6 only: packets from there (RFC 9079); zero is any source
	Metric  uint32       // lower wins; 0 is the kernel's default, 1024 in IPv6
	Kind    Kind
	Link    int        // index of the outgoing link; Unicast only
	Via     netip.Addr // next hop, zero if on the link; IPv6 for an IPv4 Dst is RFC 9229
	OnLink  bool       // the next hop is on the link though no route says so
	PrefSrc netip.Addr // the source of packets of this host, zero: the kernel chooses
	MTU     int        // bytes, 0: the link's
}

// key is what the kernel tells routes of one table apart by.
type key struct {
	dst, src netip.Prefix
	metric   uint32
}

func (r Route) key() key { return key{r.Dst, r.Src, r.Metric} }

// compare orders keys, so that two runs set the same routes in the same order.
func (k key) compare(o key) int {
	return cmp.Or(
		k.dst.Addr().Compare(o.dst.Addr()), cmp.Compare(k.dst.Bits(), o.dst.Bits()),
		k.src.Addr().Compare(o.src.Addr()), cmp.Compare(k.src.Bits(), o.src.Bits()),
		cmp.Compare(k.metric, o.metric))
}

// String prints the route as iproute2 would.
func (r Route) String() string {
	var b strings.Builder
	if r.Kind != Unicast {
		b.WriteString(r.Kind.String() + " ")
	}
	b.WriteString(r.Dst.String())
	if r.Src.IsValid() {
		fmt.Fprintf(&b, " from %v", r.Src)
	}
	if r.Via.IsValid() {
		fmt.Fprintf(&b, " via %v", r.Via)
	}
	if r.Kind == Unicast {
		fmt.Fprintf(&b, " link %d", r.Link)
	}
	if r.PrefSrc.IsValid() {
		fmt.Fprintf(&b, " src %v", r.PrefSrc)
	}
	fmt.Fprintf(&b, " metric %d", r.Metric)
	return b.String()
}

// normalise gives the form in which the kernel will show the route, or ErrRoute.
func (r Route) normalise() (Route, error) {
	switch {
	case !r.Dst.IsValid() || r.Dst != r.Dst.Masked() || r.Dst.Addr().Is4In6():
		return r, fmt.Errorf("%w: destination %v: a prefix without host bits is needed", ErrRoute, r.Dst)
	case r.Src.IsValid() && (r.Src != r.Src.Masked() || r.Dst.Addr().Is4() || r.Src.Addr().Is4()):
		return r, fmt.Errorf("%w: source %v: an IPv6 prefix without host bits is needed", ErrRoute, r.Src)
	case r.Kind == Unicast && r.Link <= 0:
		return r, fmt.Errorf("%w: %v has no link", ErrRoute, r.Dst)
	case r.Kind != Unicast && (r.Link != 0 || r.Via.IsValid()):
		return r, fmt.Errorf("%w: %v is %v and has a link or a next hop", ErrRoute, r.Dst, r.Kind)
	case r.Via.Is4() && r.Dst.Addr().Is6():
		return r, fmt.Errorf("%w: next hop %v for IPv6 %v", ErrRoute, r.Via, r.Dst)
	case r.PrefSrc.IsValid() && r.PrefSrc.Is4() != r.Dst.Addr().Is4():
		return r, fmt.Errorf("%w: preferred source %v for %v", ErrRoute, r.PrefSrc, r.Dst)
	}
	if r.Src.Bits() == 0 { // "from anywhere" is how the kernel shows no source
		r.Src = netip.Prefix{}
	}
	if r.Metric == 0 && r.Dst.Addr().Is6() {
		r.Metric = defaultMetric6
	}
	return r, nil
}
