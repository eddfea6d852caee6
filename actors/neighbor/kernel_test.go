package neighbor

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/hw/netlink"
	"re6st/protocols/rib"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// view is a table of routes.
func view(t *testing.T, routes ...rib.Route) *rib.View {
	t.Helper()
	table := rib.NewTable(locators)
	for _, r := range routes {
		if _, _, err := table.Offer(time.Now(), rib.OriginBabel, r); err != nil {
			t.Fatalf("%s: %v", r.Prefix, err)
		}
	}
	return table.View()
}

func TestWhatTheKernelIsToProgram(t *testing.T) {
	var (
		via     = netip.MustParseAddr("fe80::b")
		via4    = netip.MustParseAddr("198.51.100.1")
		own     = netip.MustParseAddr("2001:db8:42::1")
		fabric  = rib.NextHop{Link: 3}
		trusted = rib.NextHop{Ifindex: 5, Gateway: via}
		k       = &Kernel{DefaultRoute: true, TUN: 7, Ranges: []Range{{prefix("2001:db8:42::/48"), own}}}
		ranges  = netlink.Route{Dst: prefix("2001:db8:42::/48"), Link: 7, PrefSrc: own}
	)
	for name, c := range map[string]struct {
		route rib.Route
		want  []netlink.Route
	}{
		"a node's prefix lies in the range":    {rib.Route{Prefix: prefix("2001:db8:42:100::/64"), Egress: someone, NextHop: fabric}, nil},
		"outside of the ranges by the fabric":  {rib.Route{Prefix: prefix("fd99::/64"), Egress: someone, NextHop: fabric}, []netlink.Route{{Dst: prefix("fd99::/64"), Link: 7}}},
		"by a trusted interface":               {rib.Route{Prefix: prefix("fd99::/64"), Egress: someone, NextHop: trusted}, []netlink.Route{{Dst: prefix("fd99::/64"), Link: 5, Via: via}}},
		"in a range, by a trusted interface":   {rib.Route{Prefix: prefix("2001:db8:42:100::/64"), Egress: someone, NextHop: trusted}, []netlink.Route{{Dst: prefix("2001:db8:42:100::/64"), Link: 5, Via: via}}},
		"from a source":                        {rib.Route{Prefix: prefix("::/0"), Source: prefix("2001:db8:42::/48"), Egress: someone, NextHop: fabric}, []netlink.Route{{Dst: prefix("::/0"), Src: prefix("2001:db8:42::/48"), Link: 7, Metric: defaultMetric, PrefSrc: own}}},
		"the way out of the mesh":              {rib.Route{Prefix: prefix("::/0"), Egress: someone, NextHop: fabric}, []netlink.Route{{Dst: prefix("::/0"), Link: 7, Metric: defaultMetric, PrefSrc: own}}},
		"no way out any more":                  {rib.Route{Prefix: prefix("::/0"), Unreachable: true}, nil},
		"the way out by a trusted interface":   {rib.Route{Prefix: prefix("::/0"), Egress: someone, NextHop: trusted}, []netlink.Route{{Dst: prefix("::/0"), Link: 5, Via: via}}},
		"unreachable outside":                  {rib.Route{Prefix: prefix("fd99::/64"), Unreachable: true}, []netlink.Route{{Dst: prefix("fd99::/64"), Kind: netlink.Unreachable}}},
		"unreachable in a range":               {rib.Route{Prefix: prefix("2001:db8:42:100::/64"), Unreachable: true}, nil},
		"a locator":                            {rib.Route{Prefix: prefix("fd00:1::9/128"), Egress: someone, NextHop: fabric}, nil},
		"IPv4 by the fabric":                   {rib.Route{Prefix: prefix("192.0.2.0/24"), Egress: someone, NextHop: fabric}, nil},
		"IPv4 by IPv6, by a trusted interface": {rib.Route{Prefix: prefix("192.0.2.0/24"), Egress: someone, NextHop: trusted}, []netlink.Route{{Dst: prefix("192.0.2.0/24"), Link: 5, Via: via}}},
		"IPv4 by a trusted interface":          {rib.Route{Prefix: prefix("192.0.2.0/24"), Egress: someone, NextHop: rib.NextHop{Ifindex: 5, Gateway: via4}}, []netlink.Route{{Dst: prefix("192.0.2.0/24"), Link: 5, Via: via4, OnLink: true}}},
		"this node's own":                      {rib.Route{Prefix: prefix("fd99::/64"), Egress: someone}, nil},
	} {
		if got, want := k.routes(desired{view: view(t, c.route)}, locators), append([]netlink.Route{ranges}, c.want...); !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %v\nwant %v", name, got, want)
		}
	}
}

func TestWhatTheKernelIsToProgramOfIPv4(t *testing.T) {
	fabric, k := rib.NextHop{Link: 3}, &Kernel{DefaultRoute: true, TUN: 7}
	ranges := netlink.Route{Dst: prefix("10.42.0.0/16"), Link: 7}
	for name, c := range map[string]struct {
		route rib.Route
		want  []netlink.Route
	}{
		"a node's share lies in the range":    {rib.Route{Prefix: prefix("10.42.5.0/24"), Egress: someone, NextHop: fabric}, nil},
		"outside of the range":                {rib.Route{Prefix: prefix("192.0.2.0/24"), Egress: someone, NextHop: fabric}, []netlink.Route{{Dst: prefix("192.0.2.0/24"), Link: 7}}},
		"around the range":                    {rib.Route{Prefix: prefix("10.0.0.0/8"), Egress: someone, NextHop: fabric}, []netlink.Route{{Dst: prefix("10.0.0.0/8"), Link: 7}}},
		"a LAN of this node's own":            {rib.Route{Prefix: prefix("10.42.1.128/25"), NextHop: rib.NextHop{Ifindex: 5}}, []netlink.Route{{Dst: prefix("10.42.1.128/25"), Link: 5}}},
		"a way out":                           {rib.Route{Prefix: prefix("0.0.0.0/0"), Egress: someone, NextHop: fabric}, nil},
		"unreachable in the range":            {rib.Route{Prefix: prefix("10.42.5.0/24"), Unreachable: true}, nil},
		"unreachable outside":                 {rib.Route{Prefix: prefix("192.0.2.0/24"), Unreachable: true}, []netlink.Route{{Dst: prefix("192.0.2.0/24"), Kind: netlink.Unreachable}}},
		"in the range by another interface":   {rib.Route{Prefix: prefix("10.42.5.0/24"), NextHop: rib.NextHop{Ifindex: 5, Gateway: netip.MustParseAddr("fe80::b")}}, []netlink.Route{{Dst: prefix("10.42.5.0/24"), Link: 5, Via: netip.MustParseAddr("fe80::b")}}},
		"IPv6 that lies in no range, as ever": {rib.Route{Prefix: prefix("fd99::/64"), Egress: someone, NextHop: fabric}, []netlink.Route{{Dst: prefix("fd99::/64"), Link: 7}}},
	} {
		if got, want := k.routes(desired{view(t, c.route), ranges.Dst}, locators), append([]netlink.Route{ranges}, c.want...); !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %v\nwant %v", name, got, want)
		}
	}
}

func TestOnlyTheDifferenceIsApplied(t *testing.T) {
	a, b := netlink.Route{Dst: prefix("fd01::/64"), Link: 1}, netlink.Route{Dst: prefix("fd02::/64"), Link: 1}
	moved := a
	moved.Link = 2
	if set, remove := changed([]netlink.Route{a, b}, []netlink.Route{moved}), gone([]netlink.Route{a, b}, []netlink.Route{moved}); !slices.Equal(set, []netlink.Route{moved}) || !slices.Equal(remove, []netlink.Route{b}) {
		t.Errorf("sets %v, removes %v", set, remove)
	}
}
