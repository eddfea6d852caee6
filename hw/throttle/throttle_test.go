package throttle_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"re6st/hw/clock"
	"re6st/hw/throttle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLogLinesOfOneTextAreBoundedAndTheOthersCounted(t *testing.T) {
	c := clock.NewVirtual(time.Time{})
	var out bytes.Buffer
	log := slog.New(throttle.Log(slog.NewTextHandler(&out, nil), c))
	for i := range throttle.LogBurst + 7 {
		log.With("actor", "a").Warn("refused", "number", i)
	}
	log.Warn("refused", "actor", "b") // has an allowance of its own
	if n := strings.Count(out.String(), "\n"); n != throttle.LogBurst+1 {
		t.Errorf("%d lines, want %d", n, throttle.LogBurst+1)
	}
	out.Reset()
	c.Advance(throttle.HeldFor)
	if line := out.String(); strings.Count(line, "\n") != 1 || strings.Count(line, "actor=a") != 1 || !strings.Contains(line, `more="… and 7 more"`) {
		t.Errorf("said %q, want how many were held back", line)
	}
}

func TestSourcesOfLinesAreBounded(t *testing.T) {
	c := clock.NewVirtual(time.Time{})
	var out bytes.Buffer
	log := slog.New(throttle.Log(slog.NewTextHandler(&out, nil), c))
	for i := range 2*throttle.MaxSources + throttle.LogBurst {
		log.Warn(fmt.Sprint("text ", i))
	}
	if n := strings.Count(out.String(), "\n"); n > throttle.MaxSources+throttle.LogBurst {
		t.Errorf("%d lines of as many texts, want %d at most", n, throttle.MaxSources+throttle.LogBurst)
	}
}
