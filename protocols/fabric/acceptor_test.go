package fabric_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/cert"
	"re6st/protocols/fabric"
)

// datagram is one that was seen on the wire.
type datagram struct {
	from, to netip.AddrPort
	b        []byte
}

func (d datagram) is(t fabric.Type) bool { return d.b[0] == fabric.FirstByte(t) }

// record keeps what passes from now on.
func (w *world) record() *[]datagram {
	var seen []datagram
	w.tap = func(from, to netip.AddrPort, b []byte) bool {
		seen = append(seen, datagram{from, to, b})
		return false
	}
	return &seen
}

// inject has a datagram handled at once, and returns what the acceptor sends.
func (s *site) inject(from netip.AddrPort, b []byte) (sent []fabric.Send, accepted int) {
	s.acceptor.HandleDatagram(s.w.now, fabric.Path{Remote: from}, b)
	s.acceptor.Drain(func(e fabric.Event) {
		switch e := e.(type) {
		case fabric.Send:
			sent = append(sent, e)
		case fabric.Accepted:
			accepted++
		}
	})
	return sent, accepted
}

// initiations are those with a Noise message.
func initiations(seen []datagram) (found []datagram) {
	for _, d := range seen {
		if d.is(fabric.TypeInitiation) && d.b[1] != 0 {
			found = append(found, d)
		}
	}
	return found
}

func TestWithoutACookieThereIsOnlyARetry(t *testing.T) {
	w, a, b := pair(t, 40)
	seen := w.record()
	a.dial(b.id(), nil, b.addr)
	request := (*seen)[0]
	for range 1000 { // none of them costs anything
		sent, accepted := b.inject(a.addr, request.b)
		if len(sent) != 1 || accepted != 0 || sent[0].To.Remote != a.addr || sent[0].Datagram[0] != fabric.FirstByte(fabric.TypeRetry) {
			t.Fatalf("%d datagrams, %d accepted", len(sent), accepted)
		}
		if len(sent[0].Datagram) > len(request.b) {
			t.Fatal("a Retry is longer than what it answers")
		}
	}
	if _, ok := b.acceptor.NextTimeout(); ok || b.acceptor.HalfOpen() != 0 {
		t.Error("a request for a cookie left state")
	}
}

func TestNobodyIsAnsweredWithoutTheMAC(t *testing.T) {
	w, a, b := pair(t, 41)
	seen := w.record()
	a.dial(b.id(), static(b.credentials), b.addr)
	w.run(time.Second)
	for _, d := range append(initiations(*seen), (*seen)[0]) {
		for i := range d.b {
			m := slices.Clone(d.b)
			m[i] ^= 1
			if sent, accepted := b.inject(a.addr, m); len(sent) != 0 || accepted != 0 {
				t.Fatalf("byte %d of %d is not covered", i, len(m))
			}
		}
		for n := range d.b {
			if sent, accepted := b.inject(a.addr, d.b[:n]); len(sent) != 0 || accepted != 0 {
				t.Fatalf("%d of %d bytes are answered", n, len(d.b))
			}
		}
	}
	if drops(b.acceptor.Drops(), "mac") == 0 {
		t.Error("not counted")
	}
}

func TestAnotherNetworksNodeIsNotAnswered(t *testing.T) {
	w, a, _ := pair(t, 42)
	c := w.site(3, newCredentials(t, newIssuer(t, edKey(2)), edKey(13), 3, 43))
	seen := w.record()
	c.dial(a.id(), static(a.credentials), a.addr)
	w.run(6 * time.Second)
	for _, d := range *seen {
		if d.from == a.addr {
			t.Fatalf("answered with %d bytes", len(d.b))
		}
	}
}

func TestCookieIsGoodForItsAddressAndTime(t *testing.T) {
	w, a, b := pair(t, 43)
	seen := w.record()
	a.dial(b.id(), static(b.credentials), b.addr)
	w.run(15 * time.Millisecond) // the cookie is on its way back
	w.run(10 * time.Millisecond)
	first := initiations(*seen)[0].b
	isRetry := func(from netip.AddrPort) bool {
		sent, accepted := b.inject(from, first)
		return accepted == 0 && len(sent) == 1 && sent[0].Datagram[0] == fabric.FirstByte(fabric.TypeRetry)
	}
	for _, other := range []netip.AddrPort{endpoint(9), netip.AddrPortFrom(a.addr.Addr(), a.addr.Port()+1)} {
		if !isRetry(other) {
			t.Errorf("the cookie for %s serves %s", a.addr, other)
		}
	}
	w.now = w.now.Add(fabric.CookieEpoch) // the next epoch
	if isRetry(a.addr) {
		t.Error("the cookie was good for less than an epoch")
	}
	w.now = w.now.Add(fabric.CookieEpoch)
	if !isRetry(a.addr) {
		t.Error("the cookie was good after its epochs")
	}
}

func TestReplayedInitiationMakesNoState(t *testing.T) {
	for _, known := range []bool{true, false} {
		w, a, b := pair(t, 44)
		seen := w.record()
		var key *[32]byte
		if known {
			key = static(b.credentials)
		}
		a.dial(b.id(), key, b.addr)
		w.run(fabric.HalfOpenTimeout + time.Second)
		first := initiations(*seen)[0].b
		before := drops(b.acceptor.Drops(), "replay")
		for range 100 {
			if sent, accepted := b.inject(a.addr, first); len(sent) != 0 || accepted != 0 {
				t.Fatalf("known %v: %d answers, %d accepted", known, len(sent), accepted)
			}
		}
		if n := drops(b.acceptor.Drops(), "replay") - before; n != 100 {
			t.Errorf("%d of 100 counted", n)
		}
		if b.acceptor.HalfOpen() != 0 {
			t.Error("half-open handshakes from a replay")
		}
		w.run(2*fabric.CookieEpoch - time.Second) // forgotten, but so is the cookie
		if sent, accepted := b.inject(a.addr, first); accepted != 0 || len(sent) != 1 || sent[0].Datagram[0] != fabric.FirstByte(fabric.TypeRetry) {
			t.Errorf("after two epochs: %d answers, %d accepted", len(sent), accepted)
		}
	}
}

func TestReplayedExchangeMakesNoState(t *testing.T) {
	for _, known := range []bool{true, false} {
		w, a, b := pair(t, 45)
		seen := w.record()
		var key *[32]byte
		if known {
			key = static(b.credentials)
		}
		a.dial(b.id(), key, b.addr)
		w.run(time.Second)
		recorded := slices.Clone(*seen)
		w.run(10 * time.Second)
		sessions, links := len(b.sessions), len(b.links)
		for _, after := range []time.Duration{0, 70 * time.Second, 200 * time.Second} {
			w.run(after)
			for _, d := range recorded {
				if d.to == b.addr {
					b.handle(d.from, d.b)
				}
			}
			if len(b.links) != links || b.acceptor.HalfOpen() != 0 {
				t.Errorf("known %v, after %s: %d links, %d half open", known, after, len(b.links), b.acceptor.HalfOpen())
			}
			if after == 0 && len(b.sessions) != sessions {
				t.Errorf("known %v: %d sessions, %d before", known, len(b.sessions), sessions)
			}
		}
	}
}

func TestResponsesAreNoAmplification(t *testing.T) {
	rsa := rsaKey(t)
	ed := newIssuer(t, edKey(1))
	old := newIssuer(t, rsa)
	for name, make := range map[string]func(w *world) (a, b *site){
		"ed25519": func(w *world) (a, b *site) {
			return w.site(1, newCredentials(t, ed, edKey(11), 1, 1)), w.site(2, newCredentials(t, ed, edKey(12), 2, 2))
		},
		"RSA 4096": func(w *world) (a, b *site) {
			return w.site(1, newCredentials(t, old, rsa, 1, 1)), w.site(2, newCredentials(t, old, rsa, 2, 2))
		},
		"ed25519 calls RSA 4096": func(w *world) (a, b *site) {
			return w.site(1, newCredentials(t, old, edKey(11), 1, 1)), w.site(2, newCredentials(t, old, rsa, 2, 2))
		},
	} {
		for _, known := range []bool{true, false} {
			w := newWorld(t, 46)
			a, b := make(w)
			seen := w.record()
			var key *[32]byte
			if known {
				key = static(b.credentials)
			}
			l := a.dial(b.id(), key, b.addr)
			in, out := 0, 0
			w.until(time.Second, "link up", func() bool {
				in, out = 0, 0
				for _, d := range *seen {
					if d.to == b.addr {
						in += len(d.b)
					} else if d.from == b.addr {
						out += len(d.b)
					}
					if out >= 3*in {
						t.Fatalf("%s, known %v: %d bytes for %d", name, known, out, in)
					}
				}
				return l.IsUp()
			})
			t.Logf("%s, key known %v: %d bytes there, %d back", name, known, in, out)
		}
	}
}

func TestLargeCertificatesComeInFragments(t *testing.T) {
	rsa := rsaKey(t)
	ca := newIssuer(t, rsa)
	for seed := range uint64(4) {
		w := newWorld(t, seed)
		a, b := w.site(1, newCredentials(t, ca, rsa, 1, 1)), w.site(2, newCredentials(t, ca, rsa, 2, 2))
		w.spread, w.duplicate = 50*time.Millisecond, 0.3
		seen := w.record()
		var key *[32]byte
		if seed%2 == 0 {
			key = static(b.credentials)
		}
		l := a.dial(b.id(), key, b.addr)
		w.run(2 * time.Second)
		if m := b.live(a.id()); !l.IsUp() || m == nil || !m.IsUp() {
			t.Fatalf("seed %d: not up", seed)
		}
		fragments := 0
		for _, d := range *seen {
			if len(d.b) > fabric.LinkHandshakeSize && !d.is(fabric.TypeControl) {
				t.Errorf("a datagram of %d bytes", len(d.b))
			}
			if d.is(fabric.TypeHandshakeFragment) {
				fragments++
			}
		}
		if fragments < 4 {
			t.Errorf("%d fragments, want two messages of them", fragments)
		}
	}
}

func TestFragmentsNeedACookieAndAreBounded(t *testing.T) {
	rsa := rsaKey(t)
	ca := newIssuer(t, rsa)
	w := newWorld(t, 47)
	a, b := w.site(1, newCredentials(t, ca, rsa, 1, 1)), w.site(2, newCredentials(t, ca, rsa, 2, 2))
	var fragment []byte
	w.tap = func(from, _ netip.AddrPort, d []byte) bool {
		if d[0] == fabric.FirstByte(fabric.TypeHandshakeFragment) && fragment == nil {
			fragment = d
		}
		return fragment != nil
	}
	a.dial(b.id(), static(b.credentials), b.addr)
	w.until(time.Second, "a fragment", func() bool { return fragment != nil })
	if b.inject(endpoint(9), fragment); drops(b.acceptor.Drops(), "cookie") != 1 {
		t.Error("a fragment with the cookie of another address was taken")
	}
	if _, ok := b.acceptor.NextTimeout(); ok {
		t.Error("it left state")
	}
	for i := range byte(100) {
		fragment[7] = i // the sender's index tells messages apart
		b.inject(a.addr, fragment)
	}
	if n := drops(b.acceptor.Drops(), "fragment"); n < 90 {
		t.Errorf("%d of 100 unfinished messages of one source were dropped", n)
	}
	at, ok := b.acceptor.NextTimeout()
	if !ok || at.Sub(w.now) != fabric.HandshakeReassemblyTimeout {
		t.Errorf("they wait until %s", at.Sub(w.now))
	}
	b.acceptor.HandleTimeout(at)
	if _, ok := b.acceptor.NextTimeout(); ok {
		t.Error("they stay")
	}
}

func TestBadCredentialsAreRefusedInSilence(t *testing.T) {
	ca := newIssuer(t, edKey(1))
	good := func() *fabric.Credentials { return newCredentials(t, ca, edKey(11), 1, 1) }
	foreign := newCredentials(t, newIssuer(t, edKey(2)), edKey(11), 1, 1)
	for _, c := range []struct {
		name, drop string
		spoil      func(*fabric.Credentials)
	}{
		{"certificate of another network", "certificate", func(c *fabric.Credentials) { c.Certificate = foreign.Certificate }},
		{"garbage for a certificate", "certificate", func(c *fabric.Credentials) { c.Certificate = []byte("garbage") }},
		{"no certificate", "certificate", func(c *fabric.Credentials) { c.Certificate = nil }},
		{"binding of another network", "binding", func(c *fabric.Credentials) { c.Binding = foreign.Binding }},
		{"static key not bound", "binding", func(c *fabric.Credentials) { c.Static, _ = fabric.GenerateStatic(random(5)) }},
		{"somebody else's certificate", "binding", func(c *fabric.Credentials) {
			c.Certificate = newCredentials(t, ca, edKey(14), 4, 4).Certificate
		}},
		{"expired", "certificate", func(c *fabric.Credentials) {
			der, err := ca.IssueNode(random(1), edKey(11).Public(), c.Identity.Prefix, c.Identity.ID, epoch.Add(-48*time.Hour), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			c.Certificate = der
		}},
		{"not valid yet", "certificate", func(c *fabric.Credentials) {
			der, err := ca.IssueNode(random(1), edKey(11).Public(), c.Identity.Prefix, c.Identity.ID, epoch.Add(48*time.Hour), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			c.Certificate = der
		}},
		{"no common suite", "suite", func(c *fabric.Credentials) { c.Suites = []fabric.Suite{7} }},
	} {
		for _, known := range []bool{true, false} {
			bad := good()
			c.spoil(bad)
			w := newWorld(t, 48)
			a, b := w.site(1, bad), w.site(2, newCredentials(t, ca, edKey(12), 2, 2))
			b.credentials.Suites = []fabric.Suite{fabric.ChaCha20Poly1305}
			var key *[32]byte
			if known {
				key = static(b.credentials)
			}
			l := a.dial(b.id(), key, b.addr)
			w.run(6 * time.Second)
			accepted := len(of[fabric.Accepted](b.events))
			if l.IsUp() || accepted != 0 || c.drop != "suite" && drops(b.acceptor.Drops(), c.drop) == 0 {
				t.Errorf("%s calls, key known %v: up %v, accepted %d", c.name, known, l.IsUp(), accepted)
			}
			l = b.dial(a.id(), static(bad), a.addr)
			w.run(6 * time.Second)
			if l.IsUp() || len(of[fabric.Down](l.events)) != 1 || c.drop != "suite" && drops(l.Drops(), c.drop) == 0 {
				t.Errorf("%s is called: up %v, %v", c.name, l.IsUp(), of[fabric.Down](l.events))
			}
			b.quiet()
		}
	}
}

func TestUnsynchronisedDeviceChoosesHowToVerify(t *testing.T) {
	w, a, b := pair(t, 49)
	w.now = epoch.Add(-24 * time.Hour)
	a.credentials.Verify = a.credentials.Authority.VerifyFloor
	b.credentials.Verify = b.credentials.Authority.VerifyFloor
	l := a.dial(b.id(), nil, b.addr)
	w.run(time.Second)
	if !l.IsUp() {
		t.Error("not up")
	}
}

func TestRefusalTellsTheReason(t *testing.T) {
	for _, reason := range []fabric.CloseReason{fabric.CloseFull, fabric.CloseDraining, fabric.CloseRevoked} {
		for _, known := range []bool{true, false} {
			w, a, b := pair(t, 50)
			b.admit = func(id *cert.Identity) fabric.CloseReason {
				if id.ID != a.id() {
					t.Errorf("asked about %s", id.ID)
				}
				return reason
			}
			var key *[32]byte
			if known {
				key = static(b.credentials)
			}
			seen := w.record()
			l := a.dial(b.id(), key, b.addr)
			w.run(10 * time.Second)
			if down := of[fabric.Down](l.events); len(down) != 1 || down[0] != (fabric.Down{Reason: reason, Remote: true}) {
				t.Errorf("%s, known %v: %v", reason, known, down)
			}
			if n := len(initiations(*seen)); n != 1 {
				t.Errorf("%d initiations: a storm", n)
			}
			if len(b.sessions) != 0 || len(of[fabric.Accepted](b.events)) != 0 {
				t.Error("the refused peer has a session")
			}
			a.quiet()
			b.quiet()
		}
	}
}

func TestLostFinalAndLostVerdictAreRepeated(t *testing.T) {
	for variant := range 2 {
		w, a, b := pair(t, 51)
		lost := 0
		w.tap = func(_, _ netip.AddrPort, d []byte) bool {
			if d[0] == fabric.FirstByte(fabric.TypeFinal) && int(d[1]) == variant+1 && lost < 2 {
				lost++
				return true
			}
			return false
		}
		l := a.dial(b.id(), nil, b.addr)
		w.run(2 * time.Second)
		m := b.live(a.id())
		if !l.IsUp() || m == nil || !m.IsUp() || lost != 2 {
			t.Errorf("variant %d: up %v", variant+1, l.IsUp())
		}
		if n := len(of[fabric.Accepted](b.events)); n != 1 {
			t.Errorf("variant %d: accepted %d times", variant+1, n)
		}
	}
}

func TestForgedResponseDoesNotEndAHandshake(t *testing.T) {
	w, a, b := pair(t, 52)
	w.tap = func(from, to netip.AddrPort, d []byte) bool {
		if d[0] != fabric.FirstByte(fabric.TypeResponse) {
			return false
		}
		for _, i := range []int{4, 12, 40, len(d) - 1} { // index, ephemeral, payload, tag
			forged := slices.Clone(d)
			forged[i] ^= 1
			a.handle(from, forged)
		}
		lowOrder := slices.Clone(d)
		clear(lowOrder[12 : 12+32])
		a.handle(from, lowOrder)
		return false
	}
	l := a.dial(b.id(), static(b.credentials), b.addr)
	w.run(100 * time.Millisecond)
	if !l.IsUp() {
		t.Errorf("not up by the first handshake: %v", slices.Collect(names(l.Drops())))
	}
}
