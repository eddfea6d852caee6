package dataplane

import (
	"encoding/binary"
	"hash/maphash"
	"testing"
	"time"

	"re6st/hw/hwtest"
	"re6st/hw/sock"
	"re6st/protocols/checksum"
	"re6st/protocols/fabric"
)

// FuzzFromTUN: whatever the kernel routes here, the path survives it, and every
// packet is either sealed, kept, or counted.
func FuzzFromTUN(f *testing.F) {
	f.Add(packet(host(general, 1), host(general, 3), "payload"))
	f.Add(packet(host(general, 1), host(safety, 3), "payload"))
	f.Add(packet(host(general, 1), host(general, 8), string([]byte{58, 0, 0, 0, 0, 0, 0, 0, 3})))
	f.Add([]byte{0x45})
	f.Add([]byte{})
	four := packet4(host4(1), host4(3), "payload")
	f.Add(four)
	f.Add(append([]byte{0x4f}, four[1:]...))
	f.Add(packet4(host4(1), host4(8), "nowhere"))
	p := newPath(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		before := total(p.a.Plane)
		enter(p.a, b[:min(len(b), 1380)])
		if after := total(p.a.Plane); after != before+1 {
			t.Fatalf("%d packets accounted for", after-before)
		}
	})
}

// FuzzParseInner: what passes is whole and unicast, and a mark of congestion leaves its
// checksum as right as it was.
func FuzzParseInner(f *testing.F) {
	f.Add(packet(host(general, 1), host(general, 3), "payload"))
	four := packet4(host4(1), host4(3), "payload")
	f.Add(four)
	f.Add(four[:ipv4HeaderLen])
	f.Add(append([]byte{0x46}, four[1:]...))
	f.Add([]byte{0x44})
	seed := maphash.MakeSeed()
	f.Fuzz(func(t *testing.T, b []byte) {
		h, _, ok := parseInner(b)
		if !ok {
			return
		}
		if !unicast(h.src) || !unicast(h.dst) || h.src.Is4() != h.dst.Is4() {
			t.Fatalf("from %s to %s", h.src, h.dst)
		}
		flowOf(seed, b)
		if n := ipv4Header(b); h.src.Is4() {
			isICMPv4Error(b)
			binary.BigEndian.PutUint16(b[10:], 0)
			binary.BigEndian.PutUint16(b[10:], checksum.Of(0, b[:n]))
		} else {
			isICMPError(b)
		}
		setECN(b, fabric.ECNCE)
		if again, _, ok := parseInner(b); !ok || again.ecn != fabric.ECNCE || again.src != h.src {
			t.Fatalf("%+v became %+v", h, again)
		}
		if n := ipv4Header(b); h.src.Is4() && checksum.Of(0, b[:n]) != 0 {
			t.Fatalf("checksum of % x", b[:n])
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

// FuzzFromConn: no datagram of a stranger, alone or among others, reaches the kernel or is relayed.
func FuzzFromConn(f *testing.F) {
	p := newPath(f)
	p.ingress()
	f.Add(p.wire[0].last, uint16(0))
	p.toRelay()
	f.Add(p.wire[1].last, uint16(0))
	p.allToRelay()
	f.Add(p.wire[0].last[:200], uint16(80))
	f.Add([]byte{0x18}, uint16(0))
	f.Add([]byte{0x11}, uint16(0))
	stranger := newNode(f, hwtest.NewNetwork(2), 2)
	w := stranger.newWorker(maxFrame)
	f.Fuzz(func(t *testing.T, b []byte, segment uint16) {
		if len(b) > maxFrame {
			return
		}
		w.fromConn(&sock.Packet{Data: b, Segment: int(segment), At: time.Now()})
		if s := stranger.Stats(); s.Egress.Packets+s.Relayed.Packets+s.Conn.Sent != 0 {
			t.Fatalf("%+v", s)
		}
	})
}
