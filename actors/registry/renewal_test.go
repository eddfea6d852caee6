package registry_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	service "re6st/actors/registry"
	"re6st/hw/nodedir"
	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

func renew(t *testing.T, d nodedir.Dir, m *service.Member, newKey bool) *service.Member {
	t.Helper()
	next, err := service.Renew(t.Context(), service.Renewing{Dir: d, Member: m, Client: client(m), NewKey: newKey, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func serial(m *service.Member) *big.Int { return m.Identity.Certificate.SerialNumber }

func load(t *testing.T, d nodedir.Dir) *service.Member {
	t.Helper()
	m, err := service.LoadMember(d, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestARenewedCertificateIsForTheSameNode(t *testing.T) {
	r := newRegistry(t, nil)
	for _, newKey := range []bool{false, true} {
		m, d := atHome(t, r)
		next := renew(t, d, m, newKey)
		if e := await[service.Renewed](t, r); e.ID != m.Identity.ID || e.Prefix != m.Identity.Prefix {
			t.Errorf("event %+v", e)
		}
		if next.Identity.ID != m.Identity.ID || next.Identity.Prefix != m.Identity.Prefix || serial(next).Cmp(serial(m)) == 0 {
			t.Errorf("new key %t: %s %s", newKey, next.Identity.ID, next.Identity.Prefix.CN())
		}
		if changed := next.StaticPublic != m.StaticPublic; changed != newKey {
			t.Errorf("new key %t: the static key changed: %t", newKey, changed)
		}
		loaded := load(t, d)
		if serial(loaded).Cmp(serial(next)) != 0 || loaded.StaticPrivate != next.StaticPrivate {
			t.Errorf("new key %t: on disk is %s", newKey, serial(loaded))
		}
		checkFiles(t, d)
		if _, err := client(loaded).Bootstrap(t.Context(), 7326, 0, nil, [8]byte{1}); err != nil {
			t.Errorf("new key %t: %v", newKey, err)
		}
	}
}

func TestTheOldKeyIsGoodUntilTheNewOneIsUsed(t *testing.T) {
	r := newRegistry(t, nil)
	m, d := atHome(t, r)
	next := renew(t, d, m, true)
	if _, err := client(m).Params(t.Context()); err != nil {
		t.Errorf("the old one, before the new one was used: %v", err)
	}
	if _, err := client(next).Params(t.Context()); err != nil {
		t.Errorf("the new one: %v", err)
	}
	if _, err := client(m).Params(t.Context()); !errors.Is(err, registry.ErrRevoked) {
		t.Errorf("the old one, after that: %v", err)
	}
	if l, err := r.store.CRL(t.Context()); err != nil || !l.Revokes(m.Identity) || l.Revokes(next.Identity) || len(l.Nodes()) != 0 {
		t.Errorf("the list: %+v, %v", l, err)
	}
	again := renew(t, d, next, true) // and once more
	if l := revoke(t, r.store, m.Identity.ID); !l.Revokes(next.Identity) || !l.Revokes(again.Identity) || len(l.Entries) != 3 {
		t.Errorf("revoked, its certificates are %+v", l.Entries)
	}
}

func TestCertificatesOfOneKeyAreGoodSideBySide(t *testing.T) {
	r := newRegistry(t, nil)
	m, d := atHome(t, r)
	next := renew(t, d, m, false)
	for _, m := range []*service.Member{next, m} {
		if _, err := client(m).Params(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if l, err := r.store.CRL(t.Context()); err != nil || l != nil {
		t.Errorf("the list: %+v, %v", l, err)
	}
}

func TestARenewalWhoseAnswerIsLostGetsTheSameCertificate(t *testing.T) {
	r := newRegistry(t, nil)
	m, d := atHome(t, r)
	lossy := service.NewClient(m, func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &answerless{Conn: c}, err
	}, time.Now)
	for range 3 {
		if _, err := service.Renew(t.Context(), service.Renewing{Dir: d, Member: m, Client: lossy, NewKey: true, Now: time.Now}); !errors.Is(err, service.ErrNotReachable) {
			t.Fatalf("without an answer: %v", err)
		}
	}
	if loaded := load(t, d); serial(loaded).Cmp(serial(m)) != 0 {
		t.Error("the identity changed without an answer")
	}
	issued := await[service.Renewed](t, r)
	next := renew(t, d, m, true)
	if next.Identity.ID != issued.ID {
		t.Errorf("renewed %s", next.Identity.ID)
	}
	if l := revoke(t, r.store, m.Identity.ID); len(l.Entries) != 2 {
		t.Errorf("%d certificates were issued, want 2", len(l.Entries))
	}
}

func TestARenewalCutShortIsFinishedAtTheNextStart(t *testing.T) {
	r := newRegistry(t, nil)
	m, d := atHome(t, r)
	next := renew(t, d, m, true)
	want, err := d.Read("node.crt")
	if err != nil {
		t.Fatal(err)
	}
	// As it is on disk when the machine dies after the first of the files: a new
	// identity in renewal.json, and an old key.
	other, _ := atHome(t, r)
	key, err := cert.EncodeKey(other.Key)
	if err != nil {
		t.Fatal(err)
	}
	good, err := d.Read("node.key")
	if err != nil {
		t.Fatal(err)
	}
	journal := `{"version":1,"files":[{"name":"node.key","private":true,"content":"` + encode(good) + `"},{"name":"node.crt","content":"` + encode(want) + `"}]}`
	for name, content := range map[string][]byte{"renewal.json": []byte(journal), "node.key": key} {
		if err := d.Write(name, content, nodedir.Private); err != nil {
			t.Fatal(err)
		}
	}
	if loaded := load(t, d); serial(loaded).Cmp(serial(next)) != 0 {
		t.Errorf("loaded %s", serial(loaded))
	}
	if d.Has("renewal.json") {
		t.Error("what was finished is still there")
	}
	if err := d.Write("renewal.json", []byte("{"), nodedir.Private); err != nil {
		t.Fatal(err)
	}
	if _, err := service.LoadMember(d, time.Now()); !errors.Is(err, service.ErrMember) || !strings.Contains(err.Error(), "renewal.json") {
		t.Errorf("a spoilt one: %v", err)
	}
}

func TestAnotherAddressOfTheRegistryIsTried(t *testing.T) {
	r := newRegistry(t, nil)
	m, _ := atHome(t, r)
	good := m.Registry
	m.Registry = registry.HostPort{Host: "::1", Port: 1}
	c := client(m)
	if _, err := c.Params(t.Context()); !errors.Is(err, service.ErrNotReachable) {
		t.Fatalf("a dead address: %v", err)
	}
	c.SetRegistries([]string{"nonsense", good.String()})
	if _, err := c.Params(t.Context()); err != nil {
		t.Errorf("with another one: %v", err)
	}
	c.SetRegistries(nil)
	if _, err := c.Params(t.Context()); !errors.Is(err, service.ErrNotReachable) {
		t.Errorf("it was taken back: %v", err)
	}
}

func TestTheListOnDiskIsThatOfTheNetwork(t *testing.T) {
	r := newRegistry(t, nil)
	m, d := atHome(t, r)
	if l, err := service.LoadCRL(d, m.Authority); err != nil || l != nil {
		t.Errorf("none: %v, %v", l, err)
	}
	l := revoke(t, r.store, m.Identity.ID)
	if err := service.SaveCRL(d, l); err != nil {
		t.Fatal(err)
	}
	if got, err := service.LoadCRL(d, m.Authority); err != nil || got.Number != 1 {
		t.Errorf("saved: %v", err)
	}
	if err := os.WriteFile(d.Path("ca.crl"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := service.LoadCRL(d, m.Authority); !errors.Is(err, cert.ErrRevocations) {
		t.Errorf("spoilt: %v", err)
	}
}

func TestRenewalsInARowAreBounded(t *testing.T) {
	s := create(t, t.TempDir(), nil)
	id, err := join(t, s, token(t, s, 16, epoch.Add(time.Hour)), publicKey(t), epoch)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; err == nil && n < 100; n++ {
		_, err = s.Renew(t.Context(), rand.Reader, id, publicKey(t), static, epoch, year)
	}
	if !errors.Is(err, registry.ErrRateLimited) || n != 17 {
		t.Errorf("after %d: %v", n, err)
	}
	if _, err := s.Expire(t.Context(), epoch.Add(year+2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Renew(t.Context(), rand.Reader, id, publicKey(t), static, epoch, year); err != nil {
		t.Errorf("once they have ended: %v", err)
	}
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
