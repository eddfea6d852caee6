package ktunnel_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"re6st/hw/ktunnel"
	"re6st/hw/netlink"
)

// TAPs stand for tunnels here: a route is the same by any link.
func TestARouteLeadsIntoTheNewestTunnelWithAPeer(t *testing.T) {
	tapHost(t, func(tunnels *ktunnel.Tunnels, conn *netlink.Conn) {
		var specs [2]ktunnel.Spec
		for i := range specs {
			name := fmt.Sprintf("n-o%d", i+1)
			if err := tunnels.AddTAP(ktunnel.TAP{Name: name, LinkLocal: netip.MustParseAddr("fe80::1"), MTU: 1434}); err != nil {
				t.Error(err)
				return
			}
			specs[i] = ktunnel.Spec{Name: name, Trust: ktunnel.Trust{
				Own: netip.MustParsePrefix("2001:db8:42:1::/64"), Peer: netip.MustParsePrefix("2001:db8:42:2::/64"),
				Source: netip.MustParseAddr("2001:db8:42:1::1"), Protocol: 206,
			}}
		}
		table := fmt.Sprint(netlink.DirectTable(206))
		expect := func(what, want string, errs ...error) {
			t.Helper()
			out, err := ip("-6", "route", "show", "table", table)
			if err := errors.Join(append(errs, err)...); err != nil && want != "" {
				t.Errorf("%s: %v", what, err)
			}
			if strings.Count(out, "2001:db8:42:2::/64") != min(1, len(want)) || !strings.Contains(out, want) {
				t.Errorf("%s: %q, want %q", what, out, want)
			}
		}
		for _, args := range []string{"link set lo up", "address add 2001:db8:42:1::1/128 dev lo nodad"} {
			if _, err := ip(strings.Fields(args)...); err != nil {
				t.Error(err)
			}
		}
		via := netip.MustParseAddr("fe80::2")
		expect("led", "via fe80::2 dev n-o1 proto 206 src 2001:db8:42:1::1", tunnels.Lead(specs[0], via))
		expect("led again", "dev n-o1", tunnels.Lead(specs[0], via))
		_, err := ip("-6", "route", "flush", "table", table)
		expect("flushed, and led again", "dev n-o1", err, tunnels.Lead(specs[0], via))
		expect("led by a second one", "dev n-o2", tunnels.Lead(specs[1], via))
		expect("not led by the first any more", "dev n-o2", tunnels.Unlead(specs[0]))
		expect("not led by the second either", "", tunnels.Unlead(specs[1]))
		expect("nor once more", "", tunnels.Unlead(specs[1]))
		expect("led by the first", "dev n-o1", tunnels.Lead(specs[0], via))
		expect("the first is removed", "", tunnels.Remove("n-o1"), tunnels.Unlead(specs[0]))
		if err := tunnels.Lead(specs[0], via); err == nil {
			t.Error("packets are led into a tunnel that is not there")
		}
	})
}
