package registry_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	service "re6st/actors/registry"
	"re6st/actors/system"
	"re6st/protocols/registry"
)

// watched is a watcher of a member, whose certificate was to be renewed long ago
// where due says so.
type watched struct {
	client  *service.Client
	events  chan service.WatcherEvent
	renewed atomic.Int32
	end     atomic.Int64 // of the certificate
	ref     system.Ref[service.WatcherMessage]
}

func watch(t *testing.T, m *service.Member, due bool, renew func() error) *watched {
	t.Helper()
	w := &watched{client: client(m), events: make(chan service.WatcherEvent, 100)}
	s := system.New(system.Config{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	w.end.Store(time.Now().Add(365 * 24 * time.Hour).Unix())
	if due {
		w.end.Store(time.Now().Add(20 * time.Second).Unix())
	}
	var err error
	w.ref, err = service.SpawnWatcher(s, service.WatcherConfig{
		Client: w.client, Now: time.Now,
		Held:  func() registry.Held { return registry.Held{Params: 1} },
		Dates: func() (time.Time, time.Time) { return time.Now().Add(-2 * time.Hour), time.Unix(w.end.Load(), 0) },
		Renew: func(context.Context) error {
			w.renewed.Add(1)
			err := renew()
			if err == nil {
				w.end.Store(time.Now().Add(365 * 24 * time.Hour).Unix())
			}
			return err
		},
		Emit: func(e service.WatcherEvent) { w.events <- e },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func next[E service.WatcherEvent](t *testing.T, w *watched) E {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case e := <-w.events:
			if wanted, ok := e.(E); ok {
				return wanted
			}
		case <-late:
			t.Fatalf("no %T", *new(E))
		}
	}
}

func TestAWatcherHearsOfEachChangeOnceAndOfItsOwnEnd(t *testing.T) {
	r := newRegistry(t, nil)
	m, other := member(t, r), member(t, r)
	w := watch(t, m, false, nil)
	time.Sleep(100 * time.Millisecond) // most likely it waits by now; if not, it hears as well
	revoke(t, r.store, other.Identity.ID)
	if e := next[service.Updated](t, w); e.CRL == nil || e.CRL.Number != 1 || e.Params != nil {
		t.Errorf("%+v", e)
	}
	select {
	case e := <-w.events:
		t.Errorf("once more: %+v", e)
	case <-time.After(500 * time.Millisecond):
	}
	revoke(t, r.store, m.Identity.ID)
	if e := next[service.Barred](t, w); !errors.Is(e.Err, registry.ErrRevoked) {
		t.Errorf("%v", e.Err)
	}
	select {
	case e := <-w.events:
		t.Errorf("a node that is barred asks on: %+v", e)
	case <-time.After(2 * time.Second):
	}
}

// Each call for updates notes the certificate that it shows: the new key's first one
// has the old one superseded, which the call after that hears of.
func TestAWatcherThatIsToCallAgainShowsTheNewCertificateAtOnce(t *testing.T) {
	r := newRegistry(t, nil)
	m, d := atHome(t, r)
	w := watch(t, m, false, nil)
	time.Sleep(100 * time.Millisecond)
	w.client.SetMember(renew(t, d, m, true))
	w.ref.Tell(service.CallAgain{})
	if e := next[service.Updated](t, w); e.CRL == nil || !e.CRL.Revokes(m.Identity) {
		t.Errorf("%+v", e)
	}
}

func TestAWatcherRenewsInTimeAndTellsOfFailures(t *testing.T) {
	r := newRegistry(t, nil)
	m := member(t, r)
	fails := errors.New("the line is dead")
	began := time.Now()
	w := watch(t, m, true, func() error {
		if fails != nil {
			err := fails
			fails = nil
			return err
		}
		return nil
	})
	if e := next[service.RenewalFailed](t, w); e.Err.Error() != "the line is dead" || !e.Next.After(began) {
		t.Errorf("%+v", e)
	}
	for late := time.Now().Add(patience); w.renewed.Load() < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("not tried again")
		}
	}
	time.Sleep(200 * time.Millisecond)
	if n := w.renewed.Load(); n != 2 {
		t.Errorf("renewed %d times", n)
	}
}

func TestAWatcherHearsOfACertificateThatEndsEarlier(t *testing.T) {
	r := newRegistry(t, nil)
	w := watch(t, member(t, r), false, func() error { return nil })
	time.Sleep(100 * time.Millisecond) // by now it sleeps for an hour; if not, it hears as well
	w.end.Store(time.Now().Add(20 * time.Second).Unix())
	w.ref.Tell(service.CallAgain{})
	for late := time.Now().Add(patience); w.renewed.Load() < 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("a certificate that was renewed by command, and ends soon, is not renewed")
		}
	}
}

func TestAWatcherDoesNotRenewBeforeTheTime(t *testing.T) {
	r := newRegistry(t, nil)
	w := watch(t, member(t, r), false, func() error { return nil })
	time.Sleep(300 * time.Millisecond)
	if n := w.renewed.Load(); n != 0 {
		t.Errorf("renewed %d times with most of its life left", n)
	}
}
