package ping

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

const (
	echoRequest = 128
	echoReply   = 129
	echoHeader  = 8
	tokenLen    = 8 // behind the header: which run a reply is for
)

// socket is a raw ICMPv6 socket, or a ping socket. Both take and give messages
// that begin with the ICMPv6 header; the kernel does the checksums.
type socket struct {
	net.PacketConn
	raw bool
}

// open opens a socket bound to source.
func open(source netip.Addr) (*socket, error) {
	raw, err := listen(source, unix.SOCK_RAW)
	if err == nil {
		return &socket{raw, true}, nil
	}
	if !errors.Is(err, os.ErrPermission) {
		return nil, err
	}
	dgram, err := listen(source, unix.SOCK_DGRAM)
	if err != nil {
		return nil, fmt.Errorf("neither raw sockets nor, by net.ipv4.ping_group_range, ping sockets are allowed: %w", err)
	}
	return &socket{dgram, false}, nil
}

func listen(source netip.Addr, kind int) (net.PacketConn, error) {
	fd, err := unix.Socket(unix.AF_INET6, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMPV6)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "icmp6")
	defer file.Close()
	if kind == unix.SOCK_RAW {
		var filter unix.ICMPv6Filter // a set bit blocks
		for i := range filter.Data {
			filter.Data[i] = ^uint32(0)
		}
		filter.Data[echoReply/32] &^= 1 << (echoReply % 32)
		if err := unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &filter); err != nil {
			return nil, os.NewSyscallError("setsockopt ICMPV6_FILTER", err)
		}
	}
	if source.IsValid() {
		if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: source.As16()}); err != nil {
			return nil, fmt.Errorf("source %s: %w", source, os.NewSyscallError("bind", err))
		}
	}
	return net.FilePacketConn(file)
}

func (s *socket) send(to netip.Addr, message []byte) error {
	var dst net.Addr = &net.UDPAddr{IP: to.AsSlice(), Zone: to.Zone()}
	if s.raw {
		dst = &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()}
	}
	_, err := s.WriteTo(message, dst)
	return err
}

// request is the echo request with a sequence number, of size bytes of data.
func request(id uint16, sequence int, token [tokenLen]byte, size int) []byte {
	b := make([]byte, echoHeader+max(size, tokenLen))
	b[0] = echoRequest
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], uint16(sequence))
	copy(b[echoHeader:], token[:])
	return b
}

// reply reads an echo reply to one of our requests. The id is no help, as ping
// sockets have their own; the data comes back as it was sent.
func reply(b []byte, token [tokenLen]byte) (sequence uint16, ok bool) {
	if len(b) < echoHeader+tokenLen || b[0] != echoReply || [tokenLen]byte(b[echoHeader:]) != token {
		return 0, false
	}
	return binary.BigEndian.Uint16(b[6:]), true
}
