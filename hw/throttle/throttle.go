package throttle

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"re6st/hw/clock"
)

const (
	// HeldFor is after what time it is told how many were held back.
	HeldFor = 10 * time.Second
	// MaxSources is how many sources have an allowance of their own; all others share
	// one.
	MaxSources = 1024
)

// Throttle lets some of each source pass, and counts the others. Safe for concurrent
// use.
type Throttle struct {
	clock       clock.Clock
	rate, burst float64

	mu      sync.Mutex
	sources map[Source]*allowance
}

// Source is what shares one allowance: one kind of what one actor tells.
type Source struct{ Actor, Kind string }

type allowance struct {
	tokens float64
	at     time.Time
	held   uint64 // since the last summary, which is on its way where it is not 0
}

// New lets rate a second of each source pass, and burst at once.
func New(c clock.Clock, rate, burst float64) *Throttle {
	return &Throttle{clock: c, rate: rate, burst: burst, sources: map[Source]*allowance{}}
}

// Take tells whether one more of s may pass. If not it is counted, and summary is
// told of it and of its like after HeldFor, on a goroutine of the clock.
func (t *Throttle) Take(s Source, summary func(held uint64)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	a := t.allowance(now, s)
	t.fill(now, a)
	if a.tokens >= 1 {
		a.tokens--
		return true
	}
	if a.held++; a.held == 1 {
		t.clock.AfterFunc(HeldFor, func() { summary(t.settle(a)) })
	}
	return false
}

// settle takes the count of what was held back.
func (t *Throttle) settle(a *allowance) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	held := a.held
	a.held = 0
	return held
}

// allowance finds or makes that of s.
func (t *Throttle) allowance(now time.Time, s Source) *allowance {
	if a := t.sources[s]; a != nil {
		return a
	}
	if len(t.sources) >= MaxSources {
		for k, a := range t.sources { // a full one says no more than none
			if t.fill(now, a); a.tokens >= t.burst && a.held == 0 {
				delete(t.sources, k)
			}
		}
		if len(t.sources) >= MaxSources {
			s = Source{}
		}
		if a := t.sources[s]; a != nil {
			return a
		}
	}
	a := &allowance{tokens: t.burst, at: now}
	t.sources[s] = a
	return a
}

func (t *Throttle) fill(now time.Time, a *allowance) {
	if d := now.Sub(a.at); d > 0 {
		a.tokens = min(t.burst, a.tokens+d.Seconds()*t.rate)
	}
	a.at = now
}

// AndMore is "… and 1,234 more".
func AndMore(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return fmt.Sprintf("… and %s more", digits)
}
