package netlink

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	vnl "github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"re6st/hw/fault"
)

// longestLifetime in seconds, 68 years, stands for "for ever": vishvananda/netlink
// sends lifetimes only if one of them is above 0, and an int may have 32 bits.
const longestLifetime = 1<<31 - 1

// ifaProto is IFA_PROTO of include/uapi/linux/if_addr.h.
const ifaProto = 11

// Addr is one address of a link. Comparable.
type Addr struct {
	Link       int          // index
	Prefix     netip.Prefix // the address with its on-link prefix length, not masked
	Tentative  bool         // duplicate address detection still runs: not usable yet
	Deprecated bool         // never chosen as a source by itself (RFC 4862 section 5.5.4)
	Protocol   uint8        // who set it: 1 to 3 the kernel, 0 nobody said (IFA_PROTO, Linux 5.18)
}

func newAddr(link int, ip netip.Addr, bits, flags int) Addr {
	return Addr{
		Link: link, Prefix: netip.PrefixFrom(ip.Unmap(), bits),
		Tentative: flags&unix.IFA_F_TENTATIVE != 0, Deprecated: flags&unix.IFA_F_DEPRECATED != 0,
	}
}

// Addresses returns the addresses of all links, both families.
func (c *Conn) Addresses() ([]Addr, error) {
	addrs, err := dump(c.listAddresses)
	if err != nil {
		return nil, fmt.Errorf("netlink: list addresses: %w", err)
	}
	return addrs, nil
}

func (c *Conn) listAddresses() ([]Addr, error) {
	if err := c.faults.Check(fault.NetlinkAddress); err != nil {
		return nil, err
	}
	var addrs []Addr
	req := c.request(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	req.AddData(nl.NewIfAddrmsg(unix.AF_UNSPEC))
	err := c.dumpInto(req, unix.RTM_NEWADDR, func(b []byte) error {
		addr, err := decodeAddr(b)
		addrs = append(addrs, addr)
		return err
	})
	return addrs, err
}

// SetAddress gives a link an address, or changes the one it has: usable at once,
// without duplicate address detection. A deprecated one has preferred lifetime 0:
// it serves where a route or a socket names it as the source, and nowhere else.
func (c *Conn) SetAddress(name string, prefix netip.Prefix, deprecated bool) error {
	return c.change(name, "address "+prefix.String(), func(l vnl.Link) error {
		if err := c.faults.Check(fault.NetlinkAddress); err != nil {
			return err
		}
		addr := &vnl.Addr{IPNet: ipNet(prefix)}
		if prefix.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if deprecated {
			addr.ValidLft = longestLifetime
		}
		return c.handle.AddrReplace(l, addr)
	})
}

// SetPart gives a link the router's address in a part of a node's prefix, or of its share
// of IPv4, marked with a protocol number, and without the route that the kernel would add: that is for the
// router to make. It is usable at once.
func (c *Conn) SetPart(name string, prefix netip.Prefix, protocol uint8) error {
	return c.change(name, "address "+prefix.String(), func(l vnl.Link) error {
		req := c.request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
		if err := c.faults.Check(fault.NetlinkAddress); err != nil {
			return err
		}
		flags := uint32(unix.IFA_F_NOPREFIXROUTE)
		if prefix.Addr().Is6() {
			flags |= unix.IFA_F_NODAD
		}
		msg := nl.NewIfAddrmsg(int(family(prefix.Addr())))
		msg.Index, msg.Prefixlen = uint32(l.Attrs().Index), uint8(prefix.Bits())
		req.AddData(msg)
		req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, prefix.Addr().AsSlice()))
		req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, prefix.Addr().AsSlice()))
		req.AddData(nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(flags)))
		req.AddData(nl.NewRtAttr(ifaProto, []byte{protocol}))
		_, err := req.Execute(unix.NETLINK_ROUTE, 0)
		return err
	})
}

// RemoveAddress takes an address from a link; one that is not there is no error.
func (c *Conn) RemoveAddress(name string, prefix netip.Prefix) error {
	return c.change(name, "remove address "+prefix.String(), func(l vnl.Link) error {
		if err := c.faults.Check(fault.NetlinkAddress); err != nil {
			return err
		}
		err := c.handle.AddrDel(l, &vnl.Addr{IPNet: ipNet(prefix)})
		if errors.Is(err, unix.EADDRNOTAVAIL) {
			return nil
		}
		return err
	})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// decodeAddr reads the payload of RTM_NEWADDR or RTM_DELADDR. The address is
// IFA_LOCAL, which differs from IFA_ADDRESS on a point-to-point link, and is left
// out in IPv6 elsewhere.
func decodeAddr(b []byte) (Addr, error) {
	if len(b) < unix.SizeofIfAddrmsg {
		return Addr{}, fmt.Errorf("%w: ifaddrmsg of %d bytes", ErrMessage, len(b))
	}
	msg := nl.DeserializeIfAddrmsg(slices.Clone(b[:unix.SizeofIfAddrmsg]))
	var address, local netip.Addr
	flags, protocol := uint32(msg.Flags), uint8(0)
	err := attributes(b[unix.SizeofIfAddrmsg:], func(kind uint16, value []byte) error {
		switch kind {
		case unix.IFA_ADDRESS:
			return decodeIP(&address, value)
		case unix.IFA_LOCAL:
			return decodeIP(&local, value)
		case unix.IFA_FLAGS:
			return decodeUint32(&flags, value)
		case ifaProto:
			if len(value) > 0 {
				protocol = value[0]
			}
		}
		return nil
	})
	if err != nil {
		return Addr{}, err
	}
	if !local.IsValid() {
		local = address
	}
	local = local.Unmap() // before the length is judged
	if !local.IsValid() || int(msg.Prefixlen) > local.BitLen() {
		return Addr{}, fmt.Errorf("%w: address message without a usable address", ErrMessage)
	}
	a := newAddr(int(msg.Index), local, int(msg.Prefixlen), int(flags))
	a.Protocol = protocol
	return a, nil
}
