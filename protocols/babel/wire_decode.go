package babel

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"re6st/protocols/addr"
	"re6st/protocols/rib"
)

// Decode reads the body of a packet that came from the link-local address
// from. fabric tells whether our private sub-TLV is known on that interface.
// ignored is the number of TLVs that are malformed, that have an unknown
// address encoding, or an unknown mandatory sub-TLV; unknown types and padding
// are not counted. A packet whose framing is broken has an error and no TLVs.
// The trailer is not looked at. Nothing of packet is retained.
func Decode(packet []byte, from netip.Addr, fabric bool) (tlvs []TLV, ignored int, err error) {
	d, err := newDecoder(packet, from, fabric)
	if err != nil {
		return nil, 0, err
	}
	for d.next() {
		tlv, ok := d.tlv(d.typ, d.value)
		if !ok {
			ignored++
		}
		if tlv != nil {
			tlvs = append(tlvs, tlv)
		}
	}
	return tlvs, ignored, nil
}

// decoder goes from TLV to TLV, with the parser state (section 4.5).
type decoder struct {
	body               []byte // what was not read yet
	typ                uint8  // of the TLV at hand
	value              []byte // its body
	fabric             bool
	routerID           RouterID // zero: none yet
	nextHop4, nextHop6 netip.Addr
	prefix4, prefix6   []byte // the default prefixes; empty: none yet
	prefix4Via6        []byte // RFC 9229 section 4.1: apart from that of other IPv4
}

// newDecoder checks the framing of a whole packet.
func newDecoder(packet []byte, from netip.Addr, fabric bool) (d decoder, err error) {
	if len(packet) < headerLen || packet[0] != magic || packet[1] != version {
		return d, fmt.Errorf("%w: %d bytes without the header 42, 2", ErrPacket, len(packet))
	}
	n := int(binary.BigEndian.Uint16(packet[2:]))
	if n > len(packet)-headerLen {
		return d, fmt.Errorf("%w: body of %d bytes in a packet of %d", ErrPacket, n, len(packet))
	}
	d = decoder{fabric: fabric, nextHop6: from, body: packet[headerLen : headerLen+n]}
	for body := d.body; len(body) > 0; {
		if body[0] == typePad1 {
			body = body[1:]
			continue
		}
		if len(body) < 2 || len(body)-2 < int(body[1]) {
			return d, fmt.Errorf("%w: TLV of type %d at offset %d ends behind the body", ErrPacket, body[0], headerLen+n-len(body))
		}
		body = body[2+int(body[1]):]
	}
	return d, nil
}

// next goes to the next TLV; false at the end.
func (d *decoder) next() bool {
	for len(d.body) > 0 && d.body[0] == typePad1 {
		d.body = d.body[1:]
	}
	if len(d.body) == 0 {
		return false
	}
	end := 2 + int(d.body[1])
	d.typ, d.value, d.body = d.body[0], d.body[2:end], d.body[end:]
	return true
}

// minLen is the length of the fixed part of each TLV body.
var minLen = [...]int{
	typeAckRequest: 6, typeAck: 2, typeHello: 6, typeIHU: 6, typeRouterID: 10, typeNextHop: 2,
	typeUpdate: 10, typeRouteRequest: 2, typeSeqnoRequest: 14,
}

// tlv decodes one TLV. It is nil without fault for what only changes the parser
// state and for unknown types; ok is false where it had to be ignored.
func (d *decoder) tlv(typ uint8, b []byte) (t TLV, ok bool) {
	if typ == typePadN || int(typ) >= len(minLen) {
		return nil, true
	}
	if len(b) < minLen[typ] {
		return nil, false
	}
	u16 := binary.BigEndian.Uint16
	switch typ {
	case typeAckRequest:
		t, ok = AckRequest{Opaque: u16(b[2:]), Interval: getInterval(u16(b[4:]))}, d.plain(b[6:])
	case typeAck:
		t, ok = Ack{Opaque: u16(b)}, d.plain(b[2:])
	case typeHello:
		return d.hello(b)
	case typeIHU:
		return d.ihu(b)
	case typeRouterID:
		d.routerID = RouterID(b[2:10])
		return nil, d.plain(b[10:])
	case typeNextHop:
		return nil, d.setNextHop(b)
	case typeUpdate:
		u, ok := d.update(b)
		if !ok {
			return nil, false
		}
		return u, true
	case typeRouteRequest:
		return d.routeRequest(b)
	case typeSeqnoRequest:
		return d.seqnoRequest(b)
	}
	if !ok {
		return nil, false
	}
	return t, true
}

func (d *decoder) hello(b []byte) (TLV, bool) {
	u16 := binary.BigEndian.Uint16
	s, ok := d.subTLVs(b[6:], aeWildcard)
	if !ok || s.source.IsValid() || s.fabric {
		return nil, false
	}
	return Hello{u16(b)&flagUnicast != 0, u16(b[2:]), getInterval(u16(b[4:])), s.times[0]}, true
}

func (d *decoder) ihu(b []byte) (TLV, bool) {
	u16 := binary.BigEndian.Uint16
	a, rest, ok := d.address(b[0], b[6:])
	if !ok || u16(b[4:]) == 0 {
		return nil, false
	}
	s, ok := d.subTLVs(rest, aeWildcard)
	if !ok || s.source.IsValid() || s.fabric {
		return nil, false
	}
	ihu := IHU{Address: a, Rxcost: u16(b[2:]), Interval: getInterval(u16(b[4:]))}
	if s.times[0] != 0 && s.times[1] != 0 {
		ihu.Origin, ihu.Received = s.times[0], s.times[1]
	}
	return ihu, true
}

// plain reads sub-TLVs where none of those we know belong.
func (d *decoder) plain(b []byte) bool {
	s, ok := d.subTLVs(b, 0)
	return ok && !s.source.IsValid() && !s.fabric
}

// address reads an address and returns what follows.
func (d *decoder) address(ae uint8, b []byte) (a netip.Addr, rest []byte, ok bool) {
	switch {
	case ae == aeWildcard:
		return netip.Addr{}, b, true
	case ae == aeIPv4 && len(b) >= 4:
		return netip.AddrFrom4([4]byte(b)), b[4:], true
	case ae == aeIPv6 && len(b) >= 16:
		a = netip.AddrFrom16([16]byte(b))
		return a, b[16:], !a.Is4In6()
	case ae == aeLinkLocal && len(b) >= 8:
		full := linkLocal.Addr().As16()
		copy(full[8:], b)
		return netip.AddrFrom16(full), b[8:], true
	}
	return netip.Addr{}, nil, false
}

func (d *decoder) setNextHop(b []byte) bool {
	a, rest, ok := d.address(b[0], b[2:])
	if !ok || !a.IsValid() {
		return false
	}
	if a.Is4() {
		d.nextHop4 = a
	} else {
		d.nextHop6 = a
	}
	return d.plain(rest)
}

// prefix reads a prefix of plen bits whose first omitted bytes are those of def.
func prefix(ae, plen uint8, omitted int, def, b []byte) (p netip.Prefix, rest []byte, ok bool) {
	size := 0
	switch ae {
	case aeIPv4, aeIPv4Via6:
		size = 4
	case aeIPv6:
		size = 16
	}
	n := octets(int(plen))
	if n > size || size == 0 || omitted > n || omitted > len(def) || len(b) < n-omitted {
		return p, nil, false
	}
	var full [16]byte
	copy(full[:], def[:omitted])
	copy(full[omitted:n], b)
	a := netip.AddrFrom16(full)
	if size == 4 {
		a = netip.AddrFrom4([4]byte(full[:4]))
	}
	p, _ = a.Prefix(int(plen))
	return p, b[n-omitted:], !p.Addr().Is4In6()
}

// update decodes an Update; false where it has to be ignored.
func (d *decoder) update(b []byte) (u Update, ok bool) {
	if len(b) < minLen[typeUpdate] {
		return u, false
	}
	u16 := binary.BigEndian.Uint16
	ae, flags := b[0], b[1]
	u = Update{Interval: getInterval(u16(b[4:])), Seqno: u16(b[6:]), Metric: u16(b[8:])}
	if ae == aeWildcard {
		// Only everything can be retracted; nothing can be announced for it.
		if u.Metric != Infinity || b[2] != 0 || b[3] != 0 || !d.plain(b[10:]) {
			return u, false
		}
		return u, true
	}
	def := &d.prefix6
	switch ae {
	case aeIPv4:
		def = &d.prefix4
	case aeIPv4Via6:
		def = &d.prefix4Via6
	}
	var rest []byte
	if u.Prefix, rest, ok = prefix(ae, b[2], int(b[3]), *def, b[10:]); !ok {
		return u, false
	}
	// The parser state changes even where the TLV is ignored further down.
	if flags&flagPrefix != 0 {
		var store [16]byte
		*def = append((*def)[:0], putAddr(&store, u.Prefix.Addr())...)
	}
	if flags&flagRouterID != 0 {
		d.routerID = impliedRouterID(u.Prefix.Addr())
	}
	s, ok := d.subTLVs(rest, ae)
	u.RouterID, u.NextHop = d.routerID, d.nextHop6
	if ae == aeIPv4 {
		u.NextHop = d.nextHop4
	}
	u.Source, u.Topology, u.Egress = s.source, s.topology, s.egress
	if u.Metric == Infinity {
		u.RouterID = RouterID{} // a retraction is of whatever the neighbor announced
	}
	switch {
	case !ok || u.Interval == 0 || s.topology != 0 && s.egress.IsZero():
		return u, false
	case u.Metric != Infinity && !u.RouterID.IsValid():
		return u, false
	case u.Metric != Infinity && !u.NextHop.IsValid() && !d.fabric:
		return u, false
	}
	return u, true
}

// impliedRouterID is the last 8 bytes of a prefix, padded at the front.
func impliedRouterID(a netip.Addr) (id RouterID) {
	var store [16]byte
	b := putAddr(&store, a)
	if len(b) > len(id) {
		b = b[len(b)-len(id):]
	}
	copy(id[len(id)-len(b):], b)
	return id
}

func (d *decoder) routeRequest(b []byte) (TLV, bool) {
	if b[0] == aeWildcard {
		if b[1] != 0 || !d.plain(b[2:]) {
			return nil, false
		}
		return RouteRequest{}, true
	}
	p, rest, ok := prefix(b[0], b[1], 0, nil, b[2:])
	if !ok {
		return nil, false
	}
	s, ok := d.subTLVs(rest, b[0])
	if !ok {
		return nil, false
	}
	return RouteRequest{s.topology, p, s.source}, true
}

func (d *decoder) seqnoRequest(b []byte) (TLV, bool) {
	q := SeqnoRequest{Seqno: binary.BigEndian.Uint16(b[2:]), HopCount: b[4], RouterID: RouterID(b[6:14])}
	p, rest, ok := prefix(b[0], b[1], 0, nil, b[14:])
	if !ok || q.HopCount == 0 || !q.RouterID.IsValid() {
		return nil, false
	}
	s, ok := d.subTLVs(rest, b[0])
	if !ok {
		return nil, false
	}
	q.Prefix, q.Topology, q.Source = p, s.topology, s.source
	return q, true
}

// subTLVs is what the sub-TLVs of one TLV said.
type subTLVs struct {
	source   netip.Prefix
	fabric   bool
	topology rib.Topology
	egress   addr.NodeID
	times    [2]Timestamp // of a Timestamp sub-TLV, as many as it has
}

// subTLVs reads the sub-TLVs of a TLV about a prefix with the encoding ae. It
// is false where the TLV has to be ignored: unknown mandatory ones, bad ones.
func (d *decoder) subTLVs(b []byte, ae uint8) (s subTLVs, ok bool) {
	for len(b) > 0 {
		if b[0] == subPad1 {
			b = b[1:]
			continue
		}
		if len(b) < 2 || len(b)-2 < int(b[1]) {
			return s, false
		}
		typ, body := b[0], b[2:2+int(b[1])]
		b = b[2+len(body):]
		switch {
		case typ == subSourcePrefix:
			if s.source.IsValid() || len(body) < 1 || body[0] == 0 { // twice, or for all: RFC 9079 section 5.1
				return s, false
			}
			p, rest, ok := prefix(ae, body[0], 0, nil, body[1:])
			if !ok || len(rest) > 0 {
				return s, false
			}
			s.source = p
		case typ == subFabric && d.fabric:
			if s.fabric || len(body) != 1 && len(body) != 9 {
				return s, false
			}
			s.fabric, s.topology = true, rib.Topology(body[0])
			copy(s.egress[:], body[1:])
		case typ == subTimestamp:
			for i := range min(len(s.times), len(body)/4) {
				s.times[i] = Timestamp(binary.BigEndian.Uint32(body[4*i:]))
			}
		case typ&mandatory != 0:
			return s, false
		}
	}
	return s, true
}
