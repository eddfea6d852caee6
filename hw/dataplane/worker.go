package dataplane

import (
	"time"

	"re6st/hw/sock"
	"re6st/hw/tun"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
	"re6st/tsn/class"
)

// worker is the memory of one goroutine on the packet path.
type worker struct {
	*Plane
	tun     tun.Device
	conn    sock.Conn
	buf     []byte // frames being made
	at      int    // where in buf the next one begins
	train   train  // frames about to leave
	super   []byte // what the kernel handed over
	cutter  tun.Cutter
	way     way         // of the packets that are being cut
	joiner  *tun.Joiner // of what is given to the kernel
	piece   []byte      // a fragment being made
	body    []byte      // of a control frame being made
	control []byte      // a control frame being made
	routed  routed
	longs   uint        // long frames, of which some are noted
	in      sock.Packet // a datagram of several that came together
	since   int64       // when it came: see sinceStart
	heard   heard
	checked [sock.MaxSegments]fabric.CheckedHop
	out     [1]sock.Packet
}

// newWorker makes one that can have so many bytes of frames on their way at a time.
func (p *Plane) newWorker(room int) *worker { return p.workerOf(0, room) }

// workerOf is newWorker for the reader of a queue or socket, by its number.
func (p *Plane) workerOf(number, room int) *worker {
	device := p.tuns[number%len(p.tuns)]
	return &worker{
		Plane: p, tun: device, conn: p.conns[number%len(p.conns)],
		buf: make([]byte, room), piece: make([]byte, maxFrame), control: make([]byte, 0, maxFrame),
		joiner: tun.NewJoiner(device, p.gave),
	}
}

// gave counts packets that were given to the kernel.
func (p *Plane) gave(packets, bytes int, err error) {
	if err != nil {
		p.drops[DropTUN].Add(uint64(packets))
		return
	}
	p.egress.addAll(packets, bytes)
}

// way is where the packets of a flow go, and how.
type way struct {
	session *fabric.Session // nil: it is to be found
	link    *link
	hop     fabric.HopHeader
	// mayFragment as in inner.
	mayFragment bool
	// narrow is the longest inner packet that the path beyond the link carries; 0: as the link.
	narrow int
}

// fromKernel takes what lies in w.super. All packets that it stands for go the way of the
// first.
func (w *worker) fromKernel(n int, o tun.Offload) {
	if err := w.cutter.Take(w.super[:n], o); err != nil {
		w.drop(DropMalformed)
		return
	}
	for n := w.cutter.Next(); n > 0; n = w.cutter.Next() {
		if n > maxFrame-fabric.Overhead {
			w.drop(DropMalformed)
			return
		}
		packet := w.room(n)
		w.cutter.Cut(packet)
		if w.way.session != nil {
			w.seal(packet)
		} else {
			w.fromTUN(packet)
		}
	}
	w.way = way{}
}

func (p *Plane) borrow() *worker    { return p.workers.Get().(*worker) }
func (p *Plane) giveBack(w *worker) { p.workers.Put(w) }

// fromTUN takes an inner packet that lies in room.
func (w *worker) fromTUN(packet []byte) {
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
		w.toEgress(packet, h, c, route.Egress, route.NextHop.Link)
	}
}

// toEgress seals a packet and sends it, or keeps it until there is a session.
func (w *worker) toEgress(packet []byte, h inner, c class.Class, egress addr.NodeID, via rib.LinkID) {
	session := w.sessions.Load().byEgress[egress]
	if session == nil {
		w.noteSent(packet)
		w.wait(packet, egress)
		return
	}
	topology, l := w.wayTo(c.ID, egress, via)
	if l == nil {
		w.noteSent(packet)
		w.drop(DropNoRoute)
		w.refuse(packet, icmpUnreachable, codeNoRoute, 0)
		return
	}
	to := pathTo{uint8(topology), egress}
	w.way = way{session, l, fabric.HopHeader{
		Class: uint8(c.ID), Topology: uint8(topology), HopLimit: fabric.InitialHopLimit, ECN: h.ecn,
		Flow: flowOf(w.seed, packet), Egress: egress, Ingress: w.self,
	}, h.mayFragment, w.narrowed(to, l)}
	if synAt(packet) > 0 {
		clampMSS(packet, w.whole(to, l))
	}
	w.seal(packet)
}

// seal sends a packet its way.
func (w *worker) seal(packet []byte) {
	w.noteSent(packet)
	y := &w.way
	mtu, tooBig := y.link.tooBig(fabric.Overhead + len(packet))
	if y.narrow > 0 && len(packet) > y.narrow && (!tooBig || y.narrow < mtu) {
		mtu, tooBig = y.narrow, true
	}
	if tooBig && !y.mayFragment {
		w.dropAt(y.link, DropTooBig)
		w.refuse(packet, icmpTooBig, 0, mtu)
		return
	}
	w.noteIngress(packet)
	at := w.at
	y.hop.Put(w.buf[at:])
	frame, err := y.session.Seal(w.buf[at:at+fabric.HopHeaderLen], y.hop.Class, packet)
	if err != nil {
		w.drop(DropKeysUsedUp)
		return
	}
	most := 0
	if y.narrow > 0 {
		most = y.narrow + fabric.Overhead
	}
	w.transmit(y.link, frame, &y.hop, false, most)
	if w.at = 0; w.train.count > 0 {
		w.at = at + len(frame)
	}
}

// noteSent has the inbound policy let in what answers a packet.
func (w *worker) noteSent(packet []byte) {
	if filter := w.inbound.Load(); filter != nil {
		filter.Sent(time.Since(w.start), packet)
	}
}

// room is where the next inner packet goes: behind the frames that are about to leave,
// where it still fits.
func (w *worker) room(size int) []byte {
	if w.at+fabric.Overhead+size > len(w.buf) {
		w.depart()
		w.at = 0
	}
	return w.buf[w.at+innerAt:][:size]
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
		room := w.room(len(packet))
		copy(room, packet)
		w.fromTUN(room)
	}
	w.way = way{}
	w.depart()
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

// packetBy is a packet to send by a path.
func packetBy(path fabric.Path, data []byte, tos uint8) sock.Packet {
	return sock.Packet{
		Data: data, Addr: path.Remote, Local: path.Local.Addr, Interface: path.Local.Interface, TOS: tos, Carrier: path.Carrier,
	}
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
	datagram, err := session.SealControl(w.control[:0], kind, body)
	if err != nil {
		return err
	}
	n, err := w.send(packetBy(by, datagram, controlTOS))
	if err == nil && w.out[0].TooBig {
		return ErrTooBig
	}
	if n > 0 {
		l.sent.add(len(datagram))
		if kind < fabric.ControlKinds {
			l.controlSent[kind].add(len(datagram))
		}
	}
	return err
}
