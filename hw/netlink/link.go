package netlink

import (
	"errors"
	"fmt"
	"net"

	vnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"re6st/hw/fault"
)

// Link is one network interface. Comparable.
type Link struct {
	Index     int
	Name      string
	Kind      string // veth, bridge, tun, ...; device for hardware and lo
	MTU       int    // bytes
	Up        bool   // administratively up
	Running   bool   // up, and the carrier is there
	Multicast bool
	Loopback  bool
	Master    int    // index of the bridge it is a port of, or 0
	Group     uint32 // 0 is the group of all that were put in no other
}

// AddrGenMode is how the kernel makes a link's own link-local address.
type AddrGenMode int

// The modes of include/uapi/linux/if_link.h.
const (
	AddrGenEUI64  AddrGenMode = 0
	AddrGenNone   AddrGenMode = 1 // no address at all: the node gives it its own
	AddrGenStable AddrGenMode = 2 // RFC 7217
	AddrGenRandom AddrGenMode = 3
)

func isInterrupted(err error) bool { return errors.Is(err, vnl.ErrDumpInterrupted) }

func linkOf(l vnl.Link) Link {
	a := l.Attrs()
	return Link{
		Index: a.Index, Name: a.Name, Kind: l.Type(), MTU: a.MTU, Master: a.MasterIndex, Group: a.Group,
		Up:        a.RawFlags&unix.IFF_UP != 0,
		Running:   a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_LOWER_UP != 0,
		Multicast: a.Flags&net.FlagMulticast != 0,
		Loopback:  a.Flags&net.FlagLoopback != 0,
	}
}

// Links returns all links in the kernel's order, which is that of their index.
func (c *Conn) Links() ([]Link, error) {
	list, err := dump(c.listLinks)
	if err != nil {
		return nil, fmt.Errorf("netlink: list links: %w", err)
	}
	links := make([]Link, 0, len(list))
	for _, l := range list {
		links = append(links, linkOf(l))
	}
	return links, nil
}

// Link returns the link with that name, or ErrNoLink.
func (c *Conn) Link(name string) (Link, error) {
	l, err := c.find(name)
	if err != nil {
		return Link{}, err
	}
	return linkOf(l), nil
}

func (c *Conn) listLinks() ([]vnl.Link, error) {
	if err := c.faults.Check(fault.NetlinkLink); err != nil {
		return nil, err
	}
	return c.handle.LinkList()
}

func (c *Conn) find(name string) (vnl.Link, error) {
	if err := c.faults.Check(fault.NetlinkLink); err != nil {
		return nil, fmt.Errorf("netlink: link %s: %w", name, err)
	}
	l, err := c.handle.LinkByName(name)
	var missing vnl.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil, fmt.Errorf("%w: %s", ErrNoLink, name)
	}
	if err != nil {
		return nil, fmt.Errorf("netlink: link %s: %w", name, err)
	}
	return l, nil
}

// change finds a link and does one thing to it.
func (c *Conn) change(name, what string, do func(vnl.Link) error) error {
	l, err := c.find(name)
	if err != nil {
		return err
	}
	if err := do(l); err != nil {
		return fmt.Errorf("netlink: %s %s: %w", name, what, err)
	}
	return nil
}

// SetUp brings a link up or down.
func (c *Conn) SetUp(name string, up bool) error {
	if up {
		return c.change(name, "up", c.handle.LinkSetUp)
	}
	return c.change(name, "down", c.handle.LinkSetDown)
}

// SetMTU sets the MTU in bytes. IPv6 needs 1280 or more.
func (c *Conn) SetMTU(name string, mtu int) error {
	return c.change(name, fmt.Sprintf("mtu %d", mtu), func(l vnl.Link) error { return c.handle.LinkSetMTU(l, mtu) })
}

// SetGroup puts a link into a group.
func (c *Conn) SetGroup(name string, group uint32) error {
	return c.change(name, fmt.Sprintf("group %d", group), func(l vnl.Link) error { return c.handle.LinkSetGroup(l, int(group)) })
}

// SetAddrGenMode sets how the link gets its link-local address; before the link
// goes up, or the old mode's address is already there.
func (c *Conn) SetAddrGenMode(name string, mode AddrGenMode) error {
	return c.change(name, "addrgenmode", func(l vnl.Link) error { return c.handle.LinkSetIP6AddrGenMode(l, int(mode)) })
}

// SetMaster makes a link a port of a bridge.
func (c *Conn) SetMaster(name, bridge string) error {
	master, err := c.find(bridge)
	if err != nil {
		return err
	}
	return c.change(name, "master "+bridge, func(l vnl.Link) error { return c.handle.LinkSetMaster(l, master) })
}

// AddVeth makes a pair of joined links: name here, and peer in the namespace that
// peerNS refers to. Both are down.
func (c *Conn) AddVeth(name string, peerNS int, peer string) error {
	attrs := vnl.NewLinkAttrs()
	attrs.Name = name
	veth := vnl.NewVeth(attrs)
	veth.PeerName = peer
	veth.PeerNamespace = vnl.NsFd(peerNS)
	if err := c.handle.LinkAdd(veth); err != nil {
		return fmt.Errorf("netlink: add veth %s to %s: %w", name, peer, err)
	}
	return nil
}

// AddBridge makes a bridge without ports and without multicast snooping, which
// would hold back neighbour discovery until a querier speaks. It is down.
func (c *Conn) AddBridge(name string) error {
	attrs := vnl.NewLinkAttrs()
	attrs.Name = name
	snooping := false
	if err := c.handle.LinkAdd(&vnl.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}); err != nil {
		return fmt.Errorf("netlink: add bridge %s: %w", name, err)
	}
	return nil
}

// DeleteLink removes a link, and with a veth its peer.
func (c *Conn) DeleteLink(name string) error {
	return c.change(name, "delete", c.handle.LinkDel)
}
