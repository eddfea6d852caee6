package system_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"re6st/actors/system"
	"re6st/actors/system/systemtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// message is what the probe takes.
//
//sumtype:decl
type message interface{ isMessage() }

type (
	text string                                   // appended to the log
	do   func(ctx *system.Context[message]) error // run in Handle
)

func (text) isMessage() {}
func (do) isMessage()   {}

var errBoom = errors.New("boom")

func boom(*system.Context[message]) error { return errBoom }

// probe is a handler that logs its life and runs what it is told.
type probe struct {
	log     *systemtest.Collector[string]
	onStart func(ctx *system.Context[message]) error
	onStop  func(ctx *system.Context[message])
	handled int // state of one incarnation
}

func (p *probe) Start(ctx *system.Context[message]) error {
	p.log.Emit(fmt.Sprintf("start %d", ctx.Number()))
	if p.onStart != nil {
		return p.onStart(ctx)
	}
	return nil
}

func (p *probe) Handle(ctx *system.Context[message], m message) error {
	p.handled++
	switch m := m.(type) {
	case text:
		p.log.Emit(string(m))
	case do:
		return m(ctx)
	case batch: // counted, no more
	}
	return nil
}

func (p *probe) Stop(ctx *system.Context[message]) {
	p.log.Emit(fmt.Sprintf("stop %d", ctx.Number()))
	if p.onStop != nil {
		p.onStop(ctx)
	}
}

// spec makes each incarnation from a copy of p.
func spec(p probe) system.Spec[message] {
	if p.log == nil {
		p.log = new(systemtest.Collector[string])
	}
	return system.Spec[message]{Kind: "probe", New: func() system.Handler[message] { q := p; return &q }}
}

func spawn(t testing.TB, parent system.Parent, name string, s system.Spec[message]) system.Ref[message] {
	t.Helper()
	ref, err := system.Spawn(parent, name, s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func wantLog(t testing.TB, log *systemtest.Collector[string], want ...string) {
	t.Helper()
	if got := log.Take(); !slices.Equal(got, want) {
		t.Errorf("log %q, want %q", got, want)
	}
}

// stopWithin stops a system that runs on goroutines.
func stopWithin(t testing.TB, s *system.System) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// await takes events until one of the actor and kind comes.
func await(t testing.TB, sub *system.Subscription, actor string, kind system.EventKind) system.Event {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case e := <-sub.C:
			if e.Actor == actor && e.Kind == kind {
				return e
			}
		case <-late:
			t.Fatalf("no event %q of %s", kind, actor)
		}
	}
}

func TestMessagesAreHandledInOrder(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	ref := spawn(t, h, "node", spec(probe{log: log}))
	for _, m := range []text{"a", "b", "c"} {
		ref.Tell(m)
	}
	h.Run()
	wantLog(t, log, "start 1", "a", "b", "c")
	if ref.Path() != "node" {
		t.Errorf("path %q, want node", ref.Path())
	}
}

func TestPathsAreStableAndNested(t *testing.T) {
	h := systemtest.New(t, 0)
	var paths []string
	leaf := spec(probe{onStart: func(ctx *system.Context[message]) error {
		paths = append(paths, ctx.Path())
		return nil
	}})
	manager := spec(probe{onStart: func(ctx *system.Context[message]) error {
		_, err := system.Spawn(ctx, "2001:db8::1", leaf)
		return err
	}})
	spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		_, err := system.Spawn(ctx, "tunnel", manager)
		return err
	}}))
	h.Run()
	if want := []string{"node/tunnel/2001:db8::1"}; !slices.Equal(paths, want) {
		t.Errorf("paths %q, want %q", paths, want)
	}
}

func TestSpawnRefusesBadAndTakenNames(t *testing.T) {
	h := systemtest.New(t, 0)
	spawn(t, h, "node", spec(probe{}))
	for name, want := range map[string]error{"": system.ErrName, "a/b": system.ErrName, "node": system.ErrExists} {
		if _, err := system.Spawn(h, name, spec(probe{})); !errors.Is(err, want) {
			t.Errorf("Spawn(%q) = %v, want %v", name, err, want)
		}
	}
	h.Shutdown()
	if _, err := system.Spawn(h, "late", spec(probe{})); !errors.Is(err, system.ErrStopping) {
		t.Errorf("Spawn in a stopped system = %v, want ErrStopping", err)
	}
}

func TestSpawnInStopIsRefused(t *testing.T) {
	h := systemtest.New(t, 0)
	var err error
	var closed bool
	ref := spawn(t, h, "node", spec(probe{onStop: func(ctx *system.Context[message]) {
		_, err = system.Spawn(ctx, "child", spec(probe{}))
		ctx.Pump("late", func(context.Context, *system.Pump[message]) error {
			t.Error("a pump begun in Stop ran")
			return nil
		}, system.WithCloser(closer(func() error { closed = true; return nil })))
		ctx.After(time.Second, text("late"))
	}}))
	ref.Stop()
	h.Run()
	if _, ok := h.Clock.Next(); ok || !closed {
		t.Errorf("timer begun in Stop: %v; closer of a pump begun in Stop called: %v", ok, closed)
	}
	if !errors.Is(err, system.ErrStopping) {
		t.Errorf("Spawn in Stop = %v, want ErrStopping", err)
	}
	if _, err := system.Spawn(h, "node", spec(probe{})); err != nil {
		t.Errorf("the name of a stopped actor is not free: %v", err)
	}
}

func TestZeroRefDropsAll(t *testing.T) {
	var ref system.Ref[message]
	ref.Tell(text("lost"))
	ref.Stop()
	ref.Poison()
	if ref.Path() != "" {
		t.Errorf("path %q of the zero Ref", ref.Path())
	}
}

func TestStopOvertakesTheQueueAndCountsIt(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	var dropped uint64
	spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		ref, err := system.Spawn(ctx, "child", spec(probe{log: log}))
		ref.Tell(do(func(*system.Context[message]) error {
			ref.Tell(text("never"))
			ref.Stop()
			return nil
		}))
		ref.Tell(text("dropped"))
		return err
	}}))
	for h.Queue.Step() {
		dropped = max(dropped, h.Record("node/child").Dropped)
	}
	wantLog(t, log, "start 1", "stop 1")
	if dropped != 2 {
		t.Errorf("%d messages counted as dropped, want 2", dropped)
	}
}

func TestPoisonDrainsTheQueueFirst(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	ref := spawn(t, h, "node", spec(probe{log: log}))
	ref.Tell(text("a"))
	ref.Poison()
	ref.Tell(text("too late"))
	h.Run()
	wantLog(t, log, "start 1", "a", "stop 1")
}

func TestPoisonedActorThatFaultsStops(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	ref := spawn(t, h, "node", spec(probe{log: log}))
	ref.Tell(do(boom))
	ref.Poison()
	h.Run()
	wantLog(t, log, "start 1", "stop 1")
}

func TestShutdownStopsAnActorThatWaitsForItsBackoff(t *testing.T) {
	h := systemtest.New(t, 0)
	ref := spawn(t, h, "node", spec(probe{}))
	ref.Tell(do(boom))
	ref.Tell(do(boom))
	h.Run()
	if s := h.State("node"); s != system.Restarting {
		t.Fatalf("state %v after two faults at once, want restarting", s)
	}
	h.Shutdown()
	if _, ok := h.Clock.Next(); ok {
		t.Error("the timer of the backoff is left")
	}
}

func TestRestartingTellsStopWhetherALifeFollowsAtOnce(t *testing.T) {
	h := systemtest.New(t, 0)
	var got []bool
	s := spec(probe{onStop: func(ctx *system.Context[message]) { got = append(got, ctx.Restarting()) }})
	s.Restart.Budget = 1
	ref := spawn(t, h, "node", s)
	ref.Tell(do(boom))
	ref.Tell(do(boom))
	h.Advance(time.Hour) // restarted, quarantined, running again
	ref.Stop()
	h.Run()
	if want := []bool{true, false, false}; !slices.Equal(got, want) {
		t.Errorf("Restarting() in Stop was %v, want %v", got, want)
	}
}

func TestErrIsTheFirstFaultThatEndedTheSystem(t *testing.T) {
	h := systemtest.New(t, 0)
	for _, name := range []string{"first", "second"} {
		s := spec(probe{onStart: func(*system.Context[message]) error {
			return &system.Fault{Kind: system.BadConfig, Err: errors.New(name)}
		}})
		s.OnBudget = system.Escalate
		spawn(t, h, name, s)
	}
	h.Run()
	if err := h.Err(); err == nil || err.Error() != "actor first: start: first" {
		t.Errorf("Err() = %v, want the fault of first", err)
	}
}

func TestStopNamesTheActorThatDoesNot(t *testing.T) {
	s := system.New(system.Config{})
	release := make(chan struct{})
	ref := spawn(t, s, "node", spec(probe{}))
	entered := make(chan struct{})
	ref.Tell(do(func(*system.Context[message]) error { close(entered); <-release; return nil }))
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "node") {
		t.Errorf("Stop = %v, want it cancelled and node named", err)
	}
	close(release)
	stopWithin(t, s)
	if s.Err() != nil {
		t.Errorf("Err() = %v after a Stop", s.Err())
	}
}

// slowLog is one that has the system end when an actor is about to be said to have stopped, and takes its time.
type slowLog struct {
	slog.Handler
	sys  *system.System
	said atomic.Bool
}

func (l *slowLog) Enabled(context.Context, slog.Level) bool { return true }

func (l *slowLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == string(system.EventStopped) {
		l.sys.Quit()
		time.Sleep(100 * time.Millisecond)
		l.said.Store(true)
	}
	return nil
}

func TestTheSystemEndsAfterTheLastWordOfItsActors(t *testing.T) {
	log := &slowLog{Handler: slog.DiscardHandler}
	log.sys = system.New(system.Config{Logger: slog.New(log)})
	spawn(t, log.sys, "node", spec(probe{})).Stop()
	stopWithin(t, log.sys)
	if !log.said.Load() {
		t.Error("it ended before the actor was said to have stopped")
	}
}

func TestSnapshotsAreReadWithoutTheActor(t *testing.T) {
	h := systemtest.New(t, 0)
	ref := spawn(t, h, "node", spec(probe{}))
	if _, ok := system.Read[int](h.System, "node"); ok {
		t.Error("read a snapshot before one was published")
	}
	ref.Tell(do(func(ctx *system.Context[message]) error { ctx.Publish(42); return errBoom }))
	h.Run()
	if v, ok := system.Read[int](h.System, "node"); !ok || v != 42 {
		t.Errorf("Read = %v, %v, want 42 across the restart", v, ok)
	}
	if _, ok := system.Read[string](h.System, "node"); ok {
		t.Error("read an int as a string")
	}
	if _, ok := system.Read[int](h.System, "nobody"); ok {
		t.Error("read the snapshot of nobody")
	}
	if got := h.Snapshots(); !slices.Equal(got, []system.Snapshot{{Path: "node", Value: 42}}) {
		t.Errorf("Snapshots() = %v", got)
	}
}

func TestRecordsTellStateAndFaults(t *testing.T) {
	h := systemtest.New(t, 0)
	start := h.Clock.Now()
	ref := spawn(t, h, "node", spec(probe{}))
	if r := h.Record("node"); r.State != system.Starting {
		t.Errorf("state %v before the first step, want starting", r.State)
	}
	h.Advance(time.Second)
	ref.Tell(do(boom))
	ref.Tell(do(boom))
	ref.Tell(text("waits"))
	h.Run()
	want := system.Record{
		Path: "node", Kind: "probe", State: system.Restarting, Since: start.Add(time.Second), Restarts: 1,
		LastFault: "handle system_test.do: boom", FaultKind: "transient", FaultAt: start.Add(time.Second), Mailbox: 1,
	}
	if got := h.Record("node"); !reflect.DeepEqual(got, want) {
		t.Errorf("record %+v\nwant   %+v", got, want)
	}
	h.Advance(time.Second)
	if got := h.Record("node"); got.State != system.Running || got.Restarts != 2 || got.Mailbox != 0 {
		t.Errorf("record %+v, want it running after two restarts", got)
	}
}

func TestRandIsFixedBySeedPathAndIncarnation(t *testing.T) {
	draw := func(seed uint64, name string) (numbers []uint64) {
		h := systemtest.New(t, seed)
		ref := spawn(t, h, name, spec(probe{onStart: func(ctx *system.Context[message]) error {
			numbers = append(numbers, ctx.Rand().Uint64())
			return nil
		}}))
		ref.Tell(do(boom))
		h.Run()
		return numbers
	}
	a := draw(1, "a")
	if !slices.Equal(a, draw(1, "a")) {
		t.Error("one seed gave two sequences")
	}
	if a[0] == a[1] || a[0] == draw(1, "b")[0] || a[0] == draw(2, "a")[0] {
		t.Error("incarnation, path or seed makes no difference")
	}
}
