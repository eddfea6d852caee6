package lab

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"re6st/hw/netlink"
	"re6st/hw/netns"
)

// Family is what of the underlay a node reaches.
type Family string

// The families.
const (
	IPv4      Family = "v4"
	IPv6      Family = "v6"
	DualStack Family = "both"
)

// Families says which nodes have not both; those of everyName are of all the others. It
// is the value of a flag: v4, or n1=v4,n2=v6.
type Families map[string]Family

const familyUsage = "write: --underlay v4, or --underlay n1=v4,n2=v6"

// Set adds those of a flag (pflag.Value).
func (f *Families) Set(text string) error {
	for _, part := range strings.Split(text, ",") {
		name, family, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			name, family = everyName, name
		}
		if err := f.add(name, Family(family)); err != nil {
			return fmt.Errorf("%w; %s", err, familyUsage)
		}
	}
	return nil
}

func (f *Families) add(name string, family Family) error {
	switch {
	case name != everyName && (!isName(name) || name == registryName):
		return fmt.Errorf("%q is no name of a node", name)
	case family != IPv4 && family != IPv6 && family != DualStack:
		return fmt.Errorf("%q is no underlay, but one of v4, v6 and both is", family)
	}
	if *f == nil {
		*f = Families{}
	}
	(*f)[name] = family
	return nil
}

// String gives them as they are written.
func (f *Families) String() string {
	var parts []string
	for _, name := range slices.SortedFunc(maps.Keys(*f), compareNames) {
		if name == everyName {
			parts = append(parts, string((*f)[name]))
			continue
		}
		parts = append(parts, name+"="+string((*f)[name]))
	}
	return strings.Join(parts, ",")
}

// Type names the value in the help text (pflag.Value).
func (f *Families) Type() string { return "v4|v6|both|NODE=v4,..." }

// limit takes from a node's place what is not its family's. The registry has both.
func (f Families) limit(name string, p place) place {
	family, ok := f[name]
	if !ok && name != registryName {
		family = f[everyName]
	}
	switch family {
	case IPv4:
		p.addr6, p.router6 = netip.Prefix{}, netip.Prefix{}
	case IPv6:
		p.addr4, p.router4 = netip.Prefix{}, netip.Prefix{}
	default: // it has both
	}
	return p
}

// check says whether a lab with these nodes can have them.
func (f Families) check(nats NATs, nodes int) error {
	for _, name := range slices.SortedFunc(maps.Keys(f), compareNames) {
		if name != everyName && !slices.Contains(nodeNames(nodes), name) {
			return fmt.Errorf("lab: an underlay of %s, and the lab has n1 to %s", name, nodeName(nodes-1))
		}
	}
	for name := range nats {
		if !f.limit(name, placeOf(Full, 1)).addr4.IsValid() {
			return fmt.Errorf("lab: %s is behind a NAT, which needs IPv4", name)
		}
	}
	return nil
}

// Of second uplinks.
const (
	secondUplink = "eth1"
	secondSuffix = "-2" // of the router's end
	secondIndex  = 0x2000
	// secondMetric is of the default route, worse than the first uplink's.
	secondMetric = 2048
)

// checkUplinks says whether a lab can have second uplinks for these nodes.
func checkUplinks(uplinks []string, t Topology, nats NATs, nodes int) error {
	for _, name := range uplinks {
		switch {
		case !slices.Contains(nodeNames(nodes), name):
			return fmt.Errorf("lab: a second uplink for %s, and the lab has n1 to %s", name, nodeName(nodes-1))
		case nats[name] != "":
			return fmt.Errorf("lab: %s is behind a NAT, and has one uplink", name)
		case t == LAN:
			return fmt.Errorf("lab: nodes of a LAN have one uplink")
		}
	}
	return nil
}

// addSecond gives member i another uplink, whose default route is worse.
func (u *underlay) addSecond(name string, i int) error {
	p := u.families.limit(name, placeOf(u.topology, secondIndex+i))
	if err := netns.Veth(u.router, name+secondSuffix, u.members[name], secondUplink); err != nil {
		return err
	}
	u.seconds[name] = p
	u.rules.seconds[name] = true
	return errors.Join(
		withNetlink(u.router, func(c *netlink.Conn) error { return setAddresses(c, name+secondSuffix, p.router4, p.router6) }),
		withNetlink(u.members[name], func(c *netlink.Conn) error {
			return errors.Join(setAddresses(c, secondUplink, p.addr4, p.addr6), u.setDefaults(c, name))
		}))
}

// State is what becomes of an uplink.
type State string

// The states of an uplink.
const (
	Up    State = "up"
	Quiet State = "silent" // no packet passes, and nobody is told
	Down  State = "down"   // the carrier is gone
)

// setUplink changes the state of one uplink of a node.
func (u *underlay) setUplink(name string, number int, s State) error {
	port, p := name, u.places[name]
	if number == 2 {
		second, ok := u.seconds[name]
		if !ok {
			return fmt.Errorf("%w: %s has one uplink", ErrState, name)
		}
		port, p = name+secondSuffix, second
	}
	if n, behind := u.nats[name]; behind {
		p = n.place
	}
	delete(u.rules.quiet, port)
	if s == Quiet {
		u.rules.quiet[port] = true
	}
	return withNetlink(u.router, func(c *netlink.Conn) error {
		if err := c.SetUp(port, s != Down); err != nil || s == Down || u.topology == LAN {
			return err
		}
		return setAddresses(c, port, p.router4, p.router6) // IPv6's went with the carrier
	})
}
