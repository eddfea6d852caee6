package ping

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"re6st/protocols/checksum"
)

const (
	echoHeader = 8
	tokenLen   = 8 // behind the header: which run a reply is for
)

// family is what differs between ICMPv6 (RFC 4443 section 4) and ICMP (RFC 792).
type family struct {
	domain, protocol int
	request, reply   byte // types of echoes
}

var (
	icmpv6 = family{unix.AF_INET6, unix.IPPROTO_ICMPV6, 128, 129}
	icmp   = family{unix.AF_INET, unix.IPPROTO_ICMP, 8, 0}
)

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return icmp
	}
	return icmpv6
}

// socket is a raw socket, or a ping socket. Both take and give messages that begin with
// the header of ICMP; but for raw ones of IPv4 the kernel does the checksums.
type socket struct {
	net.PacketConn
	family
	raw bool
}

// open opens a socket of a family, bound to source.
func open(f family, source netip.Addr) (*socket, error) {
	raw, err := f.listen(source, unix.SOCK_RAW)
	if err == nil {
		return &socket{raw, f, true}, nil
	}
	if !errors.Is(err, os.ErrPermission) {
		return nil, err
	}
	dgram, err := f.listen(source, unix.SOCK_DGRAM)
	if err != nil {
		return nil, fmt.Errorf("neither raw sockets nor, by net.ipv4.ping_group_range, ping sockets are allowed: %w", err)
	}
	return &socket{dgram, f, false}, nil
}

// solRaw and icmpFilter are SOL_RAW and ICMP_FILTER of linux/icmp.h.
const (
	solRaw     = 255
	icmpFilter = 1
)

func (f family) listen(source netip.Addr, kind int) (net.PacketConn, error) {
	fd, err := unix.Socket(f.domain, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, f.protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "icmp")
	defer file.Close()
	if kind == unix.SOCK_RAW {
		if err := f.filter(fd); err != nil {
			return nil, os.NewSyscallError("setsockopt ICMP_FILTER", err)
		}
	}
	if source.IsValid() {
		var at unix.Sockaddr = &unix.SockaddrInet6{Addr: source.As16()}
		if source.Is4() {
			at = &unix.SockaddrInet4{Addr: source.As4()}
		}
		if err := unix.Bind(fd, at); err != nil {
			return nil, fmt.Errorf("source %s: %w", source, os.NewSyscallError("bind", err))
		}
	}
	return net.FilePacketConn(file)
}

// filter has a raw socket hear echo replies only.
func (f family) filter(fd int) error {
	if f.domain == unix.AF_INET {
		return unix.SetsockoptInt(fd, solRaw, icmpFilter, ^(1 << f.reply)) // a set bit blocks
	}
	var filter unix.ICMPv6Filter // likewise
	for i := range filter.Data {
		filter.Data[i] = ^uint32(0)
	}
	filter.Data[f.reply/32] &^= 1 << (f.reply % 32)
	return unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &filter)
}

func (s *socket) send(to netip.Addr, message []byte) error {
	var dst net.Addr = &net.UDPAddr{IP: to.AsSlice(), Zone: to.Zone()}
	if s.raw {
		dst = &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()}
	}
	_, err := s.WriteTo(message, dst)
	return err
}

// newRequest is the echo request with a sequence number, of size bytes of data.
func (f family) newRequest(id uint16, sequence int, token [tokenLen]byte, size int) []byte {
	b := make([]byte, echoHeader+max(size, tokenLen))
	b[0] = f.request
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], uint16(sequence))
	copy(b[echoHeader:], token[:])
	if f.domain == unix.AF_INET {
		binary.BigEndian.PutUint16(b[2:], checksum.Of(0, b)) // a ping socket puts its own, with its own id
	}
	return b
}

// answers reads an echo reply to one of our requests. The id is no help, as ping
// sockets have their own; the data comes back as it was sent.
func (f family) answers(b []byte, token [tokenLen]byte) (sequence uint16, ok bool) {
	if len(b) < echoHeader+tokenLen || b[0] != f.reply || [tokenLen]byte(b[echoHeader:]) != token {
		return 0, false
	}
	return binary.BigEndian.Uint16(b[6:]), true
}
