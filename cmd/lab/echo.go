package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"re6st/hw/netns"
)

// An ICMPv6 echo (RFC 4443 section 4) of the lab:
//
//	| type 128/129 | code 0 | checksum | id | seq | magic 4 | train 4 | number 4 |
//
// The kernel of the other end sends the data back as it is, so the data says which
// echo it answers; id and seq repeat its low bits, for who reads a capture.
const (
	echoRequest = 128
	echoReply   = 129
	echoLen     = 20
	echoMagic   = 0x52366c62 // "R6lb": a reply to somebody else's ping is not ours
)

// echo is one request or reply.
type echo struct {
	kind   uint8
	train  uint32
	number uint32
}

// encodeEcho writes an echo; the kernel fills in the checksum (RFC 3542 section 3.1).
func encodeEcho(e echo) []byte {
	b := make([]byte, echoLen)
	b[0] = e.kind
	binary.BigEndian.PutUint16(b[4:], uint16(e.train))
	binary.BigEndian.PutUint16(b[6:], uint16(e.number))
	binary.BigEndian.PutUint32(b[8:], echoMagic)
	binary.BigEndian.PutUint32(b[12:], e.train)
	binary.BigEndian.PutUint32(b[16:], e.number)
	return b
}

// decodeEcho reads an echo of ours; ok is false for anything else.
func decodeEcho(b []byte) (e echo, ok bool) {
	if len(b) != echoLen || b[1] != 0 || binary.BigEndian.Uint32(b[8:]) != echoMagic {
		return echo{}, false
	}
	e = echo{kind: b[0], train: binary.BigEndian.Uint32(b[12:]), number: binary.BigEndian.Uint32(b[16:])}
	return e, e.kind == echoRequest || e.kind == echoReply
}

// station is one node's socket for echoes: it sends from the node's own address and
// hears the replies.
type station struct {
	addr netip.Addr
	conn *net.IPConn
	done chan struct{}
}

// stationBuffer is how many bytes of answers wait for a station, with the kernel's own for
// each: some seconds of a ping a millisecond.
const stationBuffer = 4 << 20

// openStation opens the socket in the node's namespace and reads it until close.
// addr need not be there yet.
func openStation(ns *netns.NS, addr netip.Addr, heard func(echo, time.Time)) (*station, error) {
	s := &station{addr: addr, done: make(chan struct{})}
	if err := ns.Do(func() (err error) { s.conn, err = listenEcho(addr); return }); err != nil {
		return nil, fmt.Errorf("lab: echo socket of %v: %w", addr, err)
	}
	go s.read(heard)
	return s, nil
}

// listenEcho opens a raw socket that passes echo replies to addr only.
func listenEcho(addr netip.Addr) (*net.IPConn, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMPV6)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "icmp6")
	defer file.Close()
	var filter unix.ICMPv6Filter // a set bit blocks
	for i := range filter.Data {
		filter.Data[i] = ^uint32(0)
	}
	filter.Data[echoReply/32] &^= 1 << (echoReply % 32)
	if err := unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &filter); err != nil {
		return nil, err
	}
	// This process may get no processor for a while: an answer that came is no loss.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, stationBuffer); err != nil {
		return nil, err
	}
	// The address goes with the TUN when its node is killed, and comes back with it.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1); err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: addr.As16()}); err != nil {
		return nil, err
	}
	conn, err := net.FilePacketConn(file)
	if err != nil {
		return nil, err
	}
	return conn.(*net.IPConn), nil
}

func (s *station) read(heard func(echo, time.Time)) {
	defer close(s.done)
	buffer := make([]byte, 256)
	for {
		n, err := s.conn.Read(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // an ICMP error for one of our own: that echo is lost, no more
			continue
		}
		if e, ok := decodeEcho(buffer[:n]); ok && e.kind == echoReply {
			heard(e, time.Now())
		}
	}
}

// send sends one request. That there is no route, or no TUN, is an echo lost like any other.
func (s *station) send(to netip.Addr, e echo) {
	_, _ = s.conn.WriteTo(encodeEcho(e), &net.IPAddr{IP: to.AsSlice()})
}

func (s *station) close() {
	s.conn.Close()
	<-s.done
}
