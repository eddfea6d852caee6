package clock

import (
	"container/heap"
	"sync"
	"time"
)

// Epoch is where a Virtual starts when it is given no time.
var Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Virtual is a clock that stands still until it is advanced. Calls fire in the order of their deadlines,
// those of one deadline in the order in which they were asked for, each with Now at its deadline:
// the same program sees the same times in each run.
type Virtual struct {
	mu      sync.Mutex
	now     time.Time
	seq     uint64
	pending callHeap
}

// NewVirtual returns a clock that stands at start, or at Epoch where start is zero.
func NewVirtual(start time.Time) *Virtual {
	if start.IsZero() {
		start = Epoch
	}
	return &Virtual{now: start.Round(0)} // Round(0) strips a monotonic reading, which would not advance
}

// Now is the virtual time.
func (v *Virtual) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

// AfterFunc has f called by the Advance that reaches the deadline, on its goroutine.
func (v *Virtual) AfterFunc(d time.Duration, f func()) Timer {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seq++
	c := &call{clock: v, at: v.now.Add(max(d, 0)), seq: v.seq, f: f}
	heap.Push(&v.pending, c)
	return c
}

// Next is the earliest deadline; false where nothing is pending.
func (v *Virtual) Next() (time.Time, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.pending) == 0 {
		return time.Time{}, false
	}
	return v.pending[0].at, true
}

// Advance moves time on by d and makes every call due until then, also those that the calls ask for.
// Advance(0) makes those that are due now.
func (v *Virtual) Advance(d time.Duration) { v.AdvanceTo(v.Now().Add(max(d, 0))) }

// AdvanceTo is Advance up to a time; one in the past is taken as now.
func (v *Virtual) AdvanceTo(t time.Time) {
	for c := v.pop(t); c != nil; c = v.pop(t) {
		c.f()
	}
}

// pop takes the next call due at or before t and moves to its deadline; without one, it moves to t.
func (v *Virtual) pop(t time.Time) *call {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.pending) == 0 || v.pending[0].at.After(t) {
		if t.After(v.now) {
			v.now = t
		}
		return nil
	}
	c := heap.Pop(&v.pending).(*call)
	v.now = c.at
	return c
}

// call is one pending AfterFunc; index is its place in the heap, -1 when it left it.
type call struct {
	clock *Virtual
	at    time.Time
	seq   uint64
	f     func()
	index int
}

func (c *call) Stop() bool {
	c.clock.mu.Lock()
	defer c.clock.mu.Unlock()
	if c.index < 0 {
		return false
	}
	heap.Remove(&c.clock.pending, c.index)
	return true
}

type callHeap []*call

func (h callHeap) Len() int { return len(h) }

func (h callHeap) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].seq < h[j].seq
}

func (h callHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *callHeap) Push(x any) {
	c := x.(*call)
	c.index = len(*h)
	*h = append(*h, c)
}

func (h *callHeap) Pop() any {
	old := *h
	c := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	c.index = -1
	return c
}
