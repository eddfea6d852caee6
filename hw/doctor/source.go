package doctor

import (
	"net/netip"

	vnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"re6st/hw/netlink"
)

// sourceRoutes sets a route by source on a dummy link, as the node would.
func sourceRoutes(h *vnl.Handle) error {
	if err := h.LinkAdd(&vnl.Veth{LinkAttrs: vnl.LinkAttrs{Name: "re6st-s"}, PeerName: "re6st-speer"}); err != nil {
		return err
	}
	conn, err := netlink.Open()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetUp("re6st-s", true); err != nil {
		return err
	}
	link, err := conn.Link("re6st-s")
	if err != nil {
		return err
	}
	table, err := netlink.NewTable(conn, netlink.MainTable, doctorProtocol)
	if err != nil {
		return err
	}
	route := netlink.Route{Dst: netip.MustParsePrefix("2001:db8:1::/48"), Src: netip.MustParsePrefix("2001:db8:2::/48"), Link: link.Index}
	return missing(table.Apply([]netlink.Route{route}, nil), unix.EINVAL, unix.ENOPROTOOPT, unix.EOPNOTSUPP)
}

// doctorProtocol is on routes of the examination's own namespace only.
const doctorProtocol = 99
