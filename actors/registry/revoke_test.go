package registry_test

import (
	"crypto/rand"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	service "re6st/actors/registry"
	"re6st/hw/nodedir"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

// atHome is a member and its folder.
func atHome(t *testing.T, r *running) (*service.Member, nodedir.Dir) {
	t.Helper()
	j := joining(t, r.invite(t))
	m, err := try(t, j)
	if err != nil {
		t.Fatal(err)
	}
	return m, j.Dir
}

func client(m *service.Member) *service.Client { return service.NewClient(m, nil, time.Now) }

func revoke(t *testing.T, s *service.Store, id addr.NodeID) *cert.RevocationList {
	t.Helper()
	l, err := s.Revoke(t.Context(), rand.Reader, id, cert.KeyCompromise, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestARevokedNodeIsRefusedWithAllThatItHas(t *testing.T) {
	r := newRegistry(t, nil)
	m, dir := atHome(t, r)
	other := member(t, r)
	if _, err := client(m).Bootstrap(t.Context(), 7326, 0, nil, [8]byte{1}); err != nil {
		t.Fatal(err)
	}
	if l := revoke(t, r.store, m.Identity.ID); l.Number != 1 || !l.Revokes(m.Identity) || l.Revokes(other.Identity) {
		t.Errorf("list %+v", l)
	}
	c := client(m)
	_, bootstrap := c.Bootstrap(t.Context(), 7326, 0, nil, [8]byte{1})
	_, params := c.Params(t.Context())
	_, updates := c.Updates(t.Context(), registry.Held{})
	_, renewal := service.Renew(t.Context(), service.Renewing{Dir: dir, Member: m, Client: c, NewKey: true, Now: time.Now})
	for call, err := range map[string]error{"bootstrap": bootstrap, "params": params, "updates": updates, "renew": renewal} {
		if !errors.Is(err, registry.ErrRevoked) {
			t.Errorf("%s: %v", call, err)
		}
	}
	if b, err := client(other).Bootstrap(t.Context(), 7326, 0, nil, [8]byte{1}); err != nil || len(b.Peers) != 0 {
		t.Errorf("others are told of %v, %v", b, err)
	}
	if _, err := r.store.Revoke(t.Context(), rand.Reader, m.Identity.ID, cert.Unspecified, time.Now()); !errors.Is(err, registry.ErrRevoked) {
		t.Errorf("a second time: %v", err)
	}
	if _, err := r.store.Revoke(t.Context(), rand.Reader, addr.NodeIDFromUint64(1), cert.Unspecified, time.Now()); !errors.Is(err, service.ErrNoNode) {
		t.Errorf("nobody: %v", err)
	}
	nodes, err := r.store.Nodes(t.Context())
	if err != nil || nodes[0].Revoked.IsZero() || nodes[0].Reason != cert.KeyCompromise || !nodes[1].Revoked.IsZero() {
		t.Errorf("nodes %+v, %v", nodes, err)
	}
}

func TestKeysOfARevokedNodeGetNoCertificate(t *testing.T) {
	s := create(t, t.TempDir(), nil)
	key := publicKey(t)
	id, err := join(t, s, token(t, s, 16, epoch.Add(time.Hour)), key, epoch)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Revoke(t.Context(), rand.Reader, id.ID, cert.Unspecified, epoch); err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]func() error{
		"the same key": func() error {
			_, err := s.Join(t.Context(), rand.Reader, token(t, s, 16, epoch.Add(time.Hour)), key, registry.StaticKey{9}, epoch, year)
			return err
		},
		"the same static key": func() error {
			_, err := s.Join(t.Context(), rand.Reader, token(t, s, 16, epoch.Add(time.Hour)), publicKey(t), static, epoch, year)
			return err
		},
	} {
		if err := try(); !errors.Is(err, registry.ErrRevoked) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestThePrefixOfARevokedNodeIsFreeWhenItsCertificateHasEnded(t *testing.T) {
	s := create(t, t.TempDir(), nil)
	next := func(at time.Time) string {
		t.Helper()
		der, err := s.Join(t.Context(), rand.Reader, token(t, s, 16, at.Add(time.Hour)), publicKey(t), registry.StaticKey{byte(at.Unix())}, at, year)
		if err != nil {
			t.Fatal(err)
		}
		id, err := s.Authority().Verify(der, at)
		if err != nil {
			t.Fatal(err)
		}
		return id.Prefix.CN()
	}
	id, err := join(t, s, token(t, s, 16, epoch.Add(time.Hour)), publicKey(t), epoch)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Revoke(t.Context(), rand.Reader, id.ID, cert.Unspecified, epoch); err != nil {
		t.Fatal(err)
	}
	if gone, err := s.Expire(t.Context(), epoch.Add(year-time.Minute)); err != nil || len(gone) != 0 {
		t.Fatalf("before its end %v is gone, %v", gone, err)
	}
	if got := next(epoch.Add(time.Second)); got != "1/16" {
		t.Errorf("the next node is %s", got)
	}
	if gone, err := s.Expire(t.Context(), epoch.Add(year+2*time.Minute)); err != nil || len(gone) != 2 && len(gone) != 1 || gone[0] != id.ID {
		t.Fatalf("after it %v is gone, %v", gone, err)
	}
	if got := next(epoch.Add(year + 3*time.Minute)); got != "0/16" {
		t.Errorf("the one after that is %s", got)
	}
}

func TestRevocationsOfEndedCertificatesLeaveTheList(t *testing.T) {
	s := create(t, t.TempDir(), nil)
	var ids []*cert.Identity
	for i := range 2 {
		id, err := join(t, s, token(t, s, 16, epoch.Add(2*year)), publicKey(t), epoch.Add(time.Duration(i)*year))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	var l *cert.RevocationList
	for i, at := range []time.Time{epoch, epoch.Add(year + 2*time.Hour)} {
		if _, err := s.Expire(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		var err error
		if l, err = s.Revoke(t.Context(), rand.Reader, ids[i].ID, cert.Unspecified, at); err != nil {
			t.Fatal(err)
		}
	}
	if l.Number != 2 || len(l.Entries) != 1 || l.Revokes(ids[0]) || !l.Revokes(ids[1]) {
		t.Errorf("number %d with %d entries", l.Number, len(l.Entries))
	}
}

func TestUpdatesComeAtOnceWhenAnotherProcessMakesThem(t *testing.T) {
	r := newRegistry(t, nil)
	m, gone := member(t, r), member(t, r)
	type answer struct {
		service.Updates
		err error
	}
	answers := make(chan answer)
	poll := func(h registry.Held) {
		u, err := client(m).Updates(t.Context(), h)
		answers <- answer{u, err}
	}
	go poll(registry.Held{Params: 1})
	select {
	case a := <-answers:
		t.Fatalf("an answer without news: %+v", a)
	case <-time.After(600 * time.Millisecond): // two looks at the database
	}
	if _, err := r.store.SetParams(t.Context(), rand.Reader, nil); err != nil { // by another connection: as a process beside
		t.Fatal(err)
	}
	if a := <-answers; a.err != nil || a.Params == nil || a.Params.Number != 2 || a.CRL != nil {
		t.Errorf("parameters: %+v", a)
	}
	go poll(registry.Held{Params: 2})
	revoke(t, r.store, gone.Identity.ID)
	if a := <-answers; a.err != nil || a.Params != nil || a.CRL == nil || a.CRL.Number != 1 {
		t.Errorf("revocations: %+v", a)
	}
	go poll(registry.Held{})
	if a := <-answers; a.err != nil || a.Params == nil || a.CRL == nil {
		t.Errorf("both, to who has nothing: %+v", a)
	}
}

func TestAPollEndsWithItsTimeWithItsServerAndWithTheNextOne(t *testing.T) {
	r := newRegistry(t, func(c *service.Config) {
		c.Limits = service.DefaultLimits
		c.Limits.Hold = time.Second
	})
	m := member(t, r)
	if u, err := client(m).Updates(t.Context(), registry.Held{Params: 1}); err != nil || u.Params != nil || u.CRL != nil {
		t.Errorf("after its time: %+v, %v", u, err)
	}
	r = newRegistry(t, nil)
	m = member(t, r)
	ends := make(chan error)
	for range 2 {
		go func() {
			_, err := client(m).Updates(t.Context(), registry.Held{Params: 1})
			ends <- err
		}()
	}
	if err := <-ends; err != nil { // displaced by the other
		t.Error(err)
	}
	r.stop(t)
	if err := <-ends; err != nil && !errors.Is(err, service.ErrNotReachable) {
		t.Error(err)
	}
}

func TestADatabaseOfTheFirstVersionIsBroughtUp(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir, nil)
	id, err := join(t, s, token(t, s, 16, epoch.Add(time.Hour)), publicKey(t), epoch)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	db, err := sql.Open("sqlite", filepath.Join(dir, "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		"ALTER TABLE node DROP COLUMN revoked", "ALTER TABLE node DROP COLUMN reason", "ALTER TABLE node DROP COLUMN tls_port",
		"DROP INDEX node_ipv4", "ALTER TABLE node DROP COLUMN ipv4", "DROP TABLE former", "DROP TABLE revocation", "DROP TABLE revoked_key", "DROP TABLE crl", "PRAGMA user_version = 1",
	} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(q, err)
		}
	}
	db.Close()
	again := reopen(t, dir)
	if l, err := again.CRL(t.Context()); err != nil || l != nil {
		t.Errorf("a list from nowhere: %v, %v", l, err)
	}
	if l, err := again.Revoke(t.Context(), rand.Reader, id.ID, cert.Unspecified, epoch); err != nil || !l.Revokes(id) {
		t.Errorf("%v", err)
	}
}
