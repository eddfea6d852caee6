package system

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
)

// Handler is the behaviour of one incarnation of an actor: its methods are called one at a time. M is
// the actor package's sealed message interface. None may block: what blocks belongs in a pump.
type Handler[M any] interface {
	// Start opens what the actor owns, spawns its children, starts its pumps.
	Start(ctx *Context[M]) error
	// Handle takes one message. After an error (or a panic) no more come: the actor restarts, its queue
	// survives, the failing message is lost.
	Handle(ctx *Context[M], m M) error
	// Stop closes what Start opened, also after a Start that failed halfway. The pumps have been joined
	// and the timers stopped; the children are still alive and stop next.
	Stop(ctx *Context[M])
}

// Spec says what to spawn.
type Spec[M any] struct {
	Kind     string            // the sort of actor, for people: "tunnel"
	New      func() Handler[M] // builds a fresh handler for each incarnation; it must not hand out one that was used
	OnBudget Disposition
	Restart  RestartPolicy
}

// Spawn starts an actor under parent, which is a System or, in one of its own Handler's methods, an actor's
// Context. The name is one path element, unique among the parent's living children.
// The Ref can be told things at once. Errors: ErrName, ErrExists, ErrStopping.
func Spawn[M any](parent Parent, name string, spec Spec[M]) (Ref[M], error) {
	care := care{spec.Kind, spec.OnBudget, spec.Restart}
	c, err := parent.adopt(name, care, func(c *cell) actor.Actor { return &shell[M]{cell: c, create: spec.New} })
	return Ref[M]{c}, err
}

// Ref is the address of an actor. It is valid across restarts and quarantines, safe for concurrent use,
// comparable. The zero Ref drops all that it is told.
type Ref[M any] struct{ cell *cell }

// Tell queues m and returns at once. What is told to a stopped or quarantined actor is dropped and counted.
// m is immutable from now on, with all that it points to.
func (r Ref[M]) Tell(m M) {
	if r.cell != nil {
		r.cell.tell(m)
	}
}

// Path is the actor's stable name, such as node/tunnel/2001:db8::1; empty for the zero Ref.
func (r Ref[M]) Path() string {
	if r.cell == nil {
		return ""
	}
	return r.cell.path
}

// Stop stops the actor, and its children, after the message at hand: Stop overtakes the queue, which is
// dropped and counted. A name is free again once EventStopped is out.
func (r Ref[M]) Stop() {
	if r.cell != nil {
		r.cell.stop()
	}
}

// Poison stops the actor once it has handled the messages queued so far. Its children are stopped, not
// poisoned. An actor suspended by a fault stops at once.
func (r Ref[M]) Poison() {
	if r.cell != nil {
		r.cell.poison()
	}
}

// Context is what a handler works with, for one incarnation. Only that handler's methods may use it, unless
// a method says otherwise.
type Context[M any] struct {
	*Incarnation
	onChild func(Event) M // nil: it does not care
}

// Self is the actor's own address. A pump does not Tell it, but Offers.
func (c *Context[M]) Self() Ref[M] { return Ref[M]{c.cell} }

// OnChild has the life of the children (started, faulted, restarted, quarantined, stopped) handled as
// messages of this actor, made by translate. The children that stop with it are not among them.
func (c *Context[M]) OnChild(translate func(Event) M) { c.onChild = translate }

// shell is the protoactor actor around a handler; upstream makes a new one for each restart.
type shell[M any] struct {
	cell    *cell
	create  func() Handler[M]
	handler Handler[M]
	ctx     *Context[M] // nil: in quarantine, or ended
}

// Receive takes the life-cycle messages and the envelopes. It panics only with a *Fault.
func (s *shell[M]) Receive(ac actor.Context) {
	switch m := ac.Message().(type) {
	case *actor.Started:
		if s.cell.quarantine > 0 {
			s.cell.isolate()
			return
		}
		s.start(ac)
	case *actor.Restarting:
		s.end(s.cell.quarantine == 0)
	case *actor.Stopping:
		s.end(false)
	case *actor.Terminated:
		s.cell.sys.lookup(m.Who.Id).gone()
	case *envelope:
		s.deliver(ac, m)
	}
}

func (s *shell[M]) start(ac actor.Context) {
	s.ctx = &Context[M]{Incarnation: newIncarnation(s.cell, ac)}
	check("start", attempt(func() error {
		s.handler = s.create()
		return s.handler.Start(s.ctx)
	}))
	s.cell.running()
}

// end closes the incarnation. A panic in the handler's Stop is reported and goes no further: upstream would
// leave the actor half stopped for ever.
func (s *shell[M]) end(restarting bool) {
	if s.ctx == nil {
		return
	}
	s.ctx.restarting = restarting
	s.ctx.end()
	if s.handler != nil {
		if err := attempt(func() error { s.handler.Stop(s.ctx); return nil }); err != nil {
			s.cell.sys.lifecycle(s.cell, EventFaulted, err.Error(), classify("stop", err))
		}
	}
	s.ctx, s.handler = nil, nil
}

// check panics with the fault of err, the one way to fail an actor in protoactor.
func check(op string, err error) {
	if err != nil {
		panic(classify(op, err))
	}
}

// deliver sorts out what is stale and hands the rest to the handler.
func (s *shell[M]) deliver(ac actor.Context, e *envelope) {
	if e.ack != nil {
		defer func() { <-e.ack }()
	}
	if _, ok := e.msg.(retry); ok {
		s.cell.enter(Restarting) // from here on it takes messages again, its own Start's first of all
		s.start(ac)
		return
	}
	if s.ctx == nil || e.life != 0 && e.life != s.ctx.number {
		s.cell.drop(e)
		return
	}
	if e.timer != nil && !e.timer.fired(e.arm) {
		return
	}
	switch m := e.msg.(type) {
	case *Fault:
		panic(m)
	case Injection:
		check("injected", attempt(func() error { return m.strike(s.ctx.Incarnation) }))
	case Event:
		if s.ctx.onChild != nil {
			check("child "+m.Actor, attempt(func() error { return s.handler.Handle(s.ctx, s.ctx.onChild(m)) }))
		}
	default:
		if err := s.handle(m.(M)); err != nil {
			check(fmt.Sprintf("handle %T", m), err)
		}
	}
}

// handle is attempt without its closure, for it runs for each message.
func (s *shell[M]) handle(m M) (err error) {
	defer rescue(&err)
	return s.handler.Handle(s.ctx, m)
}
