package dataplane

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"

	"re6st/tsn/class"
)

const (
	ipv6HeaderLen = 40
	ipv6MinMTU    = 1280 // RFC 8200 section 5
)

// inner is what the path needs of an inner packet's header (RFC 8200 section 3, RFC 791
// section 3.1).
type inner struct {
	src, dst netip.Addr
	ecn      uint8
	// mayFragment: of IPv4, and its sender has nothing against fragments.
	mayFragment bool
}

// parseInner reads an inner packet; ok is false where why says so.
func parseInner(b []byte) (h inner, why Reason, ok bool) {
	if isIPv4(b) {
		return parseIPv4(b)
	}
	if len(b) < ipv6HeaderLen || b[0]>>4 != 6 || int(binary.BigEndian.Uint16(b[4:]))+ipv6HeaderLen != len(b) {
		return inner{}, DropMalformed, false
	}
	h = inner{src: netip.AddrFrom16([16]byte(b[8:24])), dst: netip.AddrFrom16([16]byte(b[24:40])), ecn: b[1] >> 4 & 3}
	if !unicast(h.src) || !unicast(h.dst) {
		return inner{}, DropNotUnicast, false
	}
	return h, 0, true
}

// unicast tells whether an address may travel between nodes.
func unicast(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast() && !a.Is4In6()
}

// setECN writes the ECN field of an inner packet, which in IPv6 no checksum covers.
func setECN(b []byte, ecn uint8) {
	if isIPv4(b) {
		setECNv4(b, ecn)
		return
	}
	b[1] = b[1]&^0x30 | ecn<<4
}

// flowOf is the same for the packets of one flow, as far as their headers show it.
func flowOf(seed maphash.Seed, b []byte) uint8 {
	if isIPv4(b) {
		return flowOfIPv4(seed, b)
	}
	return uint8(maphash.Bytes(seed, b[8:ipv6HeaderLen])) ^ b[3]
}

// classOf is the class of a packet; false where it goes from one class's range to
// another's.
func classOf(t *class.Table, src, dst netip.Addr) (class.Class, bool) {
	s, inS := t.Classify(src)
	d, inD := t.Classify(dst)
	switch {
	case inS && inD:
		return d, s.ID == d.ID
	case inD:
		return d, true
	case inS:
		return s, true
	}
	return classByID(t, class.General), true
}

// classByID is the zero Class, of DSCP 0, for an id that is not in the table.
func classByID(t *class.Table, id class.ID) class.Class {
	for _, c := range t.All() {
		if c.ID == id {
			return c
		}
	}
	return class.Class{}
}
