package dataplane

import (
	"encoding/binary"
	"net/netip"
	"time"

	"re6st/protocols/checksum"
)

// ICMP (RFC 792, RFC 1191 section 4, RFC 1812 section 5.2.7.1).
const (
	protocolICMP = 1

	icmp4Unreachable         = 3
	code4NetUnreachable      = 0
	code4HostUnreachable     = 1
	code4FragmentationNeeded = 4
	code4Prohibited          = 13

	// icmp4MaxLen bounds an error (RFC 1812 section 4.3.2.3).
	icmp4MaxLen = 576
)

// icmp4Errors are the types of ICMP that are errors, and not answered by one.
var icmp4Errors = [256]bool{3: true, 4: true, 5: true, 11: true, 12: true}

// refuseIPv4 writes the ICMP error that stands for an ICMPv6 one.
func (w *worker) refuseIPv4(packet []byte, typ, code uint8, mtu int) {
	h, _, ok := parseInner(packet)
	v := w.ipv4.Load()
	if !ok || v == nil || isICMPv4Error(packet) || !w.icmpLimit.allow(time.Now(), h.src) {
		return
	}
	out := icmpErrorIPv4(v.self, h.src, icmp4Code(typ, code), mtu, packet)
	if _, err := w.tun.Write(out); err == nil {
		w.icmpSent.Add(1)
	}
}

// icmp4Code is the code of "destination unreachable" for an ICMPv6 error.
func icmp4Code(typ, code uint8) uint8 {
	switch {
	case typ == icmpTooBig:
		return code4FragmentationNeeded
	case code == codeProhibited:
		return code4Prohibited
	case code == codeAddressUnreachable:
		return code4HostUnreachable
	}
	return code4NetUnreachable
}

// icmpErrorIPv4 makes a "destination unreachable": as much of the packet as fits into
// 576 bytes.
func icmpErrorIPv4(src, dst netip.Addr, code uint8, mtu int, about []byte) []byte {
	about = about[:min(len(about), icmp4MaxLen-ipv4HeaderLen-icmpHeaderLen)]
	b := make([]byte, ipv4HeaderLen+icmpHeaderLen, icmp4MaxLen)
	b[0], b[1] = 4<<4|ipv4HeaderLen/4, 6<<5 // precedence 6 (RFC 1812 section 4.3.2.5)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(about)))
	b[8], b[9] = icmpHopLimit, protocolICMP
	s, d := src.As4(), dst.As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	binary.BigEndian.PutUint16(b[10:], checksum.Of(0, b[:ipv4HeaderLen]))
	b[20], b[21] = icmp4Unreachable, code
	binary.BigEndian.PutUint16(b[26:], uint16(mtu))
	b = append(b, about...)
	binary.BigEndian.PutUint16(b[22:], checksum.Of(0, b[ipv4HeaderLen:]))
	return b
}

// isICMPv4Error tells whether a packet must not be answered with an error (RFC 1812
// section 4.3.2.7), as far as its headers show.
func isICMPv4Error(packet []byte) bool {
	if binary.BigEndian.Uint16(packet[6:])&ipv4Offset != 0 {
		return true // not the first fragment: nobody knows what it is
	}
	if packet[9] != protocolICMP {
		return false
	}
	n := ipv4Header(packet)
	return n >= len(packet) || icmp4Errors[packet[n]]
}
