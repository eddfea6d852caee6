package inbound

import (
	"encoding/binary"
	"net/netip"
)

// Next headers of IPv6 (RFC 8200 section 4, IANA's protocol numbers).
const (
	protoHopByHop    = 0
	protoTCP         = 6
	protoUDP         = 17
	protoDCCP        = 33
	protoRouting     = 43
	protoFragment    = 44
	protoAH          = 51
	protoICMPv6      = 58
	protoDestination = 60
	protoSCTP        = 132
	protoUDPLite     = 136
)

// ICMPv6 types (RFC 4443).
const (
	icmpEchoRequest = 128
	icmpEchoReply   = 129
	icmpHeaderLen   = 8
)

// Flags of TCP (RFC 9293 section 3.1).
const (
	tcpFlagsAt = 13
	tcpFIN     = 0x01
	tcpSYN     = 0x02
	tcpRST     = 0x04
	tcpACK     = 0x10
)

const (
	headerLen  = 40
	maxHeaders = 8 // extension headers that are walked over
)

// parsed is what of a packet tells its flow.
type parsed struct {
	src, dst     netip.Addr
	proto        uint8
	sport, dport uint16 // of ICMPv6 echoes: both the identifier
	typ          uint8  // of ICMPv6
	flags        uint8  // of TCP
	quoted       []byte // by an ICMPv6 error
	fragment     bool   // one of several
	later        bool   // and not the first: nothing but the addresses is known
	id           uint32 // of the fragments
}

func hasPorts(proto uint8) bool {
	switch proto {
	case protoTCP, protoUDP, protoDCCP, protoSCTP, protoUDPLite:
		return true
	}
	return false
}

// parse reads an IPv6 or IPv4 packet, or what an error quotes of one; false where its
// headers do not tell what flow it is of.
func (p *parsed) parse(b []byte) bool {
	if len(b) > 0 && b[0]>>4 == 4 {
		return p.parseIPv4(b)
	}
	if len(b) < headerLen || b[0]>>4 != 6 {
		return false
	}
	*p = parsed{src: netip.AddrFrom16([16]byte(b[8:24])), dst: netip.AddrFrom16([16]byte(b[24:40])), proto: b[6]}
	rest := b[headerLen:]
	for range maxHeaders {
		size := 8
		switch p.proto {
		case protoHopByHop, protoRouting, protoDestination:
			if len(rest) >= 2 {
				size = 8 * (int(rest[1]) + 1)
			}
		case protoAH: // RFC 4302 section 2.2
			if len(rest) >= 2 {
				size = 4 * (int(rest[1]) + 2)
			}
		case protoFragment:
			if len(rest) < size {
				return false
			}
			at := binary.BigEndian.Uint16(rest[2:])
			p.id, p.fragment, p.later = binary.BigEndian.Uint32(rest[4:]), at&^6 != 0, at>>3 != 0
			if p.later {
				return true
			}
		default:
			return p.transport(rest)
		}
		if len(rest) < size {
			return false
		}
		p.proto, rest = rest[0], rest[size:]
	}
	return false
}

// transport reads the header above IP.
func (p *parsed) transport(b []byte) bool {
	switch {
	case hasPorts(p.proto):
		if len(b) < 4 {
			return false
		}
		if p.proto == protoTCP && len(b) > tcpFlagsAt { // an error may quote less
			p.flags = b[tcpFlagsAt]
		}
		p.sport, p.dport = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case p.proto == protoICMPv6:
		if len(b) < icmpHeaderLen {
			return false
		}
		switch p.typ = b[0]; {
		case p.typ < icmpEchoRequest:
			p.quoted = b[icmpHeaderLen:]
		case p.typ == icmpEchoRequest, p.typ == icmpEchoReply:
			p.sport = binary.BigEndian.Uint16(b[4:])
			p.dport = p.sport
		}
	}
	return true
}

// keyLen is the length of what is hashed: two addresses, protocol, ICMPv6 type, ports,
// and the id of fragments.
const keyLen = 16 + 16 + 1 + 1 + 2 + 2 + 4

// key is the flow of the packet as it is.
func (p *parsed) key(b *[keyLen]byte) {
	fill(b, p.src, p.dst, p.proto, p.typ, p.sport, p.dport, 0)
}

// answer is the flow of what answers the packet.
func (p *parsed) answer(b *[keyLen]byte) {
	typ := p.typ
	if p.proto == protoICMPv6 && typ == icmpEchoRequest {
		typ = icmpEchoReply
	}
	fill(b, p.dst, p.src, p.proto, typ, p.dport, p.sport, 0)
}

// fragments is all fragments of the packet.
func (p *parsed) fragments(b *[keyLen]byte) { fill(b, p.src, p.dst, protoFragment, 0, 0, 0, p.id) }

func fill(b *[keyLen]byte, from, to netip.Addr, proto, typ uint8, sport, dport uint16, id uint32) {
	f, t := from.As16(), to.As16()
	copy(b[:], f[:])
	copy(b[16:], t[:])
	b[32], b[33] = proto, typ
	binary.BigEndian.PutUint16(b[34:], sport)
	binary.BigEndian.PutUint16(b[36:], dport)
	binary.BigEndian.PutUint32(b[38:], id)
}
