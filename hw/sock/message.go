package sock

import (
	"cmp"
	"maps"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// message is a struct msghdr with what it points to, for one packet in either direction. The
// socket never blocks, so the calls are raw: an ordinary one tells Go's scheduler that the
// thread may be gone for long, and so wakes the thread that watches over those. Of the CPU
// time of an idle node that was a third.
type message struct {
	header unix.Msghdr
	vector unix.Iovec
	name   unix.RawSockaddrInet6 // of an AF_INET socket it holds the shorter RawSockaddrInet4
	length int                   // what the last call came to
	err    syscall.Errno
}

// point has the header point to a packet's data and control messages.
func (m *message) point(data, oob []byte) {
	m.header = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&m.name)), Namelen: unix.SizeofSockaddrInet6}
	if len(data) > 0 {
		m.vector.Base = &data[0]
		m.vector.SetLen(len(data))
		m.header.Iov = &m.vector
		m.header.SetIovlen(1)
	}
	if len(oob) > 0 {
		m.header.Control = &oob[0]
		m.header.SetControllen(len(oob))
	}
}

// forget lets go of the packet.
func (m *message) forget() { m.header, m.vector = unix.Msghdr{}, unix.Iovec{} }

// call is for syscall.RawConn: false where the socket is to be waited for.
func (m *message) call(trap, fd uintptr) bool {
	for {
		n, _, err := unix.RawSyscall(trap, fd, uintptr(unsafe.Pointer(&m.header)), 0)
		if err != unix.EINTR {
			m.length, m.err = int(n), err
			return err != unix.EAGAIN
		}
	}
}

// result is that of the last call of name; waited is the error of the wait for the socket.
func (m *message) result(name string, waited error) error {
	if waited != nil {
		return waited
	}
	if m.err != 0 {
		return os.NewSyscallError(name, m.err)
	}
	return nil
}

// aim puts an address into the header, for a socket that is AF_INET6 if six; false where
// it is none for that socket, or of an interface that is not there.
func (m *message) aim(to netip.AddrPort, six bool, s *scopes) bool {
	a := to.Addr()
	switch {
	case !a.IsValid():
		return false
	case six:
		m.name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: a.As16()}
		if zone := a.Zone(); zone != "" {
			if m.name.Scope_id = s.index(zone); m.name.Scope_id == 0 {
				return false
			}
		}
	case a.Unmap().Is4():
		*m.name4() = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Unmap().As4()}
		m.header.Namelen = unix.SizeofSockaddrInet4
	default:
		return false
	}
	*m.port() = [2]byte{byte(to.Port() >> 8), byte(to.Port())}
	return true
}

// from is the address in the header.
func (m *message) from(z *zones, now time.Time) netip.AddrPort {
	if m.name.Scope_id != 0 {
		if from, ok := z.recall(&m.name, now); ok {
			return from
		}
	}
	port := uint16(m.port()[0])<<8 | uint16(m.port()[1])
	if m.name.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4(m.name4().Addr), port)
	}
	a := netip.AddrFrom16(m.name.Addr)
	if m.name.Scope_id != 0 {
		from := netip.AddrPortFrom(a.WithZone(z.name(int(m.name.Scope_id), now)), port)
		z.keep(&m.name, from)
		return from
	}
	return netip.AddrPortFrom(a, port)
}

func (m *message) name4() *unix.RawSockaddrInet4 {
	return (*unix.RawSockaddrInet4)(unsafe.Pointer(&m.name))
}

// port is in network order, at one place in both families.
func (m *message) port() *[2]byte { return (*[2]byte)(unsafe.Pointer(&m.name.Port)) }

// outgoing is a message to send, with a function that it is sent by, made once.
type outgoing struct {
	message
	send func(fd uintptr) bool
}

var outgoings = sync.Pool{New: func() any {
	m := &outgoing{}
	m.send = func(fd uintptr) bool { return m.call(unix.SYS_SENDMSG, fd) }
	return m
}}

const (
	// zoneLife is how long the name of an interface is believed, as in package net.
	zoneLife = 60 * time.Second
	// zoneDoubt is how long it is believed against all errors.
	zoneDoubt = time.Second
	// lastZoned is of how many senders the address is kept: a relay hears two by turns.
	lastZoned = 4
)

// zones are the names of interfaces, for one reader.
type zones struct {
	names map[int]string
	until time.Time
	// Where the last ones came from: mostly the next comes from one of them, and an address
	// with a name in it is slow to make.
	last [lastZoned]zoned
	next int // the place of the next in last
}

// zoned is an address as the kernel has it, and as it is here.
type zoned struct {
	name unix.RawSockaddrInet6
	from netip.AddrPort
}

// recall is an address that came lately, while the names are believed.
func (z *zones) recall(name *unix.RawSockaddrInet6, now time.Time) (netip.AddrPort, bool) {
	for i := range z.last {
		if l := &z.last[i]; l.name == *name {
			return l.from, now.Before(z.until)
		}
	}
	return netip.AddrPort{}, false
}

// keep takes an address in place of the oldest, or of what it was under an older name.
func (z *zones) keep(name *unix.RawSockaddrInet6, from netip.AddrPort) {
	for i := range z.last {
		if z.last[i].name == *name {
			z.last[i].from = from
			return
		}
	}
	z.last[z.next] = zoned{*name, from}
	z.next = (z.next + 1) % lastZoned
}

func (z *zones) name(index int, now time.Time) string {
	if now.After(z.until) {
		z.names, z.until, z.last = map[int]string{}, now.Add(zoneLife), [lastZoned]zoned{}
	}
	name, ok := z.names[index]
	if !ok {
		if i, err := net.InterfaceByIndex(index); err == nil {
			name = i.Name
		}
		name = cmp.Or(name, strconv.Itoa(index))
		z.names[index] = name
	}
	return name
}

// scopes are the indices of interfaces by their names, for all writers.
type scopes struct{ known atomic.Pointer[indices] }

// indices is a snapshot: its map is never changed.
type indices struct {
	of    map[string]uint32
	until time.Time
}

// index is 0 for an interface that is not there.
func (s *scopes) index(zone string) uint32 {
	now, old := time.Now(), s.known.Load()
	fresh := old != nil && now.Before(old.until)
	if fresh && old.of[zone] != 0 {
		return old.of[zone]
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		n, _ := strconv.ParseUint(zone, 10, 31) // 0 where it is no number
		return uint32(n)
	}
	next := &indices{map[string]uint32{}, now.Add(zoneLife)}
	if fresh {
		next.of, next.until = maps.Clone(old.of), old.until
	}
	next.of[zone] = uint32(i.Index)
	s.known.Store(next) // what another writer has found meanwhile is found again
	return next.of[zone]
}

// doubt has the kernel asked again, but not for each packet that went wrong: an interface of
// the name may be another by now.
func (s *scopes) doubt() {
	if old := s.known.Load(); old != nil && time.Until(old.until) < zoneLife-zoneDoubt {
		s.known.Store(nil)
	}
}
