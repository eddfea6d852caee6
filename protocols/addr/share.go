package addr

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// The lengths of IPv4: the shortest range of a network, and the longest prefix.
const (
	MinIPv4Range = 8
	MaxIPv4      = 32
)

// special are the addresses of IPv4 that no network may have (RFC 6890): "this network",
// loopback, link-local, groups and class E.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("224.0.0.0/3"),
}

// CheckIPv4 is ErrIPv4 where a network cannot have that range of IPv4, in shares of that
// length.
func CheckIPv4(rng netip.Prefix, length int) error {
	if !rng.IsValid() || !rng.Addr().Is4() || rng != rng.Masked() || rng.Bits() < MinIPv4Range || rng.Bits() >= MaxIPv4 {
		return fmt.Errorf("%w: %s; want an IPv4 prefix of %d to %d bits, without bits behind its length", ErrIPv4, rng, MinIPv4Range, MaxIPv4-1)
	}
	for _, s := range special {
		if s.Overlaps(rng) {
			return fmt.Errorf("%w: %s has addresses of %s, which no host can have", ErrIPv4, rng, s)
		}
	}
	if length <= rng.Bits() || length > MaxIPv4 {
		return fmt.Errorf("%w: shares of %d bits in %s; want %d to %d", ErrIPv4, length, rng, rng.Bits()+1, MaxIPv4)
	}
	return nil
}

// Shares is how many numbers there are for shares of that length. Number 0 is the
// network's own and given to no node. The arguments have passed CheckIPv4.
func Shares(rng netip.Prefix, length int) uint32 { return 1 << (length - rng.Bits()) }

// Share is the part of an IPv4 range that a number stands for: the range's bits, then
// those of the number. The arguments have passed CheckIPv4, and n is below Shares.
func Share(rng netip.Prefix, length int, n uint32) netip.Prefix {
	base := rng.Masked().Addr().As4()
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(base[:])|n<<(MaxIPv4-length))
	return netip.PrefixFrom(netip.AddrFrom4(b), length)
}

// ShareAddress is the node's own address in its share: the one with the last bit set, or
// the share itself where that is one address.
func ShareAddress(share netip.Prefix) netip.Addr {
	b := share.Masked().Addr().As4()
	if share.Bits() < MaxIPv4 {
		b[3] |= 1
	}
	return netip.AddrFrom4(b)
}

// InShares tells whether a prefix is one of the shares of a range.
func InShares(rng netip.Prefix, length int, share netip.Prefix) bool {
	return rng.IsValid() && share.IsValid() && share.Bits() == length && rng.Bits() < length && rng.Contains(share.Addr()) && share == share.Masked()
}

// Number is the value of b; false where that has more than 32 bits.
func (b Bits) Number() (uint32, bool) {
	v := b.u.shr(uint(MaxBits - b.n))
	return uint32(v.lo), v.hi == 0 && v.lo>>32 == 0
}
