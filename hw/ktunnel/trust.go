package ktunnel

import (
	"encoding/binary"
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

// Offsets in the header of IPv6 (RFC 8200 section 3), in bytes.
const (
	sourceOffset      = 8
	destinationOffset = 24
)

// Priorities of the filters: a packet is for the first that fits.
const (
	admitInside = 1 + iota // the link's own datagrams
	admitPeer
	admitNothing
)

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

// admit has the kernel take nothing from a tunnel but the link's own datagrams, and what is
// from the peer's prefix for ours. WireGuard does that itself, by cryptokey routing.
func (t *Tunnels) admit(link vnl.Link, x Trust) error {
	index := link.Attrs().Index
	err := t.handle.QdiscAdd(&vnl.Clsact{QdiscAttrs: vnl.QdiscAttrs{
		LinkIndex: index, Parent: vnl.HANDLE_CLSACT, Handle: vnl.MakeHandle(vnl.HANDLE_CLSACT>>16, 0),
	}})
	for _, f := range []struct {
		priority, protocol uint16
		keys               []vnl.TcU32Key
		action             vnl.TcAct
	}{
		{admitInside, unix.ETH_P_IPV6, within(linkLocals, sourceOffset), vnl.TC_ACT_OK},
		{admitPeer, unix.ETH_P_IPV6, append(within(x.Peer, sourceOffset), within(x.Own, destinationOffset)...), vnl.TC_ACT_OK},
		{admitNothing, unix.ETH_P_ALL, []vnl.TcU32Key{{}}, vnl.TC_ACT_SHOT},
	} {
		if err != nil {
			break
		}
		err = t.handle.FilterAdd(&vnl.U32{
			FilterAttrs: vnl.FilterAttrs{LinkIndex: index, Parent: vnl.HANDLE_MIN_INGRESS, Priority: f.priority, Protocol: f.protocol},
			Sel:         &vnl.TcU32Sel{Flags: vnl.TC_U32_TERMINAL, Keys: f.keys},
			Actions:     []vnl.Action{&vnl.GenericAction{ActionAttrs: vnl.ActionAttrs{Action: f.action}}},
		})
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%w: %w; it takes the modules sch_ingress, cls_u32 and act_gact", ErrUnfiltered, err)
	}
	if err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	return nil
}

// within matches packets whose address at an offset lies in a prefix.
func within(p netip.Prefix, offset int32) (keys []vnl.TcU32Key) {
	address := p.Addr().As16()
	for at := 0; at < p.Bits(); at += 32 {
		mask := ^uint32(0)
		if rest := p.Bits() - at; rest < 32 {
			mask <<= 32 - rest
		}
		keys = append(keys, vnl.TcU32Key{Mask: mask, Val: binary.BigEndian.Uint32(address[at/8:]) & mask, Off: offset + int32(at/8)})
	}
	return keys
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
