package dataplane

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"re6st/hw/sock"
	"re6st/protocols/fabric"
	"re6st/protocols/inbound"
	"re6st/tsn/class"
)

// fromConn takes what came from the underlay in one packet.
func (w *worker) fromConn(packet *sock.Packet) {
	w.since = w.sinceStart(packet.At)
	w.each(packet)
	w.tally()
}

func (w *worker) each(packet *sock.Packet) {
	if packet.Datagrams() == 1 {
		w.datagram(packet)
		return
	}
	w.in = *packet
	for rest := packet.Data; len(rest) > 0; rest = rest[len(w.in.Data):] {
		if n := dataRun(rest, packet.Segment); n > 0 {
			w.in.Data = rest[:n]
			w.fromLink(&w.in, packet.Segment)
			continue
		}
		w.in.Data = rest[:min(packet.Segment, len(rest))]
		w.datagram(&w.in)
	}
}

// dataRun is how many bytes of b are data frames of one link, before another or something
// else comes: of sock.MaxSegments datagrams at most.
func dataRun(b []byte, segment int) (n int) {
	index := fabric.DataLinkIndex(b[:min(segment, len(b))])
	for count := 0; n < len(b) && count < sock.MaxSegments; count++ {
		frame := b[n:min(n+segment, len(b))]
		if frame[0] != fabric.FirstByte(fabric.TypeData) || fabric.DataLinkIndex(frame) != index {
			break
		}
		n += len(frame)
	}
	return n
}

// datagram takes one datagram from the underlay.
func (w *worker) datagram(packet *sock.Packet) {
	t, err := fabric.TypeOf(packet.Data)
	switch {
	case err != nil:
		w.drop(DropUnknownType)
	case t == fabric.TypeData:
		w.fromLink(packet, len(packet.Data))
	case t == fabric.TypeControl:
		w.controlFrame(packet)
	default:
		w.handshake(packet, t)
	}
}

// handshake hands a datagram up, unless it is a stranger's, or one too many: what
// links and packets need of this processor comes first.
func (w *worker) handshake(packet *sock.Packet, t fabric.Type) {
	limit := w.answerLimit
	if t == fabric.TypeInitiation {
		if w.marked != nil && !w.marked(packet.Data) {
			w.drop(DropHandshakeMAC)
			return
		}
		limit = w.callLimit
	}
	if !limit.allow(packet.At, struct{}{}) {
		w.drop(DropHandshakeRate)
		return
	}
	select {
	case w.handshakes <- Handshake{pathOf(packet), slices.Clone(packet.Data), packet.At}:
	default:
		w.drop(DropHandshakeFull)
	}
}

func (w *worker) controlFrame(packet *sock.Packet) {
	r, ok := w.links.Load().byIndex[fabric.ControlLinkIndex(packet.Data)]
	if !ok {
		w.drop(DropUnknownLink)
		return
	}
	counter := fabric.ControlCounter(packet.Data)
	kind, body, err := r.session.OpenControl(packet.Data)
	if err != nil {
		w.dropAt(r.link, hopReason(err))
		return
	}
	if w.proven != nil && packet.Carrier != fabric.UDP {
		w.proven(pathOf(packet), r.link.peer)
	}
	r.link.received.add(len(packet.Data))
	touch(&r.link.lastReceived, w.since)
	r.link.controlReceived.add(len(packet.Data))
	switch {
	case kind == fabric.ControlTransit:
		w.transit(r.link.id, body, packet.At)
	case r.link.control != nil:
		r.link.control(Control{r.link.id, r.session.LocalIndex(), kind, body, counter, pathOf(packet), packet.At})
	}
}

// pathOf is how a packet came, as seen from here.
func pathOf(packet *sock.Packet) fabric.Path {
	return fabric.Path{
		Local: fabric.Local{Addr: packet.Local, Interface: packet.Interface}, Remote: packet.Addr, Carrier: packet.Carrier,
	}
}

// heard is data frames of one link that came together, and are still to be counted.
type heard struct {
	link           *link
	packets, bytes int
}

// hear notes a data frame.
func (w *worker) hear(l *link, size int) {
	if w.heard.link != l {
		w.tally()
		w.heard.link = l
	}
	w.heard.packets++
	w.heard.bytes += size
}

// tally counts what was heard.
func (w *worker) tally() {
	h := &w.heard
	if h.link == nil {
		return
	}
	h.link.received.addAll(h.packets, h.bytes)
	touch(&h.link.lastReceived, w.since)
	touch(&h.link.lastData, w.since)
	*h = heard{}
}

// touch sets a time; those of datagrams that came together are the same, and looking is
// cheaper than writing.
func touch(at *atomic.Int64, t int64) {
	if at.Load() != t {
		at.Store(t)
	}
}

func hopReason(err error) Reason {
	if errors.Is(err, fabric.ErrReplay) {
		return DropReplayedHop
	}
	return DropForgedHop
}

// fromLink takes data frames of one link, each of length bytes but for the last: for this
// node, or to pass on.
func (w *worker) fromLink(packet *sock.Packet, length int) {
	frames := packet.Data
	count := (len(frames) + length - 1) / length
	r, ok := w.links.Load().byIndex[fabric.DataLinkIndex(frames[:min(length, len(frames))])]
	if !ok {
		w.drops[DropUnknownLink].Add(uint64(count))
		return
	}
	checked := w.checked[:count]
	r.session.CheckHops(frames, length, checked)
	for i := range checked {
		frame := frames[i*length : min((i+1)*length, len(frames))]
		if err := checked[i].Err; err != nil {
			w.dropAt(r.link, hopReason(err))
			continue
		}
		w.hear(r.link, len(frame))
		w.authentic(frame, &checked[i].HopHeader, packet)
	}
}

// authentic takes a data frame that came as its header says.
func (w *worker) authentic(frame []byte, hop *fabric.HopHeader, packet *sock.Packet) {
	// A router of the underlay met congestion (RFC 6040 section 4.2).
	if packet.TOS&fabric.ECNCE == fabric.ECNCE && fabric.MarkCE(frame) {
		hop.ECN = fabric.ECNCE
	}
	if hop.Egress == w.self {
		w.deliver(frame, *hop, packet.At)
		return
	}
	w.relay(frame, hop, packet.At)
}

// relay passes a frame on by (topology, egress), whatever is in it.
func (w *worker) relay(frame []byte, hop *fabric.HopHeader, now time.Time) {
	if fabric.TakeHop(frame) != nil {
		w.drop(DropHopLimit)
		w.relayError(now, fabric.RelayHopLimit, 0, frame, *hop)
		return
	}
	l := w.linkTo(hop.Topology, hop.Egress)
	if l == nil {
		w.drop(DropNoRoute)
		w.relayError(now, fabric.RelayNoRoute, 0, frame, *hop)
		return
	}
	if mtu, tooBig := l.tooBig(len(frame)); tooBig && !hop.Fragment {
		w.dropAt(l, DropTooBig)
		w.relayError(now, fabric.RelayTooBig, uint16(mtu), frame, *hop)
		return
	}
	w.noteRelayed(l, frame, hop)
	w.transmit(l, frame, hop, true, 0)
}

// deliver opens a frame for this node and gives the inner packet to the kernel.
// Nothing reaches the TUN before all checks passed.
func (w *worker) deliver(frame []byte, hop fabric.HopHeader, now time.Time) {
	if hop.Fragment {
		w.fragments.Lock()
		whole, err := w.reassembly.HandleFragment(now, frame)
		w.fragments.Unlock()
		if err != nil {
			w.drop(DropFragment)
		}
		if whole == nil {
			return
		}
		frame = whole
	}
	h, err := fabric.ParseSession(frame)
	if err != nil {
		w.drop(DropMalformed)
		return
	}
	session := w.sessions.Load().byIndex[h.Index]
	if session == nil {
		w.drop(DropUnknownSession)
		w.relayError(now, fabric.RelayUnknownSession, 0, frame, hop)
		return
	}
	packet, err := session.Open(frame)
	switch {
	case errors.Is(err, fabric.ErrReplay):
		w.drop(DropReplayed)
	case err != nil:
		w.drop(DropForged)
	default:
		w.toTUN(session, packet, hop, now)
	}
}

func (w *worker) toTUN(session *fabric.Session, packet []byte, hop fabric.HopHeader, now time.Time) {
	if fabric.IsSessionMessage(packet) {
		w.sessionMessage(session.Peer(), packet, hop, now)
		return
	}
	h, why, ok := w.parse(packet)
	if !ok {
		w.drop(why)
		return
	}
	if c, ok := classOf(w.classes.Load(), h.src, h.dst); !ok || c.ID != class.ID(hop.Class) {
		w.drop(DropClassMismatch)
		return
	}
	if !w.accept(session.Peer(), h.src) {
		w.drop(DropSpoofed)
		return
	}
	if h.src.Is4() && !w.endsHere(h) {
		w.drop(DropNotHere)
		return
	}
	if why, ok := w.letsIn(packet, h, now); !ok {
		w.drop(why)
		return
	}
	if hop.ECN == fabric.ECNCE { // RFC 6040 section 4.2
		if h.ecn == fabric.ECNNotECT {
			w.drop(DropECN)
			return
		}
		setECN(packet, fabric.ECNCE)
	}
	if synAt(packet) > 0 { // what this end is told to send goes the way back
		if l := w.linkTo(hop.Topology, hop.Ingress); l != nil {
			clampMSS(packet, w.whole(pathTo{hop.Topology, hop.Ingress}, l))
		}
	}
	w.joiner.Add(packet)
}

// endBatch sends, and gives the kernel, what came of one read of the sockets.
func (w *worker) endBatch() {
	w.depart()
	w.joiner.Flush()
}

// letsIn tells whether the inbound policy lets a packet in, and if not why. What only
// leaves the mesh by this gateway is none of this machine's.
func (w *worker) letsIn(packet []byte, h inner, now time.Time) (Reason, bool) {
	filter := w.inbound.Load()
	if filter == nil {
		return 0, true
	}
	var why Reason
	switch filter.Admit(now.Sub(w.start), packet) {
	case inbound.Admitted:
		return 0, true
	case inbound.NotEstablished:
		why = DropNotEstablished
	case inbound.NotListed:
		why = DropNotListed
	case inbound.Unreadable:
		why = DropUnreadable
	}
	route, ok := w.view.Load().Lookup(h.src, h.dst)
	return why, ok && route.Prefix.Bits() == 0 && route.Egress == w.self
}
