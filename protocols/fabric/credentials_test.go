package fabric_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"re6st/protocols/fabric"
)

func TestSuiteIsAESWhereBothHaveIt(t *testing.T) {
	ca := newIssuer(t, edKey(1))
	aes, chacha := fabric.AESGCM, fabric.ChaCha20Poly1305
	for _, c := range []struct {
		a, b []fabric.Suite
		aes  bool
	}{
		{[]fabric.Suite{aes, chacha}, []fabric.Suite{aes, chacha}, true},
		{[]fabric.Suite{chacha}, []fabric.Suite{aes, chacha}, false},
		{[]fabric.Suite{aes, chacha}, []fabric.Suite{chacha}, false},
		{[]fabric.Suite{77, chacha}, []fabric.Suite{chacha, 78}, false}, // suites of the future
	} {
		for _, known := range []bool{true, false} {
			w := newWorld(t, 55)
			a, b := w.site(1, newCredentials(t, ca, edKey(11), 1, 1)), w.site(2, newCredentials(t, ca, edKey(12), 2, 2))
			a.credentials.Suites, b.credentials.Suites = c.a, c.b
			var key *[32]byte
			if known {
				key = static(b.credentials)
			}
			l := a.dial(b.id(), key, b.addr)
			w.run(time.Second)
			m := b.live(a.id())
			if !l.IsUp() || !m.IsUp() {
				t.Errorf("%v and %v: not up", c.a, c.b)
			}
			want := chacha
			if c.aes {
				want = aes
			}
			if got := fabric.SuiteOf(l.current); got != want {
				t.Errorf("%v and %v: %s", c.a, c.b, got)
			}
		}
	}
}

func TestCredentialsThatNobodyWouldTakeAreNamed(t *testing.T) {
	ca := newIssuer(t, edKey(1))
	for name, spoil := range map[string]func(*fabric.Credentials){
		"no authority":   func(c *fabric.Credentials) { c.Authority = nil },
		"no identity":    func(c *fabric.Credentials) { c.Identity = nil },
		"another's":      func(c *fabric.Credentials) { c.Certificate = bytes.Clone(c.Certificate[1:]) },
		"short static":   func(c *fabric.Credentials) { c.Static.Public = c.Static.Public[1:] },
		"unbound static": func(c *fabric.Credentials) { c.Static, _ = fabric.GenerateStatic(random(9)) },
		"no suite":       func(c *fabric.Credentials) { c.Suites = nil },
		"unknown suite":  func(c *fabric.Credentials) { c.Suites = []fabric.Suite{9} },
		"huge signature": func(c *fabric.Credentials) { c.Binding = make([]byte, fabric.MaxHandshake) },
	} {
		c := newCredentials(t, ca, edKey(11), 1, 1)
		spoil(c)
		if err := c.Check(); !errors.Is(err, fabric.ErrCredentials) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMembershipEndsWithTheCertificateUnlessRenewed(t *testing.T) {
	for _, renewed := range []bool{true, false} {
		w, _, b := pair(t, 29)
		short := newCredentials(t, newIssuer(t, edKey(1)), edKey(11), 1, 30)
		der, err := newIssuer(t, edKey(1)).IssueNode(random(1), edKey(11).Public(), short.Identity.Prefix, short.Identity.ID, epoch, 5*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		long := *short
		short.Certificate = der
		if short.Identity, err = short.Authority.Verify(der, epoch); err != nil {
			t.Fatal(err)
		}
		a := w.site(1, short)
		l := a.dial(b.id(), static(b.credentials), b.addr)
		w.run(4 * time.Minute)
		if !l.IsUp() {
			t.Fatal("not up")
		}
		if renewed {
			l.SetCredentials(&long)
			a.acceptor.SetCredentials(&long)
		}
		w.run(5*time.Minute + fabric.KeyLifetime)
		if m := b.live(a.id()); renewed != (m != nil && m.IsUp()) || renewed != l.IsUp() {
			t.Errorf("renewed %v: up %v, %v", renewed, l.IsUp(), of[fabric.Down](l.events))
		}
	}
}
