package systemtest

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"re6st/actors/system"
	"re6st/hw/clock"
)

const (
	patience = 20 * time.Second // bounds a wait for a pump: a test that reaches it has failed
	glance   = time.Millisecond // how often a condition is asked that comes true outside of all mailboxes
)

// Harness is a System with a virtual clock and a Queue, driven by the test's goroutine.
type Harness struct {
	*system.System
	Clock *clock.Virtual
	Queue *Queue
	tb    testing.TB
}

// New returns a harness whose order and randomness follow seed (0: first in, first out). The test's cleanup
// stops it, and fails the test where an actor does not stop.
func New(tb testing.TB, seed uint64) *Harness {
	h := &Harness{Clock: clock.NewVirtual(time.Time{}), Queue: NewQueue(seed), tb: tb}
	h.System = system.New(system.Config{
		Logger:     slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Clock:      h.Clock,
		Seed:       seed | 1<<63, // never 0, which would draw one
		Dispatcher: h.Queue,
	})
	tb.Cleanup(h.Shutdown)
	return h
}

// Run steps until no mailbox has work and no timer is due now.
func (h *Harness) Run() {
	for {
		for h.Queue.Step() {
		}
		at, ok := h.Clock.Next()
		if !ok || at.After(h.Clock.Now()) {
			return
		}
		h.Clock.Advance(0)
	}
}

// Advance moves the clock on by d, from timer to timer, and runs until idle at each.
func (h *Harness) Advance(d time.Duration) {
	end := h.Clock.Now().Add(d)
	h.Run()
	for at, ok := h.Clock.Next(); ok && !at.After(end); at, ok = h.Clock.Next() {
		h.Clock.AdvanceTo(at)
		h.Run()
	}
	h.Clock.AdvanceTo(end)
}

// Await runs until cond holds, waiting for pumps where the mailboxes are empty. It moves no time.
func (h *Harness) Await(what string, cond func() bool) {
	h.tb.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	again := time.NewTicker(glance)
	defer again.Stop()
	for {
		h.Run()
		if cond() {
			return
		}
		select {
		case <-h.Queue.Ready():
		case <-again.C:
		case <-late.C:
			h.tb.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// Shutdown stops the system and runs until it has ended.
func (h *Harness) Shutdown() {
	h.Quit()
	h.Await("the system to end", func() bool {
		select {
		case <-h.Done():
			return true
		default:
			return false
		}
	})
}

// State returns the state of the actor of a path; Stopped where there is none.
func (h *Harness) State(path string) system.State { return h.Record(path).State }

// Record returns the record of the actor of a path; a Stopped one where there is none.
func (h *Harness) Record(path string) system.Record {
	for _, r := range h.Actors() {
		if r.Path == path {
			return r
		}
	}
	return system.Record{Path: path, State: system.Stopped}
}

// Trace returns the events so far, one "path kind" each.
func (h *Harness) Trace() []string {
	var lines []string
	for _, e := range h.Events() {
		lines = append(lines, e.Actor+" "+string(e.Kind))
	}
	return lines
}

// Collector gathers what an actor emits: hand its Emit where the actor's Config wants a func(E).
type Collector[E any] struct {
	mu  sync.Mutex
	all []E
}

// Emit keeps e.
func (c *Collector[E]) Emit(e E) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, e)
}

// Take returns what was emitted since the last Take.
func (c *Collector[E]) Take() []E {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.all
	c.all = nil
	return all
}

// Len counts what Take would return.
func (c *Collector[E]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}
