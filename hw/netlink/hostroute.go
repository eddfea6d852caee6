package netlink

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	vnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// hostTableBit tells the table of HostRoutes from that of its Bypass, whose number is the mark.
const hostTableBit = 1 << 30

// lastReserved is the highest number of a table that has a name of its own, as main has.
const lastReserved = unix.RT_TABLE_LOCAL

// HostTable is the table of the HostRoutes for a mark.
func HostTable(mark uint32) uint32 { return mark ^ hostTableBit }

// HostRoutes are routes to single addresses through routers on this host's links, for packets
// with a mark only: Bypass.UseHostRoutes has these looked up. Routes of the main table to
// more than a default come before them. Not for concurrent use; its Bypass may be used at the
// same time, with a Conn of its own.
type HostRoutes struct {
	conn  *Conn
	mark  uint32
	table *Table
	held  map[netip.Addr]Route // as set last
}

// HostRoute is the way to one address.
type HostRoute struct {
	Addr netip.Addr // without zone
	Via  netip.Addr // a router, of the same family
	Link int        // index of the link that it is on
}

// NewHostRoutes is for the mark and the protocol number of a Bypass. It changes nothing yet.
func NewHostRoutes(conn *Conn, mark uint32, protocol uint8) (*HostRoutes, error) {
	if HostTable(mark) <= lastReserved {
		return nil, fmt.Errorf("netlink: mark %#x: its routes to single addresses would be in table %d, which is the system's; take another mark", mark, HostTable(mark))
	}
	table, err := NewTable(conn, HostTable(mark), protocol)
	if err != nil {
		return nil, err
	}
	return &HostRoutes{conn, mark, table, map[netip.Addr]Route{}}, nil
}

// Set makes and changes routes, and takes those of remove away; one that is gone is no error.
func (h *HostRoutes) Set(set []HostRoute, remove []netip.Addr) error {
	var gone []Route
	for _, a := range remove {
		if r, ok := h.held[a]; ok {
			delete(h.held, a)
			gone = append(gone, r)
		}
	}
	var routes []Route
	for _, s := range set {
		h.held[s.Addr] = s.route()
		routes = append(routes, s.route())
	}
	return h.table.Apply(routes, gone)
}

// Reconcile makes the kernel hold exactly these.
func (h *HostRoutes) Reconcile(want []HostRoute) error {
	clear(h.held)
	var routes []Route
	for _, w := range want {
		h.held[w.Addr] = w.route()
		routes = append(routes, w.route())
	}
	_, err := h.table.Reconcile(routes)
	return err
}

func (h HostRoute) route() Route {
	return Route{Dst: netip.PrefixFrom(h.Addr, h.Addr.BitLen()), Via: h.Via.WithZone(""), Link: h.Link}
}

// Routers returns on which links routers are, by their index, and why one cannot be used:
// ErrOwnAddress, ErrNotOnLink, ErrLinkDown or ErrNoLink.
func (h *HostRoutes) Routers(routers []netip.Addr) (links map[netip.Addr]int, faults map[netip.Addr]error, err error) {
	all, err := h.conn.Links()
	if err != nil {
		return nil, nil, err
	}
	own, err := h.conn.Addresses()
	if err != nil {
		return nil, nil, err
	}
	links, faults = map[netip.Addr]int{}, map[netip.Addr]error{}
	for _, r := range routers {
		if isOwn(r, all, own) {
			faults[r] = fmt.Errorf("%w: %v", ErrOwnAddress, r)
			continue
		}
		if links[r], faults[r] = h.router(r, all); faults[r] != nil {
			delete(links, r)
		} else {
			delete(faults, r)
		}
	}
	return links, faults, nil
}

// isOwn tells of an address of this host, be it one that cannot be used yet, for which the
// kernel has no route.
func isOwn(r netip.Addr, links []Link, own []Addr) bool {
	return slices.ContainsFunc(own, func(a Addr) bool {
		return a.Prefix.Addr() == r.WithZone("") && (r.Zone() == "" || slices.ContainsFunc(links, func(l Link) bool {
			return l.Index == a.Link && l.Name == r.Zone()
		}))
	})
}

// router is the link that a router is on.
func (h *HostRoutes) router(r netip.Addr, links []Link) (int, error) {
	ways, err := h.conn.handle.RouteGetWithOptions(r.WithZone("").AsSlice(), h.query(r, links))
	zoned := r.Zone() != ""
	for _, l := range links {
		if zoned && l.Name == r.Zone() || !zoned && len(ways) > 0 && ways[0].LinkIndex == l.Index {
			return h.onLink(r, l, ways, err)
		}
	}
	switch {
	case zoned:
		return 0, fmt.Errorf("%w: %s", ErrNoLink, r.Zone())
	case err != nil && !isUnreachable(err):
		return 0, fmt.Errorf("netlink: the way to %v: %w", r, err)
	default:
		return 0, fmt.Errorf("%w: %v", ErrNotOnLink, r)
	}
}

// query asks the way of a packet with the mark, by the link of a link-local address.
func (h *HostRoutes) query(r netip.Addr, links []Link) *vnl.RouteGetOptions {
	o := &vnl.RouteGetOptions{Mark: h.mark}
	for _, l := range links {
		if r.Zone() != "" && l.Name == r.Zone() {
			o.OifIndex = l.Index
		}
	}
	return o
}

// onLink judges what the kernel says of the way to a router by a link.
func (h *HostRoutes) onLink(r netip.Addr, l Link, ways []vnl.Route, err error) (int, error) {
	switch {
	case !l.Running:
		return 0, fmt.Errorf("%w: %s, where %v is", ErrLinkDown, l.Name, r)
	case err != nil && !isUnreachable(err):
		return 0, fmt.Errorf("netlink: the way to %v: %w", r, err)
	case err != nil, len(ways) == 0, ways[0].Gw != nil, ways[0].Via != nil, l.Loopback, l.Group == MeshGroup:
		return 0, fmt.Errorf("%w: %v", ErrNotOnLink, r)
	}
	return l.Index, nil
}

// isUnreachable tells of the kernel's answer that nothing leads there.
func isUnreachable(err error) bool {
	return errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH)
}
