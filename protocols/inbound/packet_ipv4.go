package inbound

import (
	"encoding/binary"
	"net/netip"
)

// IPv4 and ICMP (RFC 791 section 3.1, RFC 792).
const (
	headerLenIPv4 = 20
	protoICMP     = 1

	icmp4EchoReply   = 0
	icmp4EchoRequest = 8
)

// parseIPv4 is parse for IPv4.
func (p *parsed) parseIPv4(b []byte) bool {
	if len(b) < headerLenIPv4 {
		return false
	}
	n := int(b[0]&0xf) * 4
	if n < headerLenIPv4 || len(b) < n {
		return false
	}
	*p = parsed{src: netip.AddrFrom4([4]byte(b[12:16])), dst: netip.AddrFrom4([4]byte(b[16:20])), proto: b[9]}
	const offset, more = 0x1fff, 0x2000
	at := binary.BigEndian.Uint16(b[6:])
	p.id, p.fragment, p.later = uint32(binary.BigEndian.Uint16(b[4:])), at&(offset|more) != 0, at&offset != 0
	icmp := p.proto == protoICMP
	switch p.proto {
	case protoICMP:
		p.proto = protoICMPv6
	case protoICMPv6:
		p.proto = protoICMP // means nothing in IPv4, and is nothing that a rule can name
	}
	if p.later {
		return true
	}
	if icmp {
		return p.icmp4(b[n:])
	}
	return p.transport(b[n:])
}

// icmp4 reads ICMP as the ICMPv6 that does the same; what has no such answers nothing.
func (p *parsed) icmp4(b []byte) bool {
	if len(b) < icmpHeaderLen {
		return false
	}
	switch b[0] {
	case icmp4EchoRequest:
		p.typ = icmpEchoRequest
	case icmp4EchoReply:
		p.typ = icmpEchoReply
	case 3, 11, 12: // unreachable, time exceeded, parameter problem
		p.typ, p.quoted = b[0], b[icmpHeaderLen:]
		return true
	default:
		return true
	}
	p.sport = binary.BigEndian.Uint16(b[4:])
	p.dport = p.sport
	return true
}
