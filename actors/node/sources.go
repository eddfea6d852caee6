package node

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"re6st/actors/monitor"
	"re6st/actors/neighbor"
	"re6st/actors/portmap"
	"re6st/actors/session"
	"re6st/actors/system"
	"re6st/actors/tunnel"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
	"re6st/protocols/tunnelplan"
)

// Where the actors publish their snapshots.
const (
	routerPath  = "node/router"
	tunnelPath  = "node/tunnel"
	portmapPath = "node/portmap"
	sessionPath = "node/session"
)

// sources are what the control sockets show, made of the last snapshots.
func (n *parts) sources() monitor.Sources {
	return monitor.Sources{Status: n.status, Peers: n.known, Tunnels: n.links, Routes: n.routes, Claims: n.claims, Vitals: n.vitals}
}

func (n *parts) status() monitor.Status {
	params, limits := n.parameters.Load(), n.limits()
	tunnels, _ := system.Read[tunnel.Snapshot](n.sys, tunnelPath)
	view := n.view.Load()
	s := monitor.Status{
		Node: n.member.Identity.ID, Prefix: n.member.Identity.Prefix, Network: params.Network, State: monitor.Starting,
		Started: n.started, Reachable: len(n.reachable(view)), Routes: view.Len(), Params: params.Number,
		Links:    monitor.Links{ClientCount: limits.ClientCount, MaxClients: limits.MaxClients},
		Registry: monitor.Registry{URL: "https://" + n.member.Registry.String()}, NAT: tunnels.NAT.String(),
	}
	if asked := n.asked.Load(); asked != nil {
		s.Registry.Asked, s.Registry.Error = asked.at, asked.err
	}
	if m, ok := system.Read[portmap.Snapshot](n.sys, portmapPath); ok && m.External.IsValid() {
		s.Mapping = &monitor.Mapping{External: m.External, Protocol: m.Protocol, Gateway: m.Gateway}
	}
	for i, c := range n.member.Params.Classes { // those of the start: newer ones take a restart
		s.Addresses = append(s.Addresses, monitor.Address{Class: c.Name, Address: n.host.ranges[i].Address})
	}
	for _, l := range tunnels.Links {
		switch {
		case !l.Up:
			continue
		case l.Role == tunnelplan.Opened:
			s.Links.Opened++
		default:
			s.Links.Accepted++
		}
		s.State = monitor.Running
	}
	for _, a := range n.sys.Actors() {
		if a.State == system.Quarantined {
			s.Problems = append(s.Problems, fmt.Sprintf("%s is in quarantine: %s", a.Path, a.LastFault))
			s.State = monitor.Degraded
		}
		for _, pump := range a.Stuck {
			s.Problems = append(s.Problems, fmt.Sprintf("%s is stuck: its pump %s does not end, or does not get on", a.Path, pump))
			s.State = monitor.Degraded
		}
	}
	s.Babel = n.babel()
	n.identityStatus(&s)
	n.carrierStatus(&s)
	var wanted string
	if s.IPv4, wanted = n.ipv4Status(); wanted != "" {
		s.Notices = append(s.Notices, wanted)
	}
	router, _ := system.Read[neighbor.Snapshot](n.sys, routerPath)
	s.Origins = n.origins.status(router.Barred)
	relayed := n.plane.Stats().Relayed
	if queues, sockets := n.plane.Queues(); max(queues, sockets) > 1 {
		s.Queues = &monitor.Queues{TUN: queues, UDP: sockets}
	}
	s.Relayed = monitor.Traffic{Packets: relayed.Packets, Bytes: relayed.Bytes}
	if notice := n.origins.notice(); notice != "" {
		s.Notices = append(s.Notices, notice)
	}
	_, clock := n.wall.Now()
	s.Clock = string(clock)
	if problem := n.disk.Load(); problem != nil {
		s.Problems = append(s.Problems, *problem)
		if s.State != monitor.Revoked {
			s.State = monitor.Degraded
		}
	}
	n.openvpnStatus(&s)
	return s
}

// reachable are the other nodes with a route.
func (n *parts) reachable(view *rib.View) map[addr.NodeID]bool {
	nodes := map[addr.NodeID]bool{}
	for _, r := range view.Routes() {
		if id, ok := addr.NodeIDFromLocator(n.member.Params.LocatorRange, r.Prefix.Addr()); ok && !r.Unreachable {
			nodes[id] = true
		}
	}
	return nodes
}

func (n *parts) known() []monitor.Peer {
	tunnels, _ := system.Read[tunnel.Snapshot](n.sys, tunnelPath)
	state := map[addr.NodeID]string{}
	for _, l := range tunnels.Links {
		state[l.Peer] = "dialing"
		if l.Up {
			state[l.Peer] = "linked"
		}
	}
	reachable := n.reachable(n.view.Load())
	peers := make([]monitor.Peer, 0, len(tunnels.Known))
	for _, k := range tunnels.Known {
		p := monitor.Peer{
			Node: k.ID, Prefix: k.Prefix, Source: k.Source.String(), State: "idle", Reachable: reachable[k.ID], Seen: k.Seen, Endpoints: k.Endpoints,
		}
		if s := state[k.ID]; s != "" {
			p.State = s
		}
		if o := tunnels.Outlook[k.ID]; p.State != "linked" {
			p.Failures, p.NextDial, p.Detail = o.Failures, o.NextDial, cmp.Or(o.Barred, o.Obstacle.String())
		}
		peers = append(peers, p)
	}
	slices.SortFunc(peers, func(a, b monitor.Peer) int { return a.Prefix.Compare(b.Prefix) })
	return peers
}

func (n *parts) links() []monitor.Tunnel {
	snapshot, _ := system.Read[tunnel.Snapshot](n.sys, tunnelPath)
	var all []monitor.Tunnel
	for _, l := range snapshot.Links {
		t := monitor.Tunnel{
			Link: uint32(l.ID), Node: l.Peer, Prefix: l.Prefix, Role: "accepted", State: "dialing", Since: l.Since, Remote: l.Remote, Carrier: l.Carrier.String(),
			RTT: l.RTT.Microseconds(), MTU: l.MTU, Destinations: l.Use.Nodes, Suite: l.Suite, Tunnel: l.Tunnel, Trusted: l.Trusted,
		}
		if l.Gateway.IsValid() {
			t.Gateway = l.Gateway.String()
		}
		if loss := n.loss(l); loss.Sent > 0 {
			t.Loss = &monitor.Loss{Probes: loss.Sent, Lost: loss.Lost}
		}
		if l.Role == tunnelplan.Opened {
			t.Role = "opened"
		}
		t.Shortcut = l.Shortcut
		switch {
		case l.Draining:
			t.State = "draining"
		case l.Up:
			t.State = "up"
		}
		if s, ok := n.plane.LinkStats(l.ID); ok {
			t.Sent = monitor.Traffic{Packets: s.Sent.Packets, Bytes: s.Sent.Bytes}
			t.Received = monitor.Traffic{Packets: s.Received.Packets, Bytes: s.Received.Bytes}
			t.Dropped, t.ControlSent = s.Dropped, map[string]monitor.Traffic{}
			for kind, c := range s.ControlSent {
				t.ControlSent[kind.String()] = monitor.Traffic{Packets: c.Packets, Bytes: c.Bytes}
			}
		}
		all = append(all, t)
	}
	return all
}

// loss is that of a link's probes.
func (n *parts) loss(l tunnel.LinkSnapshot) fabric.Loss {
	m, _ := system.Read[tunnel.Measured](n.sys, l.Actor)
	return m.Loss
}

func (n *parts) routes() []monitor.Route {
	snapshot, _ := system.Read[neighbor.Snapshot](n.sys, routerPath)
	peers := n.linkPeers()
	var all []monitor.Route
	for _, r := range snapshot.View.Routes() {
		all = append(all, routeOf(r, peers))
	}
	return all
}

func routeOf(r rib.Route, peers map[rib.LinkID]addr.NodeID) monitor.Route {
	return monitor.Route{
		Prefix: r.Prefix, Source: r.Source, Topology: uint8(r.Topology), Egress: r.Egress, Via: via(r, peers), Metric: r.Metric,
		Origin: r.Origin.String(), Since: r.Since,
	}
}

// claims are what nodes have signed about their routes.
func (n *parts) claims() []monitor.Claim {
	var all []monitor.Claim
	for _, h := range n.origins.list() {
		c := monitor.Claim{
			Node: h.Node, Prefix: h.Bits, RouterID: h.RouterID.String(), Sequence: h.Sequence, Expires: h.Expires, State: "good", Refused: h.Refused,
		}
		switch {
		case h.Node == n.member.Identity.ID:
			c.State = "own"
		case len(h.Refused) > 0:
			c.State = "excessive"
		}
		for _, p := range h.Prefixes {
			c.Prefixes = append(c.Prefixes, monitor.ClaimedPrefix{Prefix: p.Prefix, AnyRouter: p.AnyRouter})
		}
		all = append(all, c)
	}
	return all
}

// via names the next hop of a route.
func via(r rib.Route, peers map[rib.LinkID]addr.NodeID) string {
	switch {
	case r.Unreachable:
		return "unreachable"
	case r.NextHop.IsSelf():
		return "self"
	case r.NextHop.Link != 0:
		return peers[r.NextHop.Link].String()
	default:
		return netip.AddrFrom16(r.NextHop.Gateway.As16()).WithZone(fmt.Sprint(r.NextHop.Ifindex)).String()
	}
}

// vitals are for metrics.
func (n *parts) vitals() monitor.Vitals {
	tunnels, _ := system.Read[tunnel.Snapshot](n.sys, tunnelPath)
	router, _ := system.Read[neighbor.Snapshot](n.sys, routerPath)
	sessions, _ := system.Read[session.Snapshot](n.sys, sessionPath)
	v := monitor.Vitals{
		Path: n.plane.Stats(), Known: len(tunnels.Known), Sessions: sessions.Peers, Neighbors: len(router.Neighbors), NeighborDropped: router.Dropped,
		Accepted: tunnels.Accepted, Refused: maps.Collect(tunnels.Drops.All()), RefusedSessions: maps.Collect(sessions.Drops.All()),
		CertificateEnd: n.member.Identity.Certificate.NotAfter,
	}
	if at := n.replied.Load(); at != nil {
		v.Answered = *at
	}
	return v
}
