package system_test

import (
	"slices"
	"testing"

	"re6st/actors/system"
	"re6st/actors/system/systemtest"
)

func TestEventsAreCountedByTheKindOfTheirActor(t *testing.T) {
	h := systemtest.New(t, 0)
	hub := spec(probe{onStart: func(ctx *system.Context[message]) error {
		ctx.Event("tick", "")
		ctx.Event("tick", "")
		return nil
	}})
	hub.Kind = "hub"
	spawn(t, h, "hub", hub)
	a, b := spawn(t, h, "a", spec(probe{})), spawn(t, h, "b", spec(probe{}))
	h.Run()
	a.Tell(do(boom))
	h.Run()
	b.Stop()
	h.Run()
	want := []system.Tally{
		{"hub", system.EventStarted, 1},
		{"hub", "tick", 2},
		{"probe", system.EventFaulted, 1},
		{"probe", system.EventRestarted, 1},
		{"probe", system.EventStarted, 2},
		{"probe", system.EventStopped, 1},
	}
	if got := h.Tallies(); !slices.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}
