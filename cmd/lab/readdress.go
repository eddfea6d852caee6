package lab

import (
	"errors"
	"net/netip"

	"re6st/hw/netlink"
)

// movedIndex is the first subnet of members that got other addresses, behind those of
// 1 + maxNodes members.
const movedIndex = 0x1000

// nextPlace is one where nobody was yet.
func (u *underlay) nextPlace() place {
	u.moves++
	if u.topology == LAN {
		return placeOf(LAN, maxNodes+u.moves)
	}
	return placeOf(u.topology, movedIndex+u.moves)
}

// readdress gives a node other addresses, as one has who comes by another network; or
// its NAT, of which the node hears nothing.
func (u *underlay) readdress(name string) error {
	return errors.Join(u.replace(name), u.routeDelayed())
}

func (u *underlay) replace(name string) error {
	next := u.families.limit(name, u.nextPlace())
	n, behind := u.nats[name]
	if !behind {
		old := u.places[name]
		u.places[name] = next
		return u.resettle(name, u.members[name].Netlink, old, next, func(c *netlink.Conn) error { return u.setDefaults(c, name) })
	}
	next.addr6, next.router6 = netip.Prefix{}, netip.Prefix{}
	if n.kind == Gateway {
		next.addr4, next.router4 = moved(next.addr4), moved(next.router4)
	}
	old := n.place
	n.place, n.outside = next, next.addr4.Addr()
	u.nats[name] = n
	return u.resettle(name, n.ns.Netlink, old, next, func(c *netlink.Conn) error { return setDefault(c, way{uplink, next, 0}) })
}

// resettle moves the host behind the router's link to a member. The old addresses go
// before the new ones come.
func (u *underlay) resettle(member string, open func() (*netlink.Conn, error), old, next place, setDefaults func(*netlink.Conn) error) error {
	return withNetlink(u.router, func(router *netlink.Conn) error {
		routed := u.topology != LAN
		if routed {
			if err := setAddresses(router, member, next.router4, next.router6); err != nil {
				return err
			}
		}
		host, err := open()
		if err != nil {
			return err
		}
		defer host.Close()
		err = errors.Join(removeAddresses(host, uplink, old.addr4, old.addr6), setAddresses(host, uplink, next.addr4, next.addr6),
			setDefaults(host))
		if routed {
			err = errors.Join(err, removeAddresses(router, member, old.router4, old.router6))
		}
		return err
	})
}

func removeAddresses(conn *netlink.Conn, link string, addresses ...netip.Prefix) error {
	var errs []error
	for _, a := range addresses {
		if a.IsValid() {
			errs = append(errs, conn.RemoveAddress(link, a))
		}
	}
	return errors.Join(errs...)
}
