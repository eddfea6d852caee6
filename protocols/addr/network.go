package addr

import (
	"fmt"
	"math/big"
	"net/netip"
)

// NetworkFromSerial reads the network out of a CA certificate's serial number:
// the bits behind its leading 1, so 0x120010db80042 is 2001:db8:42::/48.
func NetworkFromSerial(serial *big.Int) (netip.Prefix, error) {
	n := serial.BitLen() - 1
	if serial.Sign() <= 0 || n > MaxBits {
		return netip.Prefix{}, fmt.Errorf("%w: CA serial number %s; it must be a 1 bit and then the 0 to %d bits of the network",
			ErrNetwork, serial, MaxBits)
	}
	v := new(big.Int).SetBit(serial, n, 0)
	var b [16]byte
	v.Lsh(v, uint(MaxBits-n)).FillBytes(b[:])
	return netip.PrefixFrom(netip.AddrFrom16(b), n), nil
}

// Serial is the CA serial number that stands for network, which has to be IPv6.
func Serial(network netip.Prefix) (*big.Int, error) {
	if !network.IsValid() || !network.Addr().Is6() {
		return nil, fmt.Errorf("%w: %s is not an IPv6 prefix", ErrNetwork, network)
	}
	b := network.Masked().Addr().As16()
	v := new(big.Int).SetBytes(b[:])
	v.Rsh(v, uint(MaxBits-network.Bits()))
	return v.SetBit(v, network.Bits(), 1), nil
}

// Subnet is the prefix that node owns in a range: the range's bits, then the
// node's.
func Subnet(rng netip.Prefix, node Bits) (netip.Prefix, error) {
	n := rng.Bits() + node.Len()
	if !rng.IsValid() || !rng.Addr().Is6() || n > MaxBits {
		return netip.Prefix{}, fmt.Errorf("%w: range %s with node %s", ErrTooLong, rng, node.CN())
	}
	u := fromBytes(rng.Masked().Addr().As16()).or(node.u.shr(uint(rng.Bits())))
	return netip.PrefixFrom(netip.AddrFrom16(u.bytes()), n), nil
}

// Address is the node's own address in a range: its subnet with the last bit
// one, or the subnet itself where that fills all 128 bits.
func Address(rng netip.Prefix, node Bits) (netip.Addr, error) {
	p, err := Subnet(rng, node)
	if err != nil || p.Bits() == MaxBits {
		return p.Addr(), err
	}
	b := p.Addr().As16()
	b[15] |= 1
	return netip.AddrFrom16(b), nil
}

// BitsIn is the n bits of a that follow the range: the node prefix of that
// length which a belongs to. It is false where a is outside the range or n bits
// do not fit behind it.
func BitsIn(rng netip.Prefix, a netip.Addr, n int) (Bits, bool) {
	if n < 0 || rng.Bits()+n > MaxBits || !a.Is6() || !rng.Contains(a.WithZone("")) {
		return Bits{}, false
	}
	u := fromBytes(a.As16()).shl(uint(rng.Bits()))
	return Bits{u.and(mask(n)), uint8(n)}, true
}
