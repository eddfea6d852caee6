package lab

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"re6st/actors/monitor"
	"re6st/hw/process"
	"re6st/protocols/addr"
)

// program is the re6st binary. This file alone knows how it is called and what its
// control socket answers.
type program struct{ path string }

// Of the network that a lab makes.
const (
	meshNetwork  = "2001:db8:42::/48" // RFC 3849
	registryPort = 6326
	generalClass = "general" // the class whose address is pinged
	ipv4Address  = "ipv4"    // beside the classes, where the network has IPv4
)

// thisProgram is the binary that runs: the lab and its nodes are of one build.
func thisProgram() (program, error) {
	path, err := os.Executable()
	if err != nil {
		return program{}, fmt.Errorf("lab: which binary is this: %w", err)
	}
	return program{path}, nil
}

func (p program) spec(args ...string) process.Spec { return process.Spec{Path: p.path, Args: args} }

func (p program) registryInit(dir string, ipv4 netip.Prefix) process.Spec {
	s := p.spec("registry", "init", "-d", dir, "--network", meshNetwork)
	if ipv4.IsValid() {
		s.Args = append(s.Args, "--ipv4", ipv4.String())
	}
	return s
}

// registryAddress is where nodes find the registry.
func registryAddress(at place) netip.AddrPort {
	return netip.AddrPortFrom(at.addr4.Addr(), registryPort)
}

// lineFor is a join line for a node, which may not reach the registry's IPv4.
func (l *Lab) lineFor(name, line string) string {
	if l.under.places[name].addr4.IsValid() {
		return line
	}
	registry := l.under.places[registryName]
	by4 := registryAddress(registry)
	return strings.Replace(line, by4.String(), netip.AddrPortFrom(registry.addr6.Addr(), by4.Port()).String(), 1)
}

func (p program) registryServe(dir string, at netip.AddrPort) process.Spec {
	return p.spec("registry", "serve", "-d", dir,
		"--listen", net.JoinHostPort("::", strconv.Itoa(int(at.Port()))), "--advertise", at.String())
}

// registryTokens prints n lines re6st://HOST:PORT/TOKEN#FINGERPRINT.
func (p program) registryTokens(dir string, n int) process.Spec {
	return p.spec("registry", "token", "-d", dir, "-n", strconv.Itoa(n))
}

// registryRevoke takes the node of a prefix out of the network.
func (p program) registryRevoke(dir, prefix string) process.Spec {
	return p.spec("registry", "revoke", "-d", dir, prefix)
}

// registryRight says what the node of a prefix may announce beside its own.
func (p program) registryRight(dir, prefix string, flags []string) process.Spec {
	return p.spec(append([]string{"registry", "right", "-d", dir, prefix}, flags...)...)
}

// registrySet changes parameters of the network.
func (p program) registrySet(dir string, settings []string) process.Spec {
	return p.spec(append([]string{"registry", "params", "set", "-d", dir}, settings...)...)
}

// renew gets a running node another certificate.
func (p program) renew(dir string) process.Spec { return p.spec("renew", "-d", dir) }

// ping has a running node send some echoes to an address.
func (p program) ping(dir string, to netip.Addr) process.Spec {
	return p.spec("ping", to.String(), "-d", dir, "-c", "5", "-i", "20ms")
}

func (p program) join(line, dir string) process.Spec {
	return p.spec("join", line, "-d", dir)
}

// node runs until it is told to end; config is the name of a file, or "".
func (p program) node(dir, config string) process.Spec {
	s := p.spec("node", "-d", dir)
	if config != "" {
		s.Args = append(s.Args, "--config", config)
	}
	return s
}

// socket is the node's control socket, wherever it lies now.
func (p program) socket(dir string) string { return monitor.SocketIn(dir) }

// identity is what a running node says of itself.
type identity struct {
	id        addr.NodeID
	prefix    string                // such as 5/16
	addresses map[string]netip.Addr // by class, and of IPv4
}

// identify asks a running node who it is; until it has an address of the general
// class that is an error.
func (p program) identify(ctx context.Context, dir string) (identity, error) {
	var status monitor.Status
	if err := monitor.NewClient(p.socket(dir)).Get(ctx, "status", &status); err != nil {
		return identity{}, err
	}
	who := identity{status.Node, status.Prefix.CN(), map[string]netip.Addr{}}
	for _, a := range status.Addresses {
		who.addresses[a.Class] = a.Address
	}
	if status.IPv4 != nil && status.IPv4.Address.IsValid() {
		who.addresses[ipv4Address] = status.IPv4.Address
	}
	if !who.addresses[generalClass].IsValid() {
		return identity{}, fmt.Errorf("lab: the node has no address of class %s yet", generalClass)
	}
	return who, nil
}

// links asks a running node how many links it has.
func (p program) links(ctx context.Context, dir string) (int, error) {
	var status monitor.Status
	if err := monitor.NewClient(p.socket(dir)).Get(ctx, "status", &status); err != nil {
		return 0, err
	}
	return status.Links.Opened + status.Links.Accepted + status.Links.LAN, nil
}

// nextHops asks a running node to which neighbor it sends what is for each node.
func (p program) nextHops(ctx context.Context, dir string) (map[addr.NodeID]addr.NodeID, error) {
	var answer monitor.Routes
	if err := monitor.NewClient(p.socket(dir)).Get(ctx, "routes", &answer); err != nil {
		return nil, err
	}
	hops := map[addr.NodeID]addr.NodeID{}
	for _, r := range answer.Routes {
		via, err := addr.ParseNodeID(r.Via)
		if err != nil || r.Topology != 0 { // "self", an interface, or a class with links of its own
			continue
		}
		// A relay goes by the egress node's locator, the /128 that ends in its id, whatever other
		// routes end there.
		if _, known := hops[r.Egress]; !known || isLocator(r.Prefix, r.Egress) {
			hops[r.Egress] = via
		}
	}
	return hops, nil
}

func isLocator(p netip.Prefix, id addr.NodeID) bool {
	a := p.Addr().As16()
	return p.IsSingleIP() && addr.NodeID(a[8:]) == id
}

// debug asks a running node what it is made of.
func (p program) debug(ctx context.Context, dir string) (d monitor.Debug, err error) {
	return d, monitor.NewClient(p.socket(dir)).Get(ctx, "debug", &d)
}

// fault has a running node fail on purpose.
func (p program) fault(ctx context.Context, dir string, r monitor.FaultRequest) error {
	return monitor.NewClient(p.socket(dir)).Post(ctx, "debug/fault", r, new(monitor.FaultAnswer))
}

// clearFaults has no system call of a running node fail any more.
func (p program) clearFaults(ctx context.Context, dir string) error {
	return monitor.NewClient(p.socket(dir)).Post(ctx, "debug/clear", struct{}{}, new(monitor.Debug))
}

// events hands over the last events of a running node.
func (p program) events(ctx context.Context, dir string, each func(monitor.Event)) error {
	return monitor.Lines(ctx, monitor.NewClient(p.socket(dir)), http.MethodGet, "events", nil, func(e monitor.Event) error { each(e); return nil })
}
