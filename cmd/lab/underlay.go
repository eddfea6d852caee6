package lab

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"sync/atomic"

	"re6st/hw/netlink"
	"re6st/hw/netns"
)

// Names and numbers of the underlay.
const (
	routerName = "router"
	uplink     = "eth0" // a node's link to the router
	segment    = "lan"  // the bridge of the topology of that name
	// protocol marks the default routes of the lab in the nodes' namespaces, so that
	// a node that cleans up its own routes leaves them.
	protocol = 241
)

// The underlay's addresses: 10.0.0.0/8, and a ULA (RFC 4193) whose bits spell re6st.
var (
	underlay4 = netip.MustParsePrefix("10.0.0.0/8")
	underlay6 = netip.MustParsePrefix("fd72:6536:7374::/48")
)

// lanIndex is the subnet of the shared segment, behind those of 1 + maxNodes members.
const lanIndex = 0x4000

// place is where a member of the underlay lives: its addresses and its router's.
type place struct{ addr4, router4, addr6, router6 netip.Prefix }

// addresses are the member's, of one family or of both.
func (p place) addresses() []netip.Addr {
	var all []netip.Addr
	for _, a := range []netip.Prefix{p.addr4, p.addr6} {
		if a.IsValid() {
			all = append(all, a.Addr())
		}
	}
	return all
}

// placeOf gives member i (the registry is 0, n1 is 1) a subnet of its own, a /30 and
// a /64, or a host in the shared ones, a /16 and a /64.
func placeOf(t Topology, i int) place {
	if t == LAN && i > 0 {
		return place{
			subnet4(lanIndex, 16, i+1), subnet4(lanIndex, 16, 1),
			subnet6(lanIndex, i+1), subnet6(lanIndex, 1),
		}
	}
	return place{subnet4(i, 30, 2), subnet4(i, 30, 1), subnet6(i, 2), subnet6(i, 1)}
}

// subnet4 counts subnets in steps of a /30.
func subnet4(index, bits, host int) netip.Prefix {
	a := underlay4.Addr().As4()
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])+uint32(index*4+host))
	return netip.PrefixFrom(netip.AddrFrom4(a), bits)
}

func subnet6(index, host int) netip.Prefix {
	a := underlay6.Addr().As16()
	binary.BigEndian.PutUint16(a[6:], uint16(index))
	binary.BigEndian.PutUint64(a[8:], uint64(host))
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// Access is how the nodes reach the underlay.
type Access struct {
	NATs     NATs     // before nodes
	Families Families // of nodes that have not both
	Uplinks  []string // nodes with a second uplink
}

// check says whether a lab of that topology with these nodes can have it.
func (a Access) check(t Topology, nodes int) error {
	return cmp.Or(a.NATs.check(t, nodes), a.Families.check(a.NATs, nodes), checkUplinks(a.Uplinks, t, a.NATs, nodes))
}

// underlay is the network below the mesh: a router, the registry and the nodes, each
// in a namespace, the NATs before some of them, and the rules that make the topology.
type underlay struct {
	topology Topology
	group    *netns.Group
	router   *netns.NS
	members  map[string]*netns.NS // the registry and the nodes
	places   map[string]place
	nats     map[string]nat // by the node behind it
	rules    *firewall
	shown    atomic.Pointer[[]EdgeView] // the edges as the kernel has them
	moves    int                        // how often a member got other addresses
	families Families
	seconds  map[string]place // of the second uplinks
	delays   delays
}

// newUnderlay makes the namespaces in group, joins them and loads the rules.
func newUnderlay(ctx context.Context, group *netns.Group, t Topology, edges []Edge, names []string, a Access) (*underlay, error) {
	u := &underlay{
		topology: t, group: group, members: map[string]*netns.NS{}, places: map[string]place{}, nats: map[string]nat{},
		rules: newFirewall(t, edges, names), families: a.Families, seconds: map[string]place{}, delays: delays{lines: map[towards]*delayed{}},
	}
	if err := u.makeRouter(); err != nil {
		return nil, err
	}
	for i, name := range append([]string{registryName}, names...) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := u.addMember(ctx, name, a.Families.limit(name, placeOf(t, i)), a.NATs[name])
		if err == nil && slices.Contains(a.Uplinks, name) {
			err = u.addSecond(name, i)
		}
		if err != nil {
			return nil, fmt.Errorf("lab: underlay of %s: %w", name, err)
		}
	}
	return u, u.load(ctx)
}

func (u *underlay) makeRouter() error {
	router, err := u.group.Create(routerName)
	if err != nil {
		return err
	}
	u.router = router
	for _, key := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
		if err := router.Sysctl(key, "1"); err != nil {
			return err
		}
	}
	if u.topology != LAN {
		return nil
	}
	conn, err := router.Netlink()
	if err != nil {
		return err
	}
	defer conn.Close()
	p := placeOf(LAN, 1)
	return errors.Join(conn.AddBridge(segment), conn.SetUp(segment, true),
		conn.SetAddress(segment, p.router4, false), conn.SetAddress(segment, p.router6, false))
}

// addMember makes a member's namespace and its link to the router, with a NAT in
// between if there is a kind of one.
func (u *underlay) addMember(ctx context.Context, name string, p place, kind NATKind) (err error) {
	if kind != "" {
		return u.addNAT(ctx, name, p, kind)
	}
	u.members[name], err = u.addHost(name, name, p)
	u.places[name] = p
	return err
}

// addHost makes a namespace and its link to the router, whose end has the name of the
// member that is reached by it.
func (u *underlay) addHost(member, name string, p place) (*netns.NS, error) {
	ns, err := u.group.Create(name)
	if err != nil {
		return nil, err
	}
	if err := netns.Veth(u.router, member, ns, uplink); err != nil {
		return nil, err
	}
	err = withNetlink(u.router, func(router *netlink.Conn) error {
		if u.topology == LAN && member != registryName {
			return router.SetMaster(member, segment)
		}
		return setAddresses(router, member, p.router4, p.router6)
	})
	if err != nil {
		return nil, err
	}
	return ns, settle(ns, p)
}

// settle gives a host its addresses and its default routes.
func settle(ns *netns.NS, p place) error {
	return withNetlink(ns, func(conn *netlink.Conn) error {
		return errors.Join(setAddresses(conn, uplink, p.addr4, p.addr6), setDefault(conn, way{uplink, p, 0}))
	})
}

// setAddresses gives a link those addresses of which there are any.
func setAddresses(conn *netlink.Conn, link string, addresses ...netip.Prefix) error {
	var errs []error
	for _, a := range addresses {
		if a.IsValid() {
			errs = append(errs, conn.SetAddress(link, a, false))
		}
	}
	return errors.Join(errs...)
}

// setDefaults makes the default routes of a member's uplinks.
func (u *underlay) setDefaults(conn *netlink.Conn, name string) error {
	ways := []way{{uplink, u.places[name], 0}}
	if p, ok := u.seconds[name]; ok {
		ways = append(ways, way{secondUplink, p, secondMetric})
	}
	return setDefault(conn, ways...)
}

// way is an uplink as a default route has it.
type way struct {
	link   string
	place  place
	metric uint32
}

// setDefault makes the router the way to all that has no better one.
func setDefault(conn *netlink.Conn, ways ...way) error {
	table, err := netlink.NewTable(conn, netlink.MainTable, protocol)
	if err != nil {
		return err
	}
	var routes []netlink.Route
	for _, w := range ways {
		link, err := conn.Link(w.link)
		if err != nil {
			return err
		}
		for _, via := range []netip.Prefix{w.place.router4, w.place.router6} {
			if via.IsValid() {
				all := netip.PrefixFrom(via.Addr(), 0).Masked()
				routes = append(routes, netlink.Route{Dst: all, Link: link.Index, Via: via.Addr(), Metric: w.metric})
			}
		}
	}
	_, err = table.Reconcile(routes)
	return err
}

// load gives the rules to the kernel.
func (u *underlay) load(ctx context.Context) error {
	if err := loadRules(ctx, u.router, u.rules.rules()); err != nil {
		return err
	}
	edges := u.rules.views()
	u.shown.Store(&edges)
	return nil
}

// loadRules gives a rule set to the kernel, for one namespace.
func loadRules(ctx context.Context, ns *netns.NS, rules string) error {
	return ns.Do(func() error {
		nft := exec.CommandContext(ctx, "nft", "-f", "-")
		nft.Stdin = bytes.NewBufferString(rules)
		if out, err := nft.CombinedOutput(); err != nil {
			return fmt.Errorf("lab: nft (of the package nftables): %w: %s", err, bytes.TrimSpace(out))
		}
		return nil
	})
}

// setRate limits what a member sends and what it gets to so many bits a second; 0 is no limit.
func (u *underlay) setRate(name string, bits uint64) error {
	for _, end := range []struct {
		ns   *netns.NS
		link string
	}{{u.members[name], uplink}, {u.router, name}} {
		conn, err := end.ns.Netlink()
		if err != nil {
			return err
		}
		err = conn.SetRate(end.link, bits)
		conn.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
