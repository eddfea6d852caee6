package tun

import (
	"encoding/binary"
	"math/bits"
)

// The Internet checksum (RFC 1071). A sum is kept in 64 bits, of words in network order, and
// folded at the end.

// add is the sum of b, of which a last odd byte is the upper half of a word, and of what was
// summed before it. The words are taken as the machine has them and the sum is turned round,
// which comes to the same (RFC 1071 section 2 B).
func add(b []byte, sum uint64) uint64 {
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
	return sum + uint64(bits.ReverseBytes16(fold(s))) + uint64(bits.ReverseBytes16(fold(t)))
}

// fold is a sum in 16 bits, not complemented.
func fold(sum uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum&0xffff)
}

// pseudo is the sum of the pseudo-header of a packet (RFC 9293 section 3.1, RFC 8200 section
// 8.1) whose header has no extensions.
func pseudo(packet []byte, six bool, proto uint8, length int) uint64 {
	sum := uint64(proto) + uint64(length)
	if six {
		return add(packet[8:40], sum)
	}
	return add(packet[12:20], sum)
}
