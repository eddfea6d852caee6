package node

import (
	"fmt"
	"net/netip"
	"time"

	"re6st/actors/discovery"
	"re6st/actors/monitor"
	"re6st/actors/neighbor"
	"re6st/actors/portmap"
	"re6st/actors/registry"
	"re6st/actors/session"
	"re6st/actors/subnet"
	"re6st/actors/system"
	"re6st/actors/tunnel"
	"re6st/hw/netlink"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	beacon "re6st/protocols/discovery"
	"re6st/protocols/fabric"
	wire "re6st/protocols/registry"
	"re6st/protocols/rib"
	"re6st/protocols/tunnelplan"
)

// message is what the root takes: what one of its children emitted and another
// is to be told, where that needs more than a translation.
//
//sumtype:decl
type message interface{ rootMessage() }

type (
	registryWanted struct{}
	registryLate   struct{}
	fromPeer       struct{ tunnel.Document }
	duplicated     struct{ tunnel.Duplicate }
	answered       struct{ event registry.EnquirerEvent }
	routed         struct{ neighbor.Reachable }
	watched        struct{} // the control sockets take calls, or never will
)

func (registryWanted) rootMessage() {}
func (registryLate) rootMessage()   {}
func (fromPeer) rootMessage()       {}
func (duplicated) rootMessage()     {}
func (answered) rootMessage()       {}
func (routed) rootMessage()         {}
func (watched) rootMessage()        {}

// registryPatience is how long the registry's answer may take; that of an
// enquirer that failed never comes.
const registryPatience = time.Minute

// root spawns the node's actors and joins their wires.
type root struct {
	*parts
	ctx      *system.Context[message]
	ports    *neighbor.Links
	enquirer system.Ref[registry.EnquirerMessage]
	mapper   *system.Ref[portmap.Message] // nil: none is wanted
	tunnels  system.Ref[tunnel.Message]
	router   system.Ref[neighbor.Message]
	keeper   *system.Ref[keeperMessage] // nil: there is no kernel
	sessions system.Ref[session.Message]
	watcher  system.Ref[registry.WatcherMessage]
	lan      *system.Ref[discovery.Message] // nil: not on LANs
	late     *system.Timer
	beat     *system.Timer             // of the watchdog
	params   chan *wire.SignedParams   // to be stored
	crl      chan *cert.RevocationList // likewise

	uplinks   []netlink.Uplink // of the last NetworkChanged; nil: none was told
	endpoints []netip.AddrPort

	claimedAt time.Time // when a former life's claim was outbid last
}

// Start spawns the children: routing before tunnels, so that a link that comes
// up finds the router.
func (r *root) Start(ctx *system.Context[message]) error {
	r.ctx = ctx
	r.ports = neighbor.NewLinks()
	r.late = ctx.NewTimer(registryLate{})
	r.startStore()
	r.startDisk()
	r.startClock()
	r.startReloads()
	if ctx.Number() > 1 {
		r.rememberAgain()
	}
	for _, spawn := range []func() error{
		r.startClaims, r.spawnEnquirer, r.spawnRouter, r.spawnKeeper, r.startIPv4, r.spawnSession, r.spawnTunnels, r.spawnUnderlay, r.spawnTracer, r.spawnPortmap,
		r.spawnLAN, r.spawnSubnets, r.spawnWatcher, r.spawnMonitor, r.spawnHTTP,
	} {
		if err := spawn(); err != nil {
			return err
		}
	}
	r.startPulse()
	return nil
}

// rememberAgain takes the peers of the run so far, and what they were reached by.
func (r *root) rememberAgain() {
	if peers, err := loadPeers(r.dir); err == nil && len(peers) > 0 {
		r.remembered = peers
	}
	if worked, err := loadWorked(r.dir, r.ctx.Now()); err == nil {
		r.worked = worked
	}
}

func (r *root) spawnEnquirer() (err error) {
	self := r.ctx.Self()
	_, tlsPort := r.host.served()
	r.enquirer, err = registry.SpawnEnquirer(r.ctx, registry.EnquirerConfig{
		Client: r.client, Port: r.host.conn.LocalAddr().Port(), TLSPort: tlsPort, BootID: r.credentials.BootID,
		Emit: func(e registry.EnquirerEvent) { self.Tell(answered{e}) },
	})
	return err
}

func (r *root) spawnRouter() error {
	own, err := r.own()
	if err != nil {
		return err
	}
	r.router, err = neighbor.Spawn(r.ctx, neighbor.Config{
		Self: r.member.Identity.ID, RouterID: r.routerID(), Seqno: r.state.Seqno, Persist: r.state.Persist,
		Locators: r.member.Params.LocatorRange, Own: append(own, r.options.Config.DebugOriginate...),
		HelloInterval: time.Duration(r.parameters.Load().HelloInterval), Routes: r.parameters.Load().Limits.Routes,
		Revoked: r.revocations.Load().Nodes(), Judge: r.origins.judge, FalseMetric: r.options.Config.DebugMetric,
		Links: r.ports, SetView: r.setView, SetGateways: func(ids []addr.NodeID) { r.gateways.Store(&ids) }, Emit: r.fromRouter, Kernel: r.kernel(),
		Send: func(id rib.LinkID, packet []byte) error { return r.plane.SendControl(id, fabric.ControlBabel, packet) },
	})
	return err
}

func (r *root) spawnSession() (err error) {
	r.sessions, err = session.Spawn(r.ctx, session.Config{
		Credentials: r.credentials, Plane: r.plane, Limits: sessionLimits(r.parameters.Load().Limits), Keys: r.keys, Identified: r.peers.identified, Forgotten: r.peers.forgotten,
	})
	return err
}

func (r *root) spawnTunnels() error {
	at, err := endpoints(r.options.Config, r.host, r.ipv4.Load())
	if err != nil {
		return fmt.Errorf("addresses of this machine: %w", err)
	}
	kernel, err := r.kernelTunnels()
	if err != nil {
		return err
	}
	params, revoked := r.parameters.Load(), r.revocations.Load()
	carriers, tlsPort := r.host.served()
	r.tunnels, err = tunnel.Spawn(r.ctx, tunnel.Config{
		Credentials: r.credentials, Prefix: r.member.Identity.Prefix, Software: r.options.Version, Limits: r.limits(), Rules: r.peerRules(),
		Carriers: carriers, TLSPort: tlsPort,
		Endpoints: at, Networks: append(r.networks(), r.ipv4.Load().ranges()...), Remembered: r.remembered,
		Documents: []tunnel.Document{paramsDocument(params), revocationsDocument(revoked)}, Revoked: revoked.Nodes(), Pace: pace(params.Params),
		Plane: r.plane, Babel: r.ports.Deliver, Emit: r.fromTunnels, Claims: r.origins,
		Kernel: kernel, Wanted: r.settings.get().wantedTunnels(), Gateways: r.host.gateways(r.settings.get()),
		Store:  func(peers []tunnelplan.Peer) error { return storePeers(r.dir, peers) },
		Worked: r.worked, StoreWorked: func(all []tunnel.Worked) error { return storeWorked(r.dir, all) },
	})
	return err
}

// spawnSubnets hands out parts of the node's prefix. It runs without any too, for an
// earlier run may have left some.
func (r *root) spawnSubnets() error {
	if r.host.kernel == nil {
		return nil
	}
	subnets, err := r.subnets()
	r.dividedFrom.Store(r.wantedIPv4())
	if err != nil {
		return &system.Fault{Op: "subnets", Kind: system.BadConfig, Err: err}
	}
	router, self := r.router, r.member.Identity.ID
	_, err = subnet.Spawn(r.ctx, subnet.Config{
		Subnets: subnets, Protocol: uint8(r.options.Config.RouteProtocol), Emit: func(e subnet.Event) {
			switch e := e.(type) {
			case subnet.Attached:
				router.Tell(neighbor.Offer{Origin: rib.OriginLocal, Route: rib.Route{
					Prefix: e.Part, Egress: self, NextHop: rib.NextHop{Ifindex: e.Ifindex},
				}})
			case subnet.Detached:
				router.Tell(neighbor.Withdraw{Origin: rib.OriginLocal, Key: rib.Key{Prefix: e.Part}})
			}
		},
	})
	return err
}

// spawnLAN looks for others on this machine's LANs, whatever the registry says.
func (r *root) spawnLAN() error {
	if r.host.kernel == nil || !*r.options.Config.LAN {
		return nil
	}
	tunnels := r.tunnels
	lan, err := discovery.Spawn(r.ctx, discovery.Config{
		Fingerprint: r.member.Authority.Fingerprint, Interfaces: r.options.Config.LANInterfaces, Self: r.beacon(r.identity.newest()),
		Emit: func(f discovery.Found) {
			tunnels.Tell(tunnel.PeersLearned{Source: tunnelplan.LAN, Peers: []tunnelplan.Peer{{
				ID: f.ID, Prefix: f.Prefix, Static: f.Static, Endpoints: []netip.AddrPort{f.Endpoint},
			}}})
		},
	})
	r.lan = &lan
	return err
}

// beacon is what this machine's LANs hear of the node.
func (r *root) beacon(m *registry.Member) beacon.Beacon {
	return beacon.Beacon{ID: m.Identity.ID, Static: m.StaticPublic, Port: r.host.conn.LocalAddr().Port(), Prefix: m.Identity.Prefix}
}

func (r *root) spawnMonitor() error {
	if r.unwatched {
		return nil
	}
	group, err := controlGroup(r.options.Config.ControlGroup)
	if err != nil {
		return err
	}
	self := r.ctx.Self()
	_, err = system.Spawn(r.ctx, "monitor", monitor.Spec(monitor.Config{
		Dir: r.options.Dir, ControlDir: r.options.Config.ControlDir, ReadOnlyGroup: group, System: r.sys, Sources: r.sources(), Reload: r.reload, Block: r.blockCarrier, Renew: r.renewByCommand,
		Trace: r.trace, Explain: r.explain, Faults: r.faults, Served: func() { self.Tell(watched{}) },
	}))
	return err
}

// spawnHTTP serves the loopback where the configuration wants it.
func (r *root) spawnHTTP() error {
	at := r.options.Config.HTTP
	if r.unwatched || !at.IsValid() {
		return nil
	}
	_, err := system.Spawn(r.ctx, "http", monitor.HTTPSpec(monitor.Config{System: r.sys, Sources: r.sources()}, at))
	return err
}

// Handle takes one message.
func (r *root) Handle(_ *system.Context[message], m message) error {
	switch m := m.(type) {
	case registryWanted:
		r.ask()
	case uplinksSeen:
		r.uplinksSeen(m.uplinks)
	case registryLate:
		r.answered(registry.Unanswered{Err: errLate})
	case answered:
		r.answered(m.event)
	case routed:
		use := make(map[rib.LinkID]tunnel.LinkUse, len(m.ByLink))
		for id, u := range m.ByLink {
			use[id] = tunnel.LinkUse(u)
		}
		r.tunnels.Tell(tunnel.RoutingChanged{Reachable: m.Nodes, Metric: m.Metric, ByLink: use})
	case fromPeer:
		r.document(m.Document)
	case fromRegistry:
		r.fromRegistry(m.event)
	case claimHeard:
		r.claimHeard(m.node)
	case claimsTick:
		r.ctx.After(claimsCheck, claimsTick{})
		r.cleanClaims()
	case outcast:
		r.outcast(m.by)
	case renewed:
		r.showRenewed(m.member)
	case mapped:
		r.remapped(m)
	case watched:
		if r.options.Ready != nil {
			r.ready.Do(r.options.Ready)
		}
	case pulse:
		r.pulse()
	case reconfigured:
		r.reconfigured()
	case clockChanged:
		r.clockChanged(m)
	case diskChanged:
		r.diskChanged(m.problem)
	case duplicated:
		if m.Peer == r.member.Identity.ID {
			return &system.Fault{Op: "certificate", Kind: system.BadConfig, Err: fmt.Errorf("%w%s", ErrDuplicate, whereabouts(m.From))}
		}
		r.ctx.Event("duplicate", fmt.Sprintf("node %s came a second time, from %s; it was refused", m.Peer, m.From))
	}
	return nil
}

// Stop has nothing to close: the children stop next, the parts belong to Run.
func (r *root) Stop(*system.Context[message]) {}

// ask wants peers of the registry.
func (r *root) ask() {
	at, err := r.reachedAt()
	if err != nil {
		r.ctx.Event("registry", "not asked: addresses of this machine: "+err.Error())
		r.tunnels.Tell(tunnel.RegistryFailed{})
		return
	}
	r.late.Rearm(r.ctx.Now().Add(registryPatience), true)
	r.enquirer.Tell(registry.Ask{Endpoints: at})
}

// whereabouts tells where the other node is, if that is known.
func whereabouts(at netip.AddrPort) string {
	if !at.IsValid() {
		return ""
	}
	return ", at " + at.String()
}

// answered passes on what the registry said.
func (r *root) answered(e registry.EnquirerEvent) {
	r.late.Stop()
	switch e := e.(type) {
	case registry.Unanswered:
		r.asked.Store(&asked{r.ctx.Now(), e.Err.Error()})
		r.tunnels.Tell(tunnel.RegistryFailed{})
	case registry.Answered:
		now := r.ctx.Now()
		r.asked.Store(&asked{at: now})
		r.replied.Store(&now)
		peers := make([]tunnelplan.Peer, len(e.Peers))
		for i, p := range e.Peers {
			peers[i] = tunnelplan.Peer{ID: p.ID, Prefix: p.Prefix, Static: p.Static, Endpoints: p.Endpoints, TLSPort: p.TLSPort}
		}
		r.tunnels.Tell(tunnel.PeersLearned{Source: tunnelplan.Registry, Peers: peers})
		r.tunnels.Tell(tunnel.ObservedAt{Endpoint: netip.AddrPortFrom(e.Observed, r.host.conn.LocalAddr().Port())})
		r.adopt(e.Params)
	}
}

// fromTunnels translates what the tunnels emit; it runs on their goroutine.
func (r *root) fromTunnels(e tunnel.Event) {
	switch e := e.(type) {
	case tunnel.LinkChanged:
		r.ports.Set(neighbor.Link{ID: e.ID, Peer: e.Peer, RTT: e.RTT, Draining: e.Draining})
	case tunnel.LinkDown:
		r.ports.Remove(e.ID)
	case tunnel.RegistryWanted:
		r.ctx.Self().Tell(registryWanted{})
	case tunnel.DocumentReceived:
		r.ctx.Self().Tell(fromPeer(e))
	case tunnel.Claimed:
		r.ctx.Self().Tell(claimHeard{e.Node})
	case tunnel.Outcast:
		r.ctx.Self().Tell(outcast{e.By})
	case tunnel.Duplicate:
		r.ctx.Self().Tell(duplicated{e})
	}
}

// fromRouter translates what the router emits; it runs on its goroutine.
func (r *root) fromRouter(e neighbor.Event) {
	if reachable, ok := e.(neighbor.Reachable); ok {
		r.ctx.Self().Tell(routed{reachable})
	}
}
