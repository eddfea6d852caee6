package system

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"re6st/hw/throttle"
)

// EventKind names what happened. Actors add kinds of their own.
type EventKind string

// The kinds that the system raises.
const (
	EventStarted     EventKind = "started"     // the first incarnation runs
	EventFaulted     EventKind = "faulted"     // it failed; what follows says what was done about it
	EventRestarted   EventKind = "restarted"   // a later incarnation runs
	EventQuarantined EventKind = "quarantined" // the budget is spent: it is closed, and tried again later
	EventStopped     EventKind = "stopped"     // it is gone; its name is free
	EventStuck       EventKind = "stuck"       // a pump ignores its cancellation, or works at one thing for too long
)

// Event is one thing that happened to an actor.
type Event struct {
	Seq   uint64    `json:"seq"` // from 1, without gaps
	Time  time.Time `json:"time"`
	Actor string    `json:"actor"`
	Kind  EventKind `json:"kind"`
	Text  string    `json:"text,omitempty"`
	Fault *Fault    `json:"-"` // of EventFaulted
}

// How many events of one kind of its own one actor raises per second, and at once: the
// others are counted. What the system raises is bounded by restart budgets instead.
const (
	EventRate  = 5
	EventBurst = 50
)

// actorAttr is the attribute that says whose log line it is.
const actorAttr = "actor"

// ringSize is how many of the last events are kept.
const ringSize = 256

// feed keeps the last events and hands them to subscribers.
type feed struct {
	mu   sync.Mutex
	ring []Event // oldest first
	seq  uint64
	subs []*Subscription
}

// Subscription receives the events raised after Subscribe. A slow reader loses events, which are counted;
// Seq shows where.
type Subscription struct {
	C       <-chan Event
	c       chan Event
	feed    *feed
	dropped atomic.Uint64
}

// Dropped counts the events that did not fit.
func (s *Subscription) Dropped() uint64 { return s.dropped.Load() }

// Close ends the subscription; C is not closed.
func (s *Subscription) Close() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.feed.subs = slices.DeleteFunc(s.feed.subs, func(sub *Subscription) bool { return sub == s })
}

// Subscribe returns a subscription whose channel holds size events.
func (s *System) Subscribe(size int) *Subscription {
	c := make(chan Event, size)
	sub := &Subscription{C: c, c: c, feed: &s.feed}
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.feed.subs = append(s.feed.subs, sub)
	return sub
}

// Events returns the last events, oldest first.
func (s *System) Events() []Event {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	return slices.Clone(s.feed.ring)
}

// add numbers the event and hands it on, without ever waiting for a reader.
func (f *feed) add(e Event) Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seq++
	e.Seq = f.seq
	f.ring = append(f.ring[max(0, len(f.ring)-ringSize+1):], e)
	for _, sub := range f.subs {
		select {
		case sub.c <- e:
		default:
			sub.dropped.Add(1)
		}
	}
	return e
}

// emit raises an event: to the ring, the subscribers and the log.
func (s *System) emit(c *cell, kind EventKind, text string, f *Fault) Event {
	s.tallies.add(c.care.kind, kind)
	level := slog.LevelInfo
	attrs := []any{actorAttr, c.path}
	if text != "" {
		attrs = append(attrs, "text", text)
	}
	if kind == EventFaulted || kind == EventQuarantined || kind == EventStuck {
		level = slog.LevelWarn
	}
	if f != nil {
		attrs = append(attrs, "kind", f.Kind.String())
		if f.Stack != nil {
			level = slog.LevelError
			attrs = append(attrs, "stack", string(f.Stack))
		}
	}
	s.cfg.Logger.Log(context.Background(), level, string(kind), attrs...)
	return s.feed.add(Event{Time: s.cfg.Clock.Now(), Actor: c.path, Kind: kind, Text: text, Fault: f})
}

// report raises an event of an actor's own, unless there were too many like it.
func (s *System) report(c *cell, kind EventKind, text string) {
	more := func(held uint64) { s.emit(c, kind, throttle.AndMore(held), nil) }
	if s.events.Take(throttle.Source{Actor: c.path, Kind: string(kind)}, more) {
		s.emit(c, kind, text, nil)
	}
}

// lifecycle raises an event and sends it to the incarnation of the parent that spawned c. See OnChild.
func (s *System) lifecycle(c *cell, kind EventKind, text string, f *Fault) {
	e := s.emit(c, kind, text, f)
	if c.parent != nil {
		c.parent.post(&envelope{msg: e, life: c.life})
	}
}
