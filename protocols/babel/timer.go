package babel

import (
	"container/heap"
	"time"
)

// timed is what waits in the Router's timer queue. due does what is due at now
// and tells when it wants to be called next; the zero Time is never.
type timed interface {
	due(r *Router, now time.Time) time.Time
	clock() *alarm
}

// alarm is the part of a timed that belongs to the queue.
type alarm struct {
	at  time.Time // zero: not in the queue
	seq uint64
	pos int // in the heap
}

func (a *alarm) clock() *alarm { return a }

// timers is a heap of alarms, the earliest first, in order of arming where they
// are equal. Each timed is in it once at most, and leaves it when it is dropped:
// whoever makes routes come and go does not make it grow.
type timers struct {
	items []timed
	seq   uint64
}

func (t *timers) Len() int { return len(t.items) }

func (t *timers) Less(i, j int) bool {
	a, b := t.items[i].clock(), t.items[j].clock()
	return a.at.Before(b.at) || a.at.Equal(b.at) && a.seq < b.seq
}

func (t *timers) Swap(i, j int) {
	t.items[i], t.items[j] = t.items[j], t.items[i]
	t.items[i].clock().pos, t.items[j].clock().pos = i, j
}

func (t *timers) Push(x any) {
	who := x.(timed)
	who.clock().pos = len(t.items)
	t.items = append(t.items, who)
}

func (t *timers) Pop() any {
	last := t.items[len(t.items)-1]
	t.items[len(t.items)-1] = nil
	t.items = t.items[:len(t.items)-1]
	last.clock().at = time.Time{}
	return last
}

// arm sees to it that who is called at the given time or before. A later alarm
// than the present one costs nothing: it is moved when that one rings.
func (t *timers) arm(who timed, at time.Time) {
	a := who.clock()
	if at.IsZero() || !a.at.IsZero() && !at.Before(a.at) {
		return
	}
	t.seq++
	queued := !a.at.IsZero()
	a.at, a.seq = at, t.seq
	if queued {
		heap.Fix(t, a.pos)
	} else {
		heap.Push(t, who)
	}
}

// disarm takes who out of the queue.
func (t *timers) disarm(who timed) {
	if a := who.clock(); !a.at.IsZero() {
		heap.Remove(t, a.pos)
	}
}

// run rings all alarms that are due.
func (t *timers) run(r *Router, now time.Time) {
	for len(t.items) > 0 && !t.items[0].clock().at.After(now) {
		who := heap.Pop(t).(timed)
		t.arm(who, who.due(r, now))
	}
}

// next is when the earliest alarm rings; the zero Time is never.
func (t *timers) next() time.Time {
	if len(t.items) == 0 {
		return time.Time{}
	}
	return t.items[0].clock().at
}
