package dataplane

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
)

// answerHeaderLen is the length of an answer's first part, before it.
const answerHeaderLen = 2

// Probed is a probe of another node's trace that this node is to answer: it is for
// this node, its hop limit ended here, or no way leads on.
type Probed struct {
	Ingress  addr.NodeID // who says to have sent it
	Egress   addr.NodeID // where it was going
	Topology rib.Topology
	Peer     addr.NodeID // by whose link it came
	NoRoute  bool        // it could not be sent on
	Payload  []byte      // the receiver's
	At       time.Time
}

// Traced is an answer to a probe of this node's.
type Traced struct {
	Node    addr.NodeID // who says to have answered
	Proven  bool        // that it was that node: by its own link, or by a session with it
	Hops    int         // links that it passed; 0: not known
	Payload []byte      // the receiver's
	At      time.Time
}

// Probes are the probes to answer, 64 of them at most, at a bounded rate per ingress
// and link.
func (p *Plane) Probes() <-chan Probed { return p.probes }

// Traced are the answers to probes, 64 of them at most.
func (p *Plane) Traced() <-chan Traced { return p.answers }

// SendProbe sends a probe towards a node, by any link, no further than hopLimit links.
// It fails as SendTransit does.
func (p *Plane) SendProbe(egress addr.NodeID, hopLimit uint8, payload []byte) error {
	return p.sendTrace(fabric.Transit{HopLimit: hopLimit, Kind: fabric.TransitTrace, Egress: egress, Payload: payload})
}

// SendAnswer answers a probe of a node, and proves it where there is a session with
// that node. It fails as SendTransit does.
func (p *Plane) SendAnswer(ingress addr.NodeID, payload []byte) error {
	body := binary.BigEndian.AppendUint16(make([]byte, 0, answerHeaderLen+len(payload)), uint16(len(payload)))
	body = append(body, payload...)
	if session := p.sessions.Load().byEgress[ingress]; session != nil {
		frame := make([]byte, fabric.HopHeaderLen, fabric.Overhead+len(payload))
		fabric.HopHeader{HopLimit: 1, Egress: ingress, Ingress: p.self}.Put(frame)
		sealed, err := session.Seal(frame, 0, payload)
		if err != nil {
			return fmt.Errorf("dataplane: answer %s: %w", ingress, err)
		}
		body = append(body, sealed...)
	}
	return p.sendTrace(fabric.Transit{HopLimit: fabric.InitialHopLimit, Kind: fabric.TransitTraceReply, Egress: ingress, Payload: body})
}

func (p *Plane) sendTrace(t fabric.Transit) error {
	w := p.borrow()
	defer p.giveBack(w)
	t.Ingress = p.self
	if err := w.sendTransit(t); err != nil {
		return fmt.Errorf("dataplane: trace to %s: %w", t.Egress, err)
	}
	return nil
}

// WayTo is the neighbor and the link by which a frame for a node would leave now; false
// where there is none.
func (p *Plane) WayTo(t rib.Topology, egress addr.NodeID) (peer addr.NodeID, id rib.LinkID, ok bool) {
	w := p.borrow()
	defer p.giveBack(w)
	l := w.linkTo(uint8(t), egress)
	if l == nil {
		return addr.NodeID{}, 0, false
	}
	return l.peer, l.id, true
}

// LinkMTU is the longest inner packet in bytes that a link carries whole; 0: not known.
func (p *Plane) LinkMTU(id rib.LinkID) int {
	l := p.links.Load().byID[id]
	if l == nil || l.mtu.Load() == 0 {
		return 0
	}
	return max(ipv6MinMTU, int(l.mtu.Load())-fabric.Overhead)
}

// WantSession asks for a session with a node, as a packet for it would. Where there is
// one, it seems that the node does not know it: that is taken as a hint.
func (p *Plane) WantSession(egress addr.NodeID) {
	if p.sessions.Load().byEgress[egress] != nil {
		p.hintUnknown(egress, time.Now())
		return
	}
	select {
	case p.wanted <- egress:
	default: // who wants it will want it again
	}
}

// probed hands up a probe that goes no further.
func (w *worker) probed(from rib.LinkID, t fabric.Transit, noRoute bool, now time.Time) {
	l := w.links.Load().byID[from]
	if l == nil || !w.traceLimit.allow(now, t.Ingress) || !w.traceLinkLimit.allow(now, from) {
		w.drop(DropTransitRate)
		return
	}
	select {
	case w.probes <- Probed{t.Ingress, t.Egress, rib.Topology(t.Topology), l.peer, noRoute, slices.Clone(t.Payload), now}:
	default:
		w.drop(DropTransitFull)
	}
}

// traced hands up an answer. One whose proof is bad is nobody's.
func (w *worker) traced(from rib.LinkID, t fabric.Transit, now time.Time) {
	payload, proof, ok := splitAnswer(t.Payload)
	if !ok {
		w.drop(DropTransit)
		return
	}
	l := w.links.Load().byID[from]
	a := Traced{Node: t.Ingress, Proven: l != nil && l.peer == t.Ingress, Payload: payload, At: now}
	if t.HopLimit > 0 && t.HopLimit <= fabric.InitialHopLimit {
		a.Hops = fabric.InitialHopLimit - int(t.HopLimit) + 1
	}
	if len(proof) > 0 {
		known, proven := w.proves(proof, t.Ingress, payload, now)
		if known && !proven {
			w.drop(DropForged)
			return
		}
		a.Proven = a.Proven || proven
	}
	select {
	case w.answers <- a:
	default:
		w.drop(DropTransitFull)
	}
}

// splitAnswer copies the two parts of an answer: what is said, and the same, sealed,
// where there is a session.
func splitAnswer(b []byte) (payload, proof []byte, ok bool) {
	if len(b) < answerHeaderLen {
		return nil, nil, false
	}
	n := answerHeaderLen + int(binary.BigEndian.Uint16(b))
	if len(b) < n {
		return nil, nil, false
	}
	return slices.Clone(b[answerHeaderLen:n]), slices.Clone(b[n:]), true
}

// proves opens a proof, which it spoils. A session that is not known here may be that
// of an earlier life of this node: the other one is told.
func (w *worker) proves(proof []byte, by addr.NodeID, payload []byte, now time.Time) (known, proven bool) {
	h, err := fabric.ParseSession(proof)
	if err != nil {
		return true, false
	}
	session := w.sessions.Load().byIndex[h.Index]
	if session == nil {
		if hop, err := fabric.ParseHop(proof); err == nil && hop.Egress == w.self && hop.Ingress == by {
			w.relayError(now, fabric.RelayUnknownSession, 0, proof, hop)
		}
		return false, false
	}
	said, err := session.Open(proof)
	return true, err == nil && session.Peer() == by && bytes.Equal(said, payload)
}
