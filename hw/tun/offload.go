package tun

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// SuperRoom is the longest packet that the kernel hands over or takes, in bytes.
const SuperRoom = 65535

// MaxJoined is how many packets one write gives the kernel at most.
const MaxJoined = 64

// ErrOffload is what a Cutter returns, wrapped, for a packet that does not fit its Offload.
var ErrOffload = errors.New("bad offload")

// Kind tells of what protocol the packets of a super-packet are.
type Kind uint8

// The kinds.
const (
	KindTCP Kind = iota + 1
	KindUDP
)

// Offload is what is left undone of a packet (struct virtio_net_hdr of linux/virtio_net.h;
// Virtio 1.2 section 5.1.6). The zero Offload is a whole packet.
type Offload struct {
	// Segment is 0 for one packet. Else this is a super-packet: the headers of the first of
	// many, and the payload of all, so many bytes of it in each but the last.
	Segment int
	Kind    Kind // of a super-packet
	// The checksum is to be computed from ChecksumStart on and to be put ChecksumOffset
	// behind that, where the sum of the pseudo-header stands. 0 and 0: it is there.
	ChecksumStart, ChecksumOffset int
}

// Support is what the kernel does for the packets of a device.
type Support struct {
	// TCP: it takes and hands over super-packets of TCP, and leaves checksums to us.
	TCP bool
	// UDP is the same of UDP (Linux 6.2).
	UDP bool
}

// vnetLen is the length of struct virtio_net_hdr, which is in the machine's order.
const vnetLen = 10

const (
	gsoMask = 0x7f // without the bit for congestion, which is not asked for

	vnetNeedsChecksum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
)

var native = binary.NativeEndian

// parseVNet reads what stands before a packet of n bytes.
func parseVNet(b *[vnetLen]byte) (o Offload) {
	if b[0]&vnetNeedsChecksum != 0 {
		o.ChecksumStart, o.ChecksumOffset = int(native.Uint16(b[6:])), int(native.Uint16(b[8:]))
	}
	switch b[1] & gsoMask {
	case unix.VIRTIO_NET_HDR_GSO_TCPV4, unix.VIRTIO_NET_HDR_GSO_TCPV6:
		o.Kind, o.Segment = KindTCP, int(native.Uint16(b[4:]))
	case unix.VIRTIO_NET_HDR_GSO_UDP_L4:
		o.Kind, o.Segment = KindUDP, int(native.Uint16(b[4:]))
	}
	return o
}

// putVNet writes what stands before a packet; six tells that it is of IPv6.
func putVNet(b *[vnetLen]byte, o Offload, six bool, headers int) {
	*b = [vnetLen]byte{}
	if o.ChecksumStart > 0 {
		b[0] = vnetNeedsChecksum
		native.PutUint16(b[6:], uint16(o.ChecksumStart))
		native.PutUint16(b[8:], uint16(o.ChecksumOffset))
	}
	if o.Segment == 0 {
		return
	}
	switch {
	case o.Kind == KindUDP:
		b[1] = unix.VIRTIO_NET_HDR_GSO_UDP_L4
	case six:
		b[1] = unix.VIRTIO_NET_HDR_GSO_TCPV6
	default:
		b[1] = unix.VIRTIO_NET_HDR_GSO_TCPV4
	}
	native.PutUint16(b[2:], uint16(headers))
	native.PutUint16(b[4:], uint16(o.Segment))
}
