package netcheck_test

import (
	"net/netip"
	"strings"
	"testing"

	"re6st/actors/netcheck"
	"re6st/hw/doctor"
	"re6st/protocols/addr"
	"re6st/protocols/nat"
	protocol "re6st/protocols/netcheck"
)

func ms(n int64) *int64 { return &n }

// well are the facts of a network that lets all through.
func well() protocol.Facts {
	one, two := addr.NodeIDFromUint64(1), addr.NodeIDFromUint64(2)
	return protocol.Facts{
		IPv4:     protocol.Family{Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Default: []string{"eth0"}},
		IPv6:     protocol.Family{Addresses: []netip.Addr{netip.MustParseAddr("2001:db8::1")}, Default: []string{"eth0"}},
		Name:     &protocol.Name{Host: "registry.example", Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.1")}},
		Registry: &protocol.Contact{At: "registry.example:6326", Connect: 12000, Answer: 40000, Clock: ms(-700)},
		Peers: []protocol.Peer{
			{Node: &one, Address: netip.MustParseAddrPort("192.0.2.7:7326"), Answered: true, RTT: 9000, Largest: 1500, QUIC: true, TLS: true},
			{Node: &one, Address: netip.MustParseAddrPort("[2001:db8::7]:7326")}, // by the other it answers
			{Node: &two, Address: netip.MustParseAddrPort("192.0.2.8:7326"), Answered: true, RTT: 18000, Largest: 1500},
		},
		NAT:     protocol.NAT{Kind: nat.None},
		Mapping: &protocol.Mapping{Gateway: netip.MustParseAddr("192.0.2.254")},
	}
}

// silence takes all answers of peers away, for a reason that the kernel gives.
func silence(f *protocol.Facts, why protocol.Refusal) {
	for i, p := range f.Peers {
		f.Peers[i] = protocol.Peer{Node: p.Node, Address: p.Address, Refusal: string(why)}
	}
}

func TestANetworkThatLetsAllThroughIsWell(t *testing.T) {
	all, o := netcheck.Judge(well())
	if o != netcheck.Well || doctor.Count(all, doctor.OK) != len(all) || len(all) != 11 {
		t.Errorf("%s: %+v", o, all)
	}
}

func TestEachLackIsNamedWithItsCure(t *testing.T) {
	for _, c := range []struct {
		name        string
		change      func(*protocol.Facts)
		outcome     netcheck.Outcome
		finding     string
		grade       doctor.Grade
		found, cure string // parts of them
	}{
		{"no IPv6", func(f *protocol.Facts) { f.IPv6 = protocol.Family{} }, netcheck.Well, "IPv6", doctor.Note, "no address", "the other family"},
		{"no way out", func(f *protocol.Facts) { f.IPv4.Default, f.IPv6.Default = nil, nil }, netcheck.Degraded, "IPv4", doctor.Lack, "no default route", "a default route"},
		{"no DNS", func(f *protocol.Facts) { f.Name = &protocol.Name{Host: "registry.example", Error: "no such host"} }, netcheck.Degraded, "DNS", doctor.Lack, "no such host", "resolv.conf"},
		{
			"registry down", func(f *protocol.Facts) {
				f.Registry = &protocol.Contact{At: "r:1", Trouble: protocol.Refused, Error: "connection refused"}
			}, netcheck.Degraded, "registry", doctor.Lack, "connection refused", "registry serve",
		},
		{
			"a sign-in page", func(f *protocol.Facts) {
				f.Registry = &protocol.Contact{At: "r:1", Trouble: protocol.Foreign, Error: "another CA"}
			}, netcheck.Degraded, "registry", doctor.Lack, "another CA", "sign-in page",
		},
		{"clock behind", func(f *protocol.Facts) { f.Registry.Clock = ms(3 * 3600_000) }, netcheck.Degraded, "clock", doctor.Lack, "3h0m0s behind", "time service"},
		{"clock ahead", func(f *protocol.Facts) { f.Registry.Clock = ms(-2 * 60_000) }, netcheck.Degraded, "clock", doctor.Lack, "2m0s ahead", "time service"},
		{"UDP blocked", func(f *protocol.Facts) { silence(f, "") }, netcheck.Degraded, "UDP", doctor.Lack, "the registry does by TCP", "UDP is blocked"},
		{"UDP by content", func(f *protocol.Facts) { silence(f, ""); f.Peers[0].QUIC, f.Peers[0].TLS = true, true }, netcheck.Degraded, "UDP", doctor.Lack, "dropped for what is in it", "go by QUIC"},
		{"UDP as a whole", func(f *protocol.Facts) { silence(f, ""); f.Peers[0].TLS = true }, netcheck.Degraded, "UDP", doctor.Lack, "dropped as a whole", "go by TLS"},
		{
			"TLS alone reaches somebody", func(f *protocol.Facts) {
				silence(f, "")
				f.Peers[0].TLS, f.Registry = true, &protocol.Contact{At: "r:1", Trouble: protocol.Silent, Error: "timeout"}
			}, netcheck.Degraded, "TLS", doctor.OK, "1 of 2 nodes answer, at TCP port 443", "",
		},
		{
			"TLS at another port", func(f *protocol.Facts) { f.Peers[0].TLS, f.Peers[0].TLSPort = true, 8443 },
			netcheck.Well, "TLS", doctor.OK, "at TCP ports 443, 8443", "",
		},
		{"no QUIC", func(f *protocol.Facts) { f.Peers[0].QUIC = false }, netcheck.Well, "QUIC", doctor.Note, "no node answers", "while UDP passes"},
		{"own firewall", func(f *protocol.Facts) { silence(f, protocol.FilteredHere) }, netcheck.Degraded, "UDP", doctor.Lack, "of this machine refuses", "nft list ruleset"},
		{"firewall that says so", func(f *protocol.Facts) { silence(f, protocol.Filtered) }, netcheck.Degraded, "UDP", doctor.Lack, "on the way refuses", "network's firewall"},
		{"nodes down", func(f *protocol.Facts) { silence(f, protocol.NobodyThere) }, netcheck.Degraded, "UDP", doctor.Lack, "datagrams arrive", "start the nodes"},
		{"no route", func(f *protocol.Facts) { silence(f, protocol.NoRoute) }, netcheck.Degraded, "UDP", doctor.Lack, "no route", "default route"},
		{
			"nobody at all", func(f *protocol.Facts) {
				silence(f, "")
				f.Registry = &protocol.Contact{At: "r:1", Trouble: protocol.Silent, Error: "timeout"}
			}, netcheck.Failed, "UDP", doctor.Lack, "none of 3", "connected at all",
		},
		{"nodes behind NATs", func(f *protocol.Facts) { silence(f, ""); f.Node = &protocol.NodeFact{Links: 2} }, netcheck.Well, "UDP", doctor.Note, "node has links", "behind NATs"},
		{"one node down", func(f *protocol.Facts) { f.Peers[2].Answered = false }, netcheck.Well, "UDP to some", doctor.Note, "192.0.2.8:7326", "are down"},
		{"nobody known", func(f *protocol.Facts) { f.Peers = nil }, netcheck.Well, "UDP", doctor.Unknown, "no other node", "--peer"},
		{
			"black hole", func(f *protocol.Facts) { f.Peers[0].Largest, f.Peers[0].TooBig = 1300, 1304 },
			netcheck.Well, "MTU", doctor.Note, "at most 1300 bytes pass to 192.0.2.7:7326; longer ones vanish", "in two; other programs may not",
		},
		{
			"too narrow for handshakes", func(f *protocol.Facts) { f.Peers[0].Largest, f.Peers[0].TooBig = 0, 1200 },
			netcheck.Degraded, "MTU", doctor.Lack, "packets of 1200 bytes do not pass to 192.0.2.7:7326", "1248",
		},
		{
			"a narrow link that says so", func(f *protocol.Facts) { f.Peers[0].Largest, f.Peers[0].TooBig, f.Peers[0].Told = 1420, 1421, 1420 },
			netcheck.Well, "MTU", doctor.Note, "at most 1420 bytes", "finds out what fits",
		},
		{"random ports", func(f *protocol.Facts) { f.NAT.Kind = nat.Random }, netcheck.Well, "NAT", doctor.Note, "another port for each", "relays"},
		{"one address", func(f *protocol.Facts) { f.NAT.Kind = nat.PortRestricted }, netcheck.Well, "NAT", doctor.OK, "the same address", ""},
		{
			"random, but mapped", func(f *protocol.Facts) {
				f.NAT.Kind, f.Node = nat.Random, &protocol.NodeFact{Mapped: netip.MustParseAddrPort("203.0.113.1:7326")}
			}, netcheck.Well, "NAT", doctor.OK, "maps 203.0.113.1:7326", "",
		},
		{"not seen, but the node knows", func(f *protocol.Facts) { f.NAT.Kind, f.Node = nat.Unknown, &protocol.NodeFact{NAT: "random"} }, netcheck.Well, "NAT", doctor.Note, "another port", "relays"},
		{"a gateway that does not map", func(f *protocol.Facts) { f.NAT.Kind = nat.Random }, netcheck.Well, "port mapping", doctor.Note, "neither PCP", "turn on"},
		{
			"a gateway that maps", func(f *protocol.Facts) {
				f.Mapping.Offers = []protocol.Offer{{Protocol: "PCP"}, {Protocol: "NAT-PMP", External: netip.MustParseAddr("203.0.113.1")}}
			}, netcheck.Well, "port mapping", doctor.OK, "PCP; NAT-PMP, outside address 203.0.113.1", "",
		},
	} {
		f := well()
		c.change(&f)
		all, o := netcheck.Judge(f)
		if o != c.outcome {
			t.Errorf("%s: %s, want %s: %+v", c.name, o, c.outcome, all)
		}
		there := false
		for _, x := range all {
			if x.Name != c.finding {
				continue
			}
			there = true
			if x.Grade != c.grade || !strings.Contains(x.Found, c.found) || !strings.Contains(x.Cure, c.cure) {
				t.Errorf("%s: %+v, want %s, %q, %q", c.name, x, c.grade, c.found, c.cure)
			}
		}
		if !there {
			t.Errorf("%s: there is no finding %s in %+v", c.name, c.finding, all)
		}
		for _, x := range all {
			if x.Grade != doctor.OK && (x.Cure == "" || x.For == "") {
				t.Errorf("%s: without cure or purpose: %+v", c.name, x)
			}
		}
	}
}
