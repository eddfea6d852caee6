package addr

import (
	"cmp"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// MaxBits is the length of the longest bit string: an IPv6 address.
const MaxBits = 128

// Bits is a bit string of 0 to 128 bits: a node's or a community's prefix below
// the network. The zero value is the empty string, which is a prefix of all.
// Bits are comparable with == and may be map keys.
type Bits struct {
	u uint128 // left-aligned: the first bit is the most significant; the rest is zero
	n uint8
}

// ParseBits reads a string of '0' and '1', first bit first.
func ParseBits(s string) (Bits, error) {
	if len(s) > MaxBits {
		return Bits{}, fmt.Errorf("%w: %d digits, at most %d", ErrBits, len(s), MaxBits)
	}
	var b Bits
	for i := range len(s) {
		if s[i] != '0' && s[i] != '1' {
			return Bits{}, fmt.Errorf("%w: %q has %q at position %d; only 0 and 1 are allowed", ErrBits, s, s[i], i)
		}
		b = b.Append(s[i] == '1')
	}
	return b, nil
}

// ParseCN reads the common name of a node's certificate: the decimal value of
// its bits, a slash and their number, such as "5/16".
func ParseCN(cn string) (Bits, error) {
	value, length, ok := strings.Cut(cn, "/")
	n, err := strconv.ParseUint(length, 10, 8)
	if !ok || err != nil || n > MaxBits || length != strconv.FormatUint(n, 10) {
		return Bits{}, fmt.Errorf("%w: common name %q is not value/length with a length of 0 to %d", ErrBits, cn, MaxBits)
	}
	v, ok := new(big.Int).SetString(value, 10)
	if !ok || v.String() != value || v.Sign() < 0 || v.BitLen() > int(n) {
		return Bits{}, fmt.Errorf("%w: common name %q: %q is not a number of at most %d bits", ErrBits, cn, value, n)
	}
	var b [16]byte
	v.Lsh(v, uint(MaxBits-n)).FillBytes(b[:])
	return Bits{fromBytes(b), uint8(n)}, nil
}

// Len is the number of bits, 0 to 128.
func (b Bits) Len() int { return int(b.n) }

// Bit tells whether bit i is one; 0 is the first. It panics outside [0, Len).
func (b Bits) Bit(i int) bool {
	if i < 0 || i >= b.Len() {
		panic("addr: bit " + strconv.Itoa(i) + " of " + strconv.Itoa(b.Len()))
	}
	return b.u.bit(i)
}

// Append is b with one more bit. It panics if b is full.
func (b Bits) Append(one bool) Bits {
	if b.n == MaxBits {
		panic("addr: append to a full bit string")
	}
	if one {
		b.u = b.u.or(uint128{0, 1}.shl(uint(MaxBits - 1 - int(b.n))))
	}
	b.n++
	return b
}

// Prefix is the first n bits of b. It panics outside [0, Len].
func (b Bits) Prefix(n int) Bits {
	if n < 0 || n > b.Len() {
		panic("addr: " + strconv.Itoa(n) + " bits of " + strconv.Itoa(b.Len()))
	}
	return Bits{b.u.and(mask(n)), uint8(n)}
}

// HasPrefix tells whether b starts with p.
func (b Bits) HasPrefix(p Bits) bool { return p.n <= b.n && b.Prefix(p.Len()) == p }

// Compare orders bit strings as their digits sort as text: a prefix comes
// before what extends it.
func (b Bits) Compare(c Bits) int {
	if r := b.u.compare(c.u); r != 0 {
		return r
	}
	return cmp.Compare(b.n, c.n)
}

// String is the digits '0' and '1', as ParseBits reads them.
func (b Bits) String() string {
	s := make([]byte, b.n)
	for i := range s {
		s[i] = '0'
		if b.u.bit(i) {
			s[i] = '1'
		}
	}
	return string(s)
}

// CN is the certificate's common name for b, as ParseCN reads it.
func (b Bits) CN() string {
	raw := b.u.bytes()
	v := new(big.Int).SetBytes(raw[:])
	return v.Rsh(v, uint(MaxBits-b.n)).String() + "/" + strconv.Itoa(b.Len())
}

// MarshalText is CN, for JSON and for configuration files.
func (b Bits) MarshalText() ([]byte, error) { return []byte(b.CN()), nil }

// UnmarshalText is ParseCN.
func (b *Bits) UnmarshalText(t []byte) (err error) {
	*b, err = ParseCN(string(t))
	return err
}
