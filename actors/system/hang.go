package system

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"re6st/hw/clock"
)

// A pump of WithQueue hangs where it was found to have taken nothing, though something waited, so often in a
// row and so far apart.
const (
	HangChecks = 3
	HangEvery  = 500 * time.Millisecond
)

// WithQueue tells how much waits for this pump. Where something does, and the pump neither sends nor waits for
// its actor in Deliver, it hangs: an event says so, and its actor fails. Nobody waits for such a pump, and the
// next incarnation's begins beside it: run looks at ctx before it sends what it took.
func WithQueue(waiting func() int) PumpOption { return func(o *pumpOptions) { o.waiting = waiting } }

// minder looks after one pump with a queue.
type minder struct {
	inc     *Incarnation
	pump    *working
	waiting func() int

	left  int    // how many waited at the last look
	taken uint64 // by then
	idle  int    // looks in a row at which it had taken nothing
}

// minders look after all pumps with queues of a system, at the same time: an idle machine
// wakes once for all of them.
type minders struct {
	mu     sync.Mutex
	all    []*minder // the oldest first
	timer  clock.Timer
	arming uint64 // which arming of timer: one that fires while it is stopped is stale
}

// mind begins to look after a pump; stop ends it.
func (i *Incarnation) mind(r *working, waiting func() int) (stop func()) {
	m := &minder{inc: i, pump: r, waiting: waiting}
	all := &i.cell.sys.minders
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.all = append(all.all, m); len(all.all) == 1 {
		all.arm(i.Clock())
	}
	return func() { all.remove(m) }
}

// arm sets the time of the next look. The caller holds mu.
func (a *minders) arm(c clock.Clock) {
	a.arming++
	arming := a.arming
	a.timer = c.AfterFunc(HangEvery, func() { a.look(c, arming) })
}

// remove takes a minder out; without any there is no timer.
func (a *minders) remove(m *minder) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(a.all)
	a.all = slices.DeleteFunc(a.all, func(o *minder) bool { return o == m })
	if n > 0 && len(a.all) == 0 {
		a.timer.Stop()
		a.arming++
	}
}

// look has each minder look, and takes out those whose pumps hang.
func (a *minders) look(c clock.Clock, arming uint64) {
	a.mu.Lock()
	if arming != a.arming {
		a.mu.Unlock()
		return
	}
	var hang []*minder
	a.all = slices.DeleteFunc(a.all, func(m *minder) bool {
		if m.hangs() {
			hang = append(hang, m)
			return true
		}
		return false
	})
	if len(a.all) > 0 {
		a.arm(c)
	}
	a.mu.Unlock()
	for _, m := range hang {
		m.tell()
	}
}

// hangs sees whether the pump has taken something since the last time.
func (m *minder) hangs() bool {
	left, taken := m.waiting(), m.pump.taken.Load()
	m.idle++
	if left == 0 || taken != m.taken || m.pump.delivers.Load() {
		m.idle = 0
	}
	m.left, m.taken = left, taken
	return m.idle >= HangChecks
}

// tell says that the pump hangs, and has its actor fail.
func (m *minder) tell() {
	err := fmt.Errorf("%d wait, and it has taken none for %v", m.left, HangChecks*HangEvery)
	c := m.inc.cell
	c.sys.emit(c, EventStuck, "pump "+m.pump.name+" hangs: "+err.Error(), nil)
	c.post(&envelope{msg: &Fault{Op: "pump " + m.pump.name, Err: err}, life: m.inc.number})
}
