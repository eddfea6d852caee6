package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"re6st/hw/nodedir"
	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

// rig is a service with its server, without the actor.
type rig struct {
	*service
	at netip.AddrPort
}

func newRig(t *testing.T, dir string) *rig {
	t.Helper()
	store, err := Create(t.Context(), dir, Creation{
		Network: netip.MustParsePrefix("2001:db8:42::/48"), KeyType: cert.ECDSA, Now: time.Now(), Rand: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newService(t.Context(), store, rand.Reader, mathrand.New(mathrand.NewPCG(1, 1)), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := newServer(s, DefaultLimits, slog.New(slog.NewTextHandler(t.Output(), nil)), func(Event) {})
	served := make(chan error, 1)
	certificate := &serverCertificate{issuer: store.issuer, host: "::1", now: time.Now}
	go func() { served <- serve(ctx, server, server.http(certificate.get), l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		store.Close()
	})
	return &rig{s, l.Addr().(*net.TCPAddr).AddrPort()}
}

func (r *rig) invite(t *testing.T) registry.JoinLine {
	t.Helper()
	tokens, err := r.store.NewTokens(t.Context(), rand.Reader, 1, DefaultPrefixLength, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return registry.JoinLine{
		HostPort: registry.HostPort{Host: "::1", Port: r.at.Port()}, Token: tokens[0], Fingerprint: r.store.Authority().Fingerprint,
	}
}

func (r *rig) join(t *testing.T, line registry.JoinLine) (*Member, error) {
	t.Helper()
	d, err := nodedir.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return Join(t.Context(), Joining{Dir: d, Line: line, KeyType: cert.ECDSA, Now: time.Now, Waiting: func(error) {}})
}

func (r *rig) mustJoin(t *testing.T) *Member {
	t.Helper()
	m, err := r.join(t, r.invite(t))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPanicInOneCallEndsNothingElse(t *testing.T) {
	r := newRig(t, t.TempDir())
	a, b := NewClient(r.mustJoin(t), nil, time.Now), NewClient(r.mustJoin(t), nil, time.Now)
	if _, err := a.Bootstrap(t.Context(), 1, 0, nil, [8]byte{1}); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	working := r.sample
	r.sample = nil // the next sample panics, with the lock held
	r.mu.Unlock()
	if _, err := b.Bootstrap(t.Context(), 1, 0, nil, [8]byte{1}); !errors.Is(err, registry.ErrInternal) {
		t.Errorf("the call that panics: %v", err)
	}
	r.mu.Lock()
	r.sample = working
	r.mu.Unlock()
	if _, err := a.Params(t.Context()); err != nil {
		t.Errorf("another call: %v", err)
	}
	if _, err := b.Bootstrap(t.Context(), 1, 0, nil, [8]byte{1}); err != nil {
		t.Errorf("the same call again: %v", err)
	}
}

func TestReadOnlyDatabaseStillServesMembers(t *testing.T) {
	r := newRig(t, t.TempDir())
	m, line := r.mustJoin(t), r.invite(t)
	if _, err := r.store.db.Exec("PRAGMA query_only = 1"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.join(t, line); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("join: %v", err)
	}
	if b, err := NewClient(m, nil, time.Now).Bootstrap(t.Context(), 1, 0, nil, [8]byte{1}); err != nil || b.Params.Number != 1 {
		t.Errorf("bootstrap: %v", err)
	}
	if _, err := r.store.db.Exec("PRAGMA query_only = 0"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.join(t, line); err != nil {
		t.Errorf("join with the same line, once it can write: %v", err)
	}
}

func TestFullDiskTurnsJoinsAwayUntilThereIsRoom(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small tmpfs")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	t.Run("service", func(t *testing.T) {
		r := newRig(t, dir)
		m, line := r.mustJoin(t), r.invite(t)
		ballast := filepath.Join(dir, "ballast")
		if err := os.WriteFile(ballast, make([]byte, 4<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("the disk is not full: %v", err)
		}
		_, err := r.join(t, line)
		if !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("join: %v", err)
		}
		if _, err := NewClient(m, nil, time.Now).Bootstrap(t.Context(), 1, 0, nil, [8]byte{1}); err != nil {
			t.Errorf("bootstrap: %v", err)
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		if _, err := r.join(t, line); err != nil {
			t.Errorf("join with the same line, once there is room: %v", err)
		}
	})
}
