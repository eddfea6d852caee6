package sock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// ErrNoLinkLocal says that an interface has no link-local IPv6 address.
var ErrNoLinkLocal = errors.New("no link-local address")

// Multicast is a UDP socket on one interface of the kernel, for a protocol that
// talks to a link-local group: it sends with hop limit 1, and hears the group
// and its own link-local address.
type Multicast struct {
	packets *ipv6.PacketConn
	group   net.UDPAddr
	ifindex int
	local   netip.Addr
	local4  netip.Addr
	direct  bool
}

// ListenMulticast opens the socket on an interface that is up and has a
// link-local address. group has the port at which both sides listen.
func ListenMulticast(name string, group netip.AddrPort) (*Multicast, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	local, local4, err := addresses(ifi)
	if err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if cerr := c.Control(func(fd uintptr) { err = bindTo(int(fd), name) }); cerr != nil {
			return cerr
		}
		return err
	}}
	conn, err := lc.ListenPacket(context.Background(), "udp6", fmt.Sprintf("[::]:%d", group.Port()))
	if err != nil {
		return nil, fmt.Errorf("multicast on %s: %w", name, err)
	}
	m := &Multicast{
		packets: ipv6.NewPacketConn(conn), ifindex: ifi.Index, local: local, local4: local4, direct: ifi.Flags&net.FlagPointToPoint != 0,
		group: net.UDPAddr{IP: group.Addr().AsSlice(), Port: int(group.Port()), Zone: strconv.Itoa(ifi.Index)},
	}
	if err := m.join(ifi); err != nil {
		conn.Close()
		return nil, fmt.Errorf("multicast on %s: %w", name, err)
	}
	return m, nil
}

func bindTo(fd int, name string) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	return unix.BindToDevice(fd, name)
}

func (m *Multicast) join(ifi *net.Interface) error {
	if err := m.packets.JoinGroup(ifi, &m.group); err != nil {
		return err
	}
	if err := m.packets.SetMulticastInterface(ifi); err != nil {
		return err
	}
	if err := m.packets.SetMulticastLoopback(false); err != nil {
		return err
	}
	if err := m.packets.SetControlMessage(ipv6.FlagDst, true); err != nil {
		return err
	}
	if err := m.packets.SetMulticastHopLimit(1); err != nil {
		return err
	}
	return m.packets.SetHopLimit(1)
}

// addresses are an interface's link-local IPv6 address and its first IPv4 address.
func addresses(ifi *net.Interface) (local, local4 netip.Addr, err error) {
	addrs, err := ifi.Addrs()
	if err != nil {
		return local, local4, fmt.Errorf("interface %s: %w", ifi.Name, err)
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		switch {
		case err != nil:
		case p.Addr().Is4() && !local4.IsValid():
			local4 = p.Addr()
		case p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() && !local.IsValid():
			local = p.Addr()
		}
	}
	if !local.IsValid() {
		return local, local4, fmt.Errorf("interface %s: %w; is it up?", ifi.Name, ErrNoLinkLocal)
	}
	return local, local4, nil
}

// Ifindex is the interface's.
func (m *Multicast) Ifindex() int { return m.ifindex }

// Local is our link-local address on the interface, without zone.
func (m *Multicast) Local() netip.Addr { return m.local }

// PointToPoint tells whether the interface leads to one other, as tunnels do.
func (m *Multicast) PointToPoint() bool { return m.direct }

// Local4 is the interface's IPv4 address as the socket was opened; the zero Addr: none.
func (m *Multicast) Local4() netip.Addr { return m.local4 }

// Read waits for a packet from a link-local source and the group's port. It fails
// with net.ErrClosed after Close, with os.ErrDeadlineExceeded after Interrupt.
func (m *Multicast) Read(b []byte) (n int, from netip.Addr, at time.Time, err error) {
	n, from, _, at, err = m.ReadTo(b)
	return n, from, at, err
}

// ReadTo is Read that also tells to whom the packet was sent: the group, or Local.
func (m *Multicast) ReadTo(b []byte) (n int, from, to netip.Addr, at time.Time, err error) {
	for {
		n, control, src, err := m.packets.ReadFrom(b)
		at = time.Now()
		if err != nil {
			return 0, netip.Addr{}, netip.Addr{}, at, err
		}
		udp, ok := src.(*net.UDPAddr)
		if !ok || udp.Port != m.group.Port || control == nil {
			continue
		}
		to, _ = netip.AddrFromSlice(control.Dst)
		if from = udp.AddrPort().Addr().WithZone(""); from.Is6() && from.IsLinkLocalUnicast() {
			return n, from, to, at, nil
		}
	}
}

// Write sends from Local to a link-local neighbour, or to the group where to is the
// zero Addr.
func (m *Multicast) Write(to netip.Addr, b []byte) error {
	dst := m.group
	if to.IsValid() {
		dst.IP = to.AsSlice()
	}
	_, err := m.packets.WriteTo(b, &ipv6.ControlMessage{Src: m.local.AsSlice(), IfIndex: m.ifindex}, &dst)
	return err
}

// Interrupt ends Read for good; Write goes on.
func (m *Multicast) Interrupt() error { return m.packets.SetReadDeadline(time.Unix(1, 0)) }

// Close ends Read.
func (m *Multicast) Close() error { return m.packets.Close() }
