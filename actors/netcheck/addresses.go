package netcheck

import (
	"context"
	"net"
	"net/netip"
	"slices"

	"re6st/hw/netlink"
	"re6st/protocols/netcheck"
)

// Addresses looks at this machine's, but for those in the mesh's own ranges.
func Addresses(mesh ...netip.Prefix) (four, six netcheck.Family, err error) {
	conn, err := netlink.Open()
	if err != nil {
		return four, six, err
	}
	defer conn.Close()
	uplinks, err := conn.Uplinks()
	if err != nil {
		return four, six, err
	}
	links, err := conn.Links()
	if err != nil {
		return four, six, err
	}
	for _, u := range uplinks {
		a := u.Prefix.Addr()
		if slices.ContainsFunc(mesh, func(p netip.Prefix) bool { return p.Contains(a) }) {
			continue
		}
		f := &six
		if a.Is4() {
			f = &four
		}
		f.Addresses = append(f.Addresses, a)
		if i := slices.IndexFunc(links, func(l netlink.Link) bool { return l.Index == u.Link }); u.Default && i >= 0 {
			if name := links[i].Name; !slices.Contains(f.Default, name) {
				f.Default = append(f.Default, name)
			}
		}
	}
	return four, six, nil
}

// Lookup asks the system's resolver for a name; nil where host is an address.
func Lookup(ctx context.Context, host string) *netcheck.Name {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	n := &netcheck.Name{Host: host}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		n.Error = err.Error()
	}
	for _, a := range found {
		n.Addresses = append(n.Addresses, a.Unmap())
	}
	return n
}
