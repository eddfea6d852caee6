package node

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"re6st/actors/discovery"
	"re6st/actors/monitor/web"
	"re6st/actors/subnet"
	"re6st/actors/tunnel"
	"re6st/hw/sock"
	"re6st/hw/tun"
	"re6st/protocols/addr"
	"re6st/protocols/inbound"
	"re6st/protocols/ktunnel"
	wire "re6st/protocols/registry"
	"re6st/protocols/tunnelplan"
)

// Defaults and bounds of the configuration.
const (
	DefaultPort       = 7326
	DefaultInterface  = "re6st0"
	DefaultMTU        = 1380 // a network's, unless it says otherwise: 1500 less the 120 bytes of protocols/fabric, UDP and IPv6
	MinMTU, MaxMTU    = 1280, 65000
	MaxEndpoints      = 16
	MaxTrusted        = 8
	MaxSources        = 16
	MaxClientCount    = 64
	MaxNeighbours     = 64
	MaxQueues         = min(tun.MaxQueues, sock.MaxShared)
	maxInterfaceName  = 15
	maxRestartWindow  = 60_000 // ms
	maxDebugOriginate = 64
	maxShortcutRate   = 10_000_000 // kbit/s
	maxShortcutIdle   = 24 * time.Hour
	DefaultRouteProt  = 206
	// markBase and the route protocol make the default mark: two networks on one host
	// have two of those numbers, and so two marks.
	markBase = 0x72000000
	maxMark  = math.MaxInt32 // it is the number of a routing table too
)

// Config is what a node is told by its file; all of it may be left out.
type Config struct {
	// Port is the node's UDP port, one for everything; 0 takes a free one.
	Port *uint16 `toml:"port"`
	// Carriers are what a link may go by: udp, quic, tls; none: all.
	Carriers []Carrier `toml:"carriers"`
	// TLSPort is the TCP port that serves links by TLS, 443 unless said; 0: none, they
	// are only dialled.
	TLSPort *uint16 `toml:"tls_port"`
	// Interface names the TUN that holds the node's addresses.
	Interface string `toml:"interface"`
	// MTU of the TUN in bytes, 1280 to 65000; 0: the network's.
	MTU int `toml:"mtu"`
	// Endpoints are further addresses at which others reach this node.
	Endpoints []netip.AddrPort `toml:"endpoints"`
	// Trusted interfaces speak Babel by multicast in the clear and are routed
	// by the kernel: whoever is on them may announce routes.
	Trusted []string `toml:"trusted"`
	// BabelInterfaces speak Babel too, by MACs with those who have a key.
	BabelInterfaces []BabelInterface `toml:"babel_interface"`
	// LAN finds other nodes by multicast on this machine's LANs; true unless said.
	LAN *bool `toml:"lan"`
	// LANInterfaces are the interfaces to do so on; none: all that are fit.
	LANInterfaces []string `toml:"lan_interfaces"`
	// Tunnels are the kinds of kernel tunnels that links go by where both ends have them,
	// best first: "gre", "fou", "wireguard", "openvpn-udp", "openvpn-tcp". None: links go over UDP.
	Tunnels []ktunnel.Kind `toml:"tunnels"`
	// TunnelPeers are peers with other Tunnels.
	TunnelPeers []TunnelPeer `toml:"tunnel_peer"`
	// TrustedUnderlay are networks of the underlay, such as a data centre's: tunnels between two
	// addresses of one of them are trusted as a trusted TunnelPeer's are.
	TrustedUnderlay []netip.Prefix `toml:"trusted_underlay"`
	// TunnelPort is the first of the ports of fou, wireguard and openvpn tunnels; 0: free ones.
	TunnelPort uint16 `toml:"tunnel_port"`
	// OpenVPN is the program; "": as PATH has it.
	OpenVPN string `toml:"openvpn"`
	// Gateway announces this machine's IPv6 default route as the mesh's way out,
	// while there is one.
	Gateway bool `toml:"gateway"`
	// GatewaySources are those of packets that the way out is for, such as the prefix of a
	// LAN behind a node; none: the network's ranges. "::/0" is all.
	GatewaySources []netip.Prefix `toml:"gateway_sources"`
	// PlainDefault are those interfaces that speak Babel with routers which know no routes
	// by source: they are told of a default route for all packets.
	PlainDefault []string `toml:"plain_default"`
	// DefaultRoute has this machine send what is for nowhere else into the mesh, where its
	// source is one that a gateway is for; from others, unless the machine has a default
	// route of its own.
	DefaultRoute bool `toml:"default_route"`
	// Inbound is what the mesh may send to this machine, and to what lies behind it:
	// "all", what is "established" from here, or that and what a "list" says.
	Inbound inbound.Policy `toml:"inbound"`
	// InboundList are the rules of the list, such as "2001:db8:42::/48 tcp 22".
	InboundList []inbound.Rule `toml:"inbound_list"`
	// PortMapping has the default route's gateway map the node's port, by PCP, NAT-PMP
	// or UPnP IGD; true unless said.
	PortMapping *bool `toml:"port_mapping"`
	// RemoteGateways are routers on links of this machine through which the peers that it
	// dials are reached, by turns; a link-local one with its interface, "fe80::1%eth1".
	RemoteGateways []netip.Addr `toml:"remote_gateways"`
	// Batches has the kernel cut and join what goes and comes many packets at a time, in
	// the TUN and the socket; true unless said.
	Batches *bool `toml:"batches"`
	// Queues is how many queues the TUN has and how many sockets the port, each with a reader, up
	// to MaxQueues; 0: as queuesFor says.
	Queues int `toml:"queues"`
	// Subnets hands parts of the node's prefix to interfaces of this machine.
	Subnets []SubnetConfig `toml:"subnets"`
	// ClientCount overrides how many links this node opens; 0: the network's.
	ClientCount int `toml:"client_count"`
	// MaxClients overrides how many links it accepts; 0: the network's.
	MaxClients int `toml:"max_clients"`
	// Neighbours are the peers to prefer: prefixes such as "6/16", ids, or names of the file
	// hosts in the node's folder.
	Neighbours []string `toml:"neighbours"`
	// Country is that of the node, two letters; "": none. The network's same_country says
	// what it is for.
	Country country `toml:"country"`
	// Shortcuts is how many links this node has beside those to nodes that it exchanges
	// much with, ShortcutRate how much that is in kbit/s (a packet counts for 256 bytes at
	// least), ShortcutIdle how long one carries little before it is let go. None: 4, 512
	// and "2m".
	Shortcuts    *int           `toml:"shortcuts"`
	ShortcutRate int            `toml:"shortcut_kbit"`
	ShortcutIdle *wire.Duration `toml:"shortcut_idle"`
	// RouteProtocol is the number on the node's kernel routes, 5 to 255.
	RouteProtocol int `toml:"route_protocol"`
	// Mark is on what carries the mesh, and keeps it off the mesh's own routes; it is
	// the number of the routing table for that too. 0 is none: then no route of the
	// mesh may cover an endpoint.
	Mark *uint32 `toml:"mark"`
	// ControlDir is where the control sockets lie, an absolute path; "": as
	// monitor.ControlDir says.
	ControlDir string `toml:"control_dir"`
	// ControlGroup may use the read-only socket: a name or a number; "": the group
	// re6st where there is one, else the process's.
	ControlGroup string `toml:"control_group"`
	// HTTP is the address of the loopback that shows the live page, metrics and
	// events, such as 127.0.0.1:7327; the zero one: none.
	HTTP netip.AddrPort `toml:"http"`
	// Log is debug, info, warn or error.
	Log slog.Level `toml:"log"`
	// Origins overrides how routes are taken whose origin no claim proves: "off", "prefer"
	// or "require"; "": as the network says.
	Origins wire.Origins `toml:"origins"`
	// DebugFaults lets system calls be failed by the control socket.
	DebugFaults bool `toml:"debug_faults"`
	// DebugRestartWindow is the time in milliseconds within which faults of an
	// actor count together, up to a minute; 0: the usual one. It needs DebugFaults.
	DebugRestartWindow int `toml:"debug_restart_window_ms"`
	// DebugOriginate announces prefixes, whoever's they are, to see what others make of
	// it; the node claims none of them. It needs DebugFaults.
	DebugOriginate []netip.Prefix `toml:"debug_originate"`
	// DebugRouterID is another router-id to announce all under, in 16 hexadecimal digits.
	// It needs DebugFaults.
	DebugRouterID addr.NodeID `toml:"debug_router_id"`
	// DebugMetric is announced for the routes of others, whatever they cost; 0: the true
	// one. It needs DebugFaults.
	DebugMetric uint16 `toml:"debug_metric"`
}

// SubnetConfig is a part of the node's prefix for an interface: the one that is given,
// or the first of Length bits that is free.
type SubnetConfig struct {
	Interface string       `toml:"interface"`
	Length    int          `toml:"length"`
	Part      netip.Prefix `toml:"part"`
}

// ReadConfig reads a TOML file. An unknown key, a wrong type or a value out of
// range is an error with the line.
func ReadConfig(name string) (Config, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	c, err := ParseConfig(raw)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", name, err)
	}
	if err := c.readKeys(filepath.Dir(name)); err != nil {
		return Config{}, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// ParseConfig is ReadConfig on the file's bytes; keys in other files are not read.
func ParseConfig(raw []byte) (Config, error) {
	var c Config
	if err := toml.NewDecoder(bytes.NewReader(raw)).DisallowUnknownFields().Decode(&c); err != nil {
		return Config{}, configError(err)
	}
	return c.withDefaults()
}

// configError puts the line in front of what toml says.
func configError(err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		first := unknown.Errors[0]
		line, _ := first.Position()
		return fmt.Errorf("%w: line %d: unknown key %q; `re6st node --help` lists the keys", ErrConfig, line, strings.Join(first.Key(), "."))
	}
	var bad *toml.DecodeError
	if errors.As(err, &bad) {
		line, column := bad.Position()
		return fmt.Errorf("%w: line %d, column %d: %s", ErrConfig, line, column, bad.Error())
	}
	return fmt.Errorf("%w: %w", ErrConfig, err)
}

func (c Config) withDefaults() (Config, error) {
	if c.Port == nil {
		port := uint16(DefaultPort)
		c.Port = &port
	}
	if c.TLSPort == nil {
		port := uint16(tunnel.DefaultTLSPort)
		c.TLSPort = &port
	}
	if c.Interface == "" {
		c.Interface = DefaultInterface
	}
	for _, unlessSaid := range []**bool{&c.PortMapping, &c.Batches} {
		if *unlessSaid == nil {
			wanted := true
			*unlessSaid = &wanted
		}
	}
	if c.LAN == nil {
		lan := true
		c.LAN = &lan
	}
	if c.RouteProtocol == 0 {
		c.RouteProtocol = DefaultRouteProt
	}
	most := tunnelplan.DefaultLimits
	if c.Shortcuts == nil {
		c.Shortcuts = &most.Shortcuts
	}
	c.ShortcutRate = cmp.Or(c.ShortcutRate, most.ShortcutRate*8/1000)
	if c.ShortcutIdle == nil {
		idle := wire.Duration(most.ShortcutIdle)
		c.ShortcutIdle = &idle
	}
	if c.Mark == nil {
		mark := uint32(markBase + c.RouteProtocol)
		c.Mark = &mark
	}
	return c, c.check()
}

func (c Config) check() error {
	for _, bound := range []struct {
		key              string
		value, low, high int
	}{
		{"mtu", cmp.Or(c.MTU, DefaultMTU), MinMTU, MaxMTU},
		{"client_count", c.ClientCount, 0, MaxClientCount},
		{"max_clients", c.MaxClients, 0, MaxClientCount},
		{"number of neighbours", len(c.Neighbours), 0, MaxNeighbours},
		{"queues", c.Queues, 0, MaxQueues},
		{"shortcuts", *c.Shortcuts, 0, tunnelplan.MaxShortcuts},
		{"shortcut_kbit", c.ShortcutRate, 1, maxShortcutRate},
		{"route_protocol", c.RouteProtocol, 5, 255},
		{"mark", int(min(*c.Mark, maxMark)), 0, maxMark - 1},
		{"number of endpoints", len(c.Endpoints), 0, MaxEndpoints},
		{"number of rules of inbound_list", len(c.InboundList), 0, inbound.MaxRules},
		{"number of subnets", len(c.Subnets), 0, subnet.MaxSubnets},
		{"number of interfaces of trusted and babel_interface", len(c.Trusted) + len(c.BabelInterfaces), 0, MaxTrusted},
		{"number of tunnel_peer", len(c.TunnelPeers), 0, MaxTunnelPeers},
		{"number of trusted_underlay", len(c.TrustedUnderlay), 0, MaxUnderlays},
		{"number of gateway_sources", len(c.GatewaySources), 0, MaxSources},
		{"number of lan_interfaces", len(c.LANInterfaces), 0, discovery.MaxInterfaces},
		{"number of prefixes of debug_originate", len(c.DebugOriginate), 0, maxDebugOriginate},
		{"debug_restart_window_ms", c.DebugRestartWindow, 0, maxRestartWindow},
		{"length of interface", len(c.Interface), 1, maxInterfaceName},
	} {
		if bound.value < bound.low || bound.value > bound.high {
			return fmt.Errorf("%w: %s is %d; it must be %d to %d", ErrConfig, bound.key, bound.value, bound.low, bound.high)
		}
	}
	if idle := time.Duration(*c.ShortcutIdle); idle < time.Second || idle > maxShortcutIdle {
		return fmt.Errorf("%w: shortcut_idle is %v; it must be 1s to %v", ErrConfig, idle, maxShortcutIdle)
	}
	if err := cmp.Or(c.checkBabel(), c.checkTunnels(), c.checkTrust(), c.checkWayOut(), c.checkGateways()); err != nil {
		return err
	}
	if c.ControlDir != "" && !filepath.IsAbs(c.ControlDir) {
		return fmt.Errorf("%w: control_dir is %q; it must be an absolute path", ErrConfig, c.ControlDir)
	}
	if c.Origins != "" {
		if err := c.Origins.Check(); err != nil {
			return fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	for _, d := range []struct {
		key   string
		given bool
	}{
		{"debug_restart_window_ms", c.DebugRestartWindow > 0},
		{"debug_originate", len(c.DebugOriginate) > 0},
		{"debug_router_id", !c.DebugRouterID.IsZero()},
		{"debug_metric", c.DebugMetric > 0},
	} {
		if d.given && !c.DebugFaults {
			return fmt.Errorf("%w: %s is for tests; it needs debug_faults = true", ErrConfig, d.key)
		}
	}
	for _, s := range c.Subnets {
		if s.Interface == "" || s.Interface == c.Interface || s.Part.IsValid() == (s.Length != 0) {
			return fmt.Errorf("%w: a subnet has an interface other than the node's own, and either a length or a part; "+
				"write { interface = \"br0\", length = 80 }", ErrConfig)
		}
	}
	if len(c.InboundList) > 0 && c.Inbound != inbound.List {
		return fmt.Errorf("%w: inbound_list is given and inbound is %q; write inbound = \"list\", or leave the list out", ErrConfig, c.Inbound)
	}
	if c.HTTP.IsValid() {
		if err := web.CheckAddress(c.HTTP); err != nil {
			return fmt.Errorf("%w: http: %w", ErrConfig, err)
		}
	}
	return nil
}

// checkWayOut looks at what the mesh's default route is for, and whom it is told to.
func (c Config) checkWayOut() error {
	for _, p := range c.GatewaySources {
		if !p.Addr().Is6() || p.Addr().Is4In6() || p != p.Masked() {
			return fmt.Errorf("%w: gateway_sources has %s; an IPv6 prefix without bits behind its length is needed", ErrConfig, p)
		}
	}
	if len(c.GatewaySources) > 0 && !c.Gateway {
		return fmt.Errorf("%w: gateway_sources is given; it needs gateway = true", ErrConfig)
	}
	for _, name := range c.PlainDefault {
		switch {
		case !slices.Contains(c.Trusted, name) && !slices.ContainsFunc(c.BabelInterfaces, func(b BabelInterface) bool { return b.Name == name }):
			return fmt.Errorf("%w: plain_default has %q, which is neither one of trusted nor a babel_interface", ErrConfig, name)
		case !c.Gateway && !c.DefaultRoute:
			return fmt.Errorf("%w: plain_default is given; it needs gateway or default_route, or this machine would not forward what follows", ErrConfig)
		}
	}
	return nil
}
