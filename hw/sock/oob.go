package sock

import (
	"encoding/binary"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Control messages are in host order and aligned to the word.
var native = binary.NativeEndian

const (
	inet6PktinfoLen = 20 // struct in6_pktinfo: address 16, interface 4
	inet4PktinfoLen = 12 // struct in_pktinfo: interface 4, source 4, destination 4
	timespecLen     = 16 // struct __kernel_timespec: 64 bits each, on every machine

	wordLen       = int(unsafe.Sizeof(uintptr(0)))
	cmsgHeaderLen = wordLen + 8

	// maxClockDelay bounds what a timestamp may lie in the past: beyond it, the
	// wall clock was set in between.
	maxClockDelay = time.Second
)

// oobLen holds the control messages of one packet in either direction.
const oobLen = 256

// putOOB writes the source address, the interface, the traffic class and the length of
// datagrams of a packet to send.
func putOOB(oob *[oobLen]byte, p *Packet) []byte {
	b := oob[:0]
	v4 := p.Addr.Addr().Unmap().Is4()
	if p.Local.IsValid() && p.Local.Unmap().Is4() == v4 {
		if v4 {
			var info [inet4PktinfoLen]byte
			a := p.Local.Unmap().As4()
			native.PutUint32(info[:], uint32(p.Interface))
			copy(info[4:], a[:])
			b = appendCmsg(b, unix.IPPROTO_IP, unix.IP_PKTINFO, info[:])
		} else {
			var info [inet6PktinfoLen]byte
			a := p.Local.As16()
			copy(info[:], a[:])
			native.PutUint32(info[16:], uint32(p.Interface))
			b = appendCmsg(b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, info[:])
		}
	}
	if p.TOS != 0 {
		var tos [4]byte
		native.PutUint32(tos[:], uint32(p.TOS))
		if v4 {
			b = appendCmsg(b, unix.IPPROTO_IP, unix.IP_TOS, tos[:])
		} else {
			b = appendCmsg(b, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, tos[:])
		}
	}
	if p.Datagrams() > 1 {
		var segment [2]byte
		native.PutUint16(segment[:], uint16(p.Segment))
		b = appendCmsg(b, unix.SOL_UDP, unix.UDP_SEGMENT, segment[:])
	}
	return b
}

func align(n int) int { return (n + wordLen - 1) &^ (wordLen - 1) }

func appendCmsg(b []byte, level, typ int, data []byte) []byte {
	start := len(b)
	b = b[:start+align(cmsgHeaderLen+len(data))]
	c := b[start:]
	clear(c)
	if wordLen == 8 {
		native.PutUint64(c, uint64(cmsgHeaderLen+len(data)))
	} else {
		native.PutUint32(c, uint32(cmsgHeaderLen+len(data)))
	}
	native.PutUint32(c[wordLen:], uint32(level))
	native.PutUint32(c[wordLen+4:], uint32(typ))
	copy(c[cmsgHeaderLen:], data)
	return b
}

// parseOOB fills in what came with a packet; p.At is the time of the read.
func parseOOB(b []byte, p *Packet) {
	for len(b) >= cmsgHeaderLen {
		size := uint64(native.Uint32(b))
		if wordLen == 8 {
			size = native.Uint64(b)
		}
		if size < uint64(cmsgHeaderLen) || size > uint64(len(b)) {
			return
		}
		n := int(size)
		parseCmsg(native.Uint32(b[wordLen:]), native.Uint32(b[wordLen+4:]), b[cmsgHeaderLen:n], p)
		b = b[min(align(n), len(b)):]
	}
}

func parseCmsg(level, typ uint32, data []byte, p *Packet) {
	switch {
	case level == unix.IPPROTO_IPV6 && typ == unix.IPV6_PKTINFO && len(data) >= inet6PktinfoLen:
		p.Local = netip.AddrFrom16([16]byte(data)).Unmap()
		p.Interface = int(int32(native.Uint32(data[16:])))
	case level == unix.IPPROTO_IP && typ == unix.IP_PKTINFO && len(data) >= inet4PktinfoLen:
		p.Local = netip.AddrFrom4([4]byte(data[8:]))
		p.Interface = int(int32(native.Uint32(data)))
	case level == unix.IPPROTO_IPV6 && typ == unix.IPV6_TCLASS && len(data) >= 4:
		p.TOS = uint8(native.Uint32(data))
	case level == unix.IPPROTO_IP && typ == unix.IP_TOS && len(data) >= 1:
		p.TOS = data[0]
	case level == unix.SOL_UDP && typ == unix.UDP_GRO && len(data) >= 4:
		if n := int(int32(native.Uint32(data))); n > 0 && n < len(p.Data) {
			p.Segment = n
		}
	case level == unix.SOL_SOCKET && typ == unix.SO_TIMESTAMPNS_NEW && len(data) >= timespecLen:
		at := time.Unix(int64(native.Uint64(data)), int64(native.Uint64(data[8:])))
		// The difference of two wall times, taken off a time that has a monotonic part.
		if delay := p.At.Round(0).Sub(at); delay > 0 && delay < maxClockDelay {
			p.At = p.At.Add(-delay)
		}
	}
}
