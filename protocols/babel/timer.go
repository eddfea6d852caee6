package babel

import (
	"container/heap"
	"time"
)

// instant is a time of the Router: nanoseconds from its epoch, which is the first
// time that it heard of.
type instant int64

// tick is a coarse instant, counted from 1: 0 is never. They last for 13 years.
type tick uint32

const tickLen = 100 * time.Millisecond

// ticks is how many of them are at least d nanoseconds.
func ticks(d float64) tick { return tick((d + float64(tickLen) - 1) / float64(tickLen)) }

func (t tick) instant() instant { return instant(t-1) * instant(tickLen) }

// tick is the one that began last.
func (r *Router) tick(now time.Time) tick {
	return 1 + tick(max(0, r.timers.instant(now))/instant(tickLen))
}

// timed is what waits in the Router's timer queue. due does what is due at now
// and tells when it wants to be called next; the zero Time is never.
type timed interface {
	due(r *Router, now time.Time) time.Time
	clock() *alarm
}

// alarm is the part of a timed that belongs to the queue.
type alarm struct {
	at  instant
	pos uint32 // in the heap, counted from 1; 0: not in it
}

func (a *alarm) clock() *alarm { return a }

// timers is a heap of alarms, the earliest first. Each timed is in it once at most,
// and leaves it when it is dropped: whoever makes routes come and go does not make it
// grow.
type timers struct {
	items []timed
	epoch time.Time
}

func (t *timers) Len() int { return len(t.items) }

func (t *timers) Less(i, j int) bool { return t.items[i].clock().at < t.items[j].clock().at }

func (t *timers) Swap(i, j int) {
	t.items[i], t.items[j] = t.items[j], t.items[i]
	t.items[i].clock().pos, t.items[j].clock().pos = uint32(i+1), uint32(j+1)
}

func (t *timers) Push(x any) {
	who := x.(timed)
	t.items = append(t.items, who)
	who.clock().pos = uint32(len(t.items))
}

func (t *timers) Pop() any {
	last := t.items[len(t.items)-1]
	t.items[len(t.items)-1] = nil
	t.items = t.items[:len(t.items)-1]
	last.clock().pos = 0
	return last
}

func (t *timers) instant(at time.Time) instant {
	if t.epoch.IsZero() {
		t.epoch = at
	}
	return instant(at.Sub(t.epoch))
}

func (t *timers) time(at instant) time.Time { return t.epoch.Add(time.Duration(at)) }

// arm sees to it that who is called at the given time or before. A later alarm
// than the present one costs nothing: it is moved when that one rings.
func (t *timers) arm(who timed, at time.Time) {
	if !at.IsZero() {
		t.armAt(who, t.instant(at))
	}
}

func (t *timers) armAt(who timed, at instant) {
	switch a := who.clock(); {
	case a.pos == 0:
		a.at = at
		heap.Push(t, who)
	case at < a.at:
		a.at = at
		heap.Fix(t, int(a.pos)-1)
	}
}

// disarm takes who out of the queue.
func (t *timers) disarm(who timed) {
	if a := who.clock(); a.pos != 0 {
		heap.Remove(t, int(a.pos)-1)
	}
}

// run rings all alarms that are due.
func (t *timers) run(r *Router, now time.Time) {
	for at := t.instant(now); len(t.items) > 0 && t.items[0].clock().at <= at; {
		who := heap.Pop(t).(timed)
		t.arm(who, who.due(r, now))
	}
}

// next is when the earliest alarm rings; the zero Time is never.
func (t *timers) next() time.Time {
	if len(t.items) == 0 {
		return time.Time{}
	}
	return t.time(t.items[0].clock().at)
}
