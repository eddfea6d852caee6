package checksum

import (
	"encoding/binary"
	"math/bits"
)

// Of is the checksum of b, going on from a sum: what goes into a header's field.
func Of(sum uint64, b []byte) uint16 { return ^Fold(Add(b, sum)) }

// Add is the sum of b, of which a last odd byte is the upper half of a word, and of what was
// summed before it. The words are taken as the machine has them and the sum is turned round,
// which comes to the same (RFC 1071 section 2 B).
func Add(b []byte, sum uint64) uint64 {
	var s, t, carry uint64
	for len(b) >= 64 {
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b), 0)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b[8:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b[16:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b[24:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b[32:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b[40:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b[48:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b[56:]), carry)
		t += carry
		b = b[64:]
	}
	for len(b) >= 8 {
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b), 0)
		t += carry
		b = b[8:]
	}
	if len(b) > 0 {
		var last [8]byte
		copy(last[:], b)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(last[:]), 0)
		t += carry
	}
	return sum + uint64(bits.ReverseBytes16(Fold(s))) + uint64(bits.ReverseBytes16(Fold(t)))
}

// Fold is a sum in 16 bits, not complemented.
func Fold(sum uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum&0xffff)
}
