package netcheck

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"re6st/protocols/netcheck"
)

// socket is a UDP socket of one family whose datagrams have the DF bit, and which hears of
// ICMP errors.
type socket struct {
	conn *net.UDPConn
	raw  syscall.RawConn
}

func openSocket(network string, mark uint32) (*socket, error) {
	level, options := unix.IPPROTO_IP, [][2]int{{unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE}, {unix.IP_RECVERR, 1}}
	if network == "udp6" {
		level, options = unix.IPPROTO_IPV6, [][2]int{{unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE}, {unix.IPV6_RECVERR, 1}}
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) {
			for _, o := range options {
				err = errors.Join(err, unix.SetsockoptInt(int(fd), level, o[0], o[1]))
			}
			if mark != 0 { // without the privilege there is no mark, and no node that set rules by it
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
			}
		}); e != nil {
			return e
		}
		return err
	}}
	pc, err := lc.ListenPacket(context.Background(), network, ":0")
	if err != nil {
		return nil, fmt.Errorf("netcheck: %w", err)
	}
	conn := pc.(*net.UDPConn)
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("netcheck: %w", err), conn.Close())
	}
	return &socket{conn, raw}, nil
}

// writes is how often a datagram is sent that an error met.
const writes = 4

// write sends a datagram. An error may be the last one's, which a router or the other end sent
// back: then that is what the kernel tells in place of sending (ip(7), IP_RECVERR).
func (s *socket) write(datagram []byte, to netip.AddrPort) (err error) {
	for range writes {
		if _, err = s.conn.WriteToUDPAddrPort(datagram, to); err == nil {
			return nil
		}
	}
	return err
}

// readRoom is more than any answer has.
const readRoom = 2048

// read reports what comes, and what is said by ICMP, until the socket is closed.
func (s *socket) read(report func(heard)) {
	room, control := make([]byte, readRoom), make([]byte, 512)
	for {
		var all []heard
		err := s.raw.Read(func(fd uintptr) bool {
			for {
				_, n, _, to, err := unix.Recvmsg(int(fd), room, control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
				if err != nil {
					break
				}
				if h, ok := errorOf(control[:n], to); ok {
					all = append(all, h)
				}
			}
			n, _, _, _, err := unix.Recvmsg(int(fd), room, nil, unix.MSG_DONTWAIT)
			if err == nil {
				all = append(all, heard{at: time.Now(), datagram: slices.Clone(room[:n])})
			}
			return len(all) > 0 || !errors.Is(err, unix.EAGAIN)
		})
		if err != nil {
			return
		}
		for _, h := range all {
			report(h)
		}
	}
}

// Of linux/errqueue.h: struct sock_extended_err.
const (
	extendedErrLen = 16
	originICMP     = 2
	originICMPv6   = 3
)

// errorOf reads what the kernel says of a datagram to an address; false where that is not of
// the network.
func errorOf(control []byte, to unix.Sockaddr) (h heard, ok bool) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return h, false
	}
	switch a := to.(type) {
	case *unix.SockaddrInet4:
		h.to = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		h.to = netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	h.at = time.Now()
	for _, m := range messages {
		isError := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR ||
			m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if !isError || len(m.Data) < extendedErrLen {
			continue
		}
		origin, kind, code := m.Data[4], m.Data[5], m.Data[6]
		if origin != originICMP && origin != originICMPv6 {
			continue // this machine's own, which sending has told
		}
		h.refusal, h.tooBig = refusalOf(unix.Errno(binary.NativeEndian.Uint32(m.Data)))
		if isProhibited(origin, kind, code) {
			h.refusal = netcheck.Filtered
		}
		h.mtu = int(binary.NativeEndian.Uint32(m.Data[8:]) & 0xffff)
		return h, true
	}
	return h, false
}

// isProhibited tells ICMP's words for a firewall from those for a network that is not there
// (RFC 1812 section 5.2.7.1, RFC 4443 section 3.1).
func isProhibited(origin, kind, code byte) bool {
	if origin == originICMPv6 {
		return kind == 1 && (code == 1 || code == 5 || code == 6)
	}
	return kind == 3 && (code == 9 || code == 10 || code == 13)
}

// refusalOf names an error of a datagram.
func refusalOf(err error) (why netcheck.Refusal, tooBig bool) {
	switch {
	case err == nil:
		return netcheck.NotRefused, false
	case errors.Is(err, unix.EMSGSIZE):
		return netcheck.NotRefused, true
	case errors.Is(err, unix.ECONNREFUSED):
		return netcheck.NobodyThere, false
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return netcheck.FilteredHere, false
	}
	return netcheck.NoRoute, false
}

// mtuTowards is that of the interface by which packets to an address leave; 0: not known.
func mtuTowards(to netip.AddrPort) (mtu int) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return 0
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	level, option := unix.IPPROTO_IPV6, unix.IPV6_MTU
	if to.Addr().Is4() {
		level, option = unix.IPPROTO_IP, unix.IP_MTU
	}
	_ = raw.Control(func(fd uintptr) { mtu, _ = unix.GetsockoptInt(int(fd), level, option) })
	return mtu
}
