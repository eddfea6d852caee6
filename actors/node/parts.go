package node

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"re6st/actors/neighbor"
	"re6st/actors/registry"
	"re6st/actors/session"
	"re6st/actors/subnet"
	"re6st/actors/system"
	"re6st/actors/trace"
	"re6st/actors/tunnel"
	"re6st/hw/clock"
	"re6st/hw/dataplane"
	"re6st/hw/fault"
	"re6st/hw/nodedir"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/fabric"
	"re6st/protocols/inbound"
	wire "re6st/protocols/registry"
	"re6st/protocols/rib"
	"re6st/protocols/tunnelplan"
)

// parts are what the node is made of; they outlive the root actor's
// incarnations.
type parts struct {
	options     Options
	dir         nodedir.Dir
	wall        *clock.Wall  // by which certificates are judged
	faults      *fault.Table // nil: no system call fails on purpose
	member      *registry.Member
	credentials *fabric.Credentials
	state       *babelState
	host        *host
	plane       *dataplane.Plane
	keys        *session.Keys // in the plane, end to end
	sys         *system.System
	remembered  []tunnelplan.Peer
	worked      []tunnel.Worked
	started     time.Time
	dial        registry.Dial // of the registry; nil: the usual one
	unwatched   bool          // no control sockets, and nobody is told that it is at work
	ready       sync.Once     // of Options.Ready
	settings    settings
	filter      *inbound.Filter      // of the packet path
	ipv4        atomic.Pointer[ipv4] // in force; nil: none
	dividedFrom atomic.Pointer[ipv4] // that the subnets were made of; nil: there are none yet

	client      *registry.Client
	parameters  atomic.Pointer[wire.SignedParams]
	revocations atomic.Pointer[cert.RevocationList] // nil: none that this node has heard of
	identity    identity
	origins     *origins
	claimed     atomic.Pointer[uint64] // the sequence of this node's own newest claim

	view     atomic.Pointer[rib.View]
	gateways atomic.Pointer[[]addr.NodeID]  // the nodes that offer a way out of the mesh, sorted
	mappedAt atomic.Pointer[netip.AddrPort] // where a gateway maps the port; not valid: nowhere
	asked    atomic.Pointer[asked]
	replied  atomic.Pointer[time.Time] // when the registry answered last
	peers    peerTable
	tracer   atomic.Pointer[system.Ref[trace.Message]]
	disk     atomic.Pointer[string] // its problem; nil: none
}

// asked is when the registry answered last, or why it did not.
type asked struct {
	at  time.Time
	err string
}

// peerTable is who the peers of end-to-end sessions proved to be. The packet path
// reads it for each packet that leaves the mesh here.
type peerTable struct{ identities sync.Map } // addr.NodeID to proven

// proven is what a certificate gives its node.
type proven struct {
	prefix addr.Bits
	ipv4   netip.Prefix // not valid: nothing
}

func (t *peerTable) identified(id *cert.Identity) {
	t.identities.Store(id.ID, proven{id.Prefix, id.IPv4})
}

func (t *peerTable) forgotten(id addr.NodeID) { t.identities.Delete(id) }

func (t *peerTable) get(id addr.NodeID) (proven, bool) {
	p, ok := t.identities.Load(id)
	if !ok {
		return proven{}, false
	}
	return p.(proven), true
}

// openPlane makes the packet path.
func (n *parts) openPlane() error {
	table, err := classes(n.member.Params.Params)
	if err != nil {
		return err
	}
	n.keys = session.NewKeys()
	n.plane, err = dataplane.New(dataplane.Config{
		Self: n.member.Identity.ID, TUN: n.host.tun, MoreTUNs: n.host.moreTUNs, Conn: n.host.conn, MoreConns: n.host.more, Classes: table, Accept: n.accept,
		Address: n.host.ranges[0].Address, Marked: fabric.Marked(n.member.Authority.Fingerprint),
		Proven: n.host.provenBy(),
	})
	if err != nil {
		return err
	}
	n.plane.SetQueueBytes(n.parameters.Load().Limits.QueueBytes)
	return n.setInbound()
}

// accept tells whether a packet from src may come out of the session with peer:
// where the peer's certificate covers src, or src is routed to that peer, or the peer
// is a gateway and src is of nowhere in the mesh, or it has claimed a right to src.
func (n *parts) accept(peer addr.NodeID, src netip.Addr) bool {
	given, ok := n.peers.get(peer)
	if !ok {
		return false
	}
	if src.Is4() {
		return n.acceptIPv4(peer, given.ipv4, src)
	}
	prefix := given.prefix
	for _, r := range n.host.ranges {
		if bits, in := addr.BitsIn(r.Prefix, src, prefix.Len()); in {
			return bits == prefix || n.origins.maySend(peer, src)
		}
	}
	route, ok := n.view.Load().Lookup(netip.Addr{}, src)
	if ok && route.Prefix.Bits() > 0 {
		return route.Egress == peer || n.origins.maySend(peer, src)
	}
	gateways := n.gateways.Load()
	return gateways != nil && slices.Contains(*gateways, peer) || n.origins.maySend(peer, src)
}

// setView hands the routing table to the packet path.
func (n *parts) setView(v *rib.View) {
	n.view.Store(v)
	n.plane.SetView(v)
}

// limits are the network's, where the configuration does not say otherwise.
func (n *parts) limits() tunnelplan.Limits {
	p, c := n.parameters.Load(), n.settings.get()
	l := tunnelplan.Limits{ClientCount: p.ClientCount, MaxClients: p.MaxClients, TunnelRefresh: time.Duration(p.TunnelRefresh), LANLinks: p.Limits.LANLinks}
	l.Shortcuts, l.ShortcutRate, l.ShortcutIdle = *c.Shortcuts, c.ShortcutRate*125, time.Duration(*c.ShortcutIdle)
	if c.ClientCount > 0 {
		l.ClientCount = c.ClientCount
	}
	if c.MaxClients > 0 {
		l.MaxClients = c.MaxClients
	}
	return l
}

// own are the prefixes that this node announces.
func (n *parts) own() (prefixes []netip.Prefix, err error) {
	for _, r := range n.host.ranges {
		p, err := addr.Subnet(r.Prefix, n.member.Identity.Prefix)
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}

// subnets are the parts of the node's general prefix that the configuration hands out,
// and those of its share of IPv4 while it has one.
func (n *parts) subnets() ([]subnet.Subnet, error) {
	own, err := addr.Subnet(n.host.ranges[0].Prefix, n.member.Identity.Prefix)
	if err != nil {
		return nil, err
	}
	subnets, err := divided(own, n.host.ranges[0].Address, n.options.Config.Subnets)
	if v := n.wantedIPv4(); err == nil && v.share.IsValid() {
		var more []subnet.Subnet
		more, err = divided(v.share, v.address(), n.options.Config.Subnets)
		subnets = append(subnets, more...)
	}
	return subnets, err
}

// divided are those of a family.
func divided(own netip.Prefix, self netip.Addr, wants []SubnetConfig) (subnets []subnet.Subnet, err error) {
	var parts []addr.Part
	for _, w := range wants {
		if w.Part.Addr().Is4() == own.Addr().Is4() {
			subnets = append(subnets, subnet.Subnet{Interface: w.Interface})
			parts = append(parts, addr.Part{Prefix: w.Part, Length: w.Length})
		}
	}
	given, err := addr.Divide(own, self, parts)
	if err != nil {
		return nil, err
	}
	for i, p := range given {
		subnets[i].Part = p
	}
	return subnets, nil
}

// networks are the mesh's own ranges.
func (n *parts) networks() (ranges []netip.Prefix) {
	for _, r := range n.host.ranges {
		ranges = append(ranges, r.Prefix)
	}
	return append(ranges, n.member.Params.LocatorRange)
}

// kernel is what the router programs.
func (n *parts) kernel() *neighbor.Kernel {
	c := n.options.Config
	return &neighbor.Kernel{
		Routes: n.host.routes, TUN: n.host.ifindex, Ranges: n.host.ranges, Speakers: n.settings.get().speakers(),
		DefaultRoute: c.DefaultRoute, Gateway: c.Gateway && n.host.kernel != nil, Sources: n.gatewaySources(), PlainDefault: c.PlainDefault,
		Outside: func(ctx context.Context, report func(bool)) error {
			return n.host.kernel.WatchDefault(ctx, uint8(c.RouteProtocol), report)
		},
	}
}

// gatewaySources are those of packets that this node's way out is for: unless the
// configuration says otherwise, the addresses of the mesh, so that the default route of
// another machine stays as it is for all others.
func (n *parts) gatewaySources() []netip.Prefix {
	if given := n.options.Config.GatewaySources; len(given) > 0 {
		return given
	}
	var ranges []netip.Prefix
	for _, r := range n.host.ranges {
		ranges = append(ranges, r.Prefix)
	}
	return ranges
}
