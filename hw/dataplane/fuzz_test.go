package dataplane

import (
	"testing"
	"time"

	"re6st/hw/hwtest"
	"re6st/hw/sock"
)

// FuzzFromTUN: whatever the kernel routes here, the path survives it, and every
// packet is either sealed, kept, or counted.
func FuzzFromTUN(f *testing.F) {
	f.Add(packet(host(general, 1), host(general, 3), "payload"))
	f.Add(packet(host(general, 1), host(safety, 3), "payload"))
	f.Add(packet(host(general, 1), host(general, 8), string([]byte{58, 0, 0, 0, 0, 0, 0, 0, 3})))
	f.Add([]byte{0x45})
	f.Add([]byte{})
	p := newPath(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		before := total(p.a.Plane)
		p.a.fromTUN(copy(p.a.buf[innerAt:innerAt+1380], b))
		if after := total(p.a.Plane); after != before+1 {
			t.Fatalf("%d packets accounted for", after-before)
		}
	})
}

func total(p *Plane) uint64 {
	s := p.Stats()
	n := s.Ingress.Packets + s.Waiting.Packets
	for _, d := range s.Drops {
		n += d
	}
	return n
}

// FuzzFromConn: no datagram of a stranger reaches the kernel or is relayed.
func FuzzFromConn(f *testing.F) {
	p := newPath(f)
	p.ingress()
	f.Add(p.wire[0].last)
	p.toRelay()
	f.Add(p.wire[1].last)
	f.Add([]byte{0x18})
	f.Add([]byte{0x11})
	stranger := newNode(f, hwtest.NewNetwork(2), 2)
	w := stranger.newWorker()
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFrame {
			return
		}
		w.fromConn(&sock.Packet{Data: b, At: time.Now()})
		if s := stranger.Stats(); s.Egress.Packets+s.Relayed.Packets+s.Conn.Sent != 0 {
			t.Fatalf("%+v", s)
		}
	})
}
