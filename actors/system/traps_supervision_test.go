package system_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"re6st/actors/system"
	"re6st/actors/system/systemtest"
)

// The traps of supervision; the others are in traps_test.go.

func TestTrapBudgetSpentIsQuarantineNotSilence(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	healthy := false
	s := spec(probe{log: log, onStart: func(ctx *system.Context[message]) error {
		if !healthy {
			return errBoom
		}
		ctx.Self().Tell(text("first"))
		return nil
	}})
	s.Restart = system.RestartPolicy{Budget: 2, Window: 30 * time.Second}
	ref := spawn(t, h, "node", s)
	h.Advance(10 * time.Second)
	if got := h.State("node"); got != system.Quarantined {
		t.Fatalf("state %v after a spent budget, want quarantined", got)
	}
	wantLog(t, log, "start 1", "stop 1", "start 2", "stop 2", "start 3", "stop 3")
	ref.Tell(text("into the void"))
	h.Advance(40 * time.Second)
	wantLog(t, log)
	if n := h.Record("node").Dropped; n != 1 {
		t.Errorf("%d messages counted as dropped, want 1", n)
	}
	healthy = true
	h.Advance(20 * time.Second)
	ref.Tell(text("back"))
	h.Run()
	wantLog(t, log, "start 4", "first", "back")
	if want := "node quarantined"; !slices.Contains(h.Trace(), want) {
		t.Errorf("trace %q without %q", h.Trace(), want)
	}
}

func TestTrapEscalateAtTheRootEndsTheSystemNotTheProcess(t *testing.T) {
	s := system.New(system.Config{})
	sp := spec(probe{})
	sp.OnBudget, sp.Restart = system.Escalate, system.RestartPolicy{Budget: 1, Base: time.Microsecond}
	ref := spawn(t, s, "node", sp)
	other := spec(probe{})
	spawn(t, s, "other", other)
	ref.Tell(do(boom))
	ref.Tell(do(boom))
	<-s.Done()
	if err := s.Err(); !errors.Is(err, errBoom) || !strings.Contains(err.Error(), "actor node") {
		t.Errorf("Err() = %v, want the fault of node", err)
	}
	stopWithin(t, s)
}

func TestTrapEscalateFailsTheParentOnce(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	required := spec(probe{onStart: func(*system.Context[message]) error { return errBoom }})
	required.OnBudget, required.Restart = system.Escalate, system.RestartPolicy{Budget: 1}
	tries := 0
	spawn(t, h, "node", spec(probe{log: log, onStart: func(ctx *system.Context[message]) error {
		if tries++; tries > 1 {
			return nil
		}
		for _, name := range []string{"router", "registry"} {
			if _, err := system.Spawn(ctx, name, required); err != nil {
				return err
			}
		}
		return nil
	}}))
	h.Advance(time.Minute)
	wantLog(t, log, "start 1", "stop 1", "start 2")
	r := h.Record("node")
	if r.Restarts != 1 || r.FaultKind != "transient" || !strings.Contains(r.LastFault, "child node/r") {
		t.Errorf("parent %+v, want one restart for a child", r)
	}
}

func TestTrapEscalateIsRepeatedUntilTheParentsBudgetIsSpent(t *testing.T) {
	h := systemtest.New(t, 0)
	required := spec(probe{onStart: func(*system.Context[message]) error { return errBoom }})
	required.OnBudget, required.Restart = system.Escalate, system.RestartPolicy{Budget: 1}
	parent := spec(probe{onStart: func(ctx *system.Context[message]) error {
		_, err := system.Spawn(ctx, "router", required)
		return err
	}})
	parent.Restart.Budget = 2
	spawn(t, h, "node", parent)
	h.Advance(10 * time.Second)
	if r := h.Record("node"); r.State != system.Quarantined || r.Restarts != 2 {
		t.Errorf("parent of a child that never starts: %+v, want it quarantined after two restarts", r)
	}
}

func TestTrapBadConfigOfARequiredChildIsOneOfTheParent(t *testing.T) {
	h := systemtest.New(t, 0)
	required := spec(probe{onStart: func(*system.Context[message]) error {
		return &system.Fault{Op: "read key", Kind: system.BadConfig, Err: errBoom}
	}})
	required.OnBudget = system.Escalate
	spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		_, err := system.Spawn(ctx, "router", required)
		return err
	}}))
	h.Advance(10 * time.Second)
	r := h.Record("node")
	if r.State != system.Stopped || r.FaultKind != "config" || r.LastFault != "child node/router: read key: boom" {
		t.Errorf("parent %+v, want it stopped by the child's config fault", r)
	}
}

func TestTrapChildThatFaultsWhileItsParentStopsIsNoFaultOfTheParent(t *testing.T) {
	h := systemtest.New(t, 0)
	required := spec(probe{})
	required.OnBudget = system.Escalate
	var child system.Ref[message]
	ref := spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) (err error) {
		child, err = system.Spawn(ctx, "router", required)
		return err
	}}))
	h.Run()
	child.Tell(do(func(*system.Context[message]) error { return &system.Fault{Kind: system.BadConfig, Err: errBoom} }))
	ref.Stop() // stands in the parent's queue before the child's failure
	h.Run()
	if slices.Contains(h.Trace(), "node faulted") {
		t.Errorf("trace %q: the parent was made to fail while it stopped", h.Trace())
	}
}

func TestTrapBackoffIsNotLinearAndDoesNotOverflow(t *testing.T) {
	h := systemtest.New(t, 0)
	var at []time.Duration
	begin := h.Clock.Now()
	s := spec(probe{onStart: func(ctx *system.Context[message]) error {
		at = append(at, ctx.Now().Sub(begin))
		return errBoom
	}})
	s.Restart = system.RestartPolicy{Base: 3 * time.Second, Cap: 20 * time.Second, Budget: 6, Window: time.Hour}
	spawn(t, h, "node", s)
	h.Advance(10 * time.Minute)
	want := []time.Duration{0, 3, 6, 12, 20, 20} // after the failure of start n, in seconds
	for i, w := range want {
		w *= time.Second
		if got := at[i+1] - at[i]; got < w-w/5 || got > w+w/5 {
			t.Errorf("restart %d came after %v, want %v ±20 %%", i+1, got, w)
		}
	}
}

func TestTrapStartThatAlwaysFailsIsNoHotLoop(t *testing.T) {
	h := systemtest.New(t, 0)
	starts := 0
	spawn(t, h, "node", spec(probe{onStart: func(*system.Context[message]) error { starts++; panic("always") }}))
	h.Advance(10 * time.Second)
	if want := 1 + system.DefaultRestart.Budget; starts != want {
		t.Errorf("%d starts in 10 s, want %d", starts, want)
	}
}

func TestTrapConfigFaultStopsAndReports(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	spawn(t, h, "node", spec(probe{log: log, onStart: func(*system.Context[message]) error {
		return &system.Fault{Op: "read key", Kind: system.BadConfig, Err: errBoom}
	}}))
	h.Advance(time.Hour)
	wantLog(t, log, "start 1", "stop 1")
	r := h.Record("node")
	if r.State != system.Stopped || r.FaultKind != "config" || r.LastFault != "read key: boom" {
		t.Errorf("record %+v, want it stopped by its config fault", r)
	}
	if want := []string{"node faulted", "node stopped"}; !slices.Equal(h.Trace(), want) {
		t.Errorf("trace %q, want %q", h.Trace(), want)
	}
	if _, err := system.Spawn(h, "node", spec(probe{})); err != nil {
		t.Errorf("the path is not free again: %v", err)
	}
}
