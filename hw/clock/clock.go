package clock

import (
	"context"
	"time"
)

// Clock tells the time and calls back later. Implementations are safe for concurrent use.
type Clock interface {
	// Now is the current time. Real's carries a monotonic reading, Virtual's does not.
	Now() time.Time
	// AfterFunc calls f once, d from now, unless the returned Timer is stopped first.
	// A d of zero or less is due at once; f never runs before AfterFunc was entered.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is one pending call of an AfterFunc.
type Timer interface {
	// Stop cancels the call. It reports false where the call was already made or cancelled.
	Stop() bool
}

// Real is the machine's clock: time.Now and the runtime's timers.
type Real struct{}

// Now is time.Now, with its monotonic reading, and off by Jump.
func (Real) Now() time.Time {
	t := time.Now()
	if seconds := jumped.Load(); seconds != 0 {
		t = shifted(t, seconds)
	}
	return t
}

// AfterFunc is time.AfterFunc: f runs on its own goroutine.
func (Real) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }

// Sleep waits for d on c. It returns ctx's error where ctx ends first, else nil.
func Sleep(ctx context.Context, c Clock, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan struct{})
	t := c.AfterFunc(d, func() { close(done) })
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
