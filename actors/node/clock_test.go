package node

import (
	"context"
	"testing"
	"time"

	"re6st/hw/clock"
	"re6st/hw/nodedir"
)

func TestTheTimeIsFoundAgain(t *testing.T) {
	clock.Jump(time.Second) // what is saved does not count where the machine's clock is kept right
	defer clock.Jump(-time.Second)
	dir, err := nodedir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ahead := time.Now().Add(100 * 24 * time.Hour)
	w := clock.NewWall(ahead)
	if err := saveWall(dir, w); err != nil {
		t.Fatal(err)
	}
	again, err := loadWall(dir)
	if err != nil {
		t.Fatal(err)
	}
	now, state := again.Now()
	if state != clock.Floor || now.Before(ahead.Add(-time.Second)) {
		t.Errorf("it is %v, %s; want %v at least", now, state, ahead)
	}
	if err := dir.Write(clockFile, []byte("yesterday\n"), nodedir.Public); err != nil {
		t.Fatal(err)
	}
	if w, err := loadWall(dir); err == nil || w == nil {
		t.Errorf("a spoilt file: %v, want a clock and an error", err)
	}
}

func TestAJumpOfTheClockIsToldAndTheTimeSaved(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	told, saved, done := make(chan clockChanged, 9), make(chan struct{}, 9), make(chan struct{})
	go func() {
		defer close(done)
		watchClock(ctx, clock.NewWall(), time.Millisecond, func(c clockChanged) { told <- c }, func() { saved <- struct{}{} })
	}()
	if c := <-told; c.by != 0 {
		t.Errorf("told %+v at the start, want the state", c)
	}
	clock.Jump(time.Hour)
	defer clock.Jump(-time.Hour)
	c := <-told
	if c.by == 0 { // the jump came between its look at the time and that at the state
		c = <-told
	}
	if c.by.Round(time.Second) != time.Hour || c.state == clock.Synchronised {
		t.Errorf("told %+v, want a jump of an hour", c)
	}
	if len(saved) != 0 {
		t.Error("a jump of the wall clock made the time of the next saving come")
	}
	stop()
	<-done
	if len(saved) != 1 {
		t.Errorf("saved %d times, want once at the end", len(saved))
	}
}
