package system

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"re6st/hw/clock"
)

// Dispatcher runs the actors' work. The default starts a goroutine for each run of a mailbox;
// systemtest.Queue runs one at a time, in an order fixed by its seed.
type Dispatcher interface {
	Schedule(run func())
	Throughput() int // messages that one run handles before it yields
}

// throughput is the default dispatcher's: messages handled before it yields the processor.
const throughput = 300

// Config is what a System is made of. The zero Config is a good one.
type Config struct {
	Logger     *slog.Logger // nil: nothing is logged
	Clock      clock.Clock  // nil: clock.Real
	Seed       uint64       // of jitter and of Incarnation.Rand; 0: a random one
	Dispatcher Dispatcher   // nil: goroutines
}

// System is a tree of actors. It ends when Stop is called, or when a root actor escalates.
type System struct {
	cfg  Config
	as   *actor.ActorSystem
	root *root
	log  *slog.Logger
	feed feed

	mu       sync.Mutex
	rand     *rand.Rand
	cells    map[string]*cell // by path: the living, and the last maxGraves that a fault stopped
	graves   []*cell          // the latter, oldest first
	tops     []*cell          // the living root actors
	stopping bool
	err      error
	done     chan struct{}
}

// maxGraves bounds the records kept of actors that a fault stopped.
const maxGraves = 64

// New returns an empty system. Whoever calls it calls Stop.
func New(cfg Config) *System {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Seed == 0 {
		cfg.Seed = rand.Uint64()
	}
	if cfg.Dispatcher == nil {
		cfg.Dispatcher = actor.NewDefaultDispatcher(throughput)
	}
	s := &System{
		cfg:   cfg,
		log:   cfg.Logger,
		rand:  rand.New(rand.NewPCG(cfg.Seed, 0)),
		cells: map[string]*cell{},
		done:  make(chan struct{}),
	}
	// What protoactor has to tell, events tell better; only its errors are news.
	quiet := slog.New(errorsOnly{cfg.Logger.Handler()})
	s.as = actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet }))
	flatten(s.as.ProcessRegistry.LocalPIDs)
	s.root = &root{RootContext: s.as.Root, sys: s}
	s.root.pid, _ = s.as.ProcessRegistry.Add(s.root, "/") // no actor's path is "/": names have no slash
	return s
}

// flatten leaves the process registry one bucket. Upstream's bucket index is a signed remainder:
// negative, and a panic, for half of all names where int has 32 bits. With one bucket it is 0.
func flatten(m *actor.SliceMap) {
	first := m.LocalPIDs[0]
	for _, bucket := range m.LocalPIDs[1:] {
		if bucket.IsEmpty() {
			continue
		}
		for id, process := range bucket.Items() {
			first.Set(id, process)
		}
	}
	m.LocalPIDs = slices.Clone(m.LocalPIDs[:1]) // the clone lets the other 1023 go
}

// Done is closed when the system has ended: every actor stopped, every pump joined.
func (s *System) Done() <-chan struct{} { return s.done }

// Err is why the system ended by itself: the fault that a root actor escalated. main turns it into a
// non-zero exit. It is nil while all is well and after a Stop.
func (s *System) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Quit asks the root actors to finish their queues and stop, and returns at once. See Done.
func (s *System) Quit() {
	for _, c := range s.quit(nil) {
		c.poison()
	}
}

// Stop is Quit, then waits for Done. Where ctx ends first, it names the actors that have not stopped.
func (s *System) Stop(ctx context.Context) error {
	s.Quit()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop of the actor system: %w, waiting for %s", ctx.Err(), strings.Join(s.alive(), ", "))
	}
}

// fail ends the system, at once, with the first error given to it.
func (s *System) fail(err error) {
	for _, c := range s.quit(err) {
		c.stop()
	}
}

// quit enters the stopping state and returns the root actors that are left.
func (s *System) quit(err error) []*cell {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.stopping = true
		if len(s.tops) == 0 {
			close(s.done)
		}
	}
	if s.err == nil {
		s.err = err
	}
	return slices.Clone(s.tops)
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
	if c.parent == nil {
		s.tops = append(s.tops, c)
	}
	return nil
}

// bury forgets a stopped actor; one that a fault stopped stays in the records for a while.
// The last root actor closes done.
func (s *System) bury(c *cell, keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.state.Store(int32(Stopped)) // under mu, so that enroll either refuses the path or finds it free
	switch {
	case !keep:
		delete(s.cells, c.path)
	case len(s.graves) == maxGraves:
		delete(s.cells, s.graves[0].path)
		s.graves = append(s.graves[1:], c)
	default:
		s.graves = append(s.graves, c)
	}
	if c.parent != nil {
		return
	}
	s.tops = slices.DeleteFunc(s.tops, func(top *cell) bool { return top == c })
	if s.stopping && len(s.tops) == 0 {
		close(s.done)
	}
}

// sorted returns the cells in the order of their paths.
func (s *System) sorted() []*cell {
	s.mu.Lock()
	defer s.mu.Unlock()
	cells := make([]*cell, 0, len(s.cells))
	for _, c := range s.cells {
		cells = append(cells, c)
	}
	slices.SortFunc(cells, func(a, b *cell) int { return strings.Compare(a.path, b.path) })
	return cells
}

func (s *System) alive() (paths []string) {
	for _, c := range s.sorted() {
		if c.State() != Stopped {
			paths = append(paths, c.path)
		}
	}
	return paths
}

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
// on an escalation, and its default for orphans stops them silently.
type root struct {
	*actor.RootContext
	sys *System
	pid *actor.PID
}

func (r *root) Self() *actor.PID { return r.pid }

func (r *root) SendUserMessage(*actor.PID, any) {}

func (r *root) Stop(*actor.PID) {}

func (r *root) SendSystemMessage(_ *actor.PID, msg any) {
	if f, ok := msg.(*actor.Failure); ok {
		supervisor{r.sys, nil}.HandleFailure(r.sys.as, nil, f.Who, nil, f.Reason, nil)
	}
}

// errorsOnly passes errors on and nothing else.
type errorsOnly struct{ slog.Handler }

func (h errorsOnly) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelError && h.Handler.Enabled(ctx, l)
}

func (h errorsOnly) WithAttrs(a []slog.Attr) slog.Handler { return errorsOnly{h.Handler.WithAttrs(a)} }

func (h errorsOnly) WithGroup(name string) slog.Handler { return errorsOnly{h.Handler.WithGroup(name)} }
