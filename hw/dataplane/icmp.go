package dataplane

import (
	"encoding/binary"
	"net/netip"
	"time"

	"re6st/protocols/checksum"
)

// ICMPv6 (RFC 4443 section 3).
const (
	protocolICMPv6 = 58

	icmpUnreachable        = 1
	codeNoRoute            = 0
	codeProhibited         = 1
	codeAddressUnreachable = 3
	icmpTooBig             = 2
	icmpFirstInformational = 128

	icmpHeaderLen = 8
	icmpHopLimit  = 64
)

// refuse writes an ICMPv6 error about a packet from the TUN into the TUN, or what ICMP
// has in its place for IPv4. mtu is for icmpTooBig only.
func (w *worker) refuse(packet []byte, typ, code uint8, mtu int) {
	if isIPv4(packet) {
		w.refuseIPv4(packet, typ, code, mtu)
		return
	}
	h, _, ok := parseInner(packet)
	if !ok || !w.address.Is6() || isICMPError(packet) || !w.icmpLimit.allow(time.Now(), h.src) {
		return
	}
	out := icmpError(w.address, h.src, typ, code, mtu, packet)
	if _, err := w.tun.Write(out); err == nil {
		w.icmpSent.Add(1)
	}
}

// icmpError makes the error: as much of the packet as fits into 1280 bytes.
func icmpError(src, dst netip.Addr, typ, code uint8, mtu int, about []byte) []byte {
	about = about[:min(len(about), ipv6MinMTU-ipv6HeaderLen-icmpHeaderLen)]
	b := make([]byte, ipv6HeaderLen+icmpHeaderLen, ipv6MinMTU)
	b[0] = 6 << 4
	binary.BigEndian.PutUint16(b[4:], uint16(icmpHeaderLen+len(about)))
	b[6], b[7] = protocolICMPv6, icmpHopLimit
	s, d := src.As16(), dst.As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
	b[40], b[41] = typ, code
	binary.BigEndian.PutUint32(b[44:], uint32(mtu))
	b = append(b, about...)
	binary.BigEndian.PutUint16(b[42:], icmpChecksum(b))
	return b
}

// icmpChecksum is ICMPv6's: over the pseudo-header (RFC 8200 section 8.1) and the
// message, whose checksum field is zero.
func icmpChecksum(packet []byte) uint16 {
	return checksum.Of(uint64(len(packet)-ipv6HeaderLen)+protocolICMPv6, packet[8:])
}

// isICMPError tells whether a packet must not be answered with an error
// (RFC 4443 section 2.4 e.1 and e.2), as far as its headers show.
func isICMPError(packet []byte) bool {
	const hopByHop, routing, fragment, destination, redirect = 0, 43, 44, 60, 137
	next, rest := packet[6], packet[ipv6HeaderLen:]
	for len(rest) >= 8 {
		size := 8
		switch next {
		case protocolICMPv6:
			return rest[0] < icmpFirstInformational || rest[0] == redirect
		case hopByHop, routing, destination:
			size = 8 * (int(rest[1]) + 1)
		case fragment:
			if binary.BigEndian.Uint16(rest[2:])>>3 != 0 {
				return true // not the first: nobody knows what it is
			}
		default:
			return false
		}
		next, rest = rest[0], rest[min(size, len(rest)):]
	}
	return next == protocolICMPv6 // cut off
}
