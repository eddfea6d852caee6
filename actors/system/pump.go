package system

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// DefaultCredit is how many messages of one pump may wait for, or be in, its actor's Handle.
	DefaultCredit = 64
	// StuckAfter is how long a pump may take to end, or over a piece of its work, before an
	// event says so.
	StuckAfter = 5 * time.Second
)

// Pump is a pump's way to its actor, bound to one incarnation and bounded by a credit.
type Pump[M any] struct {
	work    *working
	inc     *Incarnation
	credit  chan struct{} // holds one element for each message not yet handled
	dropped atomic.Uint64
}

// PumpOption changes how a pump runs.
type PumpOption func(*pumpOptions)

type pumpOptions struct {
	credit int
	closer io.Closer
	turn   bool

	waiting func() int // nil: not told
}

// WithCredit sets how many unhandled messages the pump may have, in place of DefaultCredit.
func WithCredit(n int) PumpOption { return func(o *pumpOptions) { o.credit = max(n, 1) } }

// WithCloser gives c to the pump, to unblock a Read or Accept that knows no context: it is closed once, when
// the pump is to end or has ended by itself.
func WithCloser(c io.Closer) PumpOption { return func(o *pumpOptions) { o.closer = c } }

// Pump runs blocking work on a goroutine of its own. A panic in it fails the actor as a Bug, an error as
// Transient (or as the Fault it is); nil ends it in peace. When the incarnation ends ctx is cancelled, the
// closer closed and the goroutine joined; what it returns or sends after that is dropped. run uses ctx,
// p and what it was handed, nothing of the handler.
func (c *Context[M]) Pump(name string, run func(ctx context.Context, p *Pump[M]) error, opts ...PumpOption) {
	o := pumpOptions{credit: DefaultCredit}
	for _, opt := range opts {
		opt(&o)
	}
	p := &Pump[M]{inc: c.Incarnation, credit: make(chan struct{}, o.credit)}
	c.pump(name, o, func(ctx context.Context, r *working) error { p.work = r; return run(ctx, p) })
}

func (i *Incarnation) pump(name string, o pumpOptions, run func(context.Context, *working) error) {
	unblock := sync.OnceFunc(func() {
		if o.closer == nil {
			return
		}
		if err := attempt(o.closer.Close); err != nil {
			i.Log().Debug("close for a pump", "pump", name, "error", err)
		}
	})
	if i.ended {
		unblock()
		return
	}
	r := &working{name: name, cell: i.cell, ended: make(chan struct{})}
	ctx, cancel := context.WithCancel(i.ctx)
	r.interrupt = cancel
	r.enter()
	turns, join := &i.cell.sys.turns, &i.pumps
	if o.turn || o.waiting != nil {
		i.turning, join = append(i.turning, r), &turns.left
	}
	mind := func() {}
	if o.waiting != nil {
		mind = i.mind(r, o.waiting)
	}
	join.Go(func() {
		defer turns.end(r)
		defer r.leave()
		defer mind()
		defer cancel()
		defer unblock()
		defer context.AfterFunc(ctx, func() { unblock(); r.hurry() })()
		err := attempt(func() error {
			if o.turn && !turns.take(ctx, r) {
				return nil
			}
			return run(ctx, r)
		})
		if s := r.struck.Load(); s != nil {
			err = attempt(func() error { return s.land(i.Clock()) })
		}
		i.pumped(name, err)
	})
}

// pumped takes what a pump returned.
func (i *Incarnation) pumped(name string, err error) {
	if err == nil {
		return
	}
	f := classify("pump "+name, err)
	if i.ctx.Err() == nil {
		i.cell.post(&envelope{msg: f, life: i.number})
	} else if f.Kind == Bug {
		i.Log().Error("a pump panicked while it was ending", "error", f, "stack", string(f.Stack))
	}
}

// Work does a piece of the pump's work, which is to take no longer than StuckAfter: where
// it does, an event and the actor's record say so until it returns. what names it. To wait
// for others, as a Read does, is no such piece.
func (p *Pump[M]) Work(what string, do func() error) error {
	defer p.work.expect("is at " + what + " for too long")()
	return do()
}

// Offer sends m to the actor, or drops and counts it: false where the credit is spent or the incarnation
// has ended. For what the next packet replaces.
func (p *Pump[M]) Offer(m M) bool {
	p.work.taken.Add(1)
	if p.inc.ctx.Err() == nil {
		select {
		case p.credit <- struct{}{}:
			p.send(m)
			return true
		default:
		}
	}
	p.dropped.Add(1)
	p.inc.cell.dropped.Add(1)
	return false
}

// Deliver sends m to the actor and waits for credit. It returns the error of the incarnation's context
// where that ends first. For what must not be lost, from a source that can wait.
func (p *Pump[M]) Deliver(m M) error {
	p.work.taken.Add(1)
	if err := p.inc.ctx.Err(); err != nil {
		return err // not left to select, which chooses freely among what is ready
	}
	select {
	case p.credit <- struct{}{}:
		p.send(m)
		return nil
	default:
	}
	defer p.work.expect("waits for its actor for too long")()
	p.work.delivers.Store(true)
	defer p.work.delivers.Store(false)
	select {
	case p.credit <- struct{}{}:
		p.send(m)
		return nil
	case <-p.inc.ctx.Done():
		return p.inc.ctx.Err()
	}
}

// Dropped counts the messages that Offer dropped.
func (p *Pump[M]) Dropped() uint64 { return p.dropped.Load() }

func (p *Pump[M]) send(m M) {
	p.inc.cell.post(&envelope{msg: m, life: p.inc.number, ack: p.credit})
}

// Replace puts v into a channel of one, in place of what still waits there: for a pump that only wants the
// newest. Only one goroutine may send.
func Replace[T any](c chan T, v T) {
	for {
		select {
		case c <- v:
			return
		default:
		}
		select {
		case <-c:
		default:
		}
	}
}

// Queue is WithQueue of a channel that the pump reads.
func Queue[T any](in <-chan T) PumpOption { return WithQueue(func() int { return len(in) }) }

// Forward is a pump that delivers what comes by in, each as the message that wrap makes
// of it, until stop ends.
func Forward[T, M any](stop context.Context, in <-chan T, p *Pump[M], wrap func(T) M) error {
	for {
		select {
		case <-stop.Done():
			return nil
		case v := <-in:
			if stop.Err() != nil || p.Deliver(wrap(v)) != nil {
				return nil
			}
		}
	}
}
