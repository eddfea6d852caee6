package system

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"re6st/hw/clock"
)

// Injection is a fault to cause on purpose.
type Injection uint8

const (
	InjectPanic     Injection = iota + 1 // a panic in Handle, or in a pump
	InjectError                          // an error from Handle, or from a pump
	InjectPumpPanic                      // a panic in a pump begun for it
	InjectStall                          // of a pump: it hangs, whatever it is told, and then fails
)

// ErrNoPump is what InjectPump returns, wrapped, where no such pump runs.
var ErrNoPump = errors.New("no pump of this name runs")

var errInjected = errors.New("injected error")

// Inject has the actor of a path fail, as its next message. The error is ErrNoActor.
func (s *System) Inject(path string, i Injection) error {
	if c := s.lookup(path); c != nil && c.State() < Quarantined {
		c.tell(i)
		return nil
	}
	return fmt.Errorf("inject into %q: %w", path, ErrNoActor)
}

// InjectPump has a running pump of an actor fail. The pump is told to end, as when its incarnation does; in
// place of its end it panics, returns an error, or hangs for stall and returns an error then. The errors are
// ErrNoActor and ErrNoPump.
func (s *System) InjectPump(path, name string, i Injection, stall time.Duration) error {
	c := s.lookup(path)
	if c == nil || c.State() >= Quarantined {
		return fmt.Errorf("inject into %q: %w", path, ErrNoActor)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at := slices.IndexFunc(c.pumps, func(r *working) bool { return r.name == name })
	if at < 0 {
		return fmt.Errorf("inject into %q of %q: %w", name, path, ErrNoPump)
	}
	r := c.pumps[at]
	r.struck.Store(&accident{i, stall})
	r.interrupt()
	return nil
}

// accident is what is to become of a pump.
type accident struct {
	how   Injection
	stall time.Duration
}

// land happens to a pump that has left its own work.
func (a *accident) land(c clock.Clock) error {
	switch a.how {
	case InjectStall:
		_ = clock.Sleep(context.Background(), c, a.stall) // deaf, as in a system call that does not return
		return fmt.Errorf("%w after a stall of %v", errInjected, a.stall)
	case InjectError:
		return errInjected
	default:
		panic("injected")
	}
}

// strike happens to an actor in Handle.
func (j Injection) strike(i *Incarnation) error {
	switch j {
	case InjectPanic:
		panic("injected")
	case InjectPumpPanic:
		i.pump("injected", pumpOptions{}, func(context.Context, *working) error { panic("injected") })
		return nil
	default:
		return errInjected
	}
}
