package fabric_test

import (
	"testing"
	"time"

	"re6st/protocols/cert"
	"re6st/protocols/fabric"
)

// forbid has a node know that another one is revoked.
func forbid(c, peer *fabric.Credentials) {
	c.Revoked = func(id *cert.Identity) bool { return id.ID == peer.Identity.ID }
}

func TestARevokedNodeIsToldSoWhenItCalls(t *testing.T) {
	for _, known := range []bool{true, false} {
		w, a, b := pair(t, 50)
		forbid(b.credentials, a.credentials)
		var key *[32]byte
		if known {
			key = static(b.credentials)
		}
		l := a.dial(b.id(), key, b.addr)
		w.run(10 * time.Second)
		if down := of[fabric.Down](l.events); len(down) != 1 || down[0] != (fabric.Down{Reason: fabric.CloseRevoked, Remote: true}) {
			t.Errorf("known %v: %v", known, down)
		}
		if len(b.sessions) != 0 || len(of[fabric.Accepted](b.events)) != 0 {
			t.Error("it has a session")
		}
	}
}

func TestARevokedNodeIsNotTakenWhenItIsCalled(t *testing.T) {
	for _, known := range []bool{true, false} {
		w, a, b := pair(t, 51)
		forbid(a.credentials, b.credentials)
		var key *[32]byte
		if known {
			key = static(b.credentials)
		}
		l := a.dial(b.id(), key, b.addr)
		w.run(time.Minute)
		if l.IsUp() || drops(l.Drops(), "revoked") == 0 {
			t.Errorf("known %v: up %v, %d dropped as revoked", known, l.IsUp(), drops(l.Drops(), "revoked"))
		}
		if up := of[fabric.Up](l.events); len(up) != 0 {
			t.Errorf("it was up: %v", up)
		}
	}
}

func TestALinkGetsNoNewKeysOnceItsPeerIsRevoked(t *testing.T) {
	w, a, b, la, lb := joined(t, 52)
	forbid(a.credentials, b.credentials)
	forbid(b.credentials, a.credentials)
	w.run(fabric.KeyLifetime + 10*time.Minute)
	if !la.IsDown() || !lb.IsDown() {
		t.Error("a link that nobody closed lives on")
	}
}

func TestSessionsWithARevokedNodeEndAndDoNotComeBack(t *testing.T) {
	for _, known := range []bool{true, false} {
		for _, caller := range []int{0, 1} {
			w, a, b := endings(t, known)
			a.want(b.id())
			w.run(time.Second)
			if !a.packet(b) {
				t.Fatal("no session to begin with")
			}
			forbid(b.c, a.c)
			b.Close(a.id())
			b.drain()
			if len(b.installed) != 0 {
				t.Errorf("%d sets of keys are left", len(b.installed))
			}
			for range 10 {
				if caller == 0 {
					a.HandleUnknownSession(w.now, b.id())
					a.drain()
				} else {
					b.want(a.id())
				}
				w.run(10 * time.Second)
			}
			if len(b.installed) != 0 || len(of[fabric.InstallSession](b.events)) != 1 {
				t.Errorf("known %v, caller %d: %d sets of keys", known, caller, len(b.installed))
			}
		}
	}
}

func TestAnotherPaceCountsAtOnce(t *testing.T) {
	for _, every := range []time.Duration{40 * time.Millisecond, time.Second, 60 * time.Second} {
		w, _, b, la, lb := joined(t, 53)
		la.SetUse(w.now, true)
		w.run(10 * time.Second)
		la.SetPace(w.now, fabric.Pace{InUse: every})
		lb.SetPace(w.now, fabric.Pace{IdleFirst: 600 * time.Second}) // or the deaf end gives up first
		w.run(3 * every)
		before := w.now
		if !la.IsUp() {
			t.Fatalf("%s: down without a reason", every)
		}
		b.deaf = true
		w.run(20 * every)
		// 3.5 intervals with the probe before: as 700 ms are of 200.
		if d := silenceOf(t, la).Sub(before); d > every*7/2+2*w.delay || d < every*3/2 {
			t.Errorf("every %s: silence noticed after %s", every, d)
		}
	}
}
