package node_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"re6st/actors/discovery"
	"re6st/actors/node"
	"re6st/actors/subnet"
	"re6st/protocols/fabric"
	"re6st/protocols/inbound"
	"re6st/protocols/ktunnel"
)

func TestAnEmptyFileIsAConfiguration(t *testing.T) {
	c, err := node.ParseConfig(nil)
	if err != nil {
		t.Fatal(err)
	}
	if *c.Mark != 0x720000ce || *c.Port != node.DefaultPort || c.Interface != node.DefaultInterface || c.MTU != 0 || c.Log != slog.LevelInfo {
		t.Errorf("%+v", c)
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	c, err := node.ParseConfig([]byte(`
port = 0
interface = "mesh0"
mtu = 1400
endpoints = ["203.0.113.5:7326", "[2001:db8::5]:7326"]
trusted = ["eth1"]
tunnels = ["wireguard", "fou"]
tunnel_peer = [{prefix = "5/16", tunnels = ["gre"], trusted = true}]
trusted_underlay = ["192.0.2.0/24"]
tunnel_port = 7400
client_count = 2
max_clients = 3
route_protocol = 207
mark = 0x72
remote_gateways = ["192.0.2.1", "fe80::1%eth1"]
http = "127.0.0.1:7327"
log = "debug"
carriers = ["tls", "udp"]
tls_port = 8443
debug_faults = true
debug_restart_window_ms = 100
`))
	if err != nil {
		t.Fatal(err)
	}
	if *c.Port != 0 || c.Interface != "mesh0" || c.MTU != 1400 || c.Endpoints[1] != netip.MustParseAddrPort("[2001:db8::5]:7326") ||
		c.Trusted[0] != "eth1" || c.ClientCount != 2 || c.MaxClients != 3 || c.RouteProtocol != 207 || *c.Mark != 0x72 || c.Log != slog.LevelDebug ||
		len(c.Carriers) != 2 || c.Carriers[0] != node.Carrier(fabric.TLS) || *c.TLSPort != 8443 ||
		len(c.Tunnels) != 2 || c.Tunnels[0] != ktunnel.WireGuard || c.TunnelPeers[0].Prefix.CN() != "5/16" || c.TunnelPeers[0].Tunnels[0] != ktunnel.GRE ||
		len(c.RemoteGateways) != 2 || c.RemoteGateways[1].Zone() != "eth1" ||
		!c.TunnelPeers[0].Trusted || c.TrustedUnderlay[0] != netip.MustParsePrefix("192.0.2.0/24") ||
		c.TunnelPort != 7400 || !c.DebugFaults || c.DebugRestartWindow != 100 || c.HTTP != netip.MustParseAddrPort("127.0.0.1:7327") {
		t.Errorf("%+v", c)
	}
}

func TestBadConfigurationsSayWhere(t *testing.T) {
	for text, want := range map[string]string{
		"port = 1\nprot = 2":                                  `line 2: unknown key "prot"`,
		"port = 70000":                                        "line 1",
		"\n\nport = \"x\"":                                    "line 3",
		"endpoints = [\"203.0.113.5\"]":                       "line 1",
		"tunnels = [\"ipip\"]":                                `"ipip" is no kind of tunnel: there are gre, fou, wireguard, openvpn-udp and openvpn-tcp`,
		"tunnel_peer = [{tunnels = [\"gre\"]}]":               `write { prefix = "5/16"`,
		"tunnel_port = 65500":                                 "tunnel_port is 65500; it is the first of 64, and so at most 65472",
		"tunnel_port = 7300":                                  "the node's port 7326 is one of the 64",
		"mtu = 100":                                           "mtu is 100; it must be 1280 to 65000",
		"interface = \"averyveryverylong\"":                   "length of interface is 17",
		"route_protocol = 2":                                  "route_protocol is 2",
		"mark = 0x7fffffff":                                   "mark is 2147483647",
		"mark = 4294967295":                                   "mark is 2147483647",
		"port = 7\ncountry = \"fr\"":                          "line 2, column 11: toml: \"fr\" is no country",
		"port = 7\nneighbours = 6":                            "line 2",
		"shortcuts = 17":                                      "shortcuts is 17; it must be 0 to 16",
		"shortcut_kbit = -1":                                  "shortcut_kbit is -1",
		"shortcut_idle = \"500ms\"":                           "shortcut_idle is 500ms; it must be 1s to 24h",
		"port = 7\nshortcut_idle = \"5\"":                     "line 2",
		"mark = -1":                                           "line 1",
		"debug_restart_window_ms = 5":                         "it needs debug_faults = true",
		"inbound = \"some\"":                                  "write all, established or list",
		"debug_originate = [\"::/0\"]":                        "needs debug_faults = true",
		"debug_router_id = \"0102030405060708\"":              "needs debug_faults = true",
		"debug_metric = 1":                                    "needs debug_faults = true",
		"origins = \"maybe\"":                                 "\"off\", \"prefer\" or \"require\"",
		"inbound_list = [\"::/0\"]":                           "inbound is \"all\"",
		"inbound = \"list\"\ninbound_list = [\"::/0 gre\"]":   "line 2",
		"gateway_sources = [\"fd00::/8\"]":                    "it needs gateway = true",
		"gateway = true\ngateway_sources = [\"fd00::1/8\"]":   "without bits behind its length",
		"gateway = true\ngateway_sources = [\"10.0.0.0/8\"]":  "an IPv6 prefix",
		"gateway = true\nplain_default = [\"eth1\"]":          "neither one of trusted",
		"trusted = [\"eth1\"]\nplain_default = [\"eth1\"]":    "it needs gateway or default_route",
		"log = \"loud\"":                                      "line 1",
		"port = 1\ncarriers = [\"udp\", \"sctp\"]":            "line 2, column 20: toml: carrier \"sctp\": not udp, quic or tls",
		"port = 1\ntls_port = 65536":                          "line 2",
		"remote_gateways = [\"fe80::1\"]":                     "such as fe80::1%eth1",
		"mark = 0\nremote_gateways = [\"192.0.2.1\"]":         "it needs a mark",
		"\nremote_gateways = [\"192.0.2\"]":                   "line 2",
		"port = ":                                             "line 1",
		"http = \"0.0.0.0:7327\"":                             "it is served to this machine only",
		"http = \"localhost:7327\"":                           "line 1",
		"tunnel_peer = [{prefix = \"5/16\", trusted = true}]": "has none of the kernel's tunnels",
		"tunnel_peer = [{prefix = \"5/16\", trusted = true, tunnels = [\"openvpn-udp\"]}]": "tunnels = [\"wireguard\"], trusted = true",
		"trusted_underlay = [\"192.0.2.1/24\"]":                                            "such as 192.0.2.0/24",
		"trusted_underlay = [\"192.0.2.0/24\"]\ninbound = \"established\"":                 "passes it by",
		"trusted_underlay = [\"192.0.2.0/24\"]\nmark = 0x710000ce":                         "take another",
		"trusted_underlay = [\"192.0.2.0/24\"]\nmark = 0x310000ce":                         "take another",
	} {
		_, err := node.ParseConfig([]byte(text))
		if !errors.Is(err, node.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want it to tell %q", text, err, want)
		}
	}
}

func TestNumbersOfTheConfigurationAreBounded(t *testing.T) {
	list := func(n int, item string) string { return "[" + strings.Repeat(item+",", n) + "]" }
	for _, c := range []struct {
		key   string
		limit int
		text  func(n int) string
	}{
		{"number of endpoints", node.MaxEndpoints, func(n int) string { return "endpoints = " + list(n, `"203.0.113.5:1"`) }},
		{"number of interfaces of trusted and babel_interface", node.MaxTrusted, func(n int) string { return "trusted = " + list(n, `"eth1"`) }},
		{"number of tunnel_peer", node.MaxTunnelPeers, func(n int) string {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, "[[tunnel_peer]]\nprefix = \"%d/16\"\n", i)
			}
			return b.String()
		}},
		{"number of trusted_underlay", node.MaxUnderlays, func(n int) string { return "trusted_underlay = " + list(n, `"192.0.2.0/24"`) }},
		{"number of gateway_sources", node.MaxSources, func(n int) string { return "gateway = true\ngateway_sources = " + list(n, `"fd00::/8"`) }},
		{"client_count", node.MaxClientCount, func(n int) string { return fmt.Sprintf("client_count = %d", n) }},
		{"number of neighbours", node.MaxNeighbours, func(n int) string { return "neighbours = " + list(n, `"6/16"`) }},
		{"max_clients", node.MaxClientCount, func(n int) string { return fmt.Sprintf("max_clients = %d", n) }},
		{"number of subnets", subnet.MaxSubnets, func(n int) string {
			return "subnets = " + list(n, `{interface = "br0", length = 80}`)
		}},
		{"number of lan_interfaces", discovery.MaxInterfaces, func(n int) string { return "lan_interfaces = " + list(n, `"eth1"`) }},
		{"number of rules of inbound_list", inbound.MaxRules, func(n int) string {
			return "inbound = \"list\"\ninbound_list = " + list(n, `"::/0"`)
		}},
	} {
		if _, err := node.ParseConfig([]byte(c.text(c.limit))); err != nil {
			t.Errorf("%s %d: %v", c.key, c.limit, err)
		}
		_, err := node.ParseConfig([]byte(c.text(c.limit + 1)))
		if want := fmt.Sprintf("%s is %d; it must be 0 to %d", c.key, c.limit+1, c.limit); !errors.Is(err, node.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s %d: %v; want it to tell %q", c.key, c.limit+1, err, want)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte("port = 1\ntrusted = [\"a\"]"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if c, err := node.ParseConfig(raw); err == nil && (c.MTU != 0 && c.MTU < node.MinMTU || c.Port == nil) {
			t.Fatalf("%+v", c)
		}
	})
}

func TestPortsAreMappedUnlessSaid(t *testing.T) {
	for text, want := range map[string]bool{"": true, "port_mapping = true": true, "port_mapping = false": false} {
		if c, err := node.ParseConfig([]byte(text)); err != nil || *c.PortMapping != want {
			t.Errorf("%q: %v, %v", text, *c.PortMapping, err)
		}
	}
}

func TestBatchesAreUsedUnlessSaid(t *testing.T) {
	for text, want := range map[string]bool{"": true, "batches = true": true, "batches = false": false} {
		if c, err := node.ParseConfig([]byte(text)); err != nil || *c.Batches != want {
			t.Errorf("%q: %v, %v", text, *c.Batches, err)
		}
	}
}
