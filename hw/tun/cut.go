package tun

import (
	"encoding/binary"
	"fmt"

	"re6st/protocols/checksum"
)

// Of headers (RFC 791 section 3.1, RFC 8200 section 3, RFC 9293 section 3.1, RFC 768).
const (
	ipv4HeaderLen = 20
	ipv6HeaderLen = 40
	tcpHeaderLen  = 20
	udpHeaderLen  = 8

	protocolTCP = 6
	protocolUDP = 17

	tcpFIN, tcpPSH, tcpACK, tcpCWR = 0x01, 0x08, 0x10, 0x80

	tcpChecksum, udpChecksum = 16, 6 // offsets
)

// Cutter makes of what the kernel handed over the packets that it stands for, as the kernel
// would have cut it itself (Linux Documentation/networking/segmentation-offloads.rst).
//
//	c.Take(super, offload); for n := c.Next(); n > 0; n = c.Next() { c.Cut(room[:n]) }
type Cutter struct {
	super   []byte
	o       Offload
	six     bool
	headers int
	base    uint64 // sum of the pseudo-header without the length
	at      int    // of the payload that comes next
	index   int
	left    bool
}

// Take begins with a packet, which must stay until its last piece was cut. It fails with
// ErrOffload, and then there are no pieces.
func (c *Cutter) Take(packet []byte, o Offload) error {
	*c = Cutter{super: packet, o: o}
	if len(packet) == 0 {
		return fmt.Errorf("tun: %w: an empty packet", ErrOffload)
	}
	c.six = packet[0]>>4 == 6
	if o.ChecksumStart > 0 && o.ChecksumStart+o.ChecksumOffset+2 > len(packet) {
		return fmt.Errorf("tun: %w: a checksum at %d+%d of %d bytes", ErrOffload, o.ChecksumStart, o.ChecksumOffset, len(packet))
	}
	if o.Segment == 0 {
		c.left = true
		return nil
	}
	least, checksum := tcpHeaderLen, tcpChecksum
	if o.Kind == KindUDP {
		least, checksum = udpHeaderLen, udpChecksum
	}
	first := ipv4HeaderLen
	if c.six {
		first = ipv6HeaderLen
	}
	start := o.ChecksumStart
	if !c.six && (packet[0]>>4 != 4 || int(packet[0]&0xf)*4 != start) || start < first || o.ChecksumOffset != checksum || len(packet) < start+least {
		return fmt.Errorf("tun: %w: %d bytes whose checksum is at %d+%d", ErrOffload, len(packet), start, o.ChecksumOffset)
	}
	c.headers = start + least
	if o.Kind != KindUDP {
		c.headers = start + int(packet[start+12]>>4)*4
	}
	if c.headers < start+least || c.headers >= len(packet) || o.Segment < 0 {
		return fmt.Errorf("tun: %w: headers of %d bytes, segments of %d, %d in all", ErrOffload, c.headers, o.Segment, len(packet))
	}
	// The kernel has put in the sum of the pseudo-header of the whole, with its length.
	c.base = uint64(binary.BigEndian.Uint16(packet[start+checksum:])) + uint64(^uint16(len(packet)-start))
	c.at, c.left = c.headers, true
	return nil
}

// Next is the length of the next packet; 0 where there is none.
func (c *Cutter) Next() int {
	switch {
	case !c.left:
		return 0
	case c.o.Segment == 0:
		return len(c.super)
	}
	return c.headers + min(c.o.Segment, len(c.super)-c.at)
}

// Cut writes the next packet, which is as long as packet, and as Next said.
func (c *Cutter) Cut(packet []byte) {
	if c.o.Segment == 0 {
		c.left = false
		copy(packet, c.super)
		c.finish(packet)
		return
	}
	copy(packet, c.super[:c.headers])
	c.at += copy(packet[c.headers:], c.super[c.at:])
	c.left = c.at < len(c.super)
	start := c.o.ChecksumStart
	if c.six {
		binary.BigEndian.PutUint16(packet[4:], uint16(len(packet)-ipv6HeaderLen))
	} else {
		binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
		binary.BigEndian.PutUint16(packet[4:], binary.BigEndian.Uint16(packet[4:])+uint16(c.index))
		putIPv4Checksum(packet[:start])
	}
	l4 := packet[start:]
	if c.o.Kind == KindUDP {
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	} else {
		binary.BigEndian.PutUint32(l4[4:], binary.BigEndian.Uint32(l4[4:])+uint32(c.index*c.o.Segment))
		if c.left {
			l4[13] &^= tcpFIN | tcpPSH
		}
		if c.index > 0 {
			l4[13] &^= tcpCWR // RFC 3168 section 6.1.2: once
		}
	}
	c.index++
	field := l4[c.o.ChecksumOffset:][:2]
	field[0], field[1] = 0, 0
	c.put(field, checksum.Add(l4, c.base+uint64(len(l4))))
}

// finish computes the checksum of a packet that is whole but for that.
func (c *Cutter) finish(packet []byte) {
	if start := c.o.ChecksumStart; start > 0 {
		// The sum of the pseudo-header stands in the field, and is summed with the rest.
		c.put(packet[start+c.o.ChecksumOffset:][:2], checksum.Add(packet[start:], 0))
	}
}

func (c *Cutter) put(field []byte, sum uint64) {
	value := ^checksum.Fold(sum)
	if value == 0 && c.o.ChecksumOffset == udpChecksum {
		value = 0xffff // RFC 768: 0 is none
	}
	binary.BigEndian.PutUint16(field, value)
}

// putIPv4Checksum computes that of a header.
func putIPv4Checksum(header []byte) {
	header[10], header[11] = 0, 0
	binary.BigEndian.PutUint16(header[10:], checksum.Of(0, header))
}
