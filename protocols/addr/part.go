package addr

import (
	"fmt"
	"net/netip"
)

// MaxPart is the longest prefix of a part: one host beside the router. MaxIPv4Part is that
// of IPv4, where the first address and the last are no host's.
const (
	MaxPart     = 127
	MaxIPv4Part = 30
)

// Part is what is wanted of a node's prefix: the part Prefix, or where that is not
// valid the first one of Length bits that is free.
type Part struct {
	Prefix netip.Prefix
	Length int
}

// Divide gives each want its part of a node's prefix, or of its share of IPv4, where each
// has to be named. None overlaps another, nor holds the node's own address. It fails with
// ErrPart, which names the want.
func Divide(own netip.Prefix, self netip.Addr, wants []Part) ([]netip.Prefix, error) {
	parts, longest := make([]netip.Prefix, len(wants)), MaxPart
	if own.Addr().Is4() {
		longest = MaxIPv4Part
	}
	var taken []netip.Prefix
	for i, w := range wants { // those that are named first, for they have no choice
		if !w.Prefix.IsValid() {
			continue
		}
		p := w.Prefix.Masked()
		switch other, clash := overlap(p, taken); {
		case p.Bits() <= own.Bits() || p.Bits() > longest || !own.Contains(p.Addr()):
			return nil, fmt.Errorf("%w: %s is no part of %s of up to %d bits", ErrPart, p, own, longest)
		case p.Contains(self):
			return nil, fmt.Errorf("%w: %s holds the node's own address %s", ErrPart, p, self)
		case clash:
			return nil, fmt.Errorf("%w: %s overlaps %s", ErrPart, p, other)
		}
		parts[i] = p
		taken = append(taken, p)
	}
	for i, w := range wants {
		if w.Prefix.IsValid() {
			continue
		}
		if w.Length <= own.Bits() || w.Length > MaxPart || own.Addr().Is4() {
			return nil, fmt.Errorf("%w: a length of %d in %s; it must be %d to %d", ErrPart, w.Length, own, own.Bits()+1, MaxPart)
		}
		p, ok := free(own, self, w.Length, taken)
		if !ok {
			return nil, fmt.Errorf("%w: %s has no room for another of %d bits", ErrPart, own, w.Length)
		}
		parts[i] = p
		taken = append(taken, p)
	}
	return parts, nil
}

// free is the first prefix of that length which nothing taken overlaps.
func free(own netip.Prefix, self netip.Addr, length int, taken []netip.Prefix) (netip.Prefix, bool) {
	p := netip.PrefixFrom(own.Masked().Addr(), length)
	for range len(taken) + 2 { // each of those taken, and self, is in the way once at most
		other, clash := overlap(p, taken)
		if p.Contains(self) {
			other, clash = p, true
		}
		if !clash {
			return p, own.Contains(p.Addr())
		}
		if other.Bits() > length {
			other = p
		}
		next, ok := after(other)
		if !ok || !own.Contains(next) {
			return p, false
		}
		p = netip.PrefixFrom(next, length)
	}
	return p, false
}

// after is the first address behind a prefix; false where there is none.
func after(p netip.Prefix) (netip.Addr, bool) {
	b := p.Masked().Addr().As16()
	last := netip.AddrFrom16(fromBytes(b).or(mask(p.Bits()).not()).bytes())
	next := last.Next()
	return next, next.IsValid()
}

func overlap(p netip.Prefix, taken []netip.Prefix) (netip.Prefix, bool) {
	for _, t := range taken {
		if t.Overlaps(p) {
			return t, true
		}
	}
	return netip.Prefix{}, false
}
