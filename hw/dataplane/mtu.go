package dataplane

import (
	"net/netip"
	"sync"
	"time"

	"re6st/protocols/fabric"
	"re6st/protocols/rib"
)

// SetLinkMTU tells the longest datagram that the link carries, in bytes without
// UDP and IP; 0 is not known. Who sent longer ones lately hears so at once.
func (p *Plane) SetLinkMTU(id rib.LinkID, datagram int) {
	if l := p.links.Load().byID[id]; l != nil {
		l.mtu.Store(int32(min(datagram, fabric.MaxDatagram)))
		p.tellRecent(func(r *recent) bool { return r.link == l })
	}
}

// refusedHere takes that this machine's interface does not take a datagram of the link of
// so many bytes: no more are tried, and the Link hears of it.
func (p *Plane) refusedHere(l *link, size int) {
	below := int32(fabric.PLPMTUBelow(size))
	for old := l.mtu.Load(); old == 0 || old > below; old = l.mtu.Load() {
		if l.mtu.CompareAndSwap(old, below) {
			break
		}
	}
	if session := l.session.Load(); session != nil {
		session.NoteTooBig(size)
	}
	p.tellRecent(func(r *recent) bool { return r.link == l })
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

const (
	// maxRecent is how many long frames that left are kept in mind, by their flows, for
	// their senders to be told where it turns out that such do not arrive: a TCP that
	// hears it sends anew at once, and not by its timer. noteEvery is which of the frames.
	maxRecent = 16
	noteEvery = 8

	// recentHead is what is kept of each, in bytes: the headers.
	recentHead = 96
)

// recent is a long frame that left by a link.
type recent struct {
	link    *link // nil: none
	to      pathTo
	relayed bool
	size    int // of the frame
	length  int // of head
	head    [recentHead]byte
}

type recents struct {
	mu  sync.Mutex
	all [maxRecent]recent
}

// noteIngress keeps an inner packet in mind that is about to go its way.
func (w *worker) noteIngress(packet []byte) {
	if size := fabric.Overhead + len(packet); size >= fabric.FullFrame {
		w.note(w.way.link, size, &w.way.hop, false, packet)
	}
}

// noteRelayed keeps a frame in mind that is about to be passed on.
func (w *worker) noteRelayed(l *link, frame []byte, hop *fabric.HopHeader) {
	if len(frame) >= fabric.FullFrame && !hop.Fragment {
		w.note(l, len(frame), hop, true, frame)
	}
}

func (w *worker) note(l *link, size int, hop *fabric.HopHeader, relayed bool, b []byte) {
	if w.longs++; w.longs%noteEvery != 1 || !w.recent.mu.TryLock() {
		return
	}
	r := &w.recent.all[hop.Flow%maxRecent]
	r.link, r.to, r.relayed, r.size = l, pathTo{hop.Topology, hop.Egress}, relayed, size
	r.length = copy(r.head[:], b)
	w.recent.mu.Unlock()
}

// tellRecent tells those who sent frames that are too long for their way, as it is known
// now, and forgets those.
func (p *Plane) tellRecent(about func(*recent) bool) {
	var tell []recent
	p.recent.mu.Lock()
	for i := range p.recent.all {
		r := &p.recent.all[i]
		if r.link == nil || !about(r) {
			continue
		}
		if _, tooBig := r.link.tooBig(r.size); tooBig || p.tooBigFor(r) {
			tell = append(tell, *r)
			*r = recent{}
		}
	}
	p.recent.mu.Unlock()
	if len(tell) == 0 {
		return
	}
	w := p.borrow()
	defer p.giveBack(w)
	now := time.Now()
	for i := range tell {
		w.tellSender(now, &tell[i])
	}
}

// tellSender tells where a frame came from that it was too long.
func (w *worker) tellSender(now time.Time, r *recent) {
	mtu, tooBig := r.link.tooBig(r.size)
	if n := w.narrowed(r.to, r.link); n > 0 && (!tooBig || n < mtu) {
		mtu = n
	}
	if !r.relayed {
		w.sayTooBig(now, r.head[:r.length], mtu)
		return
	}
	if hop, err := fabric.ParseHop(r.head[:r.length]); err == nil && tooBig {
		w.relayError(now, fabric.RelayTooBig, uint16(mtu), r.head[:r.length], hop)
	}
}

// sayTooBig writes the ICMP error about a packet of which the head is known.
func (w *worker) sayTooBig(now time.Time, head []byte, mtu int) {
	var out []byte
	if isIPv4(head) {
		src := netip.AddrFrom4([4]byte(head[12:16]))
		v := w.ipv4.Load()
		if v == nil || isICMPv4Error(head) || !w.icmpLimit.allow(now, src) {
			return
		}
		out = icmpErrorIPv4(v.self, src, code4FragmentationNeeded, mtu, head)
	} else {
		src := netip.AddrFrom16([16]byte(head[8:24]))
		if !w.address.Is6() || isICMPError(head) || !w.icmpLimit.allow(now, src) {
			return
		}
		out = icmpError(w.address, src, icmpTooBig, 0, mtu, head)
	}
	if _, err := w.tun.Write(out); err == nil {
		w.icmpSent.Add(1)
	}
}
