package main

import (
	"log/slog"

	"re6st/hw/process"
)

// What the service manager is told (sd_notify(3)).
const (
	readyState    = "READY=1"
	stoppingState = "STOPPING=1"
	aliveState    = "WATCHDOG=1"
)

// notify tells the service manager a state. That it hears nothing is no reason
// to stop.
func notify(log *slog.Logger, state string) {
	if err := process.Notify(state); err != nil {
		log.Warn("service manager not told", "error", err)
	}
}
