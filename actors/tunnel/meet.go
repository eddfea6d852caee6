package tunnel

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"re6st/actors/system"
	"re6st/protocols/nat"
	"re6st/protocols/peer"
	"re6st/protocols/tunnelplan"
)

// natIdle is how far apart probes of an idle link are at most where a NAT is before
// this node: NATs forget after 30 s (RFC 4787 section 4.3 wants minutes, few comply).
const natIdle = 20 * time.Second

// startMeetings brings what comes over the mesh from nodes that want to meet.
func (m *manager) startMeetings() {
	m.watch.HandleOwn(m.kept.endpoints)
	m.ctx.Pump("rendezvous", func(stop context.Context, p *system.Pump[Message]) error {
		for {
			select {
			case <-stop.Done():
				return nil
			case t := <-m.cfg.Plane.Rendezvous():
				if stop.Err() != nil {
					return nil // another may read here by now
				}
				p.Offer(rendezvous{t})
			}
		}
	}, system.Queue(m.cfg.Plane.Rendezvous()))
}

// seen takes a peer's word of where it sees this node.
func (m *manager) seen(now time.Time, s seen) {
	m.observe(now, s.at)
	t := m.tunnels[s.link]
	if t == nil || !t.snap.Up {
		return
	}
	m.watch.HandleSeen(t.snap.Peer, s.at)
	t.ref.Tell(keepOpen{m.watch.Translated(s.at)})
	m.planner.HandleNAT(now, m.reach())
}

// mapped takes note of a port that a gateway maps to this node, or no longer does.
func (m *manager) mapped(now time.Time, at netip.AddrPort) {
	if m.kept.mapped == at || at.IsValid() && peer.CheckEndpoint(at, m.cfg.Networks) != nil {
		return
	}
	m.kept.mapped = at
	m.moved = true
	m.gossipSoon(now)
	m.planner.HandleNAT(now, m.reach())
}

// reach is the NAT that others find before this node: none where its port is mapped.
func (m *manager) reach() nat.Kind {
	if m.kept.mapped.IsValid() {
		return nat.None
	}
	return m.watch.Kind()
}

// meet tells a peer, over the mesh, where to dial this node now: first where it is
// mapped and where others see it.
func (m *manager) meet(e tunnelplan.Meet) {
	at := slices.Concat([]netip.AddrPort{m.kept.mapped}, m.kept.observed, m.kept.endpoints)
	r := peer.Rendezvous{Answer: e.Answer, Nonce: e.Nonce, NAT: m.reach(), Endpoints: at}.Checked(m.cfg.Networks)
	body, err := peer.Append(nil, peer.Header{Epoch: m.ctx.Rand().Uint32(), Sequence: 1}, r)
	if err == nil {
		err = m.cfg.Plane.SendRendezvous(e.ID, body)
	}
	if err != nil {
		m.ctx.Log().Debug("rendezvous not sent", "peer", e.ID, "error", err)
	}
}

// met takes a rendezvous that came over the mesh.
func (m *manager) met(now time.Time, r rendezvous) {
	_, message, err := peer.Decode(r.Payload)
	if err != nil {
		m.ctx.Log().Debug("rendezvous refused", "peer", r.Ingress, "error", err)
		return
	}
	if said, ok := message.(peer.Rendezvous); ok {
		said = said.Checked(m.cfg.Networks)
		m.planner.HandleRendezvous(now, r.Ingress, tunnelplan.Rendezvous{
			Answer: said.Answer, Nonce: said.Nonce, NAT: said.NAT, Endpoints: said.Endpoints,
		})
	}
}
