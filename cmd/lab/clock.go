package lab

import (
	"context"
	"fmt"

	"re6st/actors/monitor"
)

// setClock has the clock of one node, or of all, jump.
func (l *Lab) setClock(ctx context.Context, a Action) error {
	names := l.names
	if a.A != everyName {
		names = []string{a.A}
	}
	for _, name := range names {
		if name == registryName {
			return fmt.Errorf("%w: the registry has no control socket; a node's clock can jump", ErrState)
		}
		request := monitor.ClockRequest{Shift: a.Shift.Milliseconds()}
		if err := monitor.NewClient(l.program.socket(l.members[name].dir)).Post(ctx, "debug/clock", request, new(monitor.ClockAnswer)); err != nil {
			return fmt.Errorf("lab: clock of %s: %w", name, err)
		}
	}
	return nil
}
