package system

import (
	"context"
	"slices"
	"sync/atomic"

	"re6st/hw/clock"
)

// working is a pump at work, as its actor's record shows it.
type working struct {
	name      string
	cell      *cell
	interrupt context.CancelFunc       // has this pump alone end
	struck    atomic.Pointer[accident] // nil: nothing was injected

	// Guarded by the cell's mu.
	stuck bool        // it does not end, though it is to
	late  clock.Timer // until it is stuck; nil: it may go on
	gone  bool
}

// enter puts the pump into the record.
func (r *working) enter() {
	r.cell.mu.Lock()
	defer r.cell.mu.Unlock()
	r.cell.pumps = append(r.cell.pumps, r)
}

// leave takes it out again.
func (r *working) leave() {
	r.cell.mu.Lock()
	defer r.cell.mu.Unlock()
	r.gone = true
	r.cell.pumps = slices.DeleteFunc(r.cell.pumps, func(o *working) bool { return o == r })
	if r.late != nil {
		r.late.Stop()
	}
}

// hurry has an event say so if the pump, which was told to end, does not.
func (r *working) hurry() {
	r.cell.mu.Lock()
	defer r.cell.mu.Unlock()
	if r.gone {
		return
	}
	r.late = r.cell.sys.cfg.Clock.AfterFunc(StuckAfter, func() {
		r.cell.mu.Lock()
		r.stuck = !r.gone
		stuck := r.stuck
		r.cell.mu.Unlock()
		if stuck {
			r.cell.sys.emit(r.cell, EventStuck, "pump "+r.name+" does not end; its Closer must unblock it", nil)
		}
	})
}
