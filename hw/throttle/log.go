package throttle

import (
	"context"
	"log/slog"

	"re6st/hw/clock"
)

// LogRate is how many lines of one text of one actor are logged per second; LogBurst
// at once.
const (
	LogRate  = 10
	LogBurst = 100
)

// actorKey is the attribute that says whose line it is.
const actorKey = "actor"

// Log bounds the lines of one text that go to h to LogRate a second. What was
// held back is told in a line of the same text, with the attribute "more".
func Log(h slog.Handler, c clock.Clock) slog.Handler {
	return &limitedLog{Handler: h, throttle: New(c, LogRate, LogBurst)}
}

type limitedLog struct {
	slog.Handler
	throttle *Throttle
	actor    string // of the attributes
}

// Handle passes a line on, or counts it.
func (l *limitedLog) Handle(ctx context.Context, r slog.Record) error {
	actor := l.actor
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == actorKey {
			actor = a.Value.String()
		}
		return actor == ""
	})
	held := func(n uint64) {
		again := slog.NewRecord(l.throttle.clock.Now(), r.Level, r.Message, r.PC)
		if l.actor == "" && actor != "" {
			again.AddAttrs(slog.String(actorKey, actor))
		}
		again.AddAttrs(slog.String("more", AndMore(n)))
		_ = l.Handler.Handle(context.Background(), again) // as any line that cannot be written
	}
	if !l.throttle.Take(Source{actor, r.Message}, held) {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

// WithAttrs remembers whose lines they are.
func (l *limitedLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	of := l.actor
	for _, a := range attrs {
		if a.Key == actorKey {
			of = a.Value.String()
		}
	}
	return &limitedLog{l.Handler.WithAttrs(attrs), l.throttle, of}
}

// WithGroup shares the allowances.
func (l *limitedLog) WithGroup(name string) slog.Handler {
	return &limitedLog{l.Handler.WithGroup(name), l.throttle, l.actor}
}
