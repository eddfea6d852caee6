package ktunnel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	vnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"re6st/hw/netlink"
)

// Trust is what two nodes that trust a tunnel send each other through it as it is: packets
// from one's prefix to the other's. Comparable; the zero Trust: nothing.
type Trust struct {
	Own, Peer netip.Prefix // IPv6, apart from each other
	Source    netip.Addr   // of this host's own packets, one of Own
	Protocol  uint8        // of the routes, and by it their table: netlink.DirectTable
}

// linkLocals are the addresses inside tunnels.
var linkLocals = netip.MustParsePrefix("fe80::/10")

// check looks at what s says of trust.
func (x Trust) check() error {
	for _, p := range []netip.Prefix{x.Own, x.Peer} {
		if !p.IsValid() || !p.Addr().Is6() || p.Addr().Is4In6() || p != p.Masked() || p.Overlaps(linkLocals) {
			return fmt.Errorf("its trust in %v: an IPv6 prefix without host bits is needed", p)
		}
	}
	switch {
	case x.Own.Overlaps(x.Peer):
		return fmt.Errorf("its trust: %v and %v overlap", x.Own, x.Peer)
	case !x.Own.Contains(x.Source):
		return fmt.Errorf("its trust: the source %v is not one of %v", x.Source, x.Own)
	}
	return nil
}

// Lead has what this host and what lies behind it in its prefix send to the peer's prefix go
// through the tunnel s, which is there and trusted; via is the peer's address inside. Again
// it changes nothing, or puts back what somebody removed.
func (t *Tunnels) Lead(s Spec, via netip.Addr) error {
	link, err := t.handle.LinkByName(s.Name)
	if err != nil {
		return fmt.Errorf("ktunnel: link %s: %w", s.Name, err)
	}
	index := link.Attrs().Index
	way := s.Trust.way(index)
	way.Gw, way.Src, way.Flags = via.AsSlice(), s.Trust.Source.AsSlice(), int(vnl.FLAG_ONLINK)
	err = t.handle.RouteAdd(way)
	if errors.Is(err, unix.EEXIST) && t.led[s.Name] != index {
		err = t.handle.RouteReplace(way) // it leads into an older tunnel with that peer
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("ktunnel: route to %v by %s: %w", s.Trust.Peer, s.Name, err)
	}
	t.led[s.Name] = index
	return nil
}

// Unlead takes back what Lead did; where the tunnel is gone the kernel did so.
func (t *Tunnels) Unlead(s Spec) error {
	index, ok := t.led[s.Name]
	if !ok {
		return nil
	}
	err := t.handle.RouteDel(s.Trust.way(index))
	if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("ktunnel: remove the route to %v by %s: %w", s.Trust.Peer, s.Name, err)
	}
	delete(t.led, s.Name)
	return nil
}

// way is the route, by which the kernel knows it.
func (x Trust) way(index int) *vnl.Route {
	return &vnl.Route{
		LinkIndex: index, Table: int(netlink.DirectTable(x.Protocol)), Protocol: vnl.RouteProtocol(x.Protocol),
		Dst: &net.IPNet{IP: x.Peer.Addr().AsSlice(), Mask: net.CIDRMask(x.Peer.Bits(), x.Peer.Addr().BitLen())},
	}
}

// Carried is what went through a tunnel both ways, of the link's own datagrams and of others.
func (t *Tunnels) Carried(name string) (packets, bytes uint64, err error) {
	link, err := t.handle.LinkByName(name)
	if err != nil {
		return 0, 0, fmt.Errorf("ktunnel: link %s: %w", name, err)
	}
	if s := link.Attrs().Statistics; s != nil {
		return s.RxPackets + s.TxPackets, s.RxBytes + s.TxBytes, nil
	}
	return 0, 0, nil
}
