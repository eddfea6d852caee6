package fabric_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/fabric"
)

func names(d fabric.Drops) func(func(string) bool) {
	return func(yield func(string) bool) {
		for n, count := range d.All() {
			if count > 0 && !yield(n) {
				return
			}
		}
	}
}

func TestHalfOpenHandshakesAreBounded(t *testing.T) {
	w := newWorld(t, 53)
	ca := newIssuer(t, edKey(1))
	b := w.site(1000, newCredentials(t, ca, edKey(12), 2, 2))
	stranger := newCredentials(t, ca, edKey(11), 1, 1)
	finals := 0
	w.tap = func(_, _ netip.AddrPort, d []byte) bool {
		if d[0] == fabric.FirstByte(fabric.TypeFinal) {
			finals++
			return true
		}
		return false
	}
	most := 0
	for i := range uint16(90) {
		w.site(i, stranger).dial(b.id(), nil, b.addr)
		w.run(5 * time.Millisecond)
		most = max(most, b.acceptor.HalfOpen())
	}
	w.run(200 * time.Millisecond)
	if most = max(most, b.acceptor.HalfOpen()); most != fabric.MaxHalfOpen {
		t.Errorf("%d half-open handshakes, want up to %d", most, fabric.MaxHalfOpen)
	}
	if drops(b.acceptor.Drops(), "full") == 0 {
		t.Error("not counted")
	}
	w.run(20 * time.Second)
	if n := b.acceptor.HalfOpen(); n != 0 {
		t.Errorf("%d stay", n)
	}
}

func TestHalfOpenHandshakesOfOneSourceAreBounded(t *testing.T) {
	w := newWorld(t, 58)
	ca := newIssuer(t, edKey(1))
	b := w.site(1, newCredentials(t, ca, edKey(12), 2, 2))
	stranger := newCredentials(t, ca, edKey(11), 1, 1)
	w.tap = func(_, _ netip.AddrPort, d []byte) bool { return d[0] == fabric.FirstByte(fabric.TypeFinal) }
	for i := range byte(fabric.MaxSourceHalfOpen + 10) { // in one /64
		s := w.site(3+uint16(i), stranger)
		delete(w.sites, s.addr)
		s.addr = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 3, 15: i + 2}), 1194)
		w.sites[s.addr] = s
		s.dial(b.id(), nil, b.addr)
	}
	w.run(100 * time.Millisecond)
	if n := b.acceptor.HalfOpen(); n != fabric.MaxSourceHalfOpen {
		t.Errorf("%d half-open handshakes of one source, want %d", n, fabric.MaxSourceHalfOpen)
	}
	w.site(1000, stranger).dial(b.id(), nil, b.addr)
	w.run(100 * time.Millisecond)
	if n := b.acceptor.HalfOpen(); n != fabric.MaxSourceHalfOpen+1 {
		t.Errorf("%d half-open handshakes once another source called", n)
	}
}

func TestOneSourceGetsItsShare(t *testing.T) {
	w, a, b := pair(t, 54)
	// One node draws handshake after handshake, all with good cookies.
	w.tap = func(_, _ netip.AddrPort, d []byte) bool { return d[0] == fabric.FirstByte(fabric.TypeResponse) }
	w.delay = 2 * time.Millisecond
	for range 200 {
		a.links = nil
		a.dial(b.id(), static(b.credentials), b.addr)
		w.run(8 * time.Millisecond)
	}
	accepted := len(of[fabric.Accepted](b.events))
	if accepted < fabric.SourceHandshakeBurst || accepted > fabric.SourceHandshakeBurst+fabric.SourceHandshakeRate*2 {
		t.Errorf("%d handshakes of one source in 1.6 s", accepted)
	}
	if drops(b.acceptor.Drops(), "rate") == 0 {
		t.Error("none was over the rate")
	}
	if m := b.live(a.id()); m == nil || len(b.sessions) > 8 {
		t.Errorf("%d sessions that nobody confirmed", len(b.sessions))
	}
	// Another source is not the worse for it.
	w.tap = nil
	c := w.site(3, newCredentials(t, newIssuer(t, edKey(1)), edKey(13), 3, 3))
	l := c.dial(b.id(), nil, b.addr)
	w.run(time.Second)
	if !l.IsUp() {
		t.Error("another source got nothing")
	}
}

func TestAdmissionIsAskedAfterTheProof(t *testing.T) {
	w, a, b := pair(t, 56)
	var asked []addr.NodeID
	b.admit = func(id *cert.Identity) fabric.CloseReason {
		asked = append(asked, id.ID)
		return fabric.CloseNone
	}
	a.dial(b.id(), nil, b.addr)
	w.run(30 * time.Millisecond)
	if len(asked) != 0 {
		t.Error("asked before the third message")
	}
	w.run(time.Second)
	if len(asked) != 1 || asked[0] != a.id() {
		t.Errorf("asked about %v", asked)
	}
}

func TestManyNodesOfOneSourceAreAnsweredInFiveSeconds(t *testing.T) {
	w := newWorld(t, 57)
	ca := newIssuer(t, edKey(1))
	b := w.site(1, newCredentials(t, ca, edKey(12), 1, 1))
	var all []*siteLink
	for i := range uint64(32) { // on one LAN, in one /64
		s := w.site(2, newCredentials(t, ca, edKey(100+i), 100+i, 100+i))
		delete(w.sites, s.addr)
		s.addr = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 2, 15: byte(i + 2)}), 1194)
		w.sites[s.addr] = s
		all = append(all, s.dial(b.id(), nil, b.addr))
	}
	w.until(5*time.Second, "all links up", func() bool {
		return !slices.ContainsFunc(all, func(l *siteLink) bool { return !l.IsUp() })
	})
}

func TestMarkedTellsRequestsOfTheNetwork(t *testing.T) {
	w, a, b := pair(t, 81)
	ours, others := fabric.Marked(a.credentials.Authority.Fingerprint), fabric.Marked([32]byte{1})
	seen := 0
	w.tap = func(_, _ netip.AddrPort, d []byte) bool {
		if d[0] != fabric.FirstByte(fabric.TypeInitiation) {
			return false
		}
		seen++
		if !ours(d) || others(d) {
			t.Errorf("an initiation of %d bytes: %v by its own network, %v by another", len(d), ours(d), others(d))
		}
		d[len(d)-1] ^= 1
		if ours(d) || ours(d[:3]) || ours(nil) {
			t.Error("a spoilt one is taken")
		}
		return false
	}
	a.dial(b.id(), nil, b.addr)
	w.run(time.Second)
	if seen < 2 {
		t.Errorf("%d initiations seen", seen)
	}
}
