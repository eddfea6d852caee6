package system_test

import (
	"testing"
	"time"

	"re6st/actors/system"
)

// BenchmarkTell is one producer, one actor: the cost of a message from Tell until it is handled.
func BenchmarkTell(b *testing.B) {
	s := system.New(system.Config{})
	defer stopWithin(b, s)
	ref := spawn(b, s, "node", spec(probe{}))
	done := make(chan struct{})
	count := do(func(*system.Context[message]) error { return nil })
	b.ReportAllocs()
	for range b.N { // not b.Loop: its time would end before the last message is handled
		ref.Tell(count)
	}
	ref.Tell(do(func(*system.Context[message]) error { close(done); return nil }))
	<-done
}

// BenchmarkFaultToRunning is the time from a faulty message to the next message handled by a new incarnation.
func BenchmarkFaultToRunning(b *testing.B) {
	s := system.New(system.Config{})
	defer stopWithin(b, s)
	sp := spec(probe{})
	sp.Restart = system.RestartPolicy{Window: time.Nanosecond} // each fault is the first of its window
	ref := spawn(b, s, "node", sp)
	running := make(chan struct{})
	for b.Loop() {
		ref.Tell(do(boom))
		ref.Tell(do(func(*system.Context[message]) error { running <- struct{}{}; return nil }))
		<-running
	}
}

// BenchmarkSpawn is the cost of an actor, spawned, started and stopped.
func BenchmarkSpawn(b *testing.B) {
	s := system.New(system.Config{})
	defer stopWithin(b, s)
	gone := make(chan struct{})
	next := make(chan system.Ref[message])
	parent := spawn(b, s, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		ctx.OnChild(func(e system.Event) message {
			return do(func(*system.Context[message]) error {
				if e.Kind == system.EventStopped {
					gone <- struct{}{}
				}
				return nil
			})
		})
		return nil
	}}))
	b.ReportAllocs()
	for b.Loop() {
		parent.Tell(do(func(ctx *system.Context[message]) error {
			ref, err := system.Spawn(ctx, "peer", spec(probe{}))
			next <- ref
			return err
		}))
		(<-next).Stop()
		<-gone
	}
}
