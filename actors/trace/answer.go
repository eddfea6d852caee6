package trace

import (
	"re6st/hw/dataplane"
	"re6st/protocols/addr"
	"re6st/protocols/rib"
	protocol "re6st/protocols/trace"
)

// probed asks the router why a probe would go on as it would.
func (t *tracer) probed(m dataplane.Probed) {
	probe, err := protocol.ParseProbe(m.Payload)
	if err != nil {
		t.ctx.Log().Debug("probe", "ingress", m.Ingress, "error", err)
		return
	}
	if m.Egress == t.cfg.Self {
		t.answer(explained{probed: m, probe: probe})
		return
	}
	self := t.ctx.Self()
	t.cfg.Explain(m.Topology, m.Egress, func(c []Choice) { self.Tell(explained{m, probe, c}) })
}

// answer tells the ingress of a probe how it would go on.
func (t *tracer) answer(m explained) {
	r := protocol.Reply{Probe: m.probe, Code: protocol.Passed, Prefix: t.cfg.Prefix, From: m.probed.Peer}
	switch {
	case m.probed.Egress == t.cfg.Self:
		r.Code = protocol.Arrived
	case m.probed.NoRoute:
		r.Code = protocol.NoRoute
		r.Way.Others = alternatives(m.choices, 0)
	default:
		r.Way = t.way(m.probed.Topology, m.probed.Egress, m.choices)
	}
	r.Back, _, _ = t.cfg.Plane.WayTo(0, m.probed.Ingress)
	if err := t.cfg.Plane.SendAnswer(m.probed.Ingress, r.Append(nil)); err != nil {
		t.ctx.Log().Debug("probe not answered", "ingress", m.probed.Ingress, "error", err)
	}
}

// way is how a frame would leave this node now.
func (t *tracer) way(topology rib.Topology, egress addr.NodeID, choices []Choice) protocol.Way {
	peer, id, ok := t.cfg.Plane.WayTo(topology, egress)
	if !ok {
		return protocol.Way{Others: alternatives(choices, 0)}
	}
	link := t.cfg.Links()[id]
	w := protocol.Way{
		Next: peer, Type: link.Type, Remote: link.Remote, RTT: link.RTT, MTU: uint16(t.cfg.Plane.LinkMTU(id)), Loss: link.Loss, Tunnel: link.Tunnel,
		Others: alternatives(choices, id),
	}
	for _, c := range choices {
		if c.Link == id {
			w.Metric = c.Metric
		}
	}
	return w
}

// alternatives are the choices but for the one that is taken.
func alternatives(choices []Choice, taken rib.LinkID) (others []protocol.Alternative) {
	for _, c := range choices {
		if c.Link != taken {
			others = append(others, protocol.Alternative{Next: c.Peer, Metric: c.Metric, Feasible: c.Feasible})
		}
	}
	return others
}
