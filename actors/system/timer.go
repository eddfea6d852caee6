package system

import (
	"time"

	"re6st/hw/clock"
)

// Timer sends its actor one message at a time of its choosing. It ends with the incarnation; a message of
// an earlier arming is never delivered. Only the actor's handler may use it.
type Timer struct {
	inc     *Incarnation
	msg     any
	at      time.Time
	arming  uint64
	pending clock.Timer // nil: not armed
}

// NewTimer returns an unarmed timer for m. An actor that drives a machine has one, and after each input
// calls t.Rearm(machine.NextTimeout()).
func (c *Context[M]) NewTimer(m M) *Timer { return &Timer{inc: c.Incarnation, msg: m} }

// After sends m to this actor once, d from now.
func (c *Context[M]) After(d time.Duration, m M) *Timer {
	t := c.NewTimer(m)
	t.Rearm(c.Now().Add(d), true)
	return t
}

// Rearm moves the timer to at, or stops it where ok is false. A time that has passed is due at once.
func (t *Timer) Rearm(at time.Time, ok bool) {
	if ok && t.pending != nil && at.Equal(t.at) {
		return
	}
	t.Stop()
	if !ok || t.inc.ended {
		return
	}
	t.at = at
	e := &envelope{msg: t.msg, life: t.inc.number, timer: t, arm: t.arming}
	t.pending = t.inc.Clock().AfterFunc(at.Sub(t.inc.Now()), func() { t.inc.cell.post(e) })
	t.inc.timers[t] = struct{}{}
}

// Stop disarms the timer: its message, even one already queued, is not delivered.
func (t *Timer) Stop() {
	if t.pending == nil {
		return
	}
	t.pending.Stop()
	t.disarm()
}

// fired takes the arming's message from the queue: false where it is stale.
func (t *Timer) fired(arming uint64) bool {
	if t.pending == nil || arming != t.arming {
		return false
	}
	t.disarm()
	return true
}

func (t *Timer) disarm() {
	t.pending = nil
	t.arming++
	delete(t.inc.timers, t)
}
