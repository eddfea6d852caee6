package system

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"re6st/hw/clock"
	"re6st/hw/throttle"
)

// Dispatcher runs the actors' work. The default starts a goroutine for each run of a mailbox;
// systemtest.Queue runs one at a time, in an order fixed by its seed.
type Dispatcher interface {
	Schedule(run func())
	Throughput() int // messages that one run handles before it yields the processor
}

const (
	throughput = 300 // of the default dispatcher
	maxGraves  = 64  // records kept of actors that a fault stopped
)

// Config is what a System is made of. The zero Config is a good one.
type Config struct {
	Logger     *slog.Logger // nil: nothing is logged
	Clock      clock.Clock  // nil: clock.Real
	Seed       uint64       // of jitter and of Incarnation.Rand; 0: a random one
	Dispatcher Dispatcher   // nil: goroutines
	// Restart is for actors whose Spec leaves it out; zero fields are DefaultRestart's.
	Restart RestartPolicy
}

// System is a tree of actors. It ends when Stop is called, or when a root actor escalates.
type System struct {
	cfg     Config
	as      *actor.ActorSystem
	root    *root
	feed    feed
	tallies tallies
	turns   turns
	minders minders
	events  *throttle.Throttle // of the actors' own
	began   time.Time
	done    chan struct{}

	mu       sync.Mutex // guards what follows
	rand     *rand.Rand
	cells    map[string]*cell // by path: the living, and the last maxGraves that a fault stopped
	graves   []*cell          // the latter, oldest first
	stopping bool
	parting  int  // actors that are buried, and whose EventStopped is to follow
	ending   bool // the actors have ended, and their last pumps are about to
	err      error
}

// New returns an empty system. Whoever calls it calls Stop.
func New(cfg Config) *System {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	cfg.Clock = cmp.Or[clock.Clock](cfg.Clock, clock.Real{})
	cfg.Seed = cmp.Or(cfg.Seed, rand.Uint64())
	cfg.Dispatcher = cmp.Or[Dispatcher](cfg.Dispatcher, actor.NewDefaultDispatcher(throughput))
	s := &System{
		cfg:    cfg,
		began:  cfg.Clock.Now(),
		events: throttle.New(cfg.Clock, EventRate, EventBurst),
		done:   make(chan struct{}),
		rand:   rand.New(rand.NewPCG(cfg.Seed, 0)),
		cells:  map[string]*cell{},
	}
	// What protoactor would log of actors, events say better; what it calls errors belongs to parts unused here.
	mute := func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }
	// The time over which it counts dead letters is the life of a goroutine, which may outlive the system.
	s.as = actor.NewActorSystem(actor.WithLoggerFactory(mute), actor.WithDeadLetterThrottleInterval(time.Nanosecond))
	flatten(s.as.ProcessRegistry.LocalPIDs)
	s.root = &root{RootContext: s.as.Root, sys: s}
	s.root.pid, _ = s.as.ProcessRegistry.Add(s.root, "/") // no actor's path is "/"
	return s
}

// flatten leaves the process registry one bucket. Upstream's bucket index is a signed remainder:
// negative, and a panic, for half of all names where int has 32 bits. With one bucket it is 0.
func flatten(m *actor.SliceMap) {
	for _, bucket := range m.LocalPIDs[1:] {
		if !bucket.IsEmpty() {
			m.LocalPIDs[0].MSet(bucket.Items())
		}
	}
	m.LocalPIDs = slices.Clone(m.LocalPIDs[:1]) // a clone, so that the other 1023 can go
}

// Done is closed when the system has ended: every actor stopped, every pump joined.
func (s *System) Done() <-chan struct{} { return s.done }

// Err is why the system ended by itself: the fault that a root actor escalated, which main turns into a
// non-zero exit. It is nil while all is well and after a Stop.
func (s *System) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Quit asks the root actors to finish their queues and stop, and returns at once. See Done.
func (s *System) Quit() { s.quit(nil, (*cell).poison) }

// Stop is Quit, then waits for Done. Where ctx ends first, the error names the actors that have not stopped.
func (s *System) Stop(ctx context.Context) error {
	s.Quit()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	var left []string
	for _, c := range s.sorted() {
		if c.State() != Stopped {
			left = append(left, c.path)
		}
	}
	if len(left) == 0 {
		left = s.turns.names()
	}
	return fmt.Errorf("stop of the actors: %w, waiting for %s", ctx.Err(), strings.Join(left, ", "))
}

// quit ends the system: every root actor is told how. err is the reason, nil where somebody asked for it.
func (s *System) quit(err error, how func(*cell)) {
	s.mu.Lock()
	s.stopping = true
	s.err = cmp.Or(s.err, err)
	roots := s.roots()
	s.closeIfEmpty(roots)
	s.mu.Unlock()
	for _, c := range roots {
		how(c)
	}
}

// roots are the living root actors. The caller holds mu.
func (s *System) roots() (roots []*cell) {
	for _, c := range s.cells {
		if c.parent == nil && c.State() != Stopped {
			roots = append(roots, c)
		}
	}
	slices.SortFunc(roots, byPath)
	return roots
}

// closeIfEmpty closes done once the last root actor of a stopping system is gone, which an
// event has said, and the last pump. The caller holds mu.
func (s *System) closeIfEmpty(roots []*cell) {
	if !s.stopping || len(roots) > 0 || s.parting > 0 || s.ending {
		return
	}
	s.ending = true
	go func() {
		s.turns.left.Wait()
		close(s.done)
	}()
}

// enroll makes c known, or refuses: its path is taken, or it is a root actor of a stopping system.
func (s *System) enroll(c *cell) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping && c.parent == nil {
		return ErrStopping
	}
	if old := s.cells[c.path]; old != nil {
		if old.State() != Stopped {
			return ErrExists
		}
		s.graves = slices.DeleteFunc(s.graves, func(g *cell) bool { return g == old })
	}
	s.cells[c.path] = c
	return nil
}

// bury frees the path of a stopped actor. With keep, its record stays until maxGraves later ones.
func (s *System) bury(c *cell, keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.state.Store(int32(Stopped)) // under mu: enroll refuses the path or finds it free
	if !keep {
		delete(s.cells, c.path)
	} else if s.graves = append(s.graves, c); len(s.graves) > maxGraves {
		delete(s.cells, s.graves[0].path)
		s.graves = s.graves[1:]
	}
}

// part counts one more actor, or one fewer, that is about to be said to have stopped.
func (s *System) part(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parting += n
}

// sorted returns the known cells in the order of their paths.
func (s *System) sorted() []*cell {
	s.mu.Lock()
	defer s.mu.Unlock()
	cells := make([]*cell, 0, len(s.cells))
	for _, c := range s.cells {
		cells = append(cells, c)
	}
	slices.SortFunc(cells, byPath)
	return cells
}

func byPath(a, b *cell) int { return strings.Compare(a.path, b.path) }

func (s *System) lookup(path string) *cell {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cells[path]
}

// jitter returns a number in [-span, span].
func (s *System) jitter(span int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rand.Int64N(2*span+1) - span
}

// root is the parent of the root actors, as a bare process: upstream's guardians crash the process
// on an escalation, and what it does for orphans stops them silently.
type root struct {
	*actor.RootContext
	sys *System
	pid *actor.PID
}

func (r *root) Self() *actor.PID { return r.pid }

func (r *root) SendUserMessage(*actor.PID, any) {}

func (r *root) Stop(*actor.PID) {}

func (r *root) SendSystemMessage(_ *actor.PID, msg any) {
	switch m := msg.(type) {
	case *actor.Failure:
		supervisor{r.sys, nil}.HandleFailure(r.sys.as, nil, m.Who, nil, m.Reason, nil)
	case *actor.Terminated:
		r.sys.lookup(m.Who.Id).gone()
		r.sys.mu.Lock()
		defer r.sys.mu.Unlock()
		r.sys.closeIfEmpty(r.sys.roots())
	}
}
