package system_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"re6st/actors/system"
	"re6st/hw/clock"
)

// countingClock counts the timers that are set.
type countingClock struct {
	clock.Real
	set atomic.Int64
}

func (c *countingClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	c.set.Add(1)
	return c.Real.AfterFunc(d, f)
}

func TestOneTimerLooksAfterThePumpsOfAllActors(t *testing.T) {
	const actors, looks = 20, 100
	synctest.Test(t, func(t *testing.T) {
		c := &countingClock{}
		s := system.New(system.Config{Seed: 1, Clock: c})
		for i := range actors {
			spawn(t, s, fmt.Sprint("node", i), spec(probe{onStart: reading(make(chan string, 1), func(string) {})}))
		}
		time.Sleep(system.HangEvery)
		before := c.set.Load()
		time.Sleep(looks * system.HangEvery)
		if n := c.set.Load() - before; n > looks+1 {
			t.Errorf("%d timers for %d pumps in the time of %d looks", n, actors, looks)
		}
		stopWithin(t, s)
		before = c.set.Load()
		time.Sleep(looks * system.HangEvery)
		if n := c.set.Load() - before; n > 0 {
			t.Errorf("%d timers after the last pump has ended", n)
		}
	})
}

func TestPumpsThatComeAfterTheLastOneEndedAreLookedAfter(t *testing.T) {
	inTime(t, func(t *testing.T, s *system.System) {
		first := spawn(t, s, "first", spec(probe{onStart: reading(make(chan string), func(string) {})}))
		time.Sleep(time.Hour)
		first.Stop()
		time.Sleep(time.Hour)
		in := make(chan string, 16)
		spawn(t, s, "second", spec(probe{onStart: reading(in, func(string) {})}))
		in <- "hang"
		in <- "one"
		time.Sleep((system.HangChecks+1)*system.HangEvery + system.LeaveAfter)
		if r := recordOf(s, "second"); r.Restarts != 1 {
			t.Errorf("a pump that hangs: %+v", r)
		}
		time.Sleep(2 * time.Minute) // it wakes up
	})
}
