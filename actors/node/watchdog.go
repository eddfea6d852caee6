package node

import (
	"strings"
	"time"

	"re6st/actors/system"
)

// feedings is how many times an interval of the service manager's watchdog is fed.
const feedings = 3

// Watchdog is what ends the process where nobody feeds it (systemd's WatchdogSec).
type Watchdog struct {
	Interval time.Duration // 0: there is none
	Feed     func()        // called from the root actor; it does not block for long
}

// pulse is the root's heartbeat.
type pulse struct{}

func (pulse) rootMessage() {}

// startPulse begins to feed the watchdog, which so sees the root's own mailbox work.
func (r *root) startPulse() {
	if r.options.Watchdog.Interval > 0 {
		r.beat = r.ctx.NewTimer(pulse{})
		r.fed()
	}
}

// pulse feeds the watchdog unless an actor that the node cannot do without is blocked.
func (r *root) pulse() {
	every := r.options.Watchdog.Interval / feedings
	if blocked := r.sys.Blocked(every, true); len(blocked) > 0 {
		r.ctx.Event(system.EventStuck, strings.Join(blocked, ", ")+" has not finished a message for "+every.String()+": the watchdog is not fed")
		r.beat.Rearm(r.ctx.Now().Add(every), true)
		return
	}
	r.fed()
}

func (r *root) fed() {
	r.options.Watchdog.Feed()
	r.beat.Rearm(r.ctx.Now().Add(r.options.Watchdog.Interval/feedings), true)
}
