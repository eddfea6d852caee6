package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"re6st/actors/monitor"
	"re6st/actors/neighbor"
	"re6st/actors/system"
	"re6st/actors/trace"
	"re6st/actors/tunnel"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/ktunnel"
	"re6st/protocols/rib"
	protocol "re6st/protocols/trace"
)

// errTraceLost is a trace whose actor failed.
var errTraceLost = errors.New("the trace was lost: its actor failed; re6st events tells why")

// traceSlack is how much longer than its probes a hop of a trace may take.
const traceSlack = 5 * time.Second

func (r *root) spawnTracer() error {
	tracer, err := trace.Spawn(r.ctx, trace.Config{
		Self: r.member.Identity.ID, Prefix: r.member.Identity.Prefix, Plane: r.plane, Links: r.tracedLinks,
		Explain: func(t rib.Topology, egress addr.NodeID, into func([]trace.Choice)) {
			r.router.Tell(neighbor.Explain{Topology: t, Egress: egress, Into: func(all []neighbor.Choice) {
				choices := make([]trace.Choice, len(all))
				for i, c := range all {
					choices[i] = trace.Choice{Peer: c.Peer, Link: c.Link, Metric: c.Metric, Feasible: c.Feasible}
				}
				into(choices)
			}})
		},
	})
	r.tracer.Store(&tracer)
	return err
}

// tracedLinks are the links as the tunnels know them.
func (n *parts) tracedLinks() map[rib.LinkID]trace.Link {
	snapshot, _ := system.Read[tunnel.Snapshot](n.sys, tunnelPath)
	links := map[rib.LinkID]trace.Link{}
	for _, l := range snapshot.Links {
		loss := n.loss(l)
		links[l.ID] = trace.Link{
			Type: linkType(l.Carrier), Tunnel: tunnelKind(l.Tunnel), Remote: l.Remote, RTT: l.RTT, Loss: protocol.Loss{Probes: uint16(min(loss.Sent, math.MaxUint16)), Lost: uint16(min(loss.Lost, math.MaxUint16))},
		}
	}
	return links
}

// linkType is what a carrier is in a trace.
func linkType(c fabric.Carrier) protocol.LinkType {
	switch c {
	case fabric.QUIC:
		return protocol.QUIC
	case fabric.TLS:
		return protocol.TLS
	case fabric.UDP:
	}
	return protocol.UDP
}

// tunnelKind is what a tunnel below a link is in a trace.
func tunnelKind(name string) (k ktunnel.Kind) {
	if k.UnmarshalText([]byte(name)) != nil {
		return 0
	}
	return k
}

// trace is monitor.Config's.
func (n *parts) trace(ctx context.Context, q monitor.TraceQuery, each func(monitor.TraceLine)) (monitor.TraceEnd, error) {
	self := n.member.Identity.ID
	start, local, err := n.traceStart(q)
	if err != nil {
		return monitor.TraceEnd{}, err
	}
	each(monitor.TraceLine{Start: &start})
	if local {
		return monitor.TraceEnd{Outcome: monitor.TraceLocal, After: self}, nil
	}
	tracer := n.tracer.Load()
	events := make(chan trace.Event, protocol.MaxHops+2) // all that one emits
	run := &trace.Run{
		Egress: start.Egress, Probes: q.Probes, Timeout: q.Timeout, Hops: q.Hops, Full: fullProbe(start.MTU), Emit: func(e trace.Event) { events <- e },
	}
	tracer.Tell(trace.Start{Run: run})
	patience := time.Duration(q.Probes)*q.Timeout + traceSlack
	hops := 0
	for {
		select {
		case <-ctx.Done():
			tracer.Tell(trace.Cancel{Run: run})
			return monitor.TraceEnd{}, ctx.Err()
		case <-time.After(patience):
			return monitor.TraceEnd{}, errTraceLost
		case e := <-events:
			switch {
			case e.Err != nil:
				return monitor.TraceEnd{}, e.Err
			case e.End != nil:
				return n.traceEnd(*e.End, start.Egress, hops), nil
			}
			hops = e.Hop.Number
			hop := traceHop(*e.Hop)
			each(monitor.TraceLine{Hop: &hop})
		}
	}
}

// fullProbe is how long a probe is whose frame is that of a packet of the MTU.
func fullProbe(mtu int) int {
	return fabric.Overhead + mtu - fabric.ControlOverhead - fabric.TransitHeaderLen
}

// traceStart finds the egress for a destination. local tells that no link is on the
// way there.
func (n *parts) traceStart(q monitor.TraceQuery) (s monitor.TraceStart, local bool, err error) {
	s = monitor.TraceStart{Address: q.Address, Egress: q.Node, MTU: n.options.Config.MTU}
	if !q.Node.IsZero() {
		if p, ok := n.prefixOf(q.Node); ok {
			s.Address, err = addr.Address(n.host.ranges[0].Prefix, p)
		}
		return s, q.Node == n.member.Identity.ID, err
	}
	route, ok := n.view.Load().Lookup(n.host.ranges[0].Address, q.Address)
	switch {
	case ok && (route.NextHop.Link == 0 || route.Egress == n.member.Identity.ID):
		s.Egress = n.member.Identity.ID
		return s, true, nil
	case ok:
		s.Egress = route.Egress
		if q.Address.Is4() {
			s.Behind = !n.ipv4.Load().isNode(route.Prefix, q.Address)
			return s, false, nil
		}
	default:
		if s.Egress, ok = n.ownerOf(q.Address); !ok {
			return s, false, fmt.Errorf("no route to %s, and no node is known that it belongs to", q.Address)
		}
	}
	if p, known := n.prefixOf(s.Egress); known {
		s.Behind = !n.isAddressOf(p, q.Address)
	}
	return s, false, nil
}

// prefixOf is a node's prefix, by who told of it: its session, its link, others.
func (n *parts) prefixOf(id addr.NodeID) (addr.Bits, bool) {
	if id == n.member.Identity.ID {
		return n.member.Identity.Prefix, true
	}
	if p, ok := n.peers.get(id); ok {
		return p.prefix, true
	}
	snapshot, _ := system.Read[tunnel.Snapshot](n.sys, tunnelPath)
	for _, l := range snapshot.Links {
		if l.Peer == id && l.Prefix.Len() > 0 {
			return l.Prefix, true
		}
	}
	for _, k := range snapshot.Known {
		if k.ID == id && k.Prefix.Len() > 0 {
			return k.Prefix, true
		}
	}
	for _, r := range n.view.Load().Routes() { // what it announces in the network
		if p, ok := addr.BitsIn(n.host.ranges[0].Prefix, r.Prefix.Addr(), r.Prefix.Bits()-n.host.ranges[0].Prefix.Bits()); ok && r.Egress == id {
			return p, true
		}
	}
	return addr.Bits{}, false
}

// ownerOf is the known node in whose prefix an address lies, route or not.
func (n *parts) ownerOf(a netip.Addr) (addr.NodeID, bool) {
	snapshot, _ := system.Read[tunnel.Snapshot](n.sys, tunnelPath)
	for _, k := range snapshot.Known {
		if k.Prefix.Len() == 0 { // of that one no prefix is known
			continue
		}
		for _, rng := range n.host.ranges {
			if p, ok := addr.BitsIn(rng.Prefix, a, k.Prefix.Len()); ok && p == k.Prefix {
				return k.ID, true
			}
		}
	}
	for _, h := range n.origins.list() { // those of whom it has heard no more than the claim
		if slices.ContainsFunc(h.Own, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return h.Node, true
		}
	}
	return addr.NodeID{}, false
}

// isAddressOf tells whether an address is the node's own in one of the ranges.
func (n *parts) isAddressOf(prefix addr.Bits, a netip.Addr) bool {
	for _, rng := range n.host.ranges {
		if own, err := addr.Address(rng.Prefix, prefix); err == nil && own == a {
			return true
		}
	}
	return false
}

func traceHop(h protocol.Hop) monitor.TraceHop {
	out := monitor.TraceHop{
		Hop: h.Number, Proven: h.Proven, Sent: h.Sent, Received: h.Received, Best: h.Best.Microseconds(), Worst: h.Worst.Microseconds(),
		HopsBack: h.HopsBack, Others: h.Others, Strayed: h.Strayed, More: int(h.Way.More), From: orNil(h.From), Back: orNil(h.Back),
	}
	if h.Node.IsZero() {
		return out
	}
	out.Node, out.Prefix = &h.Node, &h.Prefix
	if h.Full != protocol.NotTried {
		full := h.Full == protocol.Passes
		out.Full = &full
	}
	if w := h.Way; !w.Next.IsZero() {
		out.Way = &monitor.TraceWay{
			Next: w.Next, Link: w.Type.String(), Remote: w.Remote, RTT: w.RTT.Microseconds(), MTU: int(w.MTU), Metric: w.Metric,
		}
		if w.Tunnel != 0 {
			out.Way.Tunnel = w.Tunnel.String()
		}
		if w.Loss.Probes > 0 {
			out.Way.Loss = &monitor.Loss{Probes: int(w.Loss.Probes), Lost: int(w.Loss.Lost)}
		}
	}
	for _, o := range h.Way.Others {
		out.Choices = append(out.Choices, monitor.TraceChoice{Next: o.Next, Metric: o.Metric, Feasible: o.Feasible})
	}
	return out
}

// orNil is nil for no node.
func orNil(id addr.NodeID) *addr.NodeID {
	if id.IsZero() {
		return nil
	}
	return &id
}

func (n *parts) traceEnd(e protocol.End, egress addr.NodeID, hops int) monitor.TraceEnd {
	end := monitor.TraceEnd{After: e.After, Changed: e.Changed}
	switch e.Outcome {
	case protocol.Reached:
		end.Outcome = monitor.TraceReached
	case protocol.Stuck:
		end.Outcome = monitor.TraceNoRoute
	case protocol.Silent:
		end.Outcome = monitor.TraceSilent
	case protocol.HopsGone:
		end.Outcome = monitor.TraceHopsEnd
	case protocol.Loop:
		end.Outcome = monitor.TraceLoop
	}
	if hops > 1 && e.Outcome == protocol.Reached {
		end.Relayed = n.whyRelayed(egress)
	}
	return end
}

// whyRelayed tells why no link leads to a node.
func (n *parts) whyRelayed(id addr.NodeID) string {
	for _, p := range n.known() {
		if p.Node != id {
			continue
		}
		switch {
		case p.State == "linked":
			return "there is a link, and the way by others is better"
		case p.Detail != "":
			return p.Detail
		case p.Failures > 0:
			return fmt.Sprintf("dials that failed: %d", p.Failures)
		case p.State == "dialing":
			return "a link is being dialled"
		}
		return "no link is wanted: there are enough"
	}
	return "this node was not told where it is"
}
