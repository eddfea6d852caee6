package system_test

import (
	"slices"
	"testing"
	"time"

	"re6st/actors/system"
	"re6st/actors/system/systemtest"
)

func TestAfterSendsItsMessageOnce(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	spawn(t, h, "node", spec(probe{log: log, onStart: func(ctx *system.Context[message]) error {
		ctx.After(2*time.Second, text("second"))
		ctx.After(time.Second, text("first"))
		ctx.After(0, text("now"))
		return nil
	}}))
	h.Run()
	wantLog(t, log, "start 1", "now")
	h.Advance(time.Hour)
	wantLog(t, log, "first", "second")
}

func TestTimerFiresAtItsLastArmingOnly(t *testing.T) {
	h := systemtest.New(t, 0)
	var fired []time.Duration
	begin := h.Clock.Now()
	spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		timer := ctx.NewTimer(do(func(ctx *system.Context[message]) error {
			fired = append(fired, ctx.Now().Sub(begin))
			return nil
		}))
		for _, s := range []time.Duration{5, 1, 3, 3} {
			timer.Rearm(begin.Add(s*time.Second), true)
		}
		return nil
	}}))
	h.Advance(time.Minute)
	if want := []time.Duration{3 * time.Second}; !slices.Equal(fired, want) {
		t.Errorf("fired at %v, want %v", fired, want)
	}
}

func TestTimerMessageInTheQueueIsStaleOnceRearmedOrStopped(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	var rearmed, stopped *system.Timer
	ref := spawn(t, h, "node", spec(probe{log: log, onStart: func(ctx *system.Context[message]) error {
		rearmed, stopped = ctx.After(time.Second, text("rearmed")), ctx.After(time.Second, text("stopped"))
		return nil
	}}))
	h.Run()
	ref.Tell(do(func(ctx *system.Context[message]) error {
		rearmed.Rearm(ctx.Now().Add(time.Second), true)
		stopped.Rearm(time.Time{}, false)
		return nil
	}))
	h.Clock.Advance(time.Second) // both messages stand in the queue, behind the do
	h.Run()
	wantLog(t, log, "start 1")
	h.Advance(time.Minute)
	wantLog(t, log, "rearmed")
}

func TestTimersEndWithTheirIncarnation(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	ref := spawn(t, h, "node", spec(probe{log: log, onStart: func(ctx *system.Context[message]) error {
		if ctx.Number() == 1 {
			ctx.After(time.Second, text("of the dead"))
		}
		return nil
	}}))
	h.Run()
	ref.Tell(do(boom))
	h.Run()
	if at, ok := h.Clock.Next(); ok {
		t.Errorf("a timer is pending for %v after its incarnation", at)
	}
	h.Advance(time.Minute)
	wantLog(t, log, "start 1", "stop 1", "start 2")
}
