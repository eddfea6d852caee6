package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"re6st/actors/monitor"
)

// Words of an expectation of a state.
const (
	wordStatus = "status"
	wordJoin   = "join"

	joinWorks   = "works"
	joinRefused = "refused"
)

// stateEvery is how often a state is asked for.
const stateEvery = 100 * time.Millisecond

// parseStateExpect reads `status n1 degraded within 10s`, or `join refused within 10s`.
func parseStateExpect(words []string) (StateExpect, error) {
	e := StateExpect{Of: wordJoin}
	possible := []string{joinWorks, joinRefused}
	if words[0] == wordStatus {
		if e.Of = words[1]; !isName(e.Of) || e.Of == registryName {
			return e, fmt.Errorf("%q is no name of a node; write: expect status n1 degraded within 10s", e.Of)
		}
		possible = []string{string(monitor.Degraded), string(monitor.Running), string(monitor.Revoked)}
		words = words[1:]
	}
	words = words[1:]
	if len(words) != 3 || !slices.Contains(possible, words[0]) || words[1] != "within" {
		return e, fmt.Errorf("cannot expect %q; it is one of %v within a DURATION", strings.Join(words, " "), possible)
	}
	var err error
	e.Is = words[0]
	if e.Within, err = parseDuration(words[2]); err == nil && e.Within == 0 {
		err = fmt.Errorf("no time at all is too short")
	}
	return e, err
}

// String gives the expectation as it is written.
func (e StateExpect) String() string {
	if e.Of == wordJoin {
		return fmt.Sprintf("expect join %s within %v", e.Is, e.Within)
	}
	return fmt.Sprintf("expect status %s %s within %v", e.Of, e.Is, e.Within)
}

// joins counts the join lines that a scenario may need beside those of the nodes.
func (s *Scenario) joins() (n int) {
	for _, step := range s.Steps {
		if step.Expect != nil && step.Expect.State != nil && step.Expect.State.Of == wordJoin {
			n++
		}
	}
	return n
}

// actsOnDisks reports whether a scenario wants each folder on a disk of its own.
func (s *Scenario) actsOnDisks() bool {
	return slices.ContainsFunc(s.Steps, func(step Step) bool { return step.Action != nil && step.Action.Verb == verbDisk })
}

// expectState waits for a state.
func (r *rehearsal) expectState(ctx context.Context, e *StateExpect, report *StepReport) error {
	began := r.prober.now()
	ctx, cancel := context.WithTimeout(ctx, e.Within)
	defer cancel()
	ticker := time.NewTicker(stateEvery)
	defer ticker.Stop()
	for {
		is, saw, err := r.lab.stateOf(ctx, e.Of)
		if err == nil {
			report.Saw = saw
		}
		if err == nil && is == e.Is {
			report.Saw = fmt.Sprintf("after %.1f s: %s", (r.prober.now() - began).Seconds(), saw)
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			report.OK = false
			return nil // the scenario goes on
		}
	}
}

// stateOf asks a node how it is, or tries to join; saw is what there is to tell of it.
func (l *Lab) stateOf(ctx context.Context, of string) (is, saw string, err error) {
	if of == wordJoin {
		return l.tryJoin(ctx)
	}
	var s monitor.Status
	if err := monitor.NewClient(l.program.socket(l.members[of].dir)).Get(ctx, "status", &s); err != nil {
		return "", "", err
	}
	return string(s.State), strings.Join(append([]string{string(s.State)}, s.Problems...), "; "), nil
}

// tryJoin has one more node join, which then never starts.
func (l *Lab) tryJoin(ctx context.Context) (is, saw string, err error) {
	l.acting.Lock()
	defer l.acting.Unlock()
	if len(l.spare) == 0 {
		return "", "", fmt.Errorf("%w: no join line is left", ErrState)
	}
	m := l.members[registryName]
	dir := filepath.Join(l.Dir(), "joining")
	defer os.RemoveAll(dir)
	if err := l.runToEnd(ctx, m, l.program.join(l.spare[0], dir)); err != nil {
		if ctx.Err() != nil {
			return "", "", errors.Join(ctx.Err(), err)
		}
		lines := strings.Split(strings.TrimSpace(tail(m.log, 1)), "\n")
		return joinRefused, lines[len(lines)-1], nil
	}
	l.spare = l.spare[1:]
	return joinWorks, "joined", nil
}
