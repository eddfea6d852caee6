package system

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"re6st/hw/clock"
)

// How much is told of what happens again and again. What the system itself raises
// (EventStarted and so on) is bounded by restart budgets instead.
const (
	// EventRate is how many events of one kind one actor raises per second;
	// EventBurst at once.
	EventRate  = 5
	EventBurst = 50
	// LogRate is how many lines of one text of one actor are logged per second;
	// LogBurst at once. It is above EventRate, as each event is a line too.
	LogRate  = 10
	LogBurst = 100
	// HeldFor is after what time it is told how many were held back.
	HeldFor = 10 * time.Second
	// MaxSources is how many pairs of actor and kind have an allowance of their own;
	// all others share one.
	MaxSources = 1024
)

// throttle lets some of each kind pass, and counts the others.
type throttle struct {
	clock       clock.Clock
	rate, burst float64

	mu      sync.Mutex
	sources map[source]*allowance
}

// source is what shares one allowance.
type source struct{ actor, kind string }

type allowance struct {
	tokens float64
	at     time.Time
	held   uint64 // since the last summary, which is on its way where it is not 0
}

func newThrottle(c clock.Clock, rate, burst float64) *throttle {
	return &throttle{clock: c, rate: rate, burst: burst, sources: map[source]*allowance{}}
}

// take tells whether one more of s may pass. If not it is counted, and summary is
// told of it and of its like after HeldFor.
func (t *throttle) take(s source, summary func(held uint64)) bool {
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
func (t *throttle) settle(a *allowance) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	held := a.held
	a.held = 0
	return held
}

// allowance finds or makes that of s.
func (t *throttle) allowance(now time.Time, s source) *allowance {
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
			s = source{}
		}
		if a := t.sources[s]; a != nil {
			return a
		}
	}
	a := &allowance{tokens: t.burst, at: now}
	t.sources[s] = a
	return a
}

func (t *throttle) fill(now time.Time, a *allowance) {
	if d := now.Sub(a.at); d > 0 {
		a.tokens = min(t.burst, a.tokens+d.Seconds()*t.rate)
	}
	a.at = now
}

// andMore is "… and 1,234 more".
func andMore(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return fmt.Sprintf("… and %s more", digits)
}

// LimitLog bounds the lines of one text that go to h to LogRate a second. What was
// held back is told in a line of the same text, with the attribute "more".
func LimitLog(h slog.Handler, c clock.Clock) slog.Handler {
	return &limitedLog{Handler: h, throttle: newThrottle(c, LogRate, LogBurst)}
}

type limitedLog struct {
	slog.Handler
	throttle *throttle
	actor    string // of the attributes
}

// Handle passes a line on, or counts it.
func (l *limitedLog) Handle(ctx context.Context, r slog.Record) error {
	actor := l.actor
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == actorAttr {
			actor = a.Value.String()
		}
		return actor == ""
	})
	held := func(n uint64) {
		again := slog.NewRecord(l.throttle.clock.Now(), r.Level, r.Message, r.PC)
		if l.actor == "" && actor != "" {
			again.AddAttrs(slog.String(actorAttr, actor))
		}
		again.AddAttrs(slog.String("more", andMore(n)))
		_ = l.Handler.Handle(context.Background(), again) // as any line that cannot be written
	}
	if !l.throttle.take(source{actor, r.Message}, held) {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

// WithAttrs remembers whose lines they are.
func (l *limitedLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	of := l.actor
	for _, a := range attrs {
		if a.Key == actorAttr {
			of = a.Value.String()
		}
	}
	return &limitedLog{l.Handler.WithAttrs(attrs), l.throttle, of}
}

// WithGroup shares the allowances.
func (l *limitedLog) WithGroup(name string) slog.Handler {
	return &limitedLog{l.Handler.WithGroup(name), l.throttle, l.actor}
}
