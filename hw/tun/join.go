package tun

import (
	"encoding/binary"
	"errors"
	"os"

	"re6st/protocols/checksum"
)

// Joiner gives packets to a device, in their order. Those of one flow that come behind one
// another, as one sender cut them, go in one write, as a super-packet: TCP's that are all
// payload, and UDP's of one length. Nothing of a packet gets lost by that: the kernel cuts
// the same ones again where it passes them on.
//
// The caller's duties: leave what was added alone until the next Flush, and Flush when there
// is nothing more to add at once.
type Joiner struct {
	dev     Device
	support Support
	done    func(packets, bytes int, err error)

	packets  [MaxJoined][]byte
	count    int
	bytes    int // of the packets as they came
	length   int // of the super-packet
	first    layout
	segment  int // payload of each but the last
	closed   bool
	verified bool      // the first one's checksum
	header   [128]byte // the first one's, as it came
}

// NewJoiner makes one that tells done what became of packets.
func NewJoiner(dev Device, done func(packets, bytes int, err error)) *Joiner {
	return &Joiner{dev: dev, support: dev.Support(), done: done}
}

// layout is where things are in a packet that can be joined.
type layout struct {
	six     bool
	kind    Kind
	start   int // of the header of TCP or UDP
	headers int
}

// layoutOf is false for a packet that goes alone.
func (j *Joiner) layoutOf(p []byte) (l layout, ok bool) {
	var proto byte
	switch {
	case len(p) < ipv4HeaderLen+udpHeaderLen:
		return l, false
	case p[0]>>4 == 6:
		if len(p) < ipv6HeaderLen+udpHeaderLen || int(binary.BigEndian.Uint16(p[4:])) != len(p)-ipv6HeaderLen {
			return l, false
		}
		l.six, l.start, proto = true, ipv6HeaderLen, p[6]
	default:
		if p[0] != 4<<4|ipv4HeaderLen/4 || int(binary.BigEndian.Uint16(p[2:])) != len(p) || binary.BigEndian.Uint16(p[6:])&0x3fff != 0 {
			return l, false // options, or a fragment
		}
		l.start, proto = ipv4HeaderLen, p[9]
	}
	l4 := p[l.start:]
	switch {
	case proto == protocolTCP && j.support.TCP && len(l4) > tcpHeaderLen:
		size := int(l4[12]>>4) * 4
		l.kind, l.headers = KindTCP, l.start+size
		return l, size >= tcpHeaderLen && len(l4) > size && l4[13]&^tcpPSH == tcpACK
	case proto == protocolUDP && j.support.UDP && len(l4) > udpHeaderLen:
		l.kind, l.headers = KindUDP, l.start+udpHeaderLen
		return l, int(binary.BigEndian.Uint16(l4[4:])) == len(l4) && binary.BigEndian.Uint16(l4[6:]) != 0
	}
	return l, false
}

// Add takes a whole packet of IP.
func (j *Joiner) Add(packet []byte) {
	l, ok := j.layoutOf(packet)
	if !ok {
		j.Flush()
		j.write(packet)
		return
	}
	if j.count == 0 || !j.follows(packet, l) {
		j.Flush()
		j.first, j.segment, j.length, j.verified = l, len(packet)-l.headers, l.headers, false
	}
	j.packets[j.count] = packet
	j.count++
	j.bytes += len(packet)
	j.length += len(packet) - l.headers
	j.closed = len(packet)-l.headers < j.segment || l.kind == KindTCP && packet[l.start+13]&tcpPSH != 0 || j.count == MaxJoined
}

// follows tells whether a packet is what the one that cut the others would have sent next.
func (j *Joiner) follows(p []byte, l layout) bool {
	first := j.packets[0]
	switch {
	case j.closed, l != j.first, len(p)-l.headers > j.segment, j.length+len(p)-l.headers > SuperRoom,
		!sameIP(first, p, l.six, j.count), !j.sameFlow(first[l.start:l.headers], p[l.start:l.headers]):
		return false
	}
	// A bad one stays what it is, by itself: super-packets are taken to be good.
	if !j.verified && !isGood(first, l) {
		j.closed = true
		return false
	}
	j.verified = true
	return isGood(p, l)
}

// sameIP compares what joining would lose; index is how many packets are between a and b.
func sameIP(a, b []byte, six bool, index int) bool {
	if six {
		return string(a[:4]) == string(b[:4]) && string(a[6:ipv6HeaderLen]) == string(b[6:ipv6HeaderLen])
	}
	next := binary.BigEndian.Uint16(a[4:]) + uint16(index)
	return string(a[:2]) == string(b[:2]) && string(a[6:10]) == string(b[6:10]) && string(a[12:ipv4HeaderLen]) == string(b[12:ipv4HeaderLen]) &&
		binary.BigEndian.Uint16(b[4:]) == next
}

// sameFlow is the same of the headers of TCP or UDP.
func (j *Joiner) sameFlow(a, b []byte) bool {
	if string(a[:4]) != string(b[:4]) {
		return false
	}
	if j.first.kind == KindUDP {
		return true
	}
	next := binary.BigEndian.Uint32(a[4:]) + uint32(j.length-j.first.headers)
	return binary.BigEndian.Uint32(b[4:]) == next && string(a[8:13]) == string(b[8:13]) && string(a[14:16]) == string(b[14:16]) && string(a[18:]) == string(b[18:])
}

// isGood tells whether the checksums are right.
func isGood(p []byte, l layout) bool {
	proto := uint8(protocolTCP)
	if l.kind == KindUDP {
		proto = protocolUDP
	}
	l4 := p[l.start:]
	return checksum.Fold(checksum.Add(l4, pseudo(p, l.six, proto, len(l4)))) == 0xffff && (l.six || checksum.Fold(checksum.Add(p[:ipv4HeaderLen], 0)) == 0xffff)
}

// Flush gives the device what was added.
func (j *Joiner) Flush() {
	count := j.count
	if count == 0 {
		return
	}
	j.count = 0
	if count == 1 {
		j.write(j.packets[0])
	} else {
		j.writeJoined(count)
	}
	clear(j.packets[:count])
	j.bytes = 0
}

func (j *Joiner) write(packet []byte) {
	_, err := j.dev.Write(packet)
	j.done(1, len(packet), err)
}

// writeJoined gives the device a super-packet; where it will not have it, what it is made of.
func (j *Joiner) writeJoined(count int) {
	packets, headers := j.packets[:count], j.first.headers
	copy(j.header[:headers], packets[0])
	o := j.join(packets)
	err := j.dev.WriteSuper(o, headers, packets)
	if err == nil || errors.Is(err, os.ErrClosed) {
		j.done(count, j.bytes, err)
		return
	}
	copy(packets[0], j.header[:headers])
	for _, p := range packets {
		j.write(p)
	}
}

// join makes the headers of the first packet those of the super-packet.
func (j *Joiner) join(packets [][]byte) Offload {
	l, p := j.first, packets[0]
	if l.six {
		binary.BigEndian.PutUint16(p[4:], uint16(j.length-ipv6HeaderLen))
	} else {
		binary.BigEndian.PutUint16(p[2:], uint16(j.length))
		putIPv4Checksum(p[:ipv4HeaderLen])
	}
	o := Offload{Segment: j.segment, Kind: l.kind, ChecksumStart: l.start, ChecksumOffset: tcpChecksum}
	l4, length, proto := p[l.start:], j.length-l.start, uint8(protocolTCP)
	if l.kind == KindUDP {
		o.ChecksumOffset, proto = udpChecksum, protocolUDP
		binary.BigEndian.PutUint16(l4[4:], uint16(length))
	} else {
		l4[13] |= packets[len(packets)-1][l.start+13] & tcpPSH
	}
	binary.BigEndian.PutUint16(l4[o.ChecksumOffset:], checksum.Fold(pseudo(p, l.six, proto, length)))
	return o
}
