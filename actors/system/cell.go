package system

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"re6st/hw/clock"
)

// cell is what stays of an actor while its incarnations come and go: path, mailbox, record. Refs point to
// it, so a message never looks an actor up by name and never becomes upstream's dead letter.
type cell struct {
	sys    *System
	path   string
	care   care
	mb     actor.Mailbox
	parent *cell  // nil: a root actor
	life   uint64 // the parent's incarnation that spawned it

	state    atomic.Int32 // State
	poisoned atomic.Bool
	dropped  atomic.Uint64
	snapshot atomic.Pointer[any]
	busy     atomic.Int64 // since when it handles the message at hand, counted from System.began; 0: none

	// Owned by the goroutine that runs the mailbox.
	lives      uint64 // incarnations so far
	failing    bool   // suspended until the supervisor answers, once
	stopping   bool   // Stop was taken: nothing is delivered, no restart happens
	quarantine time.Duration
	interrupt  context.CancelFunc // of the pumps of the current incarnation

	history history // owned by the supervisor

	mu    sync.Mutex  // guards what follows
	rec   Record      // without what record reads live
	fatal bool        // rec.LastFault stops it for good
	timer clock.Timer // of the backoff or of the quarantine

	pumps []*working // the pumps at work, the oldest first
}

// care is the part of a Spec that does not depend on the message type.
type care struct {
	kind     string
	onBudget Disposition
	policy   RestartPolicy
}

// maxSuspended bounds the queue of an actor that waits for its restart; a running one's is bounded by
// those who send to it (a pump by its credit).
const maxSuspended = 16384

// envelope is every user message. Wrapped, no message can be mistaken for one of upstream's magic ones.
type envelope struct {
	msg   any             // an M; else a *Fault of a pump, an Event of a child, an Injection, or retry
	life  uint64          // the incarnation it is for; 0: any
	ack   <-chan struct{} // where the pump's credit is given back
	timer *Timer
	arm   uint64 // which arming of timer
}

// order is a supervisor's answer to a fault, sent as a system message: close the incarnation and begin the
// next, at once (zero) or after a quarantine.
type order time.Duration

// retry ends a quarantine.
type retry struct{}

// failure is the reason of a protoactor Failure.
type failure struct {
	cell  *cell
	fault *Fault
}

// Parent is where an actor can be spawned: a System, or the Context of an actor.
type Parent interface {
	adopt(name string, care care, produce func(*cell) actor.Actor) (*cell, error)
}

func (s *System) adopt(name string, care care, produce func(*cell) actor.Actor) (*cell, error) {
	c := &cell{sys: s, path: name, care: care}
	return c.spawn(name, produce, func(p *actor.Props) error {
		_, err := actor.DefaultSpawner(s.as, c.path, p, s.root)
		return err
	})
}

// spawn registers c and has start start its actor.
func (c *cell) spawn(name string, produce func(*cell) actor.Actor, start func(*actor.Props) error) (*cell, error) {
	if name == "" || strings.Contains(name, "/") {
		return nil, fmt.Errorf("spawn %q: %w", c.path, ErrName)
	}
	c.care.policy = c.care.policy.or(c.sys.cfg.Restart).or(DefaultRestart)
	c.rec = Record{Path: c.path, Kind: c.care.kind, Since: c.sys.cfg.Clock.Now()}
	c.mb = mailbox{actor.Unbounded()(), c}
	if err := c.sys.enroll(c); err != nil {
		return nil, fmt.Errorf("spawn %q: %w", c.path, err)
	}
	err := start(actor.PropsFromProducer(
		func() actor.Actor { return produce(c) },
		actor.WithMailbox(func() actor.Mailbox { return c.mb }),
		actor.WithDispatcher(c.sys.cfg.Dispatcher),
		actor.WithSupervisor(supervisor{c.sys, c}),
	))
	if err != nil {
		c.sys.bury(c, false)
		return nil, fmt.Errorf("spawn %q: %w", c.path, err)
	}
	return c, nil
}

func (c *cell) State() State { return State(c.state.Load()) }

// enter moves to a state and notes when.
func (c *cell) enter(s State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rec.Since = c.sys.cfg.Clock.Now()
	c.state.Store(int32(s))
}

func (c *cell) post(e *envelope) { c.mb.PostUserMessage(e) }

// tell posts a message, or drops and counts it where nobody will take it.
func (c *cell) tell(msg any) {
	switch s := c.State(); {
	case s == Quarantined, s == Stopped, s == Restarting && c.mb.UserMessageCount() >= maxSuspended:
		c.dropped.Add(1)
	default:
		c.post(&envelope{msg: msg})
	}
}

// drop counts a message that nobody takes; those of the system itself are no loss.
func (c *cell) drop(msg any) {
	if e, ok := msg.(*envelope); ok && (e.life == 0 || e.ack != nil) {
		c.dropped.Add(1)
	}
}

// stop stops the actor after the message at hand: it overtakes the queue.
func (c *cell) stop() { c.mb.PostSystemMessage(&actor.Stop{}) }

// poison stops the actor after the messages queued so far. A suspended one takes none of them: it stops now.
func (c *cell) poison() {
	c.poisoned.Store(true) // before State is read: a fault after this finds it, and stops the actor
	c.mb.PostUserMessage(&actor.PoisonPill{})
	if c.State() == Restarting {
		c.stop()
	}
}

// after has f called once, d from now; gone takes it back.
func (c *cell) after(d time.Duration, f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = c.sys.cfg.Clock.AfterFunc(d, f)
}

// fail suspends the actor's own work and makes the failure that its supervisor gets.
func (c *cell) fail(f *Fault) *failure {
	c.failing = true
	c.enter(Restarting)
	if c.interrupt != nil {
		c.interrupt() // now, not after the backoff: a pump must not read for an actor that is suspended
	}
	return &failure{c, f}
}

// running notes that the incarnation has started.
func (c *cell) running() {
	c.enter(Running)
	kind := EventStarted
	if c.lives > 1 {
		kind = EventRestarted
	}
	c.sys.lifecycle(c, kind, "", nil)
}

// isolate begins a quarantine: the last incarnation is closed, its children are stopped.
func (c *cell) isolate() {
	c.enter(Quarantined)
	e := &envelope{msg: retry{}, life: c.lives}
	c.after(c.quarantine, func() { c.post(e) })
	c.sys.lifecycle(c, EventQuarantined, "for "+c.quarantine.String(), nil)
}

// gone is the last thing that happens to an actor: its parent has taken note. Not earlier, for upstream
// forgets a child by name: one spawned anew before that would be forgotten, and outlive its parent.
func (c *cell) gone() {
	c.mu.Lock()
	c.rec.Since = c.sys.cfg.Clock.Now()
	if c.timer != nil {
		c.timer.Stop()
	}
	text, fatal := "", c.fatal
	if fatal {
		text = "by a fault: " + c.rec.LastFault
	}
	c.mu.Unlock()
	c.sys.part(1)
	c.sys.bury(c, fatal)
	c.sys.lifecycle(c, EventStopped, text, nil)
	c.sys.part(-1)
}

// mailbox is upstream's, with a guard between it and the actor.
type mailbox struct {
	actor.Mailbox
	cell *cell
}

func (m mailbox) RegisterHandlers(next actor.MessageInvoker, d actor.Dispatcher) {
	m.Mailbox.RegisterHandlers(guard{next, m.cell}, d)
}

// guard keeps from an actor what upstream would wrongly deliver: messages while it stops, and a restart
// that arrives after a stop, which would bring it back for ever.
type guard struct {
	next actor.MessageInvoker
	cell *cell
}

func (g guard) InvokeUserMessage(msg any) {
	if g.cell.stopping {
		g.cell.drop(msg)
		return
	}
	g.cell.begin()
	defer g.cell.busy.Store(0)
	g.next.InvokeUserMessage(msg)
}

func (g guard) InvokeSystemMessage(msg any) {
	c := g.cell
	c.begin()
	defer c.busy.Store(0)
	switch m := msg.(type) {
	case *actor.Stop:
		c.stopping = true
	case order:
		if c.stopping {
			return
		}
		c.failing, c.quarantine = false, time.Duration(m)
		msg = &actor.Restart{}
	}
	g.next.InvokeSystemMessage(msg)
}

func (g guard) EscalateFailure(reason, _ any) {
	f, ok := reason.(*Fault)
	if !ok {
		f = classify("actor shell", panicked(reason))
	}
	g.next.EscalateFailure(g.cell.fail(f), nil) // not the message: the failure would retain it
}
