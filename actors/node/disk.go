package node

import (
	"context"
	"errors"
	"time"

	"re6st/actors/system"
	"re6st/hw/nodedir"
)

// diskCheck is how often the disk is looked at, and what it did not take written again.
const diskCheck = 5 * time.Second

// diskChanged says that the disk has another problem than before, or none any more.
type diskChanged struct{ problem error }

func (diskChanged) rootMessage() {}

// startDisk starts what looks after the node's folder.
func (r *root) startDisk() {
	dir, state := r.dir, r.state
	r.ctx.Pump("disk", func(stop context.Context, p *system.Pump[message]) error {
		retry := func() error {
			return p.Work("a write", func() error { return errors.Join(dir.Retry(), state.Retry()) })
		}
		return watchDisk(stop, dir, retry, diskCheck, func(problem error) { p.Offer(diskChanged{problem}) })
	}, system.WithTurn())
}

// watchDisk tells of each change until stop ends. A node runs on whatever its disk does.
func watchDisk(stop context.Context, dir nodedir.Dir, retry func() error, every time.Duration, tell func(problem error)) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	told := ""
	for {
		_ = retry() // why it failed is what Problem tells
		problem, text := dir.Problem(), ""
		if problem != nil {
			text = problem.Error()
		}
		if text != told {
			told = text
			tell(problem)
		}
		select {
		case <-stop.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// diskChanged takes note of how the disk is.
func (r *root) diskChanged(problem error) {
	if problem == nil {
		r.disk.Store(nil)
		r.ctx.Event("disk", "files are written again")
		return
	}
	text := "files are not written: " + problem.Error()
	r.disk.Store(&text)
	r.ctx.Event("disk", text)
}
