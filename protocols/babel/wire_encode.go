package babel

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"re6st/protocols/rib"
)

// Encoder packs TLVs into packets for one interface.
type Encoder struct {
	From   netip.Addr // the link-local address they are sent from: the implied next hop
	Fabric bool       // put our private sub-TLV into what needs it
	Max    int        // bytes of a packet, at least MinPacket
}

// Encode is the packets that carry tlvs in their order, each as full as it may
// be. It drops a TLV that the interface cannot carry: of a topology other than
// 0 where Fabric is not set.
func (e Encoder) Encode(tlvs []TLV) (packets [][]byte) {
	p := packing{Encoder: e}
	p.pack(tlvs, func(packet []byte) { packets = append(packets, packet) })
	return packets
}

// packing is one packet in the making, with the state its parser will have.
type packing struct {
	Encoder
	buf                []byte
	routerID           RouterID
	nextHop4, nextHop6 netip.Addr
	prefix4, prefix6   []byte
	prefix4Via6        []byte
}

// pack calls do for each packet of Encode, which owns it.
func (p *packing) pack(tlvs []TLV, do func(packet []byte)) {
	p.reset()
	for _, t := range tlvs {
		start := len(p.buf)
		p.append(t)
		if len(p.buf) <= p.Max || start == headerLen {
			continue
		}
		do(p.finish(start))
		p.reset()
		p.append(t)
	}
	if len(p.buf) > headerLen {
		do(p.finish(len(p.buf)))
	}
}

func (p *packing) reset() {
	p.buf = append(p.buf[:0], magic, version, 0, 0)
	p.routerID, p.nextHop4, p.nextHop6 = RouterID{}, netip.Addr{}, p.From
	p.prefix4, p.prefix6, p.prefix4Via6 = p.prefix4[:0], p.prefix6[:0], p.prefix4Via6[:0]
}

// finish is the packet of the first n bytes.
func (p *packing) finish(n int) []byte {
	packet := append(make([]byte, 0, n), p.buf[:n]...)
	binary.BigEndian.PutUint16(packet[2:], uint16(n-headerLen))
	return packet
}

func (p *packing) u16(vs ...uint16) {
	for _, v := range vs {
		p.buf = binary.BigEndian.AppendUint16(p.buf, v)
	}
}

// tlv appends a TLV whose body the function body appends.
func (p *packing) tlv(typ uint8, body func()) {
	p.buf = append(p.buf, typ, 0)
	start := len(p.buf)
	body()
	p.buf[start-1] = uint8(len(p.buf) - start)
}

func (p *packing) append(t TLV) {
	switch t := t.(type) {
	case AckRequest:
		p.tlv(typeAckRequest, func() { p.u16(0, t.Opaque, putInterval(t.Interval)) })
	case Ack:
		p.tlv(typeAck, func() { p.u16(t.Opaque) })
	case Hello:
		var flags uint16
		if t.Unicast {
			flags = flagUnicast
		}
		p.tlv(typeHello, func() {
			p.u16(flags, t.Seqno, putInterval(t.Interval))
			p.timestamps(t.Sent)
		})
	case IHU:
		ae, b := encodeAddress(t.Address)
		p.tlv(typeIHU, func() {
			p.buf = append(p.buf, ae, 0)
			p.u16(t.Rxcost, putInterval(t.Interval))
			p.buf = append(p.buf, b...)
			p.timestamps(t.Origin, t.Received)
		})
	case *Update: // of a Router
		if p.carries(t.Topology) {
			p.update(t)
		}
	case Update:
		if p.carries(t.Topology) {
			p.update(&t)
		}
	case RouteRequest:
		if p.carries(t.Topology) {
			p.routeRequest(t)
		}
	case SeqnoRequest:
		if p.carries(t.Topology) {
			p.seqnoRequest(t)
		}
	}
}

// timestamps appends a Timestamp sub-TLV, unless there is none. It is the only one of its
// TLV: babeld before 1.12.2 takes the type of the first for that of all.
func (p *packing) timestamps(ts ...Timestamp) {
	if slices.Contains(ts, 0) {
		return
	}
	p.buf = append(p.buf, subTimestamp, uint8(4*len(ts)))
	for _, t := range ts {
		p.buf = binary.BigEndian.AppendUint32(p.buf, uint32(t))
	}
}

func (p *packing) carries(t rib.Topology) bool { return t == 0 || p.Fabric }

// encodeAddress is the shortest encoding of a.
func encodeAddress(a netip.Addr) (ae uint8, b []byte) {
	switch {
	case !a.IsValid():
		return aeWildcard, nil
	case a.Is4():
		return aeIPv4, a.AsSlice()
	case linkLocal.Contains(a.WithZone("")):
		return aeLinkLocal, a.AsSlice()[8:]
	}
	return aeIPv6, a.AsSlice()
}

// encodingOf is that of a prefix in a request too: one of IPv4 asks for either sort of
// route (RFC 9229 section 2.3).
func encodingOf(p netip.Prefix) uint8 {
	switch {
	case !p.IsValid():
		return aeWildcard
	case p.Addr().Is4():
		return aeIPv4
	}
	return aeIPv6
}

func (p *packing) update(u *Update) {
	ae := encodingOf(u.Prefix)
	if ae == aeIPv4 && u.NextHop.Is6() {
		ae = aeIPv4Via6
	}
	if ae == aeWildcard {
		p.tlv(typeUpdate, func() {
			p.buf = append(p.buf, ae, 0, 0, 0)
			p.u16(putInterval(u.Interval), u.Seqno, Infinity)
		})
		return
	}
	flags := uint8(flagPrefix)
	if u.RouterID != p.routerID && u.RouterID.IsValid() {
		p.routerID = u.RouterID
		if ae == aeIPv6 && impliedRouterID(u.Prefix.Addr()) == u.RouterID {
			flags |= flagRouterID
		} else {
			p.tlv(typeRouterID, func() { p.u16(0); p.buf = append(p.buf, u.RouterID[:]...) })
		}
	}
	def, hop := &p.prefix6, &p.nextHop6
	switch ae {
	case aeIPv4:
		def, hop = &p.prefix4, &p.nextHop4
	case aeIPv4Via6:
		def = &p.prefix4Via6
	}
	if u.NextHop.IsValid() && u.NextHop != *hop {
		*hop = u.NextHop
		hopAE, b := encodeAddress(u.NextHop)
		p.tlv(typeNextHop, func() { p.buf = append(append(p.buf, hopAE, 0), b...) })
	}
	var store [16]byte
	full, n := putAddr(&store, u.Prefix.Addr()), octets(u.Prefix.Bits())
	omitted := 0
	for omitted < min(n, len(*def)) && full[omitted] == (*def)[omitted] {
		omitted++
	}
	*def = append((*def)[:0], full...)
	p.tlv(typeUpdate, func() {
		p.buf = append(p.buf, ae, flags, uint8(u.Prefix.Bits()), uint8(omitted))
		p.u16(putInterval(u.Interval), u.Seqno, u.Metric)
		p.buf = append(p.buf, full[omitted:n]...)
		p.source(u.Source)
		if p.Fabric {
			p.buf = append(append(p.buf, subFabric, 9, uint8(u.Topology)), u.Egress[:]...)
		}
	})
}

func (p *packing) routeRequest(q RouteRequest) {
	p.tlv(typeRouteRequest, func() {
		p.buf = append(p.buf, encodingOf(q.Prefix), uint8(max(0, q.Prefix.Bits())))
		p.prefix(q.Prefix)
		p.source(q.Source)
		p.topology(q.Topology)
	})
}

func (p *packing) seqnoRequest(q SeqnoRequest) {
	p.tlv(typeSeqnoRequest, func() {
		p.buf = append(p.buf, encodingOf(q.Prefix), uint8(max(0, q.Prefix.Bits())))
		p.u16(q.Seqno)
		p.buf = append(append(p.buf, q.HopCount, 0), q.RouterID[:]...)
		p.prefix(q.Prefix)
		p.source(q.Source)
		p.topology(q.Topology)
	})
}

func (p *packing) prefix(x netip.Prefix) {
	if x.IsValid() {
		var store [16]byte
		p.buf = append(p.buf, putAddr(&store, x.Addr())[:octets(x.Bits())]...)
	}
}

func (p *packing) source(x netip.Prefix) {
	if x.IsValid() {
		p.buf = append(p.buf, subSourcePrefix, uint8(1+octets(x.Bits())), uint8(x.Bits()))
		p.prefix(x)
	}
}

func (p *packing) topology(t rib.Topology) {
	if t != 0 {
		p.buf = append(p.buf, subFabric, 1, uint8(t))
	}
}

// putAddr is the bytes of an address, in store.
func putAddr(store *[16]byte, a netip.Addr) []byte {
	if a.Is4() {
		four := a.As4()
		return store[:copy(store[:], four[:])]
	}
	*store = a.As16()
	return store[:]
}
