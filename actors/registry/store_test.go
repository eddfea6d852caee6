package registry_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	service "re6st/actors/registry"
	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

var (
	network = netip.MustParsePrefix("2001:db8:42::/48")
	epoch   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	year    = 365 * 24 * time.Hour
	static  = registry.StaticKey{1}
)

func create(t testing.TB, dir string, change func(*service.Creation)) *service.Store {
	t.Helper()
	c := service.Creation{Network: network, KeyType: cert.ECDSA, Now: epoch, Rand: rand.Reader}
	if change != nil {
		change(&c)
	}
	s, err := service.Create(t.Context(), dir, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func reopen(t testing.TB, dir string) *service.Store {
	t.Helper()
	s, err := service.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func token(t testing.TB, s *service.Store, length int, expires time.Time) registry.Token {
	t.Helper()
	all, err := s.NewTokens(t.Context(), rand.Reader, 1, length, expires)
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

func publicKey(t testing.TB) crypto.PublicKey {
	t.Helper()
	k, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

func join(t testing.TB, s *service.Store, tok registry.Token, key crypto.PublicKey, now time.Time) (*cert.Identity, error) {
	t.Helper()
	der, err := s.Join(t.Context(), rand.Reader, tok, key, static, now, year)
	if err != nil {
		return nil, err
	}
	id, err := s.Authority().Verify(der, now)
	if err != nil {
		t.Fatal(err)
	}
	return id, nil
}

func TestNodesGetPrefixesInOrder(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir, nil)
	for i := range 7 {
		id, err := join(t, s, token(t, s, 16, epoch.Add(time.Hour)), publicKey(t), epoch)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%d/16", i); id.Prefix.CN() != want {
			t.Errorf("node %d is %s", i, id.Prefix.CN())
		}
	}
	s.Close()
	nodes, err := reopen(t, dir).Nodes(t.Context())
	if err != nil || len(nodes) != 7 || nodes[6].Prefix.CN() != "6/16" || nodes[6].Static != static || !nodes[6].Seen.IsZero() {
		t.Errorf("after a restart: %v, %v", nodes, err)
	}
}

func TestTokenIsForOneKey(t *testing.T) {
	s := create(t, t.TempDir(), nil)
	tok, key := token(t, s, 16, epoch.Add(time.Hour)), publicKey(t)
	first, err := join(t, s, tok, key, epoch)
	if err != nil {
		t.Fatal(err)
	}
	again, err := join(t, s, tok, key, epoch.Add(time.Minute))
	if err != nil || !again.Certificate.Equal(first.Certificate) {
		t.Errorf("the same key again: %v, another certificate", err)
	}
	if _, err := join(t, s, tok, publicKey(t), epoch); !errors.Is(err, registry.ErrTokenUsed) {
		t.Errorf("another key: %v", err)
	}
	if _, err := join(t, s, tok, key, epoch.Add(2*time.Hour)); !errors.Is(err, registry.ErrTokenExpired) {
		t.Errorf("after its end: %v", err)
	}
	if _, err := join(t, s, registry.Token{1}, key, epoch); !errors.Is(err, registry.ErrTokenUnknown) {
		t.Errorf("an unknown token: %v", err)
	}
}

func TestFullSpaceLeavesTheTokenUsable(t *testing.T) {
	s := create(t, t.TempDir(), nil)
	end := epoch.Add(300 * 24 * time.Hour * 10)
	for range 2 {
		if _, err := join(t, s, token(t, s, 1, end), publicKey(t), epoch); err != nil {
			t.Fatal(err)
		}
	}
	tok, key := token(t, s, 1, end), publicKey(t)
	if _, err := join(t, s, tok, key, epoch); !errors.Is(err, registry.ErrFull) {
		t.Fatalf("a third half: %v", err)
	}
	later := epoch.Add(year + 101*24*time.Hour)
	if gone, err := s.Expire(t.Context(), later); err != nil || len(gone) != 2 {
		t.Fatalf("expired %v, %v", gone, err)
	}
	if _, err := join(t, s, tok, key, later); err != nil {
		t.Errorf("after prefixes came free: %v", err)
	}
}

func TestExpireKeepsPrefixesForAGracePeriod(t *testing.T) {
	s := create(t, t.TempDir(), nil)
	if _, err := join(t, s, token(t, s, 16, epoch.Add(time.Hour)), publicKey(t), epoch); err != nil {
		t.Fatal(err)
	}
	if gone, err := s.Expire(t.Context(), epoch.Add(year+99*24*time.Hour)); err != nil || len(gone) != 0 {
		t.Errorf("within the grace period: %v, %v", gone, err)
	}
	if gone, err := s.Expire(t.Context(), epoch.Add(year+101*24*time.Hour)); err != nil || len(gone) != 1 {
		t.Errorf("after it: %v, %v", gone, err)
	}
	now := epoch.Add(year + 102*24*time.Hour)
	if id, err := join(t, s, token(t, s, 16, now.Add(time.Hour)), publicKey(t), now); err != nil || id.Prefix.CN() != "0/16" {
		t.Errorf("the next node: %v, %v, want 0/16 again", id, err)
	}
}

func TestConcurrentJoinsNeverShareAPrefix(t *testing.T) {
	dir := t.TempDir()
	stores := []*service.Store{create(t, dir, nil), reopen(t, dir)} // as two processes would
	var mu sync.Mutex
	seen := map[string]bool{}
	var group sync.WaitGroup
	for i := range 4 {
		s := stores[i%2]
		group.Go(func() {
			for range 5 {
				id, err := join(t, s, token(t, s, 16, epoch.Add(time.Hour)), publicKey(t), epoch)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if seen[id.Prefix.CN()] || seen[id.ID.String()] {
					t.Errorf("%s %s twice", id.Prefix.CN(), id.ID)
				}
				seen[id.Prefix.CN()], seen[id.ID.String()] = true, true
				mu.Unlock()
			}
		})
	}
	group.Wait()
}

func TestParamsAreNumberedAndSeenByOthersAtOnce(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir, func(c *service.Creation) { c.Params = []registry.Setting{{Key: "client_count", Value: "10"}} })
	other := reopen(t, dir)
	p, err := other.Params(t.Context())
	if err != nil || p.Number != 1 || p.ClientCount != 10 {
		t.Fatalf("at first: %+v, %v", p, err)
	}
	if _, err := s.SetParams(t.Context(), rand.Reader, []registry.Setting{{Key: "hello_interval", Value: "2s"}}); err != nil {
		t.Fatal(err)
	}
	p, err = other.Params(t.Context())
	if err != nil || p.Number != 2 || p.ClientCount != 10 || p.HelloInterval != registry.Duration(2*time.Second) {
		t.Errorf("then: %+v, %v", p, err)
	}
	if _, err := s.SetParams(t.Context(), rand.Reader, []registry.Setting{{Key: "mtu", Value: "1"}}); !errors.Is(err, registry.ErrParams) {
		t.Errorf("a bad value: %v", err)
	}
	if p, err = other.Params(t.Context()); err != nil || p.Number != 2 {
		t.Errorf("after a bad value: %d, %v", p.Number, err)
	}
}

func TestCreationHappensOnce(t *testing.T) {
	dir := t.TempDir()
	fingerprint := create(t, dir, nil).Authority().Fingerprint
	_, err := service.Create(t.Context(), dir, service.Creation{Network: network, KeyType: cert.Ed25519, Now: epoch, Rand: rand.Reader})
	if !errors.Is(err, service.ErrExists) {
		t.Errorf("a second time: %v", err)
	}
	if reopen(t, dir).Authority().Fingerprint != fingerprint {
		t.Error("the CA was replaced")
	}
	for _, name := range []string{"registry.db", "registry.db-wal"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s, which holds the CA's key: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestEveryKeyTypeMakesARegistry(t *testing.T) {
	for _, kind := range []cert.KeyType{cert.ECDSA, cert.RSA, cert.Ed25519} {
		dir := t.TempDir()
		create(t, dir, func(c *service.Creation) { c.KeyType = kind }).Close()
		s := reopen(t, dir)
		if _, err := join(t, s, token(t, s, 16, epoch.Add(time.Hour)), publicKey(t), epoch); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	if _, err := service.Open(t.Context(), dir); !errors.Is(err, service.ErrNoRegistry) {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "registry.db")); err == nil {
		t.Error("a database was made where none was")
	}
	if err := os.WriteFile(filepath.Join(dir, "registry.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := service.Open(t.Context(), dir); !errors.Is(err, service.ErrNoRegistry) {
		t.Errorf("an interrupted creation: %v", err)
	}
	create(t, dir, nil).Close() // which can be taken up again
	db, err := sql.Open("sqlite", filepath.Join(dir, "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("PRAGMA user_version = 1000"); err != nil {
		t.Fatal(err)
	}
	if _, err := service.Open(t.Context(), dir); !errors.Is(err, service.ErrNewer) {
		t.Errorf("of a later version: %v", err)
	}
}

func TestAdvertisedAddressIsKept(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir, nil)
	if _, err := s.Advertise(t.Context()); !errors.Is(err, service.ErrNoAdvertise) {
		t.Errorf("nobody said it: %v", err)
	}
	for _, h := range []registry.HostPort{{Host: "2001:db8::1", Port: 7443}, {Host: "example.net", Port: 1}} {
		if err := s.SetAdvertise(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if got, err := reopen(t, dir).Advertise(t.Context()); err != nil || got != h {
			t.Errorf("got %v, %v, want %v", got, err, h)
		}
	}
}

func TestTokensAreStoredHashed(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir, nil)
	tok := token(t, s, 16, epoch.Add(time.Hour))
	for _, name := range []string{"registry.db", "registry.db-wal"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, tok[:]) {
			t.Errorf("the token stands in %s", name)
		}
	}
}

func TestBoundsOfTokens(t *testing.T) {
	s := create(t, t.TempDir(), nil)
	for _, c := range []struct{ n, length int }{{0, 16}, {10001, 16}, {1, 0}, {1, 81}} {
		if _, err := s.NewTokens(context.Background(), rand.Reader, c.n, c.length, epoch); err == nil {
			t.Errorf("%d tokens of %d bits were made", c.n, c.length)
		}
	}
}
