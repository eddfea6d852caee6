package dataplane

import (
	"time"

	"re6st/hw/sock"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
	"re6st/tsn/class"
)

// worker is the memory of one goroutine on the packet path.
type worker struct {
	*Plane
	buf   []byte // a frame being made
	piece []byte // a fragment being made
	body  []byte // of a control frame being made
	out   [1]sock.Packet
}

func (p *Plane) newWorker() *worker {
	return &worker{Plane: p, buf: make([]byte, maxFrame), piece: make([]byte, maxFrame)}
}

func (p *Plane) borrow() *worker    { return p.workers.Get().(*worker) }
func (p *Plane) giveBack(w *worker) { p.workers.Put(w) }

// fromTUN takes the inner packet of n bytes that lies in w.buf at innerAt.
func (w *worker) fromTUN(n int) {
	packet := w.buf[innerAt : innerAt+n]
	h, why, ok := w.parse(packet)
	if !ok {
		w.drop(why)
		return
	}
	c, ok := classOf(w.classes.Load(), h.src, h.dst)
	if !ok {
		w.drop(DropClassMismatch)
		w.refuse(packet, icmpUnreachable, codeProhibited, 0)
		return
	}
	route, ok := w.view.Load().Lookup(h.src, h.dst)
	switch {
	case !ok || route.NextHop.Link != 0 && route.Egress.IsZero() || w.leadsAstray(c, route.Prefix, h.dst):
		w.drop(DropNoRoute)
		w.refuse(packet, icmpUnreachable, codeNoRoute, 0)
	case route.NextHop.Link == 0 || route.Egress == w.self:
		// The kernel has the better route and would give the packet back.
		w.drop(DropLoop)
	default:
		if filter := w.inbound.Load(); filter != nil {
			filter.Sent(time.Since(w.start), packet)
		}
		w.toEgress(packet, h, c, route.Egress, route.NextHop.Link)
	}
}

// toEgress seals a packet and sends it, or keeps it until there is a session.
func (w *worker) toEgress(packet []byte, h inner, c class.Class, egress addr.NodeID, via rib.LinkID) {
	session := w.sessions.Load().byEgress[egress]
	if session == nil {
		w.wait(packet, egress)
		return
	}
	topology, l := w.wayTo(c.ID, egress, via)
	if l == nil {
		w.drop(DropNoRoute)
		w.refuse(packet, icmpUnreachable, codeNoRoute, 0)
		return
	}
	if mtu, tooBig := l.tooBig(fabric.Overhead + len(packet)); tooBig && !h.mayFragment {
		w.dropAt(l, DropTooBig)
		w.refuse(packet, icmpTooBig, 0, mtu)
		return
	}
	hop := fabric.HopHeader{
		Class: uint8(c.ID), Topology: uint8(topology), HopLimit: fabric.InitialHopLimit, ECN: h.ecn,
		Flow: flowOf(w.seed, packet), Egress: egress, Ingress: w.self,
	}
	size := len(packet)
	hop.Put(w.buf)
	frame, err := session.Seal(w.buf[:fabric.HopHeaderLen], hop.Class, packet)
	if err != nil {
		w.drop(DropKeysUsedUp)
		return
	}
	if w.transmit(l, frame, hop, time.Now()) {
		w.ingress.add(size)
	}
}

// wait keeps a packet until UseSession, and asks for that.
func (w *worker) wait(packet []byte, egress addr.NodeID) {
	ask, dropped := w.waiting.put(time.Now(), egress, packet)
	w.drops[DropQueueFull].Add(uint64(dropped))
	if ask {
		select {
		case w.wanted <- egress:
		default: // asked again with a later packet
		}
	}
	// UseSession may have looked in between.
	if w.sessions.Load().byEgress[egress] != nil {
		w.flush(egress)
	}
}

// flush sends what waited for a session with egress.
func (w *worker) flush(egress addr.NodeID) {
	for _, packet := range w.waiting.take(egress) {
		w.fromTUN(copy(w.buf[innerAt:], packet))
	}
}

// wayTo is the topology and the link for a packet that starts here: the class's
// strict topology while that reaches, else any, else the link of the inner
// destination's own route.
func (w *worker) wayTo(c class.ID, egress addr.NodeID, via rib.LinkID) (rib.Topology, *link) {
	view, table := w.view.Load(), w.links.Load()
	if strict := w.strict[c]; strict != 0 {
		if id, ok := view.Relay(strict, egress); ok && table.byID[id] != nil {
			return strict, table.byID[id]
		}
	}
	if id, ok := view.Relay(0, egress); ok && table.byID[id] != nil {
		return 0, table.byID[id]
	}
	return 0, table.byID[via]
}

// tooBig tells whether a frame must be refused for this link, and then the MTU of
// inner packets to name. Small ones are split instead: IPv6 has no smaller MTU to
// name than 1280.
func (l *link) tooBig(size int) (mtu int, yes bool) {
	limit := int(l.mtu.Load())
	if limit == 0 || size <= limit || size-fabric.Overhead <= ipv6MinMTU {
		return 0, false
	}
	return max(ipv6MinMTU, limit-fabric.Overhead), true
}

// transmit sends a data frame by a link, split where it does not fit. hop is its
// header.
func (w *worker) transmit(l *link, frame []byte, hop fabric.HopHeader, now time.Time) bool {
	limit := int(l.mtu.Load())
	if limit == 0 || len(frame) <= limit {
		return w.stampAndSend(l, frame, hop, now)
	}
	sent := true
	err := fabric.Split(w.piece, frame, limit, func(piece []byte) { sent = w.stampAndSend(l, piece, hop, now) && sent })
	if err != nil {
		w.dropAt(l, DropTooBig)
		return false
	}
	w.splits.Add(1)
	return sent
}

func (w *worker) stampAndSend(l *link, frame []byte, hop fabric.HopHeader, now time.Time) bool {
	session, path := l.session.Load(), l.path.Load()
	if session == nil || !path.Remote.IsValid() {
		w.dropAt(l, DropNoKeys)
		return false
	}
	if err := session.StampHop(frame); err != nil {
		w.dropAt(l, DropKeysUsedUp)
		return false
	}
	dscp := classByID(w.classes.Load(), class.ID(hop.Class)).DSCP
	if n, _ := w.send(packetBy(*path, frame, dscp<<2|hop.ECN)); n == 0 {
		w.dropAt(l, DropUnderlay)
		return false
	}
	l.sent.add(len(frame))
	l.lastData.Store(w.sinceStart(now))
	return true
}

// packetBy is a packet to send by a path.
func packetBy(path fabric.Path, data []byte, tos uint8) sock.Packet {
	return sock.Packet{Data: data, Addr: path.Remote, Local: path.Local.Addr, Interface: path.Local.Interface, TOS: tos}
}

func (w *worker) send(packet sock.Packet) (n int, err error) {
	w.out[0] = packet
	return w.conn.WriteBatch(w.out[:])
}

// sendControl seals and sends a control frame by a link, by its path or, where that
// is one, by another.
func (w *worker) sendControl(l *link, by fabric.Path, kind fabric.ControlKind, body []byte) error {
	session := l.session.Load()
	if session == nil {
		return ErrNoKeys
	}
	if !by.Remote.IsValid() {
		by = *l.path.Load()
	}
	if !by.Remote.IsValid() {
		return ErrNoRemote
	}
	if len(body) > maxFrame-fabric.ControlOverhead {
		return ErrTooLong
	}
	datagram, err := session.SealControl(w.buf[:0], kind, body)
	if err != nil {
		return err
	}
	n, err := w.send(packetBy(by, datagram, controlTOS))
	if n > 0 {
		l.sent.add(len(datagram))
		if kind < fabric.ControlKinds {
			l.controlSent[kind].add(len(datagram))
		}
	}
	return err
}
