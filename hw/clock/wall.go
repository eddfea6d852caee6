package clock

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// MaxStep is by how much a clock that nobody keeps right may jump ahead and still be
// believed: a person who sets it, not a battery that died.
const MaxStep = 24 * time.Hour

// WallState is what is known of the wall clock.
type WallState string

// The states of a wall clock.
const (
	Synchronised   WallState = "synchronised"   // the kernel says that somebody keeps it right
	Unsynchronised WallState = "unsynchronised" // nobody does, and it is plausible
	Floor          WallState = "floor"          // it is behind what must be, or jumped: time is counted from there
)

// Wall is the time by which certificates are judged, on a machine whose clock may be
// wrong. A clock that is kept right is believed. Another one is not believed where it
// is behind what is known to have passed (the floor: the build of this program, the
// time saved by an earlier run, the newest signed parameters), nor where it jumps
// back, or ahead by more than MaxStep, while this runs: then the monotonic clock
// counts on from what was believed before. Safe for concurrent use.
type Wall struct {
	system func() time.Time     // without a monotonic reading
	mono   func() time.Duration // since some start
	synced func() bool

	mu   sync.Mutex
	last time.Time     // what was believed
	at   time.Duration // when, by mono
}

// NewWall takes the clock of the machine, and what time it must be at least. At the
// start the clock is believed where it is ahead of that.
func NewWall(floors ...time.Time) *Wall {
	start := Real{}.Now()
	w := &Wall{
		system: func() time.Time { return Real{}.Now().Round(0) },
		mono:   func() time.Duration { return Real{}.Now().Sub(start) },
		synced: IsSynchronised,
	}
	w.begin(floors)
	return w
}

func (w *Wall) begin(floors []time.Time) {
	w.last, w.at = w.system(), w.mono()
	for _, t := range floors {
		w.Raise(t)
	}
}

// IsSynchronised asks the kernel whether somebody keeps its clock right (adjtimex(2)).
// A clock that was set by hand is not, until then.
func IsSynchronised() bool {
	if jumped.Load() != 0 {
		return false
	}
	var t unix.Timex
	_, err := unix.Adjtimex(&t)
	return err == nil && t.Status&unix.STA_UNSYNC == 0
}

// Raise says that it is t at least.
func (w *Wall) Raise(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.mono()
	if t.After(w.last.Add(now - w.at)) {
		w.last, w.at = t.Round(0), now
	}
}

// Now is the time, and what is known of it.
func (w *Wall) Now() (time.Time, WallState) {
	synced := w.synced()
	w.mu.Lock()
	defer w.mu.Unlock()
	system, now := w.system(), w.mono()
	counted := w.last.Add(now - w.at)
	state := Unsynchronised
	switch ahead := system.Sub(counted); {
	case synced:
		state = Synchronised
	case ahead < -slack || ahead > MaxStep:
		w.last, w.at = counted, now
		return counted, Floor
	}
	w.last, w.at = system, now
	return system, state
}

// slack is how far a clock may be behind what was counted: it is slewed, not set back.
const slack = time.Second
