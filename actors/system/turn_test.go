package system_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"re6st/actors/system"
)

// inTime runs a test of a system whose time is virtual.
func inTime(t *testing.T, test func(t *testing.T, s *system.System)) {
	synctest.Test(t, func(t *testing.T) {
		s := system.New(system.Config{Seed: 1})
		test(t, s)
		stopWithin(t, s)
		time.Sleep(2 * time.Second) // protoactor counts dead letters for a moment
	})
}

func recordOf(s *system.System, path string) system.Record {
	synctest.Wait()
	for _, r := range s.Actors() {
		if r.Path == path {
			return r
		}
	}
	return system.Record{}
}

// deaf is a pump that hangs in its first life, whatever it is told, and counts how many
// run at once.
func deaf(hang time.Duration, running, most *atomic.Int32) func(*system.Context[message]) error {
	return func(ctx *system.Context[message]) error {
		first := ctx.Number() == 1
		ctx.Pump("reader", func(ctx context.Context, _ *system.Pump[message]) error {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			if first {
				time.Sleep(hang)
			}
			<-ctx.Done()
			return nil
		}, system.WithTurn())
		return nil
	}
}

func TestAPumpWithATurnHoldsUpNoRestart(t *testing.T) {
	inTime(t, func(t *testing.T, s *system.System) {
		var running, most atomic.Int32
		ref := spawn(t, s, "node", spec(probe{onStart: deaf(time.Minute, &running, &most)}))
		for range 3 {
			ref.Tell(do(boom))
			time.Sleep(system.LeaveAfter + time.Second)
		}
		if r := recordOf(s, "node"); r.State != system.Running || r.Restarts != 3 {
			t.Fatalf("the actor of a pump that hangs: %+v, want three restarts", r)
		}
		time.Sleep(system.StuckAfter)
		if r := recordOf(s, "node"); !slices.Equal(r.Stuck, []string{"reader"}) {
			t.Errorf("stuck are %q of the pumps %q", r.Stuck, r.Pumps)
		}
		if running.Load() != 1 {
			t.Errorf("%d run while the first hangs", running.Load())
		}
		time.Sleep(time.Minute)
		if r := recordOf(s, "node"); running.Load() != 1 || len(r.Stuck) != 0 || len(r.Pumps) != 1 {
			t.Errorf("then %d run; %+v", running.Load(), r)
		}
		if most.Load() != 1 {
			t.Errorf("%d ran at once", most.Load())
		}
	})
}

// The child goes with its parent's life, and one of the same name comes at once.
func TestAPumpWithATurnHoldsUpNoParent(t *testing.T) {
	inTime(t, func(t *testing.T, s *system.System) {
		var running, most atomic.Int32
		lives := 0
		parent := spawn(t, s, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
			start := deaf(time.Minute, &running, &most)
			if lives++; lives > 1 {
				start = deaf(0, &running, &most)
			}
			_, err := system.Spawn(ctx, "child", spec(probe{onStart: start}))
			return err
		}}))
		synctest.Wait()
		parent.Tell(do(boom))
		time.Sleep(system.LeaveAfter + time.Second)
		if r := recordOf(s, "node"); r.State != system.Running || r.Restarts != 1 {
			t.Fatalf("the parent: %+v, want a restart", r)
		}
		time.Sleep(2 * time.Minute)
		if running.Load() != 1 || most.Load() != 1 {
			t.Errorf("%d run, %d ran at once", running.Load(), most.Load())
		}
	})
}

func TestTheSystemEndsWithItsLastPump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := system.New(system.Config{Seed: 1})
		var running, most atomic.Int32
		spawn(t, s, "node", spec(probe{onStart: deaf(time.Minute, &running, &most)}))
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err == nil || !strings.Contains(err.Error(), "waiting for node reader") {
			t.Errorf("Stop while a pump hangs: %v", err)
		}
		<-s.Done()
		if running.Load() != 0 {
			t.Error("the system has ended, and the pump has not")
		}
		time.Sleep(2 * time.Second)
	})
}

// atWork is a pump that works at each message of a channel for as long as that says.
func atWork(pieces <-chan time.Duration) func(*system.Context[message]) error {
	return func(ctx *system.Context[message]) error {
		ctx.Pump("disk", func(stop context.Context, p *system.Pump[message]) error {
			for {
				select {
				case <-stop.Done():
					return nil
				case d := <-pieces:
					if err := p.Work("a write", func() error { time.Sleep(d); return nil }); err != nil {
						return err
					}
				}
			}
		})
		return nil
	}
}

func TestWorkThatHangsIsToldWhileItsActorLives(t *testing.T) {
	inTime(t, func(t *testing.T, s *system.System) {
		pieces := make(chan time.Duration)
		spawn(t, s, "node", spec(probe{onStart: atWork(pieces)}))
		time.Sleep(time.Hour) // idle
		for range 100 {
			pieces <- system.StuckAfter * 9 / 10
		}
		if r := recordOf(s, "node"); len(r.Stuck) != 0 || stuckEvents(s) != "" {
			t.Fatalf("a pump that waits, and works well: %+v, %s", r, stuckEvents(s))
		}
		pieces <- time.Minute
		time.Sleep(system.StuckAfter + time.Second)
		if r := recordOf(s, "node"); r.State != system.Running || !slices.Equal(r.Stuck, []string{"disk"}) {
			t.Errorf("while it hangs: %+v", r)
		}
		time.Sleep(time.Minute)
		if r := recordOf(s, "node"); len(r.Stuck) != 0 {
			t.Errorf("when it has gone on: %+v", r)
		}
		if got, want := stuckEvents(s), "pump disk is at a write for too long\n"; got != want {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

func TestADeliveryThatItsActorDoesNotTakeIsTold(t *testing.T) {
	inTime(t, func(t *testing.T, s *system.System) {
		long := do(func(*system.Context[message]) error { time.Sleep(2 * system.StuckAfter); return nil })
		spawn(t, s, "node", spec(probe{onStart: withPump(func(stop context.Context, p *system.Pump[message]) error {
			for _, m := range []message{long, text("news")} {
				if err := p.Deliver(m); err != nil {
					return nil
				}
			}
			<-stop.Done()
			return nil
		}, system.WithCredit(1))}))
		time.Sleep(system.StuckAfter + time.Second)
		if r := recordOf(s, "node"); !slices.Equal(r.Stuck, []string{"reader"}) {
			t.Errorf("while the actor is at a message: %+v", r)
		}
		time.Sleep(2 * system.StuckAfter)
		if r := recordOf(s, "node"); len(r.Stuck) != 0 {
			t.Errorf("after it: %+v", r)
		}
	})
}

func stuckEvents(s *system.System) (texts string) {
	for _, e := range s.Events() {
		if e.Kind == system.EventStuck {
			texts += e.Text + "\n"
		}
	}
	return texts
}

// reading is an actor whose pump forwards a queue, and hangs at the words.
func reading(in chan string, log func(string)) func(*system.Context[message]) error {
	return func(ctx *system.Context[message]) error {
		ctx.Pump("reader", func(stop context.Context, p *system.Pump[message]) error {
			return system.Forward(stop, in, p, func(word string) message {
				if word == "hang" {
					time.Sleep(time.Minute)
				}
				return do(func(*system.Context[message]) error { log(word); return nil })
			})
		}, system.Queue(in))
		return nil
	}
}

func TestAPumpThatLeavesItsQueueIsReplaced(t *testing.T) {
	inTime(t, func(t *testing.T, s *system.System) {
		in := make(chan string, 16)
		var words []string
		spawn(t, s, "node", spec(probe{onStart: reading(in, func(w string) { words = append(words, w) })}))
		time.Sleep(time.Hour) // idle
		in <- "hang"
		time.Sleep(time.Second)
		if r := recordOf(s, "node"); r.Restarts != 0 || stuckEvents(s) != "" {
			t.Fatalf("nothing waits, and: %+v, %s", r, stuckEvents(s))
		}
		in <- "one"
		in <- "two"
		time.Sleep((system.HangChecks+1)*system.HangEvery + system.LeaveAfter)
		if r := recordOf(s, "node"); r.State != system.Running || r.Restarts != 1 || r.LastFault != "pump reader: 2 wait, and it has taken none for 1.5s" {
			t.Errorf("a pump that hangs before its queue: %+v", r)
		}
		if !slices.Equal(words, []string{"one", "two"}) {
			t.Errorf("the next one took %q", words)
		}
		if got, want := stuckEvents(s), "pump reader hangs: 2 wait, and it has taken none for 1.5s\n"; got != want {
			t.Errorf("events %q, want %q", got, want)
		}
		time.Sleep(2 * time.Minute)
		if !slices.Equal(words, []string{"one", "two"}) || recordOf(s, "node").Restarts != 1 {
			t.Errorf("in the end the first one said %q", words)
		}
	})
}

func TestAPumpThatWorksThroughALongQueueIsLeftAlone(t *testing.T) {
	inTime(t, func(t *testing.T, s *system.System) {
		in := make(chan string, 200)
		spawn(t, s, "node", spec(probe{onStart: reading(in, func(string) { time.Sleep(system.HangEvery / 2) })}))
		for range cap(in) { // it waits for its actor all the time
			in <- "word"
		}
		time.Sleep(time.Hour)
		if r := recordOf(s, "node"); r.Restarts != 0 || len(in) != 0 {
			t.Errorf("%d are left; %+v", len(in), r)
		}
	})
}
