package clock_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"re6st/hw/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRealNowHasMonotonicReading(t *testing.T) {
	if s := (clock.Real{}).Now().String(); !strings.Contains(s, "m=") {
		t.Errorf("Now() = %s, without a monotonic reading", s)
	}
}

func TestRealAfterFuncFiresOnce(t *testing.T) {
	fired := make(chan struct{})
	timer := clock.Real{}.AfterFunc(time.Microsecond, func() { close(fired) })
	<-fired
	if timer.Stop() {
		t.Error("Stop reported a pending call after it was made")
	}
}

func TestVirtualStandsStill(t *testing.T) {
	v := clock.NewVirtual(time.Time{})
	v.AfterFunc(0, func() { t.Error("fired without Advance") })
	if !v.Now().Equal(clock.Epoch) {
		t.Errorf("Now() = %v, want %v", v.Now(), clock.Epoch)
	}
}

func TestVirtualFiresInOrderOfDeadlineThenRequest(t *testing.T) {
	v := clock.NewVirtual(time.Time{})
	var got []string
	note := func(name string) func() {
		return func() { got = append(got, name+"@"+v.Now().Sub(clock.Epoch).String()) }
	}
	v.AfterFunc(3*time.Second, note("c"))
	v.AfterFunc(time.Second, note("a"))
	v.AfterFunc(2*time.Second, note("b1"))
	v.AfterFunc(2*time.Second, note("b2"))
	v.AfterFunc(time.Hour, note("late"))
	v.Advance(3 * time.Second)
	if want := []string{"a@1s", "b1@2s", "b2@2s", "c@3s"}; !slices.Equal(got, want) {
		t.Errorf("fired %v, want %v", got, want)
	}
	if next, ok := v.Next(); !ok || next.Sub(clock.Epoch) != time.Hour {
		t.Errorf("Next() = %v, %v, want in an hour", next, ok)
	}
}

func TestVirtualAdvanceFiresWhatACallAsksFor(t *testing.T) {
	v := clock.NewVirtual(time.Time{})
	var ticks int
	var tick func()
	tick = func() { ticks++; v.AfterFunc(time.Second, tick) }
	v.AfterFunc(time.Second, tick)
	v.Advance(10 * time.Second)
	if ticks != 10 {
		t.Errorf("%d ticks in 10 s, want 10", ticks)
	}
	if got := v.Now().Sub(clock.Epoch); got != 10*time.Second {
		t.Errorf("time moved %v, want 10s", got)
	}
}

func TestVirtualStopCancelsOnlyItsCall(t *testing.T) {
	v := clock.NewVirtual(time.Time{})
	var fired []int
	timers := make([]clock.Timer, 5)
	for i := range timers {
		timers[i] = v.AfterFunc(time.Duration(5-i)*time.Second, func() { fired = append(fired, i) })
	}
	if !timers[2].Stop() || timers[2].Stop() {
		t.Error("Stop must report true once, then false")
	}
	v.Advance(time.Minute)
	if want := []int{4, 3, 1, 0}; !slices.Equal(fired, want) {
		t.Errorf("fired %v, want %v", fired, want)
	}
	if timers[0].Stop() {
		t.Error("Stop reported a pending call after it was made")
	}
	if _, ok := v.Next(); ok {
		t.Error("a call is still pending")
	}
}

func TestVirtualNeverGoesBack(t *testing.T) {
	v := clock.NewVirtual(time.Time{})
	v.Advance(time.Minute)
	v.AdvanceTo(clock.Epoch)
	v.Advance(-time.Hour)
	if got := v.Now().Sub(clock.Epoch); got != time.Minute {
		t.Errorf("time stands at %v, want 1m0s", got)
	}
}

func TestVirtualTakesRequestsWhileItAdvances(t *testing.T) {
	v := clock.NewVirtual(time.Time{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				v.AfterFunc(time.Second, func() {}).Stop()
				v.Now()
			}
		})
	}
	v.Advance(time.Minute)
	wg.Wait()
}

func TestSleepEndsAtItsDeadline(t *testing.T) {
	v := clock.NewVirtual(time.Time{})
	done := make(chan error)
	go func() { done <- clock.Sleep(t.Context(), v, time.Second) }()
	for {
		select {
		case err := <-done:
			if err != nil || v.Now().Before(clock.Epoch.Add(time.Second)) {
				t.Errorf("Sleep returned %v at %v", err, v.Now())
			}
			return
		default:
			v.Advance(100 * time.Millisecond)
		}
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	v := clock.NewVirtual(time.Time{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := clock.Sleep(ctx, v, time.Second); !errors.Is(err, context.Canceled) {
		t.Errorf("Sleep = %v, want context.Canceled", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- clock.Sleep(ctx, v, time.Second) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Sleep = %v, want context.Canceled", err)
	}
	if _, ok := v.Next(); ok {
		t.Error("the timer of an ended Sleep is still pending")
	}
}
