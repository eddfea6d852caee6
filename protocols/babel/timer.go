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
type alarm struct{ at time.Time }

func (a *alarm) clock() *alarm { return a }

// timers is a heap of alarms, the earliest first, in order of arming where they
// are equal. An alarm that was armed for an earlier time since is skipped.
type timers struct {
	items []timerItem
	seq   uint64
}

type timerItem struct {
	at  time.Time
	seq uint64
	who timed
}

func (t *timers) Len() int { return len(t.items) }
func (t *timers) Less(i, j int) bool {
	a, b := &t.items[i], &t.items[j]
	return a.at.Before(b.at) || a.at.Equal(b.at) && a.seq < b.seq
}
func (t *timers) Swap(i, j int) { t.items[i], t.items[j] = t.items[j], t.items[i] }
func (t *timers) Push(x any)    { t.items = append(t.items, x.(timerItem)) }
func (t *timers) Pop() any {
	last := t.items[len(t.items)-1]
	t.items[len(t.items)-1] = timerItem{}
	t.items = t.items[:len(t.items)-1]
	return last
}

// arm sees to it that who is called at the given time or before. A later alarm
// than the present one costs nothing: it is moved when that one rings.
func (t *timers) arm(who timed, at time.Time) {
	a := who.clock()
	if at.IsZero() || !a.at.IsZero() && !at.Before(a.at) {
		return
	}
	a.at = at
	t.seq++
	heap.Push(t, timerItem{at, t.seq, who})
}

// run rings all alarms that are due.
func (t *timers) run(r *Router, now time.Time) {
	for len(t.items) > 0 && !t.items[0].at.After(now) {
		item := heap.Pop(t).(timerItem)
		if a := item.who.clock(); a.at.Equal(item.at) {
			a.at = time.Time{}
			t.arm(item.who, item.who.due(r, now))
		}
	}
}

// next is when the earliest alarm rings; the zero Time is never.
func (t *timers) next() time.Time {
	if len(t.items) == 0 {
		return time.Time{}
	}
	return t.items[0].at
}
