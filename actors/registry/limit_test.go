package registry

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestLimiterGivesBurstThenRate(t *testing.T) {
	l := newLimiter[int](Rate{PerSecond: 2, Burst: 3})
	now := time.Unix(1000, 0)
	for i := range 3 {
		if wait := l.allow(1, now); wait != 0 {
			t.Errorf("call %d has to wait %s", i, wait)
		}
	}
	for range 2 { // being refused costs nothing
		if wait := l.allow(1, now); wait != 500*time.Millisecond {
			t.Errorf("beyond the burst: wait %s, want 500ms", wait)
		}
	}
	if wait := l.allow(2, now); wait != 0 {
		t.Errorf("another caller has to wait %s", wait)
	}
	if wait := l.allow(1, now.Add(500*time.Millisecond)); wait != 0 {
		t.Errorf("after the wait: %s", wait)
	}
}

func TestLimiterForgetsTheLeastRecent(t *testing.T) {
	l := newLimiter[int](Rate{PerSecond: 0.001, Burst: 1})
	now := time.Unix(1000, 0)
	for i := range maxLimited {
		l.allow(i, now)
	}
	l.allow(0, now) // 1 is now the least recent
	l.allow(-1, now)
	if len(l.callers) != maxLimited || l.recent.Len() != maxLimited {
		t.Errorf("%d and %d callers remembered, at most %d", len(l.callers), l.recent.Len(), maxLimited)
	}
	if l.allow(0, now) == 0 {
		t.Error("a recent caller was forgotten")
	}
	if l.allow(1, now) != 0 {
		t.Error("the least recent one was remembered")
	}
}

func TestSourceIsAnAddressOrA64(t *testing.T) {
	for a, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1": "192.0.2.1/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%lo": "fe80::/64",
	} {
		if got := source(netip.MustParseAddr(a)); got.String() != want {
			t.Errorf("%s counts as %s, want %s", a, got, want)
		}
	}
	if got := source(netip.Addr{}); got.IsValid() {
		t.Errorf("no address counts as %s", got)
	}
}

func TestListenerClosesWhatIsTooMany(t *testing.T) {
	inner, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	l := &boundedListener{Listener: inner, total: 10, perSource: 2, bySource: map[netip.Prefix]int{}}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	accept := func() net.Conn {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for range 2 {
		defer dial().Close()
	}
	first, second := accept(), accept()
	defer second.Close()

	third := dial()
	defer third.Close()
	accepted := make(chan net.Conn)
	go func() { // goes over the third one, and waits for a fourth
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Error("the third connection of one source is open")
	}
	first.Close()
	first.Close() // counts once
	fourth := dial()
	defer fourth.Close()
	c := <-accepted
	defer c.Close()
	if l.open != 2 || len(l.bySource) != 1 {
		t.Errorf("%d connections counted, of %d sources; 2 are open, of 1", l.open, len(l.bySource))
	}
}
