package system

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Disposition is what happens to an actor that has spent its restart budget.
type Disposition uint8

const (
	// Quarantine closes the actor and tries it again after QuarantineMin, doubling to QuarantineMax.
	// For what concerns one peer.
	Quarantine Disposition = iota
	// Escalate fails the parent; a root actor ends the system. For what the parent cannot live without.
	// It is also what a BadConfig does to such an actor.
	Escalate
	// GiveUp stops the actor for good.
	GiveUp
)

// How long a quarantine lasts: the first, and the longest.
const (
	QuarantineMin = time.Minute
	QuarantineMax = time.Hour
)

// RestartPolicy bounds restarts. The first fault in a window restarts at once, the second after Base,
// and so on doubling up to Cap, each ±20 %; the fault after Budget restarts spends the budget.
// A zero field takes the value of Config.Restart, else DefaultRestart's.
type RestartPolicy struct {
	Base, Cap time.Duration
	Budget    int // restarts within Window
	Window    time.Duration
}

// DefaultRestart gives up on an actor that fails six times in a minute.
var DefaultRestart = RestartPolicy{Base: 100 * time.Millisecond, Cap: 5 * time.Second, Budget: 5, Window: time.Minute}

// or takes the fields that are zero from another policy.
func (p RestartPolicy) or(other RestartPolicy) RestartPolicy {
	return RestartPolicy{
		Base:   cmp.Or(p.Base, other.Base),
		Cap:    cmp.Or(p.Cap, other.Cap),
		Budget: cmp.Or(p.Budget, other.Budget),
		Window: cmp.Or(p.Window, other.Window),
	}
}

// backoff is the wait before the nth restart of a window, n from 1. jitter(span) is in [-span, span].
func (p RestartPolicy) backoff(n int, jitter func(span int64) int64) time.Duration {
	if n <= 1 {
		return 0
	}
	d := min(p.Base, p.Cap)
	for i := 2; i < n && d < p.Cap; i++ {
		d += min(d, p.Cap-d) // doubles without passing Cap, so without overflow
	}
	return d + time.Duration(jitter(int64(d)/5))
}

// history is what a supervisor remembers of one child.
type history struct {
	faults  []time.Time // within the window
	level   int         // quarantines in a row
	retried time.Time   // when the last quarantine ended
}

// verdict is what a supervisor does about a fault.
type verdict uint8

const (
	restart verdict = iota
	isolate
	escalate
	halt
)

// judge adds a fault to the history and decides; the duration is of the backoff or the quarantine.
func (h *history) judge(now time.Time, kind Kind, c care, jitter func(int64) int64) (verdict, time.Duration) {
	h.faults = slices.DeleteFunc(h.faults, func(t time.Time) bool { return now.Sub(t) >= c.policy.Window })
	if len(h.faults) == 0 && now.Sub(h.retried) >= c.policy.Window {
		h.level = 0 // it has run well since its quarantine
	}
	h.faults = append(h.faults, now)
	n := len(h.faults)
	switch {
	case kind != BadConfig && n <= c.policy.Budget:
		return restart, c.policy.backoff(n, jitter)
	case c.onBudget == Escalate:
		return escalate, 0
	case kind == BadConfig || c.onBudget == GiveUp:
		return halt, 0
	}
	d := QuarantineMin
	for range h.level {
		d = min(2*d, QuarantineMax)
	}
	h.level++
	h.retried, h.faults = now.Add(d), nil
	return isolate, d
}

// supervisor is the strategy of one parent. It runs on the parent's mailbox; that of the root
// (parent nil) runs on the failing actor's.
type supervisor struct {
	sys    *System
	parent *cell
}

// HandleFailure answers a child's fault with an order, a stop, or the failure of the parent.
func (s supervisor) HandleFailure(_ *actor.ActorSystem, up actor.Supervisor, _ *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	fl := reason.(*failure)
	c, now := fl.cell, s.sys.cfg.Clock.Now()
	what, d := c.history.judge(now, fl.fault.Kind, c.care, s.sys.jitter)
	c.mu.Lock()
	c.rec.LastFault, c.rec.FaultKind, c.rec.FaultAt, c.fatal = fl.fault.Error(), fl.fault.Kind.String(), now, what == halt
	c.mu.Unlock()
	s.sys.lifecycle(c, EventFaulted, fl.fault.Error(), fl.fault)
	if c.poisoned.Load() {
		what = halt // it was to stop anyway, after a queue that it cannot go through
	}
	switch what {
	case halt:
		c.stop()
	case escalate:
		s.escalate(up, c, fl.fault)
	case isolate:
		c.mb.PostSystemMessage(order(d))
	case restart:
		again := func() { c.mb.PostSystemMessage(order(0)) }
		if d == 0 {
			again()
		} else {
			c.after(d, again)
		}
	}
}

// escalate fails the parent with its child's fault; the child stays suspended until the parent stops it.
func (s supervisor) escalate(up actor.Supervisor, c *cell, f *Fault) {
	if s.parent == nil {
		s.sys.quit(fmt.Errorf("actor %s: %w", c.path, f), (*cell).stop)
		return
	}
	if s.parent.failing || s.parent.stopping {
		return // its own restart or stop will stop the child
	}
	up.EscalateFailure(s.parent.fail(&Fault{Op: "child " + c.path, Kind: f.Kind, Err: f}), nil)
}
