package fabric_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/fabric"
)

// recorded is what passes between two nodes that open a link, rekey and close it.
func recorded(t testing.TB, known bool) (all [][]byte) {
	w, a, b := pair(t, 70)
	seen := w.record()
	var key *[32]byte
	if known {
		key = static(b.credentials)
	}
	l := a.dial(b.id(), key, b.addr)
	w.run(2 * time.Second)
	l.Rekey(w.now)
	a.drain()
	w.run(time.Second)
	l.Close(fabric.CloseIdle)
	a.drain()
	for _, d := range *seen {
		all = append(all, d.b)
	}
	return all
}

// FuzzHandshake plays a script of datagrams, true, changed or made up, to an
// acceptor and to a link that dials, while time passes.
func FuzzHandshake(f *testing.F) {
	for _, known := range []bool{true, false} {
		for i, d := range recorded(f, known) {
			f.Add(uint8(i), uint16(0), d)
		}
	}
	f.Add(uint8(3), uint16(5000), []byte{0x11, 0, 0, 0})
	f.Fuzz(func(t *testing.T, at uint8, wait uint16, b []byte) {
		w, a, peer := pair(t, 71)
		l := a.dial(peer.id(), static(peer.credentials), peer.addr)
		n := uint8(0)
		w.tap = func(from, to netip.AddrPort, d []byte) bool {
			if n++; n%8 != at%8 || len(b) == 0 {
				return false
			}
			forged := slices.Clone(d)
			for i, x := range b { // mutate the true one, then throw in the made-up one
				forged[(i*7+int(at))%len(forged)] ^= x
			}
			if s := w.sites[to]; s != nil {
				s.handle(from, forged)
				s.handle(from, b)
			}
			return false
		}
		for range 3 {
			a.handle(peer.addr, b)
			peer.handle(a.addr, b)
			for i := range uint16(20) {
				peer.handle(endpoint(1000+i), b)
			}
			w.run(time.Duration(wait) * time.Millisecond)
		}
		if l.IsDown() && len(of[fabric.Down](l.events)) != 1 {
			t.Error("not one Down")
		}
		w.tap = nil
		w.run(30 * time.Second)
		a.quiet()
		peer.quiet()
	})
}

func FuzzHandshakeIndex(f *testing.F) {
	for _, d := range recorded(f, false) {
		f.Add(d)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		index, err := fabric.HandshakeIndex(b)
		if err != nil && index != 0 {
			t.Errorf("index %d with an error", index)
		}
	})
}

// FuzzSessions brings anything to Sessions in the name of a node.
func FuzzSessions(f *testing.F) {
	for _, known := range []bool{true, false} {
		for i, d := range recorded(f, known) {
			f.Add(uint8(i), d)
		}
	}
	f.Fuzz(func(t *testing.T, at uint8, b []byte) {
		w, a, peer := endings(t, at%2 == 0)
		n := uint8(0)
		w.tap = func(from, to addr.NodeID, m []byte) bool {
			if n++; n%4 == at%4 && len(b) > 0 {
				for i, x := range b {
					m[(i*5+int(at))%len(m)] ^= x
				}
				for _, e := range w.nodes {
					if e.id() == to {
						e.HandleTransit(w.now, from, m)
						e.HandleTransit(w.now, from, b)
					}
				}
			}
			return false
		}
		a.want(peer.id())
		w.run(10 * time.Second)
		w.tap = nil
		w.run(fabric.SessionIdle + 40*time.Second)
		if a.Len()+peer.Len()+len(a.installed)+len(peer.installed) != 0 {
			t.Errorf("%d and %d peers stay", a.Len(), peer.Len())
		}
	})
}

// TestNoDatagramMakesUnboundedState floods an acceptor from many addresses, by one
// who has the CA's certificate and a node's, and waits for each cookie.
func TestNoDatagramMakesUnboundedState(t *testing.T) {
	w := newWorld(t, 72)
	w.delay = 0
	ca := newIssuer(t, edKey(1))
	b := w.site(1, newCredentials(t, ca, edKey(12), 2, 2))
	b.admit = func(*cert.Identity) fabric.CloseReason { return fabric.CloseFull }
	stranger := newCredentials(t, ca, edKey(11), 1, 1)
	for i := range uint32(1000) {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1194)
		l := fabric.NewLink(fabric.LinkConfig{
			Credentials: stranger, Rand: random(uint64(i)), NewIndex: func() uint32 { return i + 1 }, Peer: b.id(),
		})
		l.Dial(w.now, []netip.AddrPort{b.addr})
		for range 2 { // the request, then the initiation
			var sent []fabric.Send
			l.Drain(func(e fabric.Event) {
				if s, ok := e.(fabric.Send); ok {
					sent = append(sent, s)
				}
			})
			for _, s := range sent {
				answers, _ := b.inject(from, s.Datagram)
				for _, r := range answers {
					l.HandleHandshake(w.now, fabric.Path{Remote: b.addr}, r.Datagram)
				}
			}
		}
		if n := b.acceptor.HalfOpen(); n > fabric.MaxHalfOpen {
			t.Fatalf("%d half-open handshakes", n)
		}
		w.now = w.now.Add(time.Millisecond)
	}
	if b.acceptor.HalfOpen() != fabric.MaxHalfOpen {
		t.Errorf("%d half-open handshakes: the flood did not reach the limit", b.acceptor.HalfOpen())
	}
	// Junk with a right first byte from everywhere leaves nothing at all.
	junk := make([]byte, 900)
	for i := range uint32(1000) {
		binary.BigEndian.PutUint32(junk[4:], i+1)
		junk[0] = 0x10 | byte(i%6)
		b.inject(endpoint(uint16(i)), junk)
	}
	w.now = w.now.Add(time.Minute)
	b.acceptor.HandleTimeout(w.now)
	if _, ok := b.acceptor.NextTimeout(); ok || b.acceptor.HalfOpen() != 0 {
		t.Error("something stays")
	}
}
