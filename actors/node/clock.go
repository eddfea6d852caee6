package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"strings"
	"time"

	"re6st/actors/system"
	"re6st/hw/clock"
	"re6st/hw/nodedir"
	"re6st/protocols/cert"
)

// clockFile holds the time of the last run, for a machine without a clock.
const clockFile = "clock.state"

const (
	clockCheck = 10 * time.Second // how often the clock is looked at
	clockSave  = time.Hour        // how often the time is stored: a flash wears
	// clockJump is what is told as a jump; less is the slewing of a time service.
	clockJump = time.Minute
)

// clockChanged says that the clock is in another state, or jumped by some time.
type clockChanged struct {
	state clock.WallState
	by    time.Duration // 0: no jump
}

func (clockChanged) rootMessage() {}

// loadWall is the time by which certificates are judged.
func loadWall(dir nodedir.Dir) (*clock.Wall, error) {
	floors := []time.Time{built()}
	raw, err := dir.Read(clockFile)
	if errors.Is(err, fs.ErrNotExist) {
		return clock.NewWall(floors...), nil
	}
	if err == nil {
		var saved time.Time
		if saved, err = time.Parse(time.RFC3339, strings.TrimSpace(string(raw))); err == nil {
			floors = append(floors, saved)
		}
	}
	if err != nil {
		err = fmt.Errorf("%s: %w; it will be written anew", clockFile, err)
	}
	return clock.NewWall(floors...), err
}

// built is the time of this program's source; zero where it is not known.
func built() (t time.Time) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return t
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			if at, err := time.Parse(time.RFC3339, s.Value); err == nil {
				t = at
			}
		}
	}
	return t
}

func saveWall(dir nodedir.Dir, w *clock.Wall) error {
	now, _ := w.Now()
	return dir.Keep(clockFile, []byte(now.UTC().Format(time.RFC3339)+"\n"), nodedir.Public)
}

// verifyBy judges certificates by w: where nobody keeps the clock right, one that
// starts in the future is accepted.
func verifyBy(a *cert.Authority, w *clock.Wall) func([]byte, time.Time) (*cert.Identity, error) {
	return func(der []byte, _ time.Time) (*cert.Identity, error) {
		now, state := w.Now()
		if state == clock.Synchronised {
			return a.Verify(der, now)
		}
		return a.VerifyFloor(der, now)
	}
}

// startClock starts what looks after the clock, and stores the time.
func (r *root) startClock() {
	dir, wall, log := r.dir, r.wall, r.ctx.Log()
	r.ctx.Pump("clock", func(stop context.Context, p *system.Pump[message]) error {
		watchClock(stop, wall, clockCheck, func(c clockChanged) { p.Offer(c) }, func() {
			if err := p.Work("a write", func() error { return saveWall(dir, wall) }); err != nil {
				log.Warn("time not stored", "error", err)
			}
		})
		return nil
	}, system.WithTurn())
}

// watchClock tells of each change of state and each jump, and saves the time now and
// then and at the end.
func watchClock(stop context.Context, wall *clock.Wall, every time.Duration, tell func(clockChanged), save func()) {
	defer save()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var told clock.WallState
	last := clock.Real{}.Now()
	for saved := last; ; {
		now := clock.Real{}.Now()
		_, state := wall.Now()
		by := now.Round(0).Sub(last.Round(0)) - now.Sub(last) // what the wall clock moved beside the monotonic one
		if by.Abs() < clockJump {
			by = 0
		}
		if last = now; state != told || by != 0 {
			told = state
			tell(clockChanged{state, by})
		}
		if now.Sub(saved) >= clockSave {
			saved = now
			save()
		}
		select {
		case <-stop.Done():
			return
		case <-ticker.C:
		}
	}
}

// clockTexts say what the states of the clock mean.
var clockTexts = map[clock.WallState]string{
	clock.Synchronised:   "the kernel says that it is kept right",
	clock.Unsynchronised: "nobody keeps it right: certificates that start in the future are accepted",
	clock.Floor:          "it is not believed: certificates are judged by the time that is known to have passed",
}

// clockChanged takes note of how the clock is.
func (r *root) clockChanged(c clockChanged) {
	text := fmt.Sprintf("%s: %s", c.state, clockTexts[c.state])
	if c.by != 0 {
		text = fmt.Sprintf("jumped by %v; %s", c.by.Round(time.Second), text)
	}
	r.ctx.Event("clock", text)
}

// now is the time for what is of the world.
func (n *parts) now() time.Time {
	now, _ := n.wall.Now()
	return now
}
