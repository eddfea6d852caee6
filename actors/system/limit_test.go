package system_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"re6st/actors/system"
	"re6st/actors/system/systemtest"
	"re6st/hw/throttle"
)

func TestEventsOfOneKindAreBoundedAndTheOthersCounted(t *testing.T) {
	h := systemtest.New(t, 0)
	spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		for i := range 1234 + system.EventBurst {
			ctx.Event("refused", fmt.Sprint(i))
		}
		ctx.Event("up", "another kind")
		return nil
	}}))
	h.Run()
	count := func(kind system.EventKind) (n int, last string) {
		for _, e := range h.Events() {
			if e.Kind == kind {
				n, last = n+1, e.Text
			}
		}
		return n, last
	}
	if n, last := count("refused"); n != system.EventBurst || last != fmt.Sprint(system.EventBurst-1) {
		t.Errorf("%d events, the last %q, want the first %d", n, last, system.EventBurst)
	}
	if n, _ := count("up"); n != 1 {
		t.Errorf("%d events of another kind, want 1", n)
	}
	h.Clock.Advance(throttle.HeldFor)
	if n, last := count("refused"); n != system.EventBurst+1 || last != "… and 1,234 more" {
		t.Errorf("%d events, the last %q, want how many were held back", n, last)
	}
	h.Clock.Advance(time.Hour)
	if n, _ := count("refused"); n != system.EventBurst+1 {
		t.Errorf("%d events: told again of nothing", n)
	}
}

func TestEventsComeAtTheirRate(t *testing.T) {
	h := systemtest.New(t, 0)
	var node *system.Context[message]
	spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) error { node = ctx; return nil }}))
	h.Run()
	ticks := 0
	sub := h.Subscribe(1000)
	defer sub.Close()
	const seconds = 20
	for range seconds * 100 { // an event each 10 ms
		node.Event("tick", "")
		h.Clock.Advance(10 * time.Millisecond)
	}
	for len(sub.C) > 0 {
		if e := <-sub.C; e.Kind == "tick" && !strings.HasPrefix(e.Text, "…") {
			ticks++
		}
	}
	if want := system.EventBurst + seconds*system.EventRate; ticks < want-2 || ticks > want+2 {
		t.Errorf("%d events in %d s, want %d", ticks, seconds, want)
	}
}
