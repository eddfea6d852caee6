package dataplane

import (
	"fmt"
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
)

// Transit is a message of an end-to-end handshake, or a rendezvous, that reached this
// node.
type Transit struct {
	Ingress addr.NodeID // who says to have sent it
	Link    rib.LinkID  // by which it came
	Payload []byte      // the receiver's
	At      time.Time
}

// Transits are the messages for this node, 256 of them at most.
func (p *Plane) Transits() <-chan Transit { return p.transits }

// Rendezvous are the peer messages for this node that came from end to end, 64 of them
// at most. Nothing but the last link proves where they come from.
func (p *Plane) Rendezvous() <-chan Transit { return p.rendezvous }

// Send sends a datagram of a handshake. It fails with ErrRemote or where the socket
// is gone; a loss is no error.
func (p *Plane) Send(by fabric.Path, datagram []byte) error {
	if p.inside(by.Remote.Addr()) {
		return fmt.Errorf("dataplane: send to %s: %w", by.Remote, ErrRemote)
	}
	w := p.borrow()
	defer p.giveBack(w)
	_, err := w.send(packetBy(by, datagram, controlTOS))
	return err
}

// SendControl seals and sends a control frame by a link. It fails with ErrNoLink,
// ErrNoKeys, ErrNoRemote, ErrTooLong, ErrTooBig, fabric.ErrExhausted or where the socket
// is gone; a loss is no error.
func (p *Plane) SendControl(id rib.LinkID, kind fabric.ControlKind, body []byte) error {
	return p.SendControlBy(id, fabric.Path{}, kind, body)
}

// SendControlBy is SendControl by another path, to challenge the peer there or to
// answer. It fails with ErrRemote too; the zero Path is the link's own.
func (p *Plane) SendControlBy(id rib.LinkID, by fabric.Path, kind fabric.ControlKind, body []byte) error {
	l := p.links.Load().byID[id]
	if l == nil {
		return fmt.Errorf("dataplane: link %d: %w", id, ErrNoLink)
	}
	if p.inside(by.Remote.Addr()) {
		return fmt.Errorf("dataplane: control frame by link %d to %s: %w", id, by.Remote, ErrRemote)
	}
	w := p.borrow()
	defer p.giveBack(w)
	if err := w.sendControl(l, by, kind, body); err != nil {
		return fmt.Errorf("dataplane: control frame by link %d: %w", id, err)
	}
	return nil
}

// SendTransit sends a message of an end-to-end handshake. It fails with
// ErrNoRoute or as SendControl does.
func (p *Plane) SendTransit(egress addr.NodeID, payload []byte) error {
	return p.originate(fabric.TransitHandshake, egress, payload)
}

// SendRendezvous sends a peer message from end to end. It fails as SendTransit does.
func (p *Plane) SendRendezvous(egress addr.NodeID, payload []byte) error {
	return p.originate(fabric.TransitRendezvous, egress, payload)
}

func (p *Plane) originate(kind fabric.TransitKind, egress addr.NodeID, payload []byte) error {
	w := p.borrow()
	defer p.giveBack(w)
	err := w.sendTransit(fabric.Transit{
		HopLimit: fabric.InitialHopLimit, Kind: kind, Egress: egress, Ingress: p.self, Payload: payload,
	})
	if err != nil {
		return fmt.Errorf("dataplane: transit to %s: %w", egress, err)
	}
	return nil
}

// routed is the last answer of the routes, good as long as they and the links stay: frames
// of one flow come behind one another.
type routed struct {
	table    *links
	view     *rib.View
	topology uint8
	egress   addr.NodeID
	link     *link
}

// linkTo is the next link of (topology, egress): the route's, or that to the
// egress itself.
func (w *worker) linkTo(topology uint8, egress addr.NodeID) *link {
	table, view := w.links.Load(), w.view.Load()
	if c := &w.routed; c.link != nil && c.table == table && c.view == view && c.topology == topology && c.egress == egress {
		return c.link
	}
	if id, ok := view.Relay(rib.Topology(topology), egress); ok && table.byID[id] != nil {
		w.routed = routed{table, view, topology, egress, table.byID[id]}
		return w.routed.link
	}
	if l := table.byPeer[egress]; l != nil && l.session.Load() != nil { // not one that is only dialled
		return l
	}
	return nil
}

func (w *worker) sendTransit(t fabric.Transit) error {
	l := w.linkTo(t.Topology, t.Egress)
	if l == nil {
		return ErrNoRoute
	}
	w.body = t.Append(w.body[:0])
	return w.sendControl(l, fabric.Path{}, fabric.ControlTransit, w.body)
}

// transit takes a transit message: for this node, or to pass on.
func (w *worker) transit(from rib.LinkID, body []byte, now time.Time) {
	t, err := fabric.ParseTransit(body)
	if err != nil || t.Ingress == w.self {
		w.drop(DropTransit)
		return
	}
	if !w.transitLimit.allow(now, t.Ingress) {
		w.drop(DropTransitRate)
		return
	}
	switch {
	case t.Kind == fabric.TransitTrace && (t.Egress == w.self || t.HopLimit <= 1):
		w.probed(from, t, t.Egress != w.self && w.linkTo(t.Topology, t.Egress) == nil, now)
	case t.Egress != w.self:
		w.forwardTransit(from, t, now)
	case t.Kind == fabric.TransitHandshake:
		w.handUp(w.transits, from, t, now)
	case t.Kind == fabric.TransitRendezvous:
		w.handUp(w.rendezvous, from, t, now)
	case t.Kind == fabric.TransitRelayError:
		w.hint(t, now)
	case t.Kind == fabric.TransitTraceReply:
		w.traced(from, t, now)
	default:
		w.drop(DropTransit)
	}
}

func (w *worker) handUp(queue chan Transit, from rib.LinkID, t fabric.Transit, now time.Time) {
	select {
	case queue <- Transit{t.Ingress, from, slices.Clone(t.Payload), now}:
	default:
		w.drop(DropTransitFull)
	}
}

func (w *worker) forwardTransit(from rib.LinkID, t fabric.Transit, now time.Time) {
	if t.HopLimit <= 1 {
		w.drop(DropHopLimit)
		return
	}
	t.HopLimit--
	switch {
	case w.sendTransit(t) == nil:
	case t.Kind == fabric.TransitTrace:
		w.probed(from, t, true, now)
	default:
		w.drop(DropNoRoute)
	}
}

// relayError tells the ingress of a frame why it went no further.
func (w *worker) relayError(now time.Time, code fabric.RelayErrorCode, mtu uint16, frame []byte, hop fabric.HopHeader) {
	if hop.Ingress == w.self || !w.errorLimit.allow(now, hop.Ingress) {
		return
	}
	e, err := fabric.NewRelayError(code, mtu, frame)
	if err != nil {
		return
	}
	// That it does not arrive is no news: the frame did not either.
	_ = w.sendTransit(fabric.Transit{
		Topology: hop.Topology, HopLimit: fabric.InitialHopLimit, Class: hop.Class, Kind: fabric.TransitRelayError,
		Egress: hop.Ingress, Ingress: w.self, Payload: e.Append(nil),
	})
}

// hint takes a relay error about a frame of ours, if it is one.
func (w *worker) hint(t fabric.Transit, now time.Time) {
	e, err := fabric.ParseRelayError(t.Payload)
	session := w.sessions.Load().byEgress[e.Egress]
	if err != nil || e.Ingress != w.self || session == nil || session.RemoteIndex() != e.Session.Index {
		w.drop(DropTransit)
		return
	}
	w.relayErrors.Add(1)
	if e.Code == fabric.RelayTooBig {
		w.hintTooBig(e, session, now)
	}
	// Only the egress can know that, and a wrong hint must cost little.
	if e.Code == fabric.RelayUnknownSession && t.Ingress == e.Egress {
		w.hintUnknown(e.Egress, now)
	}
}

// hintUnknown hands up that a node seems not to know our session.
func (p *Plane) hintUnknown(egress addr.NodeID, now time.Time) {
	if !p.unknownLimit.allow(now, egress) {
		return
	}
	select {
	case p.unknown <- egress:
	default:
	}
}
