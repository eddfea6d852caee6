package system_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"re6st/actors/system"
	"re6st/actors/system/systemtest"
)

// Each test here is named for a trap of protoactor (or of actors in general) and fails where it bites.

func TestTrapThousandActorNamesOn32Bit(t *testing.T) {
	h := systemtest.New(t, 0)
	var started int
	spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		for i := range 1000 {
			ref, err := system.Spawn(ctx, fmt.Sprintf("peer-%d", i), spec(probe{}))
			if err != nil {
				return err
			}
			ref.Tell(do(func(*system.Context[message]) error { started++; return nil }))
		}
		return nil
	}}))
	h.Run()
	if started != 1000 {
		t.Errorf("%d of 1000 actors took their message", started)
	}
}

func TestTrapFailingMessageIsLostButTheQueueSurvives(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	ref := spawn(t, h, "node", spec(probe{log: log}))
	ref.Tell(text("1"))
	ref.Tell(do(boom))
	ref.Tell(text("2"))
	ref.Tell(text("3"))
	h.Run()
	wantLog(t, log, "start 1", "1", "stop 1", "start 2", "2", "3")
}

func TestTrapRestartGivesFreshState(t *testing.T) {
	h := systemtest.New(t, 0)
	var seen []int
	s := spec(probe{})
	create := s.New
	s.New = func() system.Handler[message] {
		p := create().(*probe)
		p.onStart = func(*system.Context[message]) error { seen = append(seen, p.handled); return nil }
		return p
	}
	ref := spawn(t, h, "node", s)
	ref.Tell(text("counts"))
	ref.Tell(do(boom))
	h.Run()
	if !slices.Equal(seen, []int{0, 0}) {
		t.Errorf("handlers started with state %v, want fresh ones", seen)
	}
}

func TestTrapChildrenDoNotSurviveARestart(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	ref := spawn(t, h, "node", spec(probe{log: new(systemtest.Collector[string]), onStart: func(ctx *system.Context[message]) error {
		_, err := system.Spawn(ctx, "child", spec(probe{log: log}))
		return err
	}}))
	h.Run()
	ref.Tell(do(boom))
	h.Run()
	wantLog(t, log, "start 1", "stop 1", "start 1")
	if r := h.Record("node/child"); r.State != system.Running || r.Restarts != 0 {
		t.Errorf("child %+v, want a new one running", r)
	}
	if r := h.Record("node"); r.Dropped != 0 {
		t.Errorf("%d messages counted as dropped, where nobody sent one", r.Dropped)
	}
}

func TestTrapPumpPanicDoesNotKillTheProcess(t *testing.T) {
	s := system.New(system.Config{})
	defer stopWithin(t, s)
	sub := s.Subscribe(16)
	spawn(t, s, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		if ctx.Number() == 1 {
			ctx.Pump("reader", func(context.Context, *system.Pump[message]) error { panic("index out of range") })
		}
		return nil
	}}))
	e := await(t, sub, "node", system.EventFaulted)
	if e.Fault.Kind != system.Bug || e.Fault.Op != "pump reader" || !strings.Contains(string(e.Fault.Stack), "traps_test.go") {
		t.Errorf("fault %+v, want a bug in pump reader with its stack", e.Fault)
	}
	await(t, sub, "node", system.EventRestarted)
}

func TestTrapReaderAndWriterFailingTogetherMakeOneRestart(t *testing.T) {
	h := systemtest.New(t, 0)
	spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		if ctx.Number() > 1 {
			return nil
		}
		r, w := io.Pipe()
		r.CloseWithError(errBoom)
		for name, wait := range map[string]func([]byte) (int, error){"reader": r.Read, "writer": w.Write} {
			ctx.Pump(name, func(context.Context, *system.Pump[message]) error {
				_, err := wait(make([]byte, 1))
				return err
			})
		}
		return nil
	}}))
	h.Await("the restart", func() bool { return h.Record("node").Restarts > 0 })
	h.Advance(time.Minute)
	if want := []string{"node started", "node faulted", "node restarted"}; !slices.Equal(h.Trace(), want) {
		t.Errorf("trace %q, want %q", h.Trace(), want)
	}
}

func TestTrapMessageOfAStaleIncarnationIsDropped(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	sent := make(chan struct{})
	spawn(t, h, "node", spec(probe{log: log, onStart: func(ctx *system.Context[message]) error {
		if ctx.Number() == 1 {
			ctx.Self().Tell(do(func(*system.Context[message]) error { <-sent; return errBoom }))
			ctx.Self().Tell(text("alive"))
			ctx.Pump("reader", func(_ context.Context, p *system.Pump[message]) error {
				defer close(sent)
				return p.Deliver(text("from the dead"))
			})
		}
		return nil
	}}))
	h.Run()
	wantLog(t, log, "start 1", "stop 1", "start 2", "alive")
	if n := h.Record("node").Dropped; n != 1 {
		t.Errorf("%d messages counted as dropped, want 1", n)
	}
}

func TestTrapMailboxOfAStoppedActor(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	ref := spawn(t, h, "node", spec(probe{log: log}))
	ref.Stop()
	h.Run()
	ref.Tell(text("dead letter"))
	ref.Stop()
	ref.Poison()
	h.Run()
	wantLog(t, log, "start 1", "stop 1")
	again := spawn(t, h, "node", spec(probe{log: log}))
	ref.Tell(text("not for the namesake"))
	again.Tell(text("for it"))
	h.Run()
	wantLog(t, log, "start 1", "for it")
}

func TestTrapStopDuringBackoffIsNotUndoneByTheRestart(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	ref := spawn(t, h, "node", spec(probe{log: log}))
	ref.Tell(do(boom))
	ref.Tell(do(boom))
	h.Run()
	at, _ := h.Clock.Next()
	h.Clock.AdvanceTo(at) // the restart is queued …
	ref.Stop()            // … and so is the stop
	h.Advance(time.Minute)
	log.Take()
	if s := h.State("node"); s != system.Stopped {
		t.Errorf("state %v, want stopped", s)
	}
}

func TestTrapRestartBehindAStopBringsNobodyBack(t *testing.T) {
	h := systemtest.New(t, 0)
	ref := spawn(t, h, "node", spec(probe{}))
	ref.Tell(do(boom))
	ref.Tell(do(boom))
	h.Run()
	ref.Stop()
	at, _ := h.Clock.Next()
	h.Clock.AdvanceTo(at) // the restart is queued behind the stop
	h.Advance(time.Minute)
	if _, ok := h.Clock.Next(); ok {
		t.Error("a stopped actor has a timer")
	}
	if got := h.Trace(); got[len(got)-1] != "node stopped" {
		t.Errorf("trace %q does not end with the stop", got)
	}
}

func TestTrapPanicInStopDoesNotLeaveItHalfStopped(t *testing.T) {
	h := systemtest.New(t, 0)
	ref := spawn(t, h, "node", spec(probe{
		onStart: func(ctx *system.Context[message]) error {
			_, err := system.Spawn(ctx, "child", spec(probe{}))
			return err
		},
		onStop: func(*system.Context[message]) { panic("in Stop") },
	}))
	ref.Tell(do(boom))
	h.Run()
	if r := h.Record("node"); r.State != system.Running || r.Restarts != 1 {
		t.Errorf("record %+v, want it restarted", r)
	}
	ref.Stop()
	h.Run()
	if len(h.Actors()) != 0 {
		t.Errorf("left behind: %+v", h.Actors())
	}
}

func TestTrapNoMessageIsDeliveredWhileChildrenStop(t *testing.T) {
	s := system.New(system.Config{})
	release, stopping := make(chan struct{}), make(chan struct{})
	log := new(systemtest.Collector[string])
	slow := spec(probe{onStop: func(*system.Context[message]) { close(stopping); <-release }})
	ref := spawn(t, s, "node", spec(probe{log: log, onStart: func(ctx *system.Context[message]) error {
		_, err := system.Spawn(ctx, "slow", slow)
		return err
	}}))
	ref.Stop()
	<-stopping
	ref.Tell(text("to a stopped handler"))
	close(release)
	stopWithin(t, s)
	wantLog(t, log, "start 1", "stop 1")
}

func TestTrapNameIsNotFreeBeforeTheParentHasTakenNote(t *testing.T) {
	s := system.New(system.Config{})
	stopped, done := make(chan struct{}), make(chan error)
	var child system.Ref[message]
	ref := spawn(t, s, "node", spec(probe{onStart: func(ctx *system.Context[message]) (err error) {
		child, err = system.Spawn(ctx, "peer", spec(probe{onStop: func(*system.Context[message]) { close(stopped) }}))
		return err
	}}))
	ref.Tell(do(func(ctx *system.Context[message]) (err error) {
		child.Stop() // here, or the parent may have taken note before it comes to this message
		<-stopped
		for range 10000 { // upstream frees the name meanwhile, and would then forget the one spawned in its place
			if _, err = system.Spawn(ctx, "peer", spec(probe{})); !errors.Is(err, system.ErrExists) {
				break
			}
			runtime.Gosched()
		}
		done <- err
		return nil
	}))
	if err := <-done; !errors.Is(err, system.ErrExists) {
		t.Errorf("Spawn in the Handle during which the namesake stopped = %v, want ErrExists", err)
	}
	stopWithin(t, s)
}

func TestTrapRespawnedNameIsNotForgottenByItsParent(t *testing.T) {
	s := system.New(system.Config{})
	const rounds = 200
	done := make(chan struct{})
	n := 0
	spawn(t, s, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		ctx.OnChild(func(e system.Event) message {
			return do(func(ctx *system.Context[message]) error {
				if e.Kind != system.EventStopped {
					return nil
				}
				if n++; n == rounds {
					close(done)
				}
				ref, err := system.Spawn(ctx, "peer", spec(probe{}))
				if n < rounds {
					ref.Stop()
				}
				return err
			})
		})
		ref, err := system.Spawn(ctx, "peer", spec(probe{}))
		ref.Stop()
		return err
	}}))
	<-done
	stopWithin(t, s) // hangs, or leaves node/peer, where the parent forgot it
	if left := s.Actors(); len(left) != 0 {
		t.Errorf("left behind: %+v", left)
	}
}

func TestTrapSuspendedMailboxIsBounded(t *testing.T) {
	h := systemtest.New(t, 0)
	ref := spawn(t, h, "node", spec(probe{}))
	ref.Tell(do(boom))
	ref.Tell(do(boom))
	h.Run()
	const flood = 20000
	for range flood {
		ref.Tell(text("flood"))
	}
	r := h.Record("node")
	if r.Dropped == 0 || uint64(r.Mailbox)+r.Dropped != flood {
		t.Errorf("%d queued and %d dropped of %d", r.Mailbox, r.Dropped, flood)
	}
}

// batch is what upstream's mailbox would take apart, and post twice over.
type batch struct{}

func (batch) isMessage()         {}
func (batch) GetMessages() []any { return []any{text("unpacked"), text("unpacked")} }

func TestTrapMessageThatLooksLikeABatchIsHandledOnce(t *testing.T) {
	h := systemtest.New(t, 0)
	var handlers []*probe
	s := spec(probe{})
	create := s.New
	s.New = func() system.Handler[message] {
		handlers = append(handlers, create().(*probe))
		return handlers[0]
	}
	spawn(t, h, "node", s).Tell(batch{})
	h.Run()
	if n := handlers[0].handled; n != 1 {
		t.Errorf("handled %d messages, want 1", n)
	}
	wantLog(t, handlers[0].log, "start 1")
}

func TestTrapShutdownLeavesNoGoroutine(t *testing.T) {
	s := system.New(system.Config{})
	var running atomic.Int32
	s2 := spec(probe{onStart: func(ctx *system.Context[message]) error {
		for _, name := range []string{"reader", "writer"} {
			ctx.Pump(name, func(ctx context.Context, _ *system.Pump[message]) error {
				running.Add(1)
				defer running.Add(-1)
				<-ctx.Done()
				return ctx.Err()
			})
		}
		ctx.After(time.Hour, text("never"))
		return nil
	}})
	spawn(t, s, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		for i := range 50 {
			if _, err := system.Spawn(ctx, fmt.Sprint(i), s2); err != nil {
				return err
			}
		}
		return nil
	}}))
	stopWithin(t, s)
	if n := running.Load(); n != 0 {
		t.Errorf("%d pumps still run when Stop has returned", n)
	}
}

func TestTrapStopOfAChildThatIsGoneLeavesNoGoroutine(t *testing.T) {
	before := goleak.IgnoreCurrent()
	h := systemtest.New(t, 0)
	var child system.Ref[message]
	ref := spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) (err error) {
		child, err = system.Spawn(ctx, "peer", spec(probe{}))
		return err
	}}))
	h.Run()
	child.Stop()
	ref.Stop() // it has not taken note of the child's end when it stops its children
	h.Run()
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

func TestTrapSameSeedSameTrace(t *testing.T) {
	run := func(seed uint64) string {
		h := systemtest.New(t, seed)
		log := new(systemtest.Collector[string])
		spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
			refs := make([]system.Ref[message], 9)
			for i := range refs {
				name := fmt.Sprint(i)
				s := spec(probe{log: new(systemtest.Collector[string])})
				var err error
				if refs[i], err = system.Spawn(ctx, name, s); err != nil {
					return err
				}
			}
			for round := range 3 {
				for i, ref := range refs {
					ref.Tell(do(func(ctx *system.Context[message]) error {
						log.Emit(fmt.Sprintf("%d %d %d", round, i, ctx.Rand().IntN(100)))
						refs[(i+1)%len(refs)].Tell(do(func(*system.Context[message]) error {
							log.Emit(fmt.Sprintf("%d from %d", (i+1)%len(refs), i))
							return nil
						}))
						if round == 1 && i == 4 {
							return errBoom
						}
						ctx.After(time.Duration(ctx.Rand().IntN(1000))*time.Millisecond, do(func(*system.Context[message]) error {
							log.Emit(fmt.Sprintf("%d timer", i))
							return nil
						}))
						return nil
					}))
				}
			}
			return nil
		}}))
		h.Advance(10 * time.Second)
		return strings.Join(log.Take(), "\n") + strings.Join(h.Trace(), "\n")
	}
	traces := map[string]bool{}
	for seed := range uint64(6) {
		first := run(seed)
		for range 4 {
			if run(seed) != first {
				t.Fatalf("seed %d gave two traces", seed)
			}
		}
		traces[first] = true
	}
	if len(traces) != 6 {
		t.Errorf("6 seeds gave %d traces, want as many interleavings", len(traces))
	}
}

func TestTrapForeignMessageDoesNotCompile(t *testing.T) {
	gotool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the go tool is not installed")
	}
	out, err := exec.Command(gotool, "build", "./testdata/foreign").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "does not implement tunnelMessage") {
		t.Errorf("go build of a foreign message: %v\n%s", err, out)
	}
}
