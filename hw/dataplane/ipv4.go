package dataplane

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"

	"re6st/tsn/class"
)

// IPv4 (RFC 791 section 3.1).
const (
	ipv4HeaderLen = 20

	ipv4DontFragment  = 0x4000
	ipv4MoreFragments = 0x2000
	ipv4Offset        = 0x1fff
)

// reserved are the addresses that nobody has (RFC 6890): "this network", and what is
// left of class E with the limited broadcast.
var reserved = [...]netip.Prefix{netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("240.0.0.0/4")}

// ipv4 is what the path knows of the network's IPv4.
type ipv4 struct {
	rng netip.Prefix
	// self is the source of ICMP errors: the range's first address, which no node has, and
	// which the kernel has a route to by the TUN. One of this machine's own it would take for
	// an impostor's.
	self netip.Addr
}

// SetIPv4 has the path carry IPv4, in a network whose nodes have shares of a range, which
// leads into the TUN; not valid: it carries none.
func (p *Plane) SetIPv4(rng netip.Prefix) {
	if !rng.IsValid() {
		p.ipv4.Store(nil)
		return
	}
	p.ipv4.Store(&ipv4{rng, rng.Masked().Addr()})
}

// contains tells whether an address belongs to the mesh. A nil one contains nothing.
func (v *ipv4) contains(a netip.Addr) bool { return v != nil && v.rng.Contains(a.Unmap()) }

// parse is parseInner, and refuses IPv4 where the network has none.
func (w *worker) parse(b []byte) (h inner, why Reason, ok bool) {
	if isIPv4(b) && w.ipv4.Load() == nil {
		return inner{}, DropIPv4, false
	}
	return parseInner(b)
}

// leadsAstray tells whether a route is too short for a destination in the mesh's ranges:
// a gateway's default route leads to no node.
func (w *worker) leadsAstray(c class.Class, by netip.Prefix, dst netip.Addr) bool {
	if dst.Is4() {
		v := w.ipv4.Load()
		return v.contains(dst) && v.rng.Bits() > by.Bits()
	}
	return c.Range.Bits() > by.Bits() && c.Range.Contains(dst)
}

// endsHere tells whether a packet of IPv4 is for this node, or what lies behind it. What
// else the kernel would do with it is no member's to say: private addresses mean
// something on each LAN.
func (w *worker) endsHere(h inner) bool {
	route, ok := w.view.Load().Lookup(h.src, h.dst)
	return ok && route.Egress == w.self
}

func isIPv4(b []byte) bool { return len(b) > 0 && b[0]>>4 == 4 }

// ipv4Header is the length of the header, with options; 0 where b does not hold one.
func ipv4Header(b []byte) int {
	if len(b) < ipv4HeaderLen {
		return 0
	}
	n := int(b[0]&0xf) * 4
	if n < ipv4HeaderLen || n > len(b) {
		return 0
	}
	return n
}

func parseIPv4(b []byte) (h inner, why Reason, ok bool) {
	if ipv4Header(b) == 0 || int(binary.BigEndian.Uint16(b[2:])) != len(b) {
		return inner{}, DropMalformed, false
	}
	h = inner{
		src: netip.AddrFrom4([4]byte(b[12:16])), dst: netip.AddrFrom4([4]byte(b[16:20])), ecn: b[1] & 3,
		mayFragment: binary.BigEndian.Uint16(b[6:])&ipv4DontFragment == 0,
	}
	for _, a := range [...]netip.Addr{h.src, h.dst} {
		if !unicast(a) || reserved[0].Contains(a) || reserved[1].Contains(a) {
			return inner{}, DropNotUnicast, false
		}
	}
	return h, 0, true
}

// setECNv4 writes the ECN field, and mends the header's checksum (RFC 1624 section 3,
// equation 3).
func setECNv4(b []byte, ecn uint8) {
	old := binary.BigEndian.Uint16(b)
	b[1] = b[1]&^3 | ecn
	sum := uint32(^binary.BigEndian.Uint16(b[10:])) + uint32(^old) + uint32(binary.BigEndian.Uint16(b))
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum+sum>>16))
}

// flowOfIPv4 has the ports in it too, but for fragments: only the first has them.
func flowOfIPv4(seed maphash.Seed, b []byte) uint8 {
	n := ipv4Header(b)
	if binary.BigEndian.Uint16(b[6:])&(ipv4MoreFragments|ipv4Offset) != 0 || n == 0 || len(b) < n+4 {
		n = 0
	}
	flow := maphash.Bytes(seed, b[12:ipv4HeaderLen]) ^ uint64(b[9])
	if n > 0 {
		flow ^= maphash.Bytes(seed, b[n:n+4])
	}
	return uint8(flow)
}
