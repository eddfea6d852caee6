package system

import (
	"errors"
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
	parent *cell // nil: a root actor
	care   care
	mb     actor.Mailbox

	state    atomic.Int32 // State
	poisoned atomic.Bool
	dropped  atomic.Uint64
	snapshot atomic.Pointer[any]
	onChild  atomic.Pointer[func(Event)]

	// Owned by the goroutine that runs the mailbox.
	faults     uint64 // numbers the faults: an answer to an older one is stale
	failing    bool   // suspended, waiting for the supervisor's answer
	stopping   bool   // Stop was taken: nothing is delivered, no restart happens
	quarantine time.Duration
	interrupt  func() // cancels the pumps of the current incarnation

	history history // owned by the supervisor

	mu        sync.Mutex // guards what follows
	births    uint64     // incarnations so far
	since     time.Time  // when state was entered
	lastFault *Fault
	faultAt   time.Time
	fatal     bool        // lastFault stops it for good
	timer     clock.Timer // of the backoff or of the quarantine
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
	msg   any             // an M, a *Fault of a pump, an Injection, or retry
	life  uint64          // the incarnation it is for; 0: any
	ack   <-chan struct{} // where the pump's credit is given back
	timer *Timer
	arm   uint64 // which arming of timer
}

// order is a supervisor's answer to a fault, sent as a system message.
type order struct {
	fault      uint64
	quarantine time.Duration // 0: restart now; else keep it closed for so long
}

// retry ends a quarantine; it holds the number of the fault that began it.
type retry uint64

// failure is the reason of a protoactor Failure.
type failure struct {
	cell  *cell
	fault *Fault
	n     uint64
}

func (f *failure) String() string { return f.cell.path + ": " + f.fault.Error() }

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

// spawn registers c and starts its actor by start.
func (c *cell) spawn(name string, produce func(*cell) actor.Actor, start func(*actor.Props) error) (*cell, error) {
	if name == "" || strings.Contains(name, "/") {
		return nil, fmt.Errorf("spawn %q: %w", c.path, ErrName)
	}
	c.since = c.sys.cfg.Clock.Now()
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
		return nil, fmt.Errorf("spawn %q: %w", c.path, errors.Join(ErrExists, err))
	}
	return c, nil
}

func (c *cell) State() State { return State(c.state.Load()) }

// enter moves to a state and notes when. It leaves Stopped to bury.
func (c *cell) enter(s State) {
	c.mu.Lock()
	c.since = c.sys.cfg.Clock.Now()
	c.mu.Unlock()
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

// stop stops the actor after the message at hand: it overtakes the queue, which is dropped and counted.
func (c *cell) stop() { c.mb.PostSystemMessage(&actor.Stop{}) }

// poison stops the actor after the messages queued so far. A suspended one takes none of them: it stops now.
func (c *cell) poison() {
	c.poisoned.Store(true) // before State is read: a failure after this finds it and stops
	c.mb.PostUserMessage(&actor.PoisonPill{})
	if c.State() == Restarting {
		c.stop()
	}
}

// arm has f called after d, in place of what was armed before.
func (c *cell) arm(d time.Duration, f func()) {
	t := c.sys.cfg.Clock.AfterFunc(d, f)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = t
}

// fail suspends the actor's own work and makes the failure that its supervisor gets.
func (c *cell) fail(f *Fault) *failure {
	c.failing = true
	c.faults++
	c.enter(Restarting)
	if c.interrupt != nil {
		c.interrupt() // now, not after the backoff: a pump must not read for an actor that is suspended
	}
	return &failure{c, f, c.faults}
}

// born notes that an incarnation begins, and returns its number, from 1.
func (c *cell) born() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.births++
	return c.births
}

// gone is the last thing that happens to an actor.
func (c *cell) gone() {
	c.mu.Lock()
	c.since = c.sys.cfg.Clock.Now()
	if c.timer != nil {
		c.timer.Stop()
	}
	text, fatal := "", c.fatal
	if fatal {
		text = "by a fault: " + c.lastFault.Error()
	}
	c.mu.Unlock()
	c.sys.lifecycle(c, EventStopped, text, nil)
	c.sys.bury(c, fatal)
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
		g.cell.dropped.Add(1)
		return
	}
	g.next.InvokeUserMessage(msg)
}

func (g guard) InvokeSystemMessage(msg any) {
	c := g.cell
	switch m := msg.(type) {
	case *actor.Stop:
		c.stopping = true
	case order:
		if c.stopping || m.fault != c.faults {
			return
		}
		c.failing, c.quarantine = false, m.quarantine
		msg = &actor.Restart{}
	}
	g.next.InvokeSystemMessage(msg)
}

func (g guard) EscalateFailure(reason, _ any) {
	f, ok := reason.(*Fault)
	if !ok {
		f = panicked("actor shell", reason)
	}
	g.next.EscalateFailure(g.cell.fail(f), nil) // not the message: the failure would retain it
}
