package node

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/flynn/noise"

	"re6st/actors/neighbor"
	"re6st/actors/registry"
	"re6st/hw/carrier"
	"re6st/hw/dataplane"
	"re6st/hw/doctor"
	"re6st/hw/fault"
	"re6st/hw/netlink"
	"re6st/hw/sock"
	"re6st/hw/tun"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	wire "re6st/protocols/registry"
	"re6st/tsn/class"
)

// runtimeDir is where the nodes of this machine meet, until it is switched off.
const runtimeDir = "/run/re6st"

// host is what the node has of this machine.
type host struct {
	tun      tun.Device
	moreTUNs []tun.Device // its other queues
	ifindex  int
	conn     sock.Conn   // all of the carriers
	more     []sock.Conn // the other sockets of its port
	carriers *carrier.Conn
	kernel   *netlink.Conn // nil in tests without a kernel
	tables   *netlink.Conn // of routes: the router's, on its own goroutine
	claim    io.Closer     // of the protocol number of routes
	routes   netlink.Routes
	bypass   *netlink.Bypass     // nil: what carries the mesh bears no mark
	routers  *netlink.Conn       // of hosts, whose goroutine is the tunnels'
	hosts    *netlink.HostRoutes // nil: peers are reached as the kernel knows
	direct   direct              // past the TUN
	undo     func() error        // of the kernel's settings
	ipv4     lastIPv4
	undo4    atomic.Pointer[func() error] // of forwarding IPv4; nil: it was never wanted
	ranges   []neighbor.Range
}

// openHost makes the TUN with the node's addresses, and opens the socket.
func openHost(c Config, m *registry.Member, faults *fault.Table, log *slog.Logger) (h *host, err error) {
	h = &host{undo: func() error { return nil }}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	if h.ranges, err = ranges(m); err != nil {
		return h, err
	}
	if h.kernel, err = netlink.Open(); err != nil {
		return h, err
	}
	if h.tables, err = netlink.Open(); err != nil {
		return h, err
	}
	h.kernel.SetFaults(faults)
	h.tables.SetFaults(faults)
	if h.claim, err = netlink.Claim(uint8(c.RouteProtocol)); err != nil {
		return h, fmt.Errorf("%w; two nodes on one host need two values of route_protocol, interface and port", err)
	}
	table, err := netlink.NewTable(h.tables, netlink.MainTable, uint8(c.RouteProtocol))
	if err != nil {
		return h, err
	}
	h.routes = table
	device := tun.Config{
		Name: c.Interface, MTU: c.MTU, Segments: dataplane.Together(cmp.Or(c.MTU, tun.DefaultMTU)), Plain: !*c.Batches, Faults: faults,
	}
	count := cmp.Or(c.Queues, queuesFor(runtime.GOMAXPROCS(0)))
	queues, err := tun.OpenQueues(device, count)
	if err != nil {
		return h, err
	}
	h.tun, h.moreTUNs = queues[0], queues[1:]
	link, err := h.kernel.Link(h.tun.Name())
	if err != nil {
		return h, err
	}
	h.ifindex = link.Index
	// Before the addresses: another network's node that sees one knows by the group whose it is.
	ungrouped := h.kernel.SetGroup(h.tun.Name(), netlink.MeshGroup)
	for i, r := range h.ranges {
		// Only the general class is chosen as a source by itself.
		if err := h.kernel.SetAddress(h.tun.Name(), netip.PrefixFrom(r.Address, 128), i > 0); err != nil {
			return h, err
		}
	}
	if err := errors.Join(ungrouped, h.setMark(c)); err != nil {
		log.Warn("links end where a route of the mesh covers their endpoints", "error", err)
	}
	if err := h.openGateways(c, faults); err != nil {
		return h, err
	}
	if err := h.openDirect(c, m.Identity.Prefix); err != nil {
		log.Warn("packets to trusted peers stay sealed", "error", err)
	}
	if h.undo, err = netlink.Forward(runtimeDir); err != nil {
		log.Warn("only this machine is reached, not what lies behind it", "error", err)
	}
	return h, h.openSockets(c, count, faults)
}

// openSockets opens the port, with so many sockets.
func (h *host) openSockets(c Config, count int, faults *fault.Table) error {
	all, err := sock.ListenShared(sock.Config{
		Addr: netip.AddrPortFrom(netip.IPv6Unspecified(), *c.Port), Mark: *c.Mark, Batches: *c.Batches, Faults: faults,
	}, count)
	if err != nil {
		return err
	}
	h.conn = all[0]
	for _, u := range all[1:] {
		h.more = append(h.more, u)
	}
	return h.openCarriers(c, all[0], h.more...)
}

// setMark keeps what carries the mesh off the mesh's routes.
func (h *host) setMark(c Config) (err error) {
	if *c.Mark == 0 {
		return nil
	}
	if h.bypass, err = netlink.NewBypass(h.kernel, *c.Mark, uint8(c.RouteProtocol)); err != nil {
		return err
	}
	h.bypass.UseHostRoutes(len(c.RemoteGateways) > 0)
	return h.bypass.Sync()
}

// close gives back what was opened, and what the packet path has not closed
// already. Routes into the TUN go with it.
func (h *host) close() error {
	var errs []error
	if h.conn != nil {
		errs = append(errs, unlessClosed(h.conn.Close()))
	}
	for _, c := range h.more {
		errs = append(errs, unlessClosed(c.Close()))
	}
	if h.routes != nil {
		_, err := h.routes.Reconcile(nil)
		errs = append(errs, err)
	}
	if h.tun != nil {
		errs = append(errs, unlessClosed(h.tun.Close()))
	}
	for _, d := range h.moreTUNs {
		errs = append(errs, unlessClosed(d.Close()))
	}
	if h.bypass != nil {
		errs = append(errs, h.bypass.Close())
	}
	errs = append(errs, h.direct.sync(false))
	if h.claim != nil {
		errs = append(errs, h.claim.Close())
	}
	for _, c := range []*netlink.Conn{h.kernel, h.tables, h.routers} {
		if c != nil {
			c.Close()
		}
	}
	if undo := h.undo4.Load(); undo != nil {
		errs = append(errs, (*undo)())
	}
	return errors.Join(append(errs, h.undo())...)
}

func unlessClosed(err error) error {
	if errors.Is(err, os.ErrClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// ranges are the classes' ranges with the node's address in each, general first.
func ranges(m *registry.Member) ([]neighbor.Range, error) {
	var all []neighbor.Range
	for _, c := range m.Params.Classes {
		a, err := addr.Address(c.Range, m.Identity.Prefix)
		if err != nil {
			return nil, fmt.Errorf("class %s: %w", c.Name, err)
		}
		all = append(all, neighbor.Range{Prefix: c.Range, Address: a})
	}
	return all, nil
}

// classes is the network's parameters as the packet path takes them.
func classes(p wire.Params) (class.Table, error) {
	all := make([]class.Class, len(p.Classes))
	for i, c := range p.Classes {
		all[i] = class.Class{ID: class.ID(c.ID), Name: c.Name, Range: c.Range, DSCP: c.DSCP}
	}
	return class.NewTable(all)
}

// dial is how this node connects to its registry.
func dial(mark uint32) registry.Dial {
	if mark == 0 {
		return nil
	}
	return (&net.Dialer{Control: sock.Mark(mark)}).DialContext
}

// endpoints are the addresses of this machine at which others may reach the
// node: those given, then those of its interfaces, but for those of meshes.
func endpoints(c Config, h *host, own *ipv4) ([]netip.AddrPort, error) {
	all := slices.Clone(c.Endpoints)
	if h.kernel == nil {
		return all, nil
	}
	addrs, err := h.kernel.Addresses()
	if err != nil {
		return all, err
	}
	links, err := h.kernel.Links()
	if err != nil {
		return all, err
	}
	outside := map[int]bool{}
	for _, l := range links { // a link that has gone since is in none
		outside[l.Index] = l.Index != h.ifindex && l.Group != netlink.MeshGroup
	}
	port := h.conn.LocalAddr().Port()
	for _, a := range addrs {
		ip := a.Prefix.Addr()
		if a.Tentative || a.Deprecated || !outside[a.Link] || !ip.IsGlobalUnicast() || h.inRange(ip) || own.holds(ip) {
			continue
		}
		if e := netip.AddrPortFrom(ip, port); !slices.Contains(all, e) {
			all = append(all, e)
		}
	}
	return all[:min(len(all), MaxEndpoints)], nil
}

func (h *host) inRange(ip netip.Addr) bool {
	return slices.ContainsFunc(h.ranges, func(r neighbor.Range) bool { return r.Prefix.Contains(ip) })
}

// credentials are what the node shows in handshakes.
func credentials(m *registry.Member, boot fabric.BootID) *fabric.Credentials {
	return &fabric.Credentials{
		Authority: m.Authority, Certificate: m.Certificate, Identity: m.Identity,
		Static:  noise.DHKey{Private: m.StaticPrivate[:], Public: m.StaticPublic[:]},
		Binding: m.Binding, BootID: boot, Suites: suites(),
	}
}

// suites prefers AES where it is done by instructions of the CPU: it is twice as fast
// there, and slow and open to timing elsewhere.
func suites() []fabric.Suite {
	if doctor.HasAES() {
		return []fabric.Suite{fabric.AESGCM, fabric.ChaCha20Poly1305}
	}
	return []fabric.Suite{fabric.ChaCha20Poly1305}
}
