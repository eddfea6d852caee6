package tunnel

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"re6st/actors/system"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
	"re6st/protocols/tunnelplan"
)

// open dials a peer.
func (m *manager) open(p tunnelplan.Peer) {
	if t := m.byPeer[p.ID]; t != nil {
		if !t.snap.Up { // on its way out, or the peer's own dial, which may fail
			t.next = &p
		}
		return
	}
	t := m.spawn(&tunnelState{snap: LinkSnapshot{Peer: p.ID, Prefix: p.Prefix, Role: tunnelplan.Opened}, opened: true, endpoints: p.Endpoints},
		&lease{endpoints: p.Endpoints, static: static(p.Static)})
	if t == nil {
		m.unopened = append(m.unopened, p.ID)
	}
}

// cancel ends the dial to a peer. A link that rose meanwhile is for the planner to
// judge, when it hears of it.
func (m *manager) cancel(id addr.NodeID) {
	if t := m.byPeer[id]; t != nil {
		t.next = nil
		t.ref.Tell(cancelDial{})
	}
}

// accepted gives a handshake that succeeded to the tunnel with that peer, which
// may be new.
func (m *manager) accepted(a fabric.Accepted) {
	if t := m.byPeer[a.Peer.ID]; t != nil {
		t.ref.Tell(accepted{a})
		return
	}
	t := m.spawn(&tunnelState{snap: LinkSnapshot{Peer: a.Peer.ID, Prefix: a.Peer.Prefix, Role: tunnelplan.Accepted}},
		&lease{endpoints: a.Endpoints(), waits: true})
	if t != nil {
		t.ref.Tell(accepted{a})
	}
}

// spawn makes a tunnel; nil where that failed.
func (m *manager) spawn(t *tunnelState, l *lease) *tunnelState {
	m.lastLink++
	now, snap := m.ctx.Now(), &t.snap
	snap.ID, snap.Since = m.lastLink, now
	m.routeTo(t)
	l.link, l.peer = snap.ID, snap.Peer
	l.known, l.self, l.documents = m.known(now), m.endpoints(), m.kept.documents
	l.credentials, l.pace, l.uplinks, l.reach = m.kept.credentials, m.kept.pace, m.uplinksOf(t), m.reachOf(snap.Peer)
	l.wanted = m.kept.wanted
	cfg, manager := m.cfg, m.ctx.Self()
	ref, err := system.Spawn(m.ctx, fmt.Sprintf("%s.%d", snap.Peer, snap.ID), system.Spec[tunnelMessage]{
		Kind: "tunnel",
		New: func() system.Handler[tunnelMessage] {
			return &tunnel{cfg: cfg, lease: l, manager: manager}
		},
		OnBudget: system.GiveUp, // shun is its quarantine
	})
	if err != nil {
		m.ctx.Event("tunnel", err.Error())
		m.unroute(t, fabric.Down{Reason: fabric.CloseIdle})
		return nil
	}
	snap.Actor = ref.Path()
	t.ref, t.path = ref, ref.Path()
	m.tunnels[snap.ID], m.byPeer[snap.Peer] = t, t
	return t
}

// risen takes note of a link that is up.
func (m *manager) risen(now time.Time, r risen) {
	t := m.tunnels[r.link]
	if t == nil {
		return
	}
	t.snap.Up, t.snap.Since, t.snap.Remote, t.snap.RTT = true, now, r.up.Remote, r.up.RTT
	t.snap.Carrier = r.up.Carrier
	m.reachedBy(r.up.Peer.ID, r.up.Carrier)
	t.snap.Peer, t.snap.Prefix, t.snap.Suite = r.up.Peer.ID, r.up.Peer.Prefix, r.suite
	t.snap.Role = tunnelplan.Accepted
	if r.up.Initiator {
		t.snap.Role = tunnelplan.Opened
	}
	t.next, t.iface = nil, r.iface
	m.routed(t)
	m.acceptor.HandleUp(r.up.Peer.ID, r.up.BootID)
	t.snap.Role = m.planner.HandleUp(now, r.up.Peer.ID, t.snap.Role, r.up.Endpoint())
	m.planner.HandlePeers(now, tunnelplan.Direct, []tunnelplan.Peer{{
		ID: r.up.Peer.ID, Prefix: r.up.Peer.Prefix, Static: r.up.Static, Seen: now, Endpoints: r.up.Endpoints(),
	}})
	m.announce(t)
	m.gossipSoon(now)
	m.ctx.Event("up", fmt.Sprintf("link %d with %s at %s%s", t.snap.ID, t.snap.Prefix.CN(), t.snap.Remote, by(t.snap.Carrier)))
}

// sized takes note of what a link carries. That packets vanished is told: no router did.
func (m *manager) sized(s sized) {
	t := m.tunnels[s.link]
	if t == nil {
		return
	}
	if s.BlackHole {
		m.ctx.Event("black-hole", fmt.Sprintf("link %d with %s: datagrams of more than %d bytes vanish, %d passed before",
			s.link, t.snap.Prefix.CN(), s.MTU, t.snap.MTU))
	}
	t.snap.MTU = s.MTU
}

// announce tells the node of a link that is up, as it is now.
func (m *manager) announce(t *tunnelState) {
	if t.snap.Up {
		m.cfg.Emit(LinkChanged{ID: t.snap.ID, Peer: t.snap.Peer, RTT: t.snap.RTT, Draining: t.snap.Draining})
	}
}

// forget takes note of a link that is gone, or was never made.
func (m *manager) forget(now time.Time, link rib.LinkID, down fabric.Down) {
	t := m.tunnels[link]
	if t == nil {
		return
	}
	delete(m.tunnels, link)
	if m.byPeer[t.snap.Peer] == t {
		delete(m.byPeer, t.snap.Peer)
	}
	m.unexpect(t)
	m.unroute(t, down)
	t.ref.Stop()
	m.cfg.Emit(LinkDown{link})
	switch {
	case t.snap.Up:
		m.acceptor.HandleDown(t.snap.Peer)
		m.watch.HandleGone(t.snap.Peer)
		m.planner.HandleNAT(now, m.reach())
		m.planner.HandleDown(now, t.snap.Peer, downReason(down))
		m.ctx.Event("down", fmt.Sprintf("link %d with %s: %s", link, t.snap.Prefix.CN(), down.Reason))
	case t.next != nil: // its answer is that of the dial that follows
	case down.Remote:
		m.planner.HandleRefused(now, t.snap.Peer)
	default:
		m.planner.HandleFailed(now, t.snap.Peer)
	}
	if down.Remote && down.Reason == fabric.CloseDuplicate && !t.snap.Up {
		m.disowned(now, t.snap.Peer)
	}
	if down.Remote && down.Reason == fabric.CloseRevoked {
		m.cfg.Emit(Outcast{t.snap.Peer})
	}
	if t.next != nil {
		m.open(*t.next)
	}
}

// unexpect has no more handshakes brought to a tunnel.
func (m *manager) unexpect(t *tunnelState) {
	maps.DeleteFunc(m.expect, func(_ uint32, expecting *tunnelState) bool { return expecting == t })
}

func downReason(d fabric.Down) tunnelplan.DownReason {
	switch {
	case d.Remote && d.Reason == fabric.CloseIdle:
		return tunnelplan.Drained
	case d.Remote && (d.Reason == fabric.CloseShutdown || d.Reason == fabric.CloseDraining || d.Reason == fabric.CloseRevoked):
		return tunnelplan.Leaving
	case !d.Remote && (d.Reason == fabric.CloseIdle || d.Reason == fabric.CloseFull || d.Reason == fabric.CloseRevoked):
		return tunnelplan.Closed
	default:
		return tunnelplan.Lost
	}
}

// childChanged forgets a tunnel that its supervisor has given up, and what one
// that failed was waiting for.
func (m *manager) childChanged(now time.Time, e system.Event) {
	for id, t := range m.tunnels {
		if t.path != e.Actor {
			continue
		}
		switch e.Kind {
		case system.EventFaulted:
			m.unexpect(t)
		case system.EventStopped:
			m.shun(now, t, e.Text)
			m.forget(now, id, fabric.Down{Reason: fabric.CloseSilence})
		default: // it lives
		}
		return
	}
}

// shun leaves a peer alone whose tunnel has spent its budget: the next might fare no better.
func (m *manager) shun(now time.Time, t *tunnelState, why string) {
	if d := m.planner.HandleFaulty(now, t.snap.Peer); d > 0 {
		m.ctx.Event(system.EventQuarantined, fmt.Sprintf("links with %s for %v: the last one stopped %s", t.snap.Prefix.CN(), d, why))
	}
}

// routing passes on what routing makes of the links.
func (m *manager) routing(now time.Time, r RoutingChanged) {
	routing := tunnelplan.Routing{Reachable: r.Reachable}
	for _, id := range slices.Sorted(maps.Keys(m.tunnels)) {
		t := m.tunnels[id]
		before, use := t.snap.Use, r.ByLink[t.snap.ID]
		t.snap.Use = use
		if t.snap.Up {
			routing.Links = append(routing.Links, tunnelplan.LinkUse{Peer: t.snap.Peer, Destinations: use.Nodes, Sole: use.Sole})
		}
		if inUse := use.Routes > 0; inUse != (before.Routes > 0) {
			t.ref.Tell(setUse{inUse})
		}
	}
	slices.SortFunc(routing.Links, func(a, b tunnelplan.LinkUse) int { return a.Peer.Compare(b.Peer) })
	m.meter.routes(r)
	m.planner.HandleRouting(now, routing)
}
