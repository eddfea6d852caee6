package system

import (
	"context"
	"slices"
	"sync/atomic"
)

// working is a pump at work, as its actor's record shows it.
type working struct {
	name      string
	cell      *cell
	interrupt context.CancelFunc       // has this pump alone end
	struck    atomic.Pointer[accident] // nil: nothing was injected

	taken    atomic.Uint64 // what it sent, or had dropped
	delivers atomic.Bool   // it waits for its actor
	ended    chan struct{} // closed by turns.end

	// Guarded by the cell's mu.
	stuck int    // reasons for which it is: it does not end, though it is to, or its work does not
	over  func() // ends the wait for its end; nil: it may go on
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
	r.gone = true
	r.cell.pumps = slices.DeleteFunc(r.cell.pumps, func(o *working) bool { return o == r })
	over := r.over
	r.cell.mu.Unlock()
	if over != nil {
		over()
	}
}

// hurry has an event say so if the pump, which was told to end, does not.
func (r *working) hurry() {
	over := r.expect("does not end; its Closer must unblock it")
	r.cell.mu.Lock()
	r.over = over
	gone := r.gone
	r.cell.mu.Unlock()
	if gone {
		over()
	}
}

// expect has an event and the record say that the pump is stuck, and how, unless over is
// called within StuckAfter, or the pump has ended by then; the record until it is called.
func (r *working) expect(how string) (over func()) {
	c := r.cell
	done, told := false, false // guarded by c.mu
	timer := c.sys.cfg.Clock.AfterFunc(StuckAfter, func() {
		c.mu.Lock()
		if told = !done && !r.gone; told {
			r.stuck++
		}
		c.mu.Unlock()
		if told {
			c.sys.emit(c, EventStuck, "pump "+r.name+" "+how, nil)
		}
	})
	return func() {
		timer.Stop()
		c.mu.Lock()
		defer c.mu.Unlock()
		if told && !done {
			r.stuck--
		}
		done = true
	}
}
