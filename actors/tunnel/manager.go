package tunnel

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"re6st/actors/system"
	"re6st/hw/dataplane"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/fabric"
	"re6st/protocols/nat"
	"re6st/protocols/peer"
	"re6st/protocols/rib"
	"re6st/protocols/tunnelplan"
)

const (
	// gossipDelay gathers what is learned before the peers are told.
	gossipDelay = 200 * time.Millisecond
	// maxObserved is how many addresses at which others saw this node it tells on.
	maxObserved = 4
	// showEvery is how often what strangers' handshakes come to is shown at most.
	showEvery = 100 * time.Millisecond
	// linksPerLife is how many link ids one incarnation has: an id must not come
	// back while the packet path may still know it.
	linksPerLife = 1 << 20
)

// manager chooses the peers, and is the parent of the tunnels.
type manager struct {
	cfg      Config
	kept     *memory
	ctx      *system.Context[Message]
	planner  *tunnelplan.Planner
	acceptor *fabric.Acceptor
	plan     *system.Timer
	accept   *system.Timer
	gossip   *system.Timer
	told     bool      // the gossip timer is armed
	moved    bool      // this node has another address to tell of
	shown    time.Time // the last snapshot
	taken    uint64    // handshakes of peers that succeeded

	lastLink rib.LinkID
	tunnels  map[rib.LinkID]*tunnelState
	byPeer   map[addr.NodeID]*tunnelState
	expect   map[uint32]*tunnelState // by handshake index
	unopened []addr.NodeID           // of the peers that the planner wants, those for which there is no tunnel
	refusals map[addr.NodeID]int     // by peers that say that another has this node's certificate
	store    chan []tunnelplan.Peer  // to the pump; holds the newest
	worked   chan []Worked           // likewise
	watch    nat.Watch               // where peers see this node
	routers  routers
	meter    meter
}

// tunnelState is what the manager knows of a child.
type tunnelState struct {
	ref  system.Ref[tunnelMessage]
	path string
	snap LinkSnapshot
	next *tunnelplan.Peer // to dial once this tunnel has ended

	opened    bool             // by this end
	endpoints []netip.AddrPort // of the peer, as it says or others say
	iface     int              // index of the interface by which it goes; 0: not known

	draining, parting bool            // at this end, at the peer's
	beside            dataplane.Count // what went past the packet path, as it was told last
}

// Start takes up with the peers that are remembered.
func (m *manager) Start(ctx *system.Context[Message]) error {
	m.ctx = ctx
	now := ctx.Now()
	m.tunnels = map[rib.LinkID]*tunnelState{}
	m.byPeer = map[addr.NodeID]*tunnelState{}
	m.expect = map[uint32]*tunnelState{}
	m.refusals = map[addr.NodeID]int{}
	if m.kept.started.IsZero() {
		m.kept.started = now
	}
	m.lastLink = rib.LinkID((ctx.Number() - 1) % (1 << 11) * linksPerLife)
	m.planner = tunnelplan.New(now, m.self(), m.kept.limits, ctx.Rand())
	m.acceptor = fabric.NewAcceptor(fabric.AcceptorConfig{
		Credentials: m.kept.credentials, Rand: rand.Reader, NewIndex: m.cfg.Plane.NewIndex, Admit: m.admit,
	})
	m.plan, m.accept, m.gossip = ctx.NewTimer(planTick{}), ctx.NewTimer(acceptTick{}), ctx.NewTimer(gossipTick{})
	ctx.OnChild(func(e system.Event) Message { return childEvent{e} })
	m.startPumps()
	m.startWorked()
	m.startMeetings()
	m.startMeasuring()
	m.sweep()
	m.startGateways()
	m.planner.HandleNAT(now, m.reach())
	m.planner.HandleRules(now, m.kept.rules)
	m.planner.HandleRevoked(now, m.kept.revoked)
	m.planner.HandlePeers(now, tunnelplan.Remembered, m.kept.remembered)
	m.settle()
	return nil
}

func (m *manager) self() addr.NodeID { return m.cfg.Credentials.Identity.ID }

func (m *manager) startPumps() {
	m.ctx.Pump("handshakes", func(stop context.Context, p *system.Pump[Message]) error {
		for {
			select {
			case <-stop.Done():
				return nil
			case h := <-m.cfg.Plane.Handshakes():
				if stop.Err() != nil {
					return nil // another may read here by now
				}
				p.Offer(handshake{h})
			}
		}
	}, system.Queue(m.cfg.Plane.Handshakes()))
	m.store = make(chan []tunnelplan.Peer, 1)
	log := m.ctx.Log()
	store, keep := m.store, m.cfg.Store
	m.ctx.Pump("remember", func(stop context.Context, p *system.Pump[Message]) error {
		for {
			var peers []tunnelplan.Peer
			select {
			case peers = <-store:
			case <-stop.Done():
				select {
				case peers = <-store: // the last word
				default:
					return nil
				}
			}
			if err := p.Work("a write", func() error { return keep(peers) }); err != nil {
				log.Warn("peers not stored", "error", err)
			}
		}
	}, system.WithTurn())
}

// Handle takes one message and then does all that came of it.
func (m *manager) Handle(ctx *system.Context[Message], message Message) error {
	now := ctx.Now()
	switch msg := message.(type) {
	case handshake:
		taken := m.taken
		m.handshake(now, msg)
		m.carryOutAll()
		if m.taken == taken && now.Sub(m.shown) < showEvery {
			return nil // of most nothing comes, and there may be many
		}
	case planTick:
		m.planner.HandleTimeout(now)
	case acceptTick:
		m.acceptor.HandleTimeout(now)
	case measure:
		if !m.measure(now) {
			return nil // nothing has changed
		}
	case gossipTick:
		m.told = false
		m.tell(now)
	case PeersLearned:
		m.planner.HandlePeers(now, msg.Source, msg.Peers)
		m.gossipSoon(now)
	case RegistryFailed:
		m.planner.HandleRegistryFailed(now)
	case RoutingChanged:
		m.routing(now, msg)
	case ParamsChanged, Revoked, Renewed, TunnelsWanted:
		m.fromNetwork(now, message)
	case ObservedAt:
		m.observe(now, msg.Endpoint)
	case PortMapped:
		m.mapped(now, msg.Endpoint)
	case rendezvous:
		m.met(now, msg)
	case NetworkChanged:
		m.networkChanged(now, msg)
	case UnderlaySeen:
		m.lookAtGateways()
		m.tellUplinks()
	case GatewaysWanted:
		m.gatewaysWanted(msg.Addrs)
	case Claimed:
		m.tellAll(claimAdded(msg))
	default:
		m.fromChild(now, message)
	}
	m.settle()
	return nil
}

// fromChild takes what a tunnel or the system says of a tunnel.
func (m *manager) fromChild(now time.Time, message Message) {
	switch msg := message.(type) {
	case expected:
		if t := m.tunnels[msg.link]; t != nil && msg.on {
			m.expect[msg.index] = t
		} else {
			delete(m.expect, msg.index)
		}
	case risen:
		m.risen(now, msg)
	case ended:
		m.forget(now, msg.link, msg.down)
	case orphaned:
		m.accepted(msg.Accepted)
	case duplicate:
		m.duplicate(now, msg.Duplicate)
	case verified:
		m.acceptor.HandleVerified(now, msg.peer)
	case learned:
		m.planner.HandlePeers(now, msg.source, msg.peers)
		m.gossipSoon(now)
	case seen:
		m.seen(now, msg)
	case measured:
		if t := m.tunnels[msg.link]; t != nil {
			t.snap.RTT = msg.rtt
			m.announce(t)
		}
	case sized:
		m.sized(msg)
	case moved:
		if t := m.tunnels[msg.link]; t != nil {
			before := t.snap.Carrier
			same := t.snap.Remote == msg.way.remote && before == msg.way.carrier && t.snap.Tunnel == msg.way.tunnel && t.snap.Trusted == msg.way.trusted
			t.snap.Remote, t.snap.Carrier, t.snap.Tunnel, t.iface = msg.way.remote, msg.way.carrier, msg.way.tunnel, msg.way.iface
			t.snap.Trusted = msg.way.trusted
			m.routeTo(t)
			if same {
				return
			}
			m.reachedBy(t.snap.Peer, msg.way.carrier)
			if before != t.snap.Carrier {
				m.ctx.Event("carrier", fmt.Sprintf("link %d with %s: %s instead of %s", msg.link, t.snap.Prefix.CN(), t.snap.Carrier, before))
			}
			m.ctx.Event("moved", fmt.Sprintf("link %d with %s to %s%s", msg.link, t.snap.Prefix.CN(), t.snap.Remote, msg.way.by()))
		}
	case beside:
		if t := m.tunnels[msg.link]; t != nil {
			t.beside = msg.Count
		}
	case introduced:
		m.introduced(msg)
	case parting:
		m.parting(msg)
	case received:
		if msg.Number > m.kept.documents[msg.Kind].Number {
			m.cfg.Emit(DocumentReceived(msg))
		}
	case claimTaken:
		m.tellAll(claimAdded(msg))
		m.cfg.Emit(Claimed(msg))
	case childEvent:
		m.childChanged(now, msg.event)
	default: // Handle has the others
	}
}

// Stop leaves the tunnels to say goodbye: they stop next, and with them their
// links. The next incarnation begins with whom this one knew.
func (m *manager) Stop(*system.Context[Message]) {
	if m.planner == nil {
		return
	}
	if known := m.planner.Known(tunnelplan.MaxRemembered); len(known) > 0 {
		m.kept.remembered = known
	}
	for _, id := range slices.Sorted(maps.Keys(m.tunnels)) {
		m.cfg.Emit(LinkDown{id})
	}
}

// handshake brings a datagram to the tunnel that waits for it, or to the
// acceptor.
func (m *manager) handshake(now time.Time, h handshake) {
	index, err := fabric.HandshakeIndex(h.Datagram)
	if err != nil {
		return
	}
	if t := m.expect[index]; t != nil {
		t.ref.Tell(shaken(h))
		return
	}
	m.acceptor.HandleDatagram(now, h.Path, h.Datagram)
}

// admit decides about a peer that wants a link.
func (m *manager) admit(p *cert.Identity) fabric.CloseReason {
	err := m.planner.Admit(m.ctx.Now(), p.ID)
	switch {
	case err == nil:
		return fabric.CloseNone
	case errors.Is(err, tunnelplan.ErrRevoked):
		return fabric.CloseRevoked
	default:
		return fabric.CloseFull
	}
}

// settle carries out what the machines want, and shows what came of it.
func (m *manager) settle() {
	m.carryOutAll()
	m.shown = m.ctx.Now()
	m.ctx.Publish(m.snapshot())
}

// carryOutAll does what the machines want.
func (m *manager) carryOutAll() {
	now := m.ctx.Now()
	m.acceptor.Drain(func(e fabric.Event) {
		switch e := e.(type) {
		case fabric.Send:
			m.send(e.To, e.Datagram)
		case fabric.Accepted:
			m.taken++
			m.accepted(e)
		case fabric.Verify:
			if t := m.byPeer[e.Peer]; t != nil {
				t.ref.Tell(verify{})
			}
		case fabric.Duplicate:
			m.duplicate(now, e)
		}
	})
	m.planner.Drain(m.carryOut)
	for len(m.unopened) > 0 {
		id := m.unopened[0]
		m.unopened = m.unopened[1:]
		m.planner.HandleFailed(now, id)
		m.planner.Drain(m.carryOut)
	}
	m.plan.Rearm(m.planner.NextTimeout())
	m.accept.Rearm(m.acceptor.NextTimeout())
}

// carryOut does what the planner wants.
func (m *manager) carryOut(e tunnelplan.Event) {
	switch e := e.(type) {
	case tunnelplan.Open:
		if e.Shortcut {
			m.ctx.Event("shortcut", fmt.Sprintf("wanted to %s, for the traffic with it", e.Peer.Prefix.CN()))
		}
		m.open(e.Peer)
	case tunnelplan.Meet:
		m.meet(e)
	case tunnelplan.Cancel:
		m.cancel(e.ID)
	case tunnelplan.Drain:
		m.drain(e.ID, true)
	case tunnelplan.Undrain:
		m.drain(e.ID, false)
	case tunnelplan.Close:
		if t := m.byPeer[e.ID]; t != nil && e.Reason != tunnelplan.Revoked { // of that there is a list: see revoked
			m.close(t, e.Reason)
		}
	case tunnelplan.AskRegistry:
		m.cfg.Emit(RegistryWanted{})
	case tunnelplan.Remember:
		system.Replace(m.store, e.Peers)
	}
}

// close ends a link that is up. One into another country is left by routes at once, and
// stays for a second: the peer is to hear why from this node's hello, and not to dial again.
func (m *manager) close(t *tunnelState, why tunnelplan.CloseReason) {
	if why == tunnelplan.OtherCountry {
		t.draining = true
		m.drained(t)
		t.ref.Tell(closeLater{})
		return
	}
	t.ref.Tell(closeLink{closeReason(why)})
}

func closeReason(r tunnelplan.CloseReason) fabric.CloseReason {
	switch r {
	case tunnelplan.NotAdmitted, tunnelplan.OtherCountry:
		return fabric.CloseFull
	default:
		return fabric.CloseIdle
	}
}

func (m *manager) drain(id addr.NodeID, draining bool) {
	t := m.byPeer[id]
	if t == nil {
		return
	}
	t.draining = draining
	m.drained(t)
	reason := peer.Keeping
	if draining {
		reason = peer.Draining
	}
	t.ref.Tell(sayGoodbye{reason})
}

// parting follows a peer that moves its routes off the link.
func (m *manager) parting(p parting) {
	if t := m.tunnels[p.link]; t != nil && p.reason != peer.Leaving {
		t.parting = p.reason == peer.Draining
		m.drained(t)
	}
}

// drained tells whether one of the ends wants to leave a link.
func (m *manager) drained(t *tunnelState) {
	if draining := t.draining || t.parting; draining != t.snap.Draining {
		t.snap.Draining = draining
		m.announce(t)
	}
}

func (m *manager) send(by fabric.Path, datagram []byte) {
	if err := m.cfg.Plane.Send(by, datagram); err != nil {
		m.ctx.Log().Debug("handshake not sent", "to", by.Remote, "error", err)
	}
}

func (m *manager) tellAll(msg tunnelMessage) {
	for _, id := range slices.Sorted(maps.Keys(m.tunnels)) {
		m.tunnels[id].ref.Tell(msg)
	}
}

// gossipSoon arms the timer that tells the peers what is known.
func (m *manager) gossipSoon(now time.Time) {
	if !m.told {
		m.told = true
		m.gossip.Rearm(now.Add(gossipDelay), true)
	}
}

// tell has the peers told what is new.
func (m *manager) tell(now time.Time) {
	m.tellAll(knownPeers{m.known(now)})
	if m.moved {
		m.moved = false
		m.tellAll(newSelf{m.endpoints()})
	}
}

// known is what to tell a peer of the others. An address on one of our LANs means
// nothing to it.
func (m *manager) known(now time.Time) []peer.Peer {
	var peers []peer.Peer
	for _, k := range m.planner.Known(peer.MaxTold) {
		at := slices.DeleteFunc(k.Endpoints, func(e netip.AddrPort) bool { return e.Addr().IsLinkLocalUnicast() })
		if len(at) > 0 {
			peers = append(peers, peer.Peer{ID: k.ID, Prefix: k.Prefix, Static: k.Static, Endpoints: at, Age: max(0, now.Sub(k.Seen)), TLSPort: k.TLSPort})
		}
	}
	return peers
}

// networkChanged has the links follow this node's addresses. What failed by the old
// ones may work now; and where others saw this node they see it no more.
func (m *manager) networkChanged(now time.Time, c NetworkChanged) {
	first := m.kept.uplinks == nil
	m.kept.uplinks = c.Uplinks
	m.lookAtGateways()
	m.tellUplinks()
	if !slices.Equal(m.kept.endpoints, c.Endpoints) {
		m.kept.endpoints, m.kept.observed = c.Endpoints, nil
		m.watch.HandleOwn(c.Endpoints)
		m.tellAll(newSelf{m.endpoints()})
	}
	if !first {
		m.planner.HandleNetworkChange(now)
	}
}

// observe adds an address at which somebody saw this node, unless no other could
// dial it there.
func (m *manager) observe(now time.Time, at netip.AddrPort) {
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	if slices.Contains(m.endpoints(), at) || peer.CheckEndpoint(at, m.cfg.Networks) != nil {
		return
	}
	observed := append([]netip.AddrPort{at}, m.kept.observed...)
	m.kept.observed = observed[:min(len(observed), maxObserved)]
	m.moved = true
	m.gossipSoon(now)
}

func (m *manager) endpoints() []netip.AddrPort {
	all := slices.Clone(m.kept.endpoints)
	for _, e := range append([]netip.AddrPort{m.kept.mapped}, m.kept.observed...) {
		if e.IsValid() && !slices.Contains(all, e) {
			all = append(all, e)
		}
	}
	return all
}

func (m *manager) snapshot() Snapshot {
	s := Snapshot{
		Known: m.planner.Known(tunnelplan.MaxPeers), Outlook: map[addr.NodeID]tunnelplan.Outlook{},
		Endpoints: m.endpoints(), NAT: m.watch.Kind(), Drops: m.acceptor.Drops(), Accepted: m.taken,
	}
	for _, p := range s.Known {
		if o := m.planner.Outlook(p.ID); o != (tunnelplan.Outlook{}) {
			s.Outlook[p.ID] = o
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.tunnels)) {
		l := m.tunnels[id].snap
		l.Shortcut, l.Gateway = m.planner.IsShortcut(l.Peer), m.gatewayOf(m.tunnels[id])
		s.Links = append(s.Links, l)
	}
	return s
}

// static is a peer's key where it is known.
func static(key [32]byte) *[32]byte {
	if bytes.Equal(key[:], make([]byte, len(key))) {
		return nil
	}
	return &key
}
