package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"re6st/hw/netlink"
	"re6st/hw/netns"
	"re6st/hw/process"
)

// NATKind is what a NAT between a node and the underlay does (RFC 4787's words).
type NATKind string

// The kinds of NATs. All are Linux' own, and none lets a stranger in.
const (
	// PortRestricted keeps a node's port and lets in only whom the node has sent
	// to: address- and port-dependent filtering.
	PortRestricted NATKind = "port-restricted"
	// RandomPorts draws another port for each peer: address- and port-dependent
	// mapping, which nobody can foretell.
	RandomPorts NATKind = "random"
	// Gateway is PortRestricted, and maps ports on request: UPnP IGD, NAT-PMP
	// and PCP, by miniupnpd.
	Gateway NATKind = "igd"
)

// NATKinds lists all of them, in the order of the help text.
var NATKinds = []NATKind{PortRestricted, RandomPorts, Gateway}

// NATs says which nodes are behind a NAT, one each, and of what kind. It is the value
// of a flag: n1=port-restricted,n2=random.
type NATs map[string]NATKind

const natUsage = "write: --nat n1=port-restricted,n2=random"

// Set adds those of a flag (pflag.Value).
func (n *NATs) Set(text string) error {
	for _, part := range strings.Split(text, ",") {
		name, kind, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return fmt.Errorf("%q names no node and kind; %s", part, natUsage)
		}
		if err := n.add(name, NATKind(kind)); err != nil {
			return fmt.Errorf("%w; %s", err, natUsage)
		}
	}
	return nil
}

// add puts a node behind a NAT.
func (n *NATs) add(name string, kind NATKind) error {
	switch {
	case !isName(name) || name == registryName:
		return fmt.Errorf("%q is no name of a node", name)
	case !slices.Contains(NATKinds, kind):
		return fmt.Errorf("%q is no kind of NAT, but one of %v is", kind, NATKinds)
	case (*n)[name] != "":
		return fmt.Errorf("%s is behind one NAT already", name)
	}
	if *n == nil {
		*n = NATs{}
	}
	(*n)[name] = kind
	return nil
}

// String gives them as they are written.
func (n *NATs) String() string {
	var parts []string
	for _, name := range slices.SortedFunc(maps.Keys(*n), compareNames) {
		parts = append(parts, name+"="+string((*n)[name]))
	}
	return strings.Join(parts, ",")
}

// Type names the value in the help text (pflag.Value).
func (n *NATs) Type() string { return "NODE=KIND,..." }

// check says whether a lab of that topology with these nodes can have them.
func (n NATs) check(t Topology, nodes int) error {
	if len(n) > 0 && t == LAN {
		return fmt.Errorf("lab: no NAT can be between the nodes of a LAN and their one segment; take another topology")
	}
	for _, name := range slices.SortedFunc(maps.Keys(n), compareNames) {
		if !slices.Contains(nodeNames(nodes), name) {
			return fmt.Errorf("lab: a NAT for %s, and the lab has n1 to %s", name, nodeName(nodes-1))
		}
	}
	return nil
}

// Addresses behind and of a NAT.
var (
	// Behind every NAT it is the same: nodes behind two of them must not be taken
	// for neighbors.
	insideNode   = netip.MustParsePrefix("192.168.1.2/24")
	insideRouter = netip.MustParsePrefix("192.168.1.1/24")
	// miniupnpd maps no port of an address that is of no use in the Internet. None
	// of these leaves the machine.
	underlayPublic = netip.MustParsePrefix("11.0.0.0/8")
)

// inside is the NAT's link to the node; its other link is its uplink.
const inside = "inside"

// nat is one NAT.
type nat struct {
	kind    NATKind
	ns      *netns.NS
	outside netip.Addr
	place   place // of its uplink
}

// addNAT makes a NAT where a member would be, and puts the member behind it.
func (u *underlay) addNAT(ctx context.Context, name string, p place, kind NATKind) error {
	if kind == Gateway {
		p.addr4, p.router4 = moved(p.addr4), moved(p.router4)
	}
	p = place{addr4: p.addr4, router4: p.router4}
	ns, err := u.addHost(name, name+"-nat", p)
	if err != nil {
		return err
	}
	u.nats[name] = nat{kind, ns, p.addr4.Addr(), p}
	member, err := u.group.Create(name)
	if err != nil {
		return err
	}
	u.members[name], u.places[name] = member, place{addr4: insideNode, router4: insideRouter}
	if err := netns.Veth(ns, inside, member, uplink); err != nil {
		return err
	}
	err = errors.Join(ns.Sysctl("net/ipv4/ip_forward", "1"), withNetlink(ns, func(c *netlink.Conn) error {
		return c.SetAddress(inside, insideRouter, false)
	}))
	return errors.Join(err, settle(member, u.places[name]), loadRules(ctx, ns, kind.rules()))
}

// moved is the same place among the addresses of underlayPublic.
func moved(p netip.Prefix) netip.Prefix {
	a := p.Addr().As4()
	a[0] = underlayPublic.Addr().As4()[0]
	return netip.PrefixFrom(netip.AddrFrom4(a), p.Bits())
}

// rules renders what the NAT does for `nft -f -`. A packet of a stranger is dropped
// before connection tracking takes note of it, as on a router with a firewall: else
// the node's own packet to that stranger would find its port taken. The chains of
// miniupnpd have the names that it looks for.
func (k NATKind) rules() string {
	masquerade := "masquerade"
	if k == RandomPorts {
		masquerade = "masquerade fully-random"
	}
	return fmt.Sprintf(`table inet filter {
chain miniupnpd {
}
chain prerouting_miniupnpd {
}
chain postrouting_miniupnpd {
}
chain input {
type filter hook input priority filter;
iifname %[1]q ct state new drop
}
chain forward {
type filter hook forward priority filter;
jump miniupnpd
iifname %[1]q ct state new drop
}
chain prerouting {
type nat hook prerouting priority dstnat;
jump prerouting_miniupnpd
}
chain postrouting {
type nat hook postrouting priority srcnat;
jump postrouting_miniupnpd
oifname %[1]q %[2]s
}
}
`, uplink, masquerade)
}

// startGateways runs miniupnpd in the NATs that map ports on request.
func (l *Lab) startGateways() error {
	for _, name := range l.names {
		if n := l.under.nats[name]; n.kind == Gateway {
			if err := l.startGateway(name, n); err != nil {
				return fmt.Errorf("lab: NAT of %s: %w", name, err)
			}
		}
	}
	return nil
}

// startGateway runs one. Its logs are beside the nodes'.
func (l *Lab) startGateway(name string, n nat) error {
	path, err := exec.LookPath("miniupnpd")
	if err != nil {
		return fmt.Errorf("the kind %s needs miniupnpd, of the package miniupnpd-nftables: %w", Gateway, err)
	}
	config := filepath.Join(l.group.Dir(), name+"-nat.conf")
	if err := os.WriteFile(config, []byte(n.config()), 0o600); err != nil {
		return err
	}
	log, err := os.Create(logFile(l.logs(), name+"-nat"))
	if err != nil {
		return err
	}
	defer log.Close()
	_, err = l.spawner.Start(process.Spec{
		Path: path, Args: []string{"-d", "-f", config, "-P", config + ".pid"}, NS: n.ns, Stdout: log, Stderr: log,
	})
	return err
}

// config is miniupnpd's. The uuid is of the NAT's device description.
func (n nat) config() string {
	return fmt.Sprintf(`ext_ifname=%s
listening_ip=%s
enable_natpmp=yes
enable_upnp=yes
secure_mode=yes
port=0
uuid=00000000-0000-4000-8000-%012x
`, uplink, inside, n.outside.AsSlice())
}

// withNetlink does something by a route socket in a namespace.
func withNetlink(ns *netns.NS, do func(*netlink.Conn) error) error {
	conn, err := ns.Netlink()
	if err != nil {
		return err
	}
	defer conn.Close()
	return do(conn)
}
