package system_test

import (
	"slices"
	"testing"
	"time"

	"re6st/actors/system"
	"re6st/actors/system/systemtest"
)

func TestBlockedNamesWhoIsAtOneMessageForLong(t *testing.T) {
	h := systemtest.New(t, 0)
	vital := spec(probe{})
	vital.OnBudget = system.Escalate
	spawn(t, h, "peer", spec(probe{}))
	var at, late, needed []string
	spawn(t, h, "vital", vital).Tell(do(func(*system.Context[message]) error {
		at = h.Blocked(time.Second, false)
		h.Clock.Advance(2 * time.Second)
		late, needed = h.Blocked(time.Second, false), h.Blocked(time.Second, true)
		return nil
	}))
	h.Run()
	if at != nil || !slices.Equal(late, []string{"vital"}) || !slices.Equal(needed, late) {
		t.Errorf("blocked at once %q, after 2 s %q, of these needed %q", at, late, needed)
	}
	if got := h.Blocked(0, false); got != nil {
		t.Errorf("with nothing to do %q are blocked", got)
	}
}

func TestWhoTheSystemCanLiveWithoutIsNotVital(t *testing.T) {
	h := systemtest.New(t, 0)
	var all, needed []string
	spawn(t, h, "peer", spec(probe{})).Tell(do(func(*system.Context[message]) error {
		h.Clock.Advance(2 * time.Second)
		all, needed = h.Blocked(time.Second, false), h.Blocked(time.Second, true)
		return nil
	}))
	h.Run()
	if !slices.Equal(all, []string{"peer"}) || needed != nil {
		t.Errorf("blocked %q, of these needed %q", all, needed)
	}
}
