package netlink

import (
	"fmt"
	"net/netip"
)

// Gateway is the next hop of the IPv4 default route of the least metric in the main
// table; not valid where there is none, or where it has none, as on a point-to-point link.
func (c *Conn) Gateway() (netip.Addr, error) {
	main := Table{conn: c}
	routes, err := dump(main.list)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("netlink: list routes: %w", err)
	}
	everywhere := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	best, found := Route{}, false
	for _, h := range routes {
		if h.table != MainTable || h.route.Dst != everywhere || h.route.Kind != Unicast || found && h.route.Metric >= best.Metric {
			continue
		}
		best, found = h.route, true
	}
	return best.Via, nil
}
