package system

import (
	"fmt"
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

	mu    sync.Mutex
	taken uint64 // at the last look
	idle  int    // looks in a row at which it had taken nothing
	timer clock.Timer
	over  bool
}

// mind begins to look after a pump; stop ends it.
func (i *Incarnation) mind(r *working, waiting func() int) (stop func()) {
	m := &minder{inc: i, pump: r, waiting: waiting}
	m.arm()
	return m.stop
}

func (m *minder) arm() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.over {
		m.timer = m.inc.Clock().AfterFunc(HangEvery, m.look)
	}
}

func (m *minder) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.over = true
	m.timer.Stop()
}

// look sees whether the pump has taken something since the last time.
func (m *minder) look() {
	n, taken := m.waiting(), m.pump.taken.Load()
	m.mu.Lock()
	m.idle++
	if n == 0 || taken != m.taken || m.pump.delivers.Load() {
		m.idle = 0
	}
	m.taken = taken
	hangs := m.idle >= HangChecks && !m.over
	m.mu.Unlock()
	if !hangs {
		m.arm()
		return
	}
	err := fmt.Errorf("%d wait, and it has taken none for %v", n, HangChecks*HangEvery)
	c := m.inc.cell
	c.sys.emit(c, EventStuck, "pump "+m.pump.name+" hangs: "+err.Error(), nil)
	c.post(&envelope{msg: &Fault{Op: "pump " + m.pump.name, Err: err}, life: m.inc.number})
}
