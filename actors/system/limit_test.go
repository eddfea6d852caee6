package system_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"re6st/actors/system"
	"re6st/actors/system/systemtest"
	"re6st/hw/clock"
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
	h.Clock.Advance(system.HeldFor)
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

func TestLogLinesOfOneTextAreBoundedAndTheOthersCounted(t *testing.T) {
	c := clock.NewVirtual(time.Time{})
	var out bytes.Buffer
	log := slog.New(system.LimitLog(slog.NewTextHandler(&out, nil), c))
	for i := range system.LogBurst + 7 {
		log.With("actor", "a").Warn("refused", "number", i)
	}
	log.Warn("refused", "actor", "b") // has an allowance of its own
	if n := strings.Count(out.String(), "\n"); n != system.LogBurst+1 {
		t.Errorf("%d lines, want %d", n, system.LogBurst+1)
	}
	out.Reset()
	c.Advance(system.HeldFor)
	if line := out.String(); strings.Count(line, "\n") != 1 || strings.Count(line, "actor=a") != 1 || !strings.Contains(line, `more="… and 7 more"`) {
		t.Errorf("said %q, want how many were held back", line)
	}
}

func TestSourcesOfEventsAreBounded(t *testing.T) {
	c := clock.NewVirtual(time.Time{})
	var out bytes.Buffer
	log := slog.New(system.LimitLog(slog.NewTextHandler(&out, nil), c))
	for i := range 2*system.MaxSources + system.LogBurst {
		log.Warn(fmt.Sprint("text ", i))
	}
	if n := strings.Count(out.String(), "\n"); n > system.MaxSources+system.LogBurst {
		t.Errorf("%d lines of as many texts, want %d at most", n, system.MaxSources+system.LogBurst)
	}
}
