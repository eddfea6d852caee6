package babel

import (
	"net/netip"
	"slices"
	"time"
)

// hello sends the scheduled Hello of an interface, with every third one the
// IHUs (section 3.4), and schedules the next.
func (r *Router) hello(now time.Time, i *iface) {
	i.helloAt = now.Add(r.jitter(i.HelloInterval))
	if i.Multicast {
		i.queue = append(i.queue, Hello{Seqno: i.nextHello(), Interval: i.HelloInterval})
	}
	for _, n := range i.neighbors {
		if !i.Multicast {
			n.queue = append(n.queue, Hello{Unicast: true, Seqno: n.nextHello(), Interval: i.HelloInterval})
		}
		if i.hellos%ihuHellos != 0 {
			continue
		}
		if i.Multicast {
			i.queue = append(i.queue, r.ihu(n))
		} else {
			n.queue = append(n.queue, r.ihu(n))
		}
	}
	i.hellos++
}

// ihu tells a neighbor what receiving from it costs.
func (r *Router) ihu(n *neighbor) IHU {
	return IHU{Address: n.key.Addr, Rxcost: n.rxcost, Interval: ihuHellos * n.iface.HelloInterval}
}

func (i *iface) nextHello() uint16 {
	i.helloSeqno++
	return i.helloSeqno
}

func (n *neighbor) nextHello() uint16 {
	n.helloSeqno++
	return n.helloSeqno
}

// finish ends each input: what came of it, and what was due, goes out together.
func (r *Router) finish(now time.Time) {
	r.cause = CauseUnfeasible
	for _, i := range r.interfaces {
		r.flush(now, i)
		if i.Multicast {
			r.send(i, netip.Addr{}, i.queue)
		}
		for _, n := range i.neighbors {
			tlvs := n.queue
			if !i.Multicast {
				tlvs = append(tlvs, i.queue...)
			}
			r.send(i, n.key.Addr, tlvs)
			clear(n.queue)
			n.queue = n.queue[:0]
		}
		clear(i.queue)
		i.queue = i.queue[:0]
	}
}

func (r *Router) send(i *iface, to netip.Addr, tlvs []TLV) {
	if len(tlvs) == 0 || r.retracted {
		return
	}
	e := Encoder{From: i.Local, Fabric: i.Fabric, Max: i.MaxPacket}
	for len(tlvs) > 0 {
		// An AckRequest ends its packet, and its updates begin one: they are lost
		// or acknowledged together.
		n := 1 + slices.IndexFunc(tlvs, func(t TLV) bool { _, ok := t.(AckRequest); return ok })
		if n == 0 {
			n = len(tlvs)
		}
		for _, packet := range e.Encode(tlvs[:n]) {
			r.emit(Send{i.id, to, packet})
		}
		tlvs = tlvs[n:]
	}
}
