package system

import (
	"context"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"re6st/hw/clock"
)

// Incarnation is one life of an actor, from Start to Stop; it owns the pumps and timers begun in it.
// Its methods are promoted to Context.
type Incarnation struct {
	cell       *cell
	ac         actor.Context
	number     uint64 // from 1
	rand       *rand.Rand
	restarting bool

	ctx     context.Context // ends with the incarnation
	cancel  context.CancelFunc
	ended   bool
	pumps   sync.WaitGroup
	turning []*working          // pumps with turns
	timers  map[*Timer]struct{} // the armed ones
}

func newIncarnation(c *cell, ac actor.Context) *Incarnation {
	c.lives++
	c.mu.Lock()
	c.rec.Restarts = c.lives - 1
	c.mu.Unlock()
	i := &Incarnation{cell: c, ac: ac, number: c.lives, timers: map[*Timer]struct{}{}}
	i.ctx, i.cancel = context.WithCancel(context.Background())
	c.interrupt = i.cancel
	return i
}

// Path is the actor's stable name, such as node/tunnel/2001:db8::1.
func (i *Incarnation) Path() string { return i.cell.path }

// Number counts the actor's incarnations, from 1.
func (i *Incarnation) Number() uint64 { return i.number }

// Restarting tells a handler's Stop that a new incarnation follows in a moment, so that what must survive
// (kernel routes, a session's keys) can be left in place. It is false before a quarantine.
func (i *Incarnation) Restarting() bool { return i.restarting }

// Clock is the system's; a pump may use it.
func (i *Incarnation) Clock() clock.Clock { return i.cell.sys.cfg.Clock }

// Now is the system's time: what machines take as now. A pump may use it.
func (i *Incarnation) Now() time.Time { return i.cell.sys.cfg.Clock.Now() }

// Log is the system's logger with the actor's path. A pump may use it.
func (i *Incarnation) Log() *slog.Logger { return i.cell.sys.cfg.Logger.With(actorAttr, i.cell.path) }

// Rand is for jitter and tie-breaks, never for keys: a generator seeded by the system's seed, the path
// and the incarnation, so that one seed gives one run.
func (i *Incarnation) Rand() *rand.Rand {
	if i.rand == nil {
		h := fnv.New64a()
		h.Write([]byte(i.cell.path))
		i.rand = rand.New(rand.NewPCG(i.cell.sys.cfg.Seed, h.Sum64()+i.number))
	}
	return i.rand
}

// Stop stops this actor after the message at hand. See Ref.Stop.
func (i *Incarnation) Stop() { i.cell.stop() }

// Publish replaces the actor's snapshot, which Read and Snapshots hand out without asking the actor.
// v is immutable from now on, with all that it points to. It outlives restarts.
func (i *Incarnation) Publish(v any) { i.cell.snapshot.Store(&v) }

// Event reports something of the actor's own. kind is a short constant word, text is for people. Above
// EventRate it is counted instead, and the count reported after throttle.HeldFor.
func (i *Incarnation) Event(kind EventKind, text string) { i.cell.sys.report(i.cell, kind, text) }

func (i *Incarnation) adopt(name string, care care, produce func(*cell) actor.Actor) (*cell, error) {
	c := &cell{sys: i.cell.sys, path: i.cell.path + "/" + name, care: care, parent: i.cell, life: i.number}
	return c.spawn(name, produce, func(p *actor.Props) error {
		if i.ended {
			return ErrStopping
		}
		_, err := i.ac.SpawnNamed(p, name)
		return err
	})
}

// end cancels and joins the pumps and stops the timers.
func (i *Incarnation) end() {
	i.ended = true
	i.cancel()
	i.pumps.Wait() // without a deadline: two incarnations must never share a resource
	i.leave()
	for t := range i.timers {
		t.Stop()
	}
}
