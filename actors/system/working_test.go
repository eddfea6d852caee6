package system

import (
	"testing"
	"time"

	"re6st/hw/clock"
)

// Who has an event tell of it may come to that when the pump has ended, and then stand still.
func TestAPumpThatHasEndedIsNotStuck(t *testing.T) {
	virtual := clock.NewVirtual(time.Time{})
	s := New(Config{Clock: virtual})
	r := &working{name: "reader", cell: &cell{sys: s, path: "node"}}
	r.enter()
	over := r.expect("does not end")
	r.leave()
	virtual.Advance(StuckAfter)
	if events := s.Events(); len(events) > 0 {
		t.Errorf("it is told of: %+v", events)
	}
	over()
	if r.stuck != 0 {
		t.Errorf("it is stuck for %d reasons", r.stuck)
	}
}
