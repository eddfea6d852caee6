package babel_test

import (
	"math/rand"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/babel"
)

// FuzzDecode: what decodes encodes, and that decodes to the same.
func FuzzDecode(f *testing.F) {
	for _, p := range captured(f) {
		f.Add(p, false)
	}
	for seed := range int64(4) {
		fabric := seed%2 == 0
		for _, p := range (babel.Encoder{From: peerLL, Fabric: fabric, Max: 1232}).Encode(randomTLVs(rand.New(rand.NewSource(seed)), 20, fabric)) {
			f.Add(p, fabric)
		}
	}
	f.Fuzz(func(t *testing.T, p []byte, fabric bool) {
		tlvs, _, err := babel.Decode(p, peerLL, fabric)
		if err != nil {
			return
		}
		var back []babel.TLV
		for _, q := range (babel.Encoder{From: peerLL, Fabric: fabric, Max: 1232}).Encode(tlvs) {
			if len(q) > 1232 {
				t.Fatalf("a packet of %d bytes", len(q))
			}
			got, ignored, err := babel.Decode(q, peerLL, fabric)
			if err != nil || ignored != 0 {
				t.Fatalf("what we encode we do not decode: %d ignored, %v\n%x", ignored, err, q)
			}
			back = append(back, got...)
		}
		if !slices.Equal(back, tlvs) {
			t.Fatalf("decoded\n%+v\nand back\n%+v", tlvs, back)
		}
	})
}

// FuzzNeighbor: no packet makes a Neighbor or its Router panic, or send what
// cannot be decoded.
func FuzzNeighbor(f *testing.F) {
	for _, p := range captured(f) {
		f.Add(p, false, uint16(100))
	}
	for _, p := range (babel.Encoder{From: peerLL, Fabric: true, Max: 1232}).Encode(randomTLVs(rand.New(rand.NewSource(1)), 20, true)) {
		f.Add(p, true, uint16(3000))
	}
	f.Fuzz(func(t *testing.T, p []byte, fabric bool, ms uint16) {
		now := epoch
		r, err := babel.NewRouter(babel.Config{Self: nodeID(0), RouterID: babel.RouterID(nodeID(0)), Locators: locators, Rand: rand.New(rand.NewSource(1))})
		if err != nil {
			t.Fatal(err)
		}
		ifc := babel.Interface{Fabric: fabric, Ifindex: 2, Link: 2, Local: selfLL, Multicast: !fabric}
		n, err := babel.NewNeighbor(babel.NeighborConfig{Addr: peerLL, Local: selfLL, Fabric: fabric, Peer: nodeID(1), Locators: locators})
		key := babel.NeighborKey{Interface: 1, Addr: peerLL}
		if err != nil || r.AddInterface(now, 1, ifc) != nil || r.AddNeighbor(now, key) != nil {
			t.Fatal(err)
		}
		n.HandleLink(now, true, time.Millisecond)
		for range 3 {
			if err := n.HandlePacket(now, peerLL, p); err != nil {
				return
			}
			n.Drain(func(e babel.NeighborEvent) { r.Handle(now, key, e) })
			now = now.Add(time.Duration(ms) * time.Millisecond)
			n.HandleTimeout(now)
			r.HandleTimeout(now)
			r.Drain(func(e babel.Event) {
				if s, ok := e.(babel.Send); ok {
					if _, ignored, err := babel.Decode(s.Packet, selfLL, fabric); err != nil || ignored > 0 {
						t.Fatalf("sent %x: %d ignored, %v", s.Packet, ignored, err)
					}
				}
			})
			if next, ok := r.NextTimeout(); !ok || !next.After(now) {
				t.Fatalf("at %s the next timeout is %s, %v", now, next, ok)
			}
		}
	})
}

// FuzzHistory: Hellos in any order leave a history of 16, and no loop without end.
func FuzzHistory(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 0, 9, 0, 3, 255, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := babel.NewNeighbor(babel.NeighborConfig{Addr: peerLL, Local: selfLL})
		if err != nil {
			t.Fatal(err)
		}
		now := epoch
		for b = b[:min(len(b), 400)]; len(b) >= 2; b = b[2:] {
			hello := babel.Hello{Unicast: b[0]&1 != 0, Seqno: uint16(b[0])<<8 | uint16(b[1]), Interval: time.Duration(b[0]) * 10 * time.Millisecond}
			p := (babel.Encoder{From: peerLL, Max: 1232}).Encode([]babel.TLV{hello})
			if err := n.HandlePacket(now, netip.MustParseAddr("fe80::b%eth0"), p[0]); err != nil {
				t.Fatal(err)
			}
			now = now.Add(time.Duration(b[1]) * 100 * time.Millisecond)
			n.HandleTimeout(now)
			if next, ok := n.NextTimeout(); ok && !next.After(now) {
				t.Fatalf("at %s the next timeout is %s", now, next)
			}

		}
	})
}
