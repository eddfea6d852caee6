package addr

import (
	"cmp"
	"encoding/binary"
)

// uint128 is what an IPv6 address is to arithmetic.
type uint128 struct{ hi, lo uint64 }

func fromBytes(b [16]byte) uint128 {
	return uint128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (u uint128) bytes() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:8], u.hi)
	binary.BigEndian.PutUint64(b[8:], u.lo)
	return b
}

func (u uint128) or(v uint128) uint128  { return uint128{u.hi | v.hi, u.lo | v.lo} }
func (u uint128) and(v uint128) uint128 { return uint128{u.hi & v.hi, u.lo & v.lo} }

func (u uint128) not() uint128 { return uint128{^u.hi, ^u.lo} }

func (u uint128) shl(n uint) uint128 {
	if n >= 64 {
		return uint128{u.lo << (n - 64), 0}
	}
	return uint128{u.hi<<n | u.lo>>(64-n), u.lo << n}
}

func (u uint128) shr(n uint) uint128 {
	if n >= 64 {
		return uint128{0, u.hi >> (n - 64)}
	}
	return uint128{u.hi >> n, u.lo>>n | u.hi<<(64-n)}
}

// bit counts from the most significant.
func (u uint128) bit(i int) bool { return u.shr(uint(MaxBits-1-i)).lo&1 == 1 }

func (u uint128) compare(v uint128) int {
	if r := cmp.Compare(u.hi, v.hi); r != 0 {
		return r
	}
	return cmp.Compare(u.lo, v.lo)
}

// mask has its first n bits set.
func mask(n int) uint128 {
	all := ^uint64(0)
	return uint128{all, all}.shl(uint(MaxBits - n))
}
