package node

import (
	"net/netip"
	"testing"
	"time"

	"re6st/actors/neighbor"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/rib"
)

func TestWhichSourcesAPeerMayUse(t *testing.T) {
	member, gateway := addr.NodeIDFromUint64(5), addr.NodeIDFromUint64(6)
	network := netip.MustParsePrefix("2001:db8:42::/48")
	n := &parts{host: &host{ranges: []neighbor.Range{{Prefix: network}}}}
	for i, id := range []addr.NodeID{member, gateway} {
		prefix, err := addr.ParseCN([]string{"5/16", "6/16"}[i])
		if err != nil {
			t.Fatal(err)
		}
		n.peers.identified(&cert.Identity{ID: id, Prefix: prefix, IPv4: netip.MustParsePrefix([]string{"10.42.5.0/24", "10.42.6.0/24"}[i])})
	}
	table := rib.NewTable(netip.Prefix{})
	for prefix, egress := range map[string]addr.NodeID{"::/0": gateway, "fd99:1::/64": member, "192.168.7.0/24": member, "0.0.0.0/0": member} {
		route := rib.Route{Prefix: netip.MustParsePrefix(prefix), Egress: egress, NextHop: rib.NextHop{Link: 1}}
		if _, _, err := table.Offer(time.Now(), rib.OriginBabel, route); err != nil {
			t.Fatal(err)
		}
	}
	n.view.Store(table.View())
	gateways := []addr.NodeID{gateway}
	for _, c := range []struct {
		name string
		peer addr.NodeID
		src  string
		want bool
	}{
		{"its own", member, "2001:db8:42:5::1", true},
		{"another node's", member, "2001:db8:42:6::1", false},
		{"what is routed to it", member, "fd99:1::1", true},
		{"from outside, and it is no gateway", member, "2001:db8:ffff::1", false},
		{"from outside by a gateway", gateway, "2001:db8:ffff::1", true},
		{"a node's by a gateway", gateway, "2001:db8:42:5::1", false},
		{"nobody's in the network by a gateway", gateway, "2001:db8:42:9::1", false},
		{"what is routed elsewhere by a gateway", gateway, "fd99:1::1", false},
		{"of a stranger", addr.NodeIDFromUint64(7), "2001:db8:ffff::1", false},
	} {
		n.gateways.Store(&gateways)
		if got := n.accept(c.peer, netip.MustParseAddr(c.src)); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	for _, c := range []struct {
		name string
		peer addr.NodeID
		src  string
		want bool
	}{
		{"its share", member, "10.42.5.9", true},
		{"another's share", member, "10.42.6.1", false},
		{"nobody's share", gateway, "10.42.9.1", false},
		{"what is routed to it", member, "192.168.7.9", true},
		{"what is routed elsewhere", gateway, "192.168.7.9", false},
		{"from outside, by a gateway", gateway, "198.51.100.1", false},
		{"by a way out of IPv4", member, "203.0.113.1", false},
		{"of a stranger", addr.NodeIDFromUint64(7), "10.42.5.1", false},
	} {
		n.ipv4.Store(nil)
		if n.accept(c.peer, netip.MustParseAddr(c.src)) {
			t.Errorf("%s, in a network without IPv4", c.name)
		}
		n.ipv4.Store(&ipv4{ipv4Range: ipv4Range{netip.MustParsePrefix("10.42.0.0/16"), 24}})
		if got := n.accept(c.peer, netip.MustParseAddr(c.src)); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	n.gateways.Store(nil)
	if n.accept(gateway, netip.MustParseAddr("2001:db8:ffff::1")) {
		t.Error("a way out is believed before any is known")
	}
}
