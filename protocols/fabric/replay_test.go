package fabric

import (
	"math/rand"
	"slices"
	"sync"
	"testing"
)

func TestWindowTakesEachCounterOnce(t *testing.T) {
	w := newWindow(128)
	for _, c := range []struct {
		counter uint64
		want    bool
		why     string
	}{
		{0, true, "the first"},
		{0, false, "a duplicate"},
		{5, true, "a jump"},
		{3, true, "reordered"},
		{3, false, "reordered, twice"},
		{127, true, "the window is full"},
		{1, true, "the oldest but one is still in it"},
		{128, true, "one further"},
		{0, false, "just behind the window"},
		{64 + 128, true, "a jump of one word"},
		{65, true, "the oldest of the window now"},
		{64, false, "one before the oldest"},
		{127, false, "seen before the jump"},
		{129, true, "skipped by the jump"},
		{10_000, true, "a jump over the whole window"},
		{10_000 - 127, true, "its bit was cleared by the jump"},
		{10_000 - 128, false, "behind the window after the jump"},
		{CounterLimit - 1, true, "the last counter of all"},
		{CounterLimit - 1, false, "the last counter, twice"},
		{CounterLimit - 128, true, "the oldest at the end"},
	} {
		if fresh := w.fresh(c.counter); fresh != c.want {
			t.Errorf("%s: fresh(%d) = %v", c.why, c.counter, fresh)
		}
		if got := w.accept(c.counter, 1); got != c.want {
			t.Errorf("%s: accept(%d) = %v", c.why, c.counter, got)
		}
	}
}

func TestWindowAgreesWithAPlainSet(t *testing.T) {
	const size = 256
	rng := rand.New(rand.NewSource(1))
	w, seen, next := newWindow(size), map[uint64]bool{}, uint64(0)
	for i := range 200_000 {
		var c uint64
		switch rng.Intn(100) {
		case 0:
			c = next + uint64(rng.Intn(3*size))
		case 1, 2, 3:
			c = next + uint64(rng.Intn(70))
		default:
			c = next + 4 - uint64(rng.Intn(size+20))
		}
		if c >= CounterLimit {
			continue // below zero
		}
		want := !seen[c] && c+size >= next
		if got := w.accept(c, 1); got != want {
			t.Fatalf("step %d: accept(%d) = %v with next %d", i, c, got, next)
		}
		if want {
			seen[c] = true
			next = max(next, c+1)
		}
	}
}

func TestWindowAcceptsOnceUnderConcurrency(t *testing.T) {
	const readers, counters = 4, 20_000
	w := newWindow(SessionWindow)
	accepted := make([][]uint64, readers)
	var wg sync.WaitGroup
	for r := range readers {
		wg.Go(func() {
			for c := range uint64(counters) {
				if w.accept(c, 1) {
					accepted[r] = append(accepted[r], c)
				}
			}
		})
	}
	wg.Wait()
	all := slices.Concat(accepted...)
	slices.Sort(all)
	if len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Fatal("a counter was accepted twice")
	}
}

func TestWindowSizesSuitTheRing(t *testing.T) {
	for _, size := range []int{LinkWindow, SessionWindow} {
		if n := len(newWindow(size).seen); n&(n-1) != 0 || n*wordBits != size {
			t.Errorf("a window of %d has %d words: not a power of two", size, n)
		}
	}
	if LinkWindow < 2048 || SessionWindow < 8192 {
		t.Error("windows are smaller than the wire format promises")
	}
}

func TestUsedUpCounterStaysUsedUp(t *testing.T) {
	keys := Keys{Send: [32]byte{1}, Receive: [32]byte{2}}
	link, err := NewLinkSession(ChaCha20Poly1305, keys, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	session, err := NewSession(ChaCha20Poly1305, keys, 1, 2, [8]byte{1}, [8]byte{2})
	if err != nil {
		t.Fatal(err)
	}
	link.sent.counter.Store(CounterLimit - 1)
	session.sent.counter.Store(CounterLimit - 1)
	frame := make([]byte, HopHeaderLen)
	HopHeader{Egress: [8]byte{1}, Ingress: [8]byte{2}}.Put(frame)
	if frame, err = session.Seal(frame, 0, nil); err != nil {
		t.Fatalf("the last counter of a session: %v", err)
	}
	if err := link.StampHop(frame); err != nil {
		t.Fatalf("the last counter of a link: %v", err)
	}
	for range 3 {
		if err := link.StampHop(frame); err != ErrExhausted {
			t.Errorf("StampHop: %v", err)
		}
		if _, err := link.SealControl(nil, ControlProbe, nil); err != ErrExhausted {
			t.Errorf("SealControl: %v", err)
		}
		if _, err := session.Seal(frame[:HopHeaderLen], 0, nil); err != ErrExhausted {
			t.Errorf("Seal: %v", err)
		}
	}
	if c := link.sent.counter.Load(); c != CounterLimit {
		t.Errorf("a refused counter counted on, to %d", c)
	}
}
