package carrier

import (
	"sync"

	"re6st/hw/sock"
)

// quicUnsent is how many of QUIC's packets wait to be sent: QUIC waits then.
const quicUnsent = 64

// quicOut gathers QUIC's packets, which it writes one by one, so that the kernel gets those of
// one length for one place in one call.
type quicOut struct {
	mu      sync.Mutex
	changed sync.Cond // packets came, or went, or it is closed
	waiting []sock.Packet
	packets int // of waiting
	spare   []sock.Packet
	closed  bool
}

func newQUICOut() *quicOut {
	o := new(quicOut)
	o.changed.L = &o.mu
	return o
}

// put takes a copy of a packet; false: it is closed.
func (o *quicOut) put(b []byte, to *endpoint) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.packets >= quicUnsent && !o.closed {
		o.changed.Wait()
	}
	if o.closed {
		return false
	}
	o.packets++
	if n := len(o.waiting); n > 0 && o.joins(&o.waiting[n-1], b, to) {
		p := &o.waiting[n-1]
		if p.Segment == 0 {
			p.Segment = len(p.Data)
		}
		p.Data = append(p.Data, b...)
	} else {
		o.begin(b, to)
	}
	o.changed.Broadcast()
	return true
}

// joins tells whether a packet may go in one call with those before it. Those of handshakes,
// which have long headers (RFC 9000 section 17.2), go by themselves.
func (o *quicOut) joins(p *sock.Packet, b []byte, to *endpoint) bool {
	size := p.Segment
	if size == 0 {
		size = len(p.Data)
	}
	return p.Data[0]&0x80 == 0 && b[0]&0x80 == 0 && p.Addr == to.Remote && p.Local == to.Local.Addr && p.Interface == to.Local.Interface &&
		len(p.Data)%size == 0 && len(b) <= size && p.Datagrams() < sock.MaxSegments && len(p.Data)+len(b) <= sock.MaxBatch
}

func (o *quicOut) begin(b []byte, to *endpoint) {
	n := len(o.waiting)
	if n < cap(o.waiting) {
		o.waiting = o.waiting[:n+1]
	} else {
		o.waiting = append(o.waiting, sock.Packet{})
	}
	p := &o.waiting[n]
	*p = sock.Packet{Data: append(p.Data[:0], b...), Addr: to.Remote, Local: to.Local.Addr, Interface: to.Local.Interface}
}

// run sends until it is closed, and then what waits.
func (o *quicOut) run(udp sock.Conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		for len(o.waiting) == 0 && !o.closed {
			o.changed.Wait()
		}
		if len(o.waiting) == 0 {
			return
		}
		out := o.waiting
		o.waiting, o.packets = o.spare[:0], 0
		o.changed.Broadcast()
		o.mu.Unlock()
		_, err := udp.WriteBatch(out)
		o.mu.Lock()
		if o.spare = out; err != nil {
			o.closed, o.waiting, o.packets = true, o.waiting[:0], 0
		}
	}
}

// close has nothing more come.
func (o *quicOut) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.changed.Broadcast()
}
