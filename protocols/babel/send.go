package babel

import (
	"net/netip"
	"slices"
	"time"
)

// hello sends the scheduled Hello of an interface, with every third one the
// IHUs (section 3.4), and schedules the next.
func (r *Router) hello(now time.Time, i *iface) {
	interval := i.helloInterval()
	i.helloAt = now.Add(r.jitter(interval))
	if i.Multicast {
		i.queue = append(i.queue, Hello{Seqno: i.nextHello(), Interval: interval})
	}
	for _, n := range i.neighbors {
		if !i.Multicast || i.Unicast {
			n.queue = append(n.queue, Hello{Unicast: true, Seqno: n.nextHello(), Interval: interval})
		}
		if i.hellos%i.hellosToIHU() != 0 {
			continue
		}
		if i.Multicast && !i.Unicast {
			i.queue = append(i.queue, r.ihu(n))
		} else {
			n.queue = append(n.queue, r.ihu(n))
		}
	}
	i.hellos++
}

// ihu tells a neighbor what receiving from it costs.
func (r *Router) ihu(n *neighbor) IHU {
	return IHU{Address: n.key.Addr, Rxcost: n.rxcost, Interval: time.Duration(n.iface.hellosToIHU()) * n.iface.helloInterval()}
}

// helloInterval is that of scheduled Hellos. Where the fabric knows better who lives,
// they come with the full updates, and with each the IHU.
func (i *iface) helloInterval() time.Duration {
	if i.assured() {
		return i.updateInterval()
	}
	return i.HelloInterval
}

func (i *iface) hellosToIHU() int {
	if i.assured() {
		return 1
	}
	return ihuHellos
}

func (i *iface) nextHello() uint16 {
	i.helloSeqno++
	return i.helloSeqno
}

func (n *neighbor) nextHello() uint16 {
	n.helloSeqno++
	return n.helloSeqno
}

// finish ends each input: what came of it goes out when the driver drains, together with
// what came of others since it did so last.
func (r *Router) finish(now time.Time) {
	r.cause, r.now, r.drained = CauseUnfeasible, now, false
}

// sendAll sends what the inputs led to, and what is due.
func (r *Router) sendAll(now time.Time) {
	r.drained = true
	for _, i := range r.interfaces {
		r.flush(now, i)
		shared := i.queue
		if i.Multicast {
			var group []TLV
			group, shared = i.toGroup()
			r.send(now, i, netip.Addr{}, group)
		}
		for _, n := range i.neighbors {
			if len(i.acks) > 0 && (len(n.queue)+len(shared) > 0 || len(i.acks) >= aboveUpdates || !now.Before(i.acksAt)) {
				n.queue = append(n.queue, i.acks...)
				i.acks = i.acks[:0]
			}
			if len(n.queue) > aboveUpdates { // lest what is acknowledged together is parted
				r.send(now, i, n.key.Addr, n.queue)
				r.send(now, i, n.key.Addr, shared)
			} else {
				r.send(now, i, n.key.Addr, append(n.queue, shared...))
			}
			n.queue = emptied(n.queue)
		}
		i.queue = emptied(i.queue)
	}
	if cap(r.scratch) > MaxUnacknowledged/4 {
		r.scratch = nil
	}
}

// emptied is a queue without its TLVs, and without their room where that is for very many.
func emptied(queue []TLV) []TLV {
	clear(queue)
	if cap(queue) > tlvsKept {
		return nil
	}
	return queue[:0]
}

// acknowledge answers an AckRequest: over the fabric, where updates come and go at the
// same times, together with what else there is to send soon.
func (n *neighbor) acknowledge(now time.Time, q AckRequest) {
	i := n.iface
	if !i.assured() {
		n.queue = append(n.queue, Ack{q.Opaque})
		return
	}
	if at := now.Add(min(ackDelay, q.Interval/4)); len(i.acks) == 0 || at.Before(i.acksAt) {
		i.acksAt = at
	}
	i.acks = append(i.acks, Ack{q.Opaque})
}

// acksDue is when Acks go without company; the zero Time is never.
func (i *iface) acksDue() (at time.Time) {
	if len(i.acks) > 0 {
		at = i.acksAt
	}
	return at
}

// toGroup parts the queue of an interface with multicast in what goes to the group, and
// what to each neighbor.
func (i *iface) toGroup() (group, each []TLV) {
	if !i.Unicast {
		return i.queue, nil
	}
	for _, t := range i.queue {
		if _, ok := t.(Hello); ok {
			group = append(group, t)
		} else {
			each = append(each, t)
		}
	}
	return group, each
}

func (r *Router) send(now time.Time, i *iface, to netip.Addr, tlvs []TLV) {
	if len(tlvs) == 0 || r.retracted {
		return
	}
	if i.Timestamps {
		r.timestamp(now, i, tlvs)
	}
	r.packing.Encoder = Encoder{From: i.Local, Fabric: i.Fabric, Max: i.MaxPacket}
	for len(tlvs) > 0 {
		// An AckRequest ends its packet, and its updates begin one: they are lost
		// or acknowledged together.
		n := 1 + slices.IndexFunc(tlvs, func(t TLV) bool { _, ok := t.(AckRequest); return ok })
		if n == 0 {
			n = len(tlvs)
		}
		r.packing.pack(tlvs[:n], func(packet []byte) { r.emit(Send{i.id, to, packet}) })
		tlvs = tlvs[n:]
	}
}

// timestamp puts the time into Hellos, and what the neighbor's Hello said into IHUs.
func (r *Router) timestamp(now time.Time, i *iface, tlvs []TLV) {
	for at, t := range tlvs {
		switch t := t.(type) {
		case Hello:
			t.Sent = timestamp(r.cfg.Epoch, now)
			tlvs[at] = t
		case IHU:
			if n := r.neighbors[NeighborKey{i.id, t.Address}]; n != nil && now.Sub(n.times.At) < maxTimestampAge {
				t.Origin, t.Received = n.times.Sent, n.times.Received
				tlvs[at] = t
			}
		}
	}
}

// Stamp writes now into the Hellos of a packet that Send brought, where they have a
// timestamp. The driver calls it as late as it can: what passes until the packet is
// on its way counts as round trip.
func (r *Router) Stamp(now time.Time, packet []byte) {
	stampHellos(packet, timestamp(r.cfg.Epoch, now))
}
