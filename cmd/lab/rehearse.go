package lab

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// rehearsal is a scenario being run.
type rehearsal struct {
	lab     *Lab
	prober  *prober
	start   time.Duration // of the scenario, in the prober's time
	trains  map[Pair]*train
	pings   map[Pair]*train
	taps    map[string]*tap
	tapping sync.WaitGroup
	report  ScenarioReport

	actionBegan, actionDone time.Duration // of the last action that is no ping
	windows                 []*window
}

// window is the time after an action in which an "expect whole" looks for outages:
// up to the next action.
type window struct {
	step     int // index in the report
	pairs    []Pair
	from, to time.Duration // to is 0 as long as it is open
	atLeast  time.Duration // it stays open until then if nothing happens
}

// Run runs a scenario: its lines in their order, each at its time or, without one or
// when that is past, right after the line before. An action that cannot be done ends
// it; an expectation that fails does not. An error says that ctx ended.
func (l *Lab) Run(ctx context.Context, s *Scenario) (ScenarioReport, error) {
	ctx, cancel := context.WithCancel(ctx)
	now := l.prober.now()
	r := &rehearsal{
		lab: l, prober: l.prober, start: now, actionBegan: now, actionDone: now,
		trains: map[Pair]*train{}, pings: map[Pair]*train{}, taps: map[string]*tap{}, report: ScenarioReport{OK: true},
	}
	defer func() {
		cancel()
		r.tapping.Wait()
	}()
	if s.watchesWhole() {
		r.watchAll(ctx)
	}
	for _, step := range s.Steps {
		if step.Timed {
			if err := r.until(ctx, r.start+step.At); err != nil {
				return r.report, err
			}
		}
		if ok := r.step(ctx, step); !ok {
			break
		}
		if ctx.Err() != nil {
			return r.report, context.Cause(ctx)
		}
	}
	return r.report, r.finish(ctx, s)
}

// watchAll sends echoes between all pairs until ctx ends.
func (r *rehearsal) watchAll(ctx context.Context) {
	var trains []*train
	for _, pair := range allPairs(r.lab.names) {
		t := r.prober.newTrain(pair)
		r.trains[pair] = t
		trains = append(trains, t)
	}
	r.prober.pace(ctx, wholePace(len(trains)), trains, nil)
}

// until waits for a moment of the prober's time.
func (r *rehearsal) until(ctx context.Context, moment time.Duration) error {
	timer := time.NewTimer(moment - r.prober.now())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// step does one step and reports it; false ends the scenario.
func (r *rehearsal) step(ctx context.Context, s Step) bool {
	report := StepReport{Line: s.Line, Text: s.String(), At: seconds(r.prober.now() - r.start), OK: true}
	var err error
	switch {
	case s.Action == nil && s.Expect.Whole > 0:
		r.expectWhole(ctx, s.Expect.Whole, &report)
	case s.Action == nil && s.Expect.For > 0:
		err = r.expectWholeFor(ctx, s.Expect.For, &report)
	case s.Action == nil && s.Expect.State != nil:
		err = r.expectState(ctx, s.Expect.State, &report)
	case s.Action == nil && s.Expect.News != nil:
		err = r.expectNews(ctx, s.Expect.News, &report)
	case s.Action == nil && s.Expect.Renew != nil:
		err = r.expectRenew(ctx, s.Expect.Renew, &report)
	case s.Action == nil && s.Expect.Check != nil:
		err = s.Expect.Check.meet(ctx, r, &report)
	case s.Action == nil:
		err = r.expectPing(ctx, s.Expect, &report)
	case s.Action.Verb == verbPing:
		pair := Pair{s.Action.A, s.Action.B}
		r.pings[pair] = r.prober.newTrain(pair)
		if s.Action.For > 0 {
			limited, cancel := context.WithTimeout(ctx, s.Action.For)
			context.AfterFunc(limited, cancel)
			ctx = limited
		}
		r.prober.steady(ctx, s.Action.Every, r.pings[pair])
	case s.Action.Verb == verbTap:
		err = r.tap(ctx, s.Action.A)
	default:
		err = r.act(ctx, *s.Action, &report)
	}
	if err != nil {
		report.OK, report.Error = false, err.Error()
	}
	r.report.OK = r.report.OK && report.OK
	r.report.Steps = append(r.report.Steps, report)
	return err == nil
}

// tap begins to capture at a node, until the scenario ends; anew, if it was done before.
func (r *rehearsal) tap(ctx context.Context, name string) error {
	t, err := r.lab.openTap(ctx, r.lab.members[name])
	if err != nil {
		return err
	}
	r.taps[name] = t
	r.tapping.Go(func() { t.run(ctx) })
	return nil
}

func (r *rehearsal) act(ctx context.Context, a Action, report *StepReport) error {
	real, err := r.lab.Resolve(ctx, a)
	if err != nil {
		return err
	}
	if real != a {
		report.Text += fmt.Sprintf(" (%s)", real)
	}
	began := r.prober.now()
	for _, w := range r.windows {
		if w.to == 0 {
			w.to = began
		}
	}
	err = r.lab.Do(ctx, real)
	r.actionBegan, r.actionDone = began, r.prober.now()
	return err
}

// expectWhole waits until every pair that can reach each other has answered an echo
// sent after the last action.
func (r *rehearsal) expectWhole(ctx context.Context, within time.Duration, report *StepReport) {
	pairs := r.lab.reachable()
	var trains []*train
	for _, p := range pairs {
		trains = append(trains, r.trains[p])
	}
	deadline := r.actionBegan + within
	limited, cancel := context.WithTimeout(ctx, deadline-r.prober.now())
	defer cancel()
	last, missing := r.prober.await(limited, trains, r.actionDone)
	for _, p := range missing {
		report.Missing = append(report.Missing, p.String())
	}
	if len(missing) == 0 {
		took := seconds(max(0, last-r.actionBegan))
		report.WholeS = &took
	}
	report.OK = len(missing) == 0 && last <= deadline
	r.inquire(ctx, missing, report)
	r.windows = append(r.windows, &window{step: len(r.report.Steps), pairs: pairs, from: r.actionBegan, atLeast: deadline})
}

// inquire asks the ends of pairs without an answer for the way, at the very time.
func (r *rehearsal) inquire(ctx context.Context, missing []Pair, report *StepReport) {
	for _, p := range missing[:min(maxInquests, len(missing))] {
		report.Why = append(report.Why, r.lab.trace(ctx, p))
	}
}

// expectWholeFor waits, and sees that no pair that can reach each other lost an
// echo that was sent since the last action.
func (r *rehearsal) expectWholeFor(ctx context.Context, d time.Duration, report *StepReport) error {
	w := &window{step: len(r.report.Steps), pairs: r.lab.reachable(), from: r.actionDone, to: max(r.actionDone+d, r.prober.now())}
	r.windows = append(r.windows, w)
	if err := r.until(ctx, w.to+echoGrace); err != nil {
		return err
	}
	report.OK = len(r.outages(w)) == 0
	return nil
}

// expectPing looks at what a ping has lost up to now; replies on their way get their time.
func (r *rehearsal) expectPing(ctx context.Context, e *Expect, report *StepReport) error {
	now := r.prober.now()
	if err := r.until(ctx, now+echoGrace); err != nil {
		return err
	}
	l := r.prober.losses(r.pings[e.Pair], 0, now)
	outage := seconds(l.Outage)
	report.Lost, report.Outage = &l.Lost, &outage
	report.OK = e.Lost == 0 || l.Lost < e.Lost
	if e.Outage > 0 {
		report.OK = report.OK && l.Outage < e.Outage
	}
	return nil
}

// finish lets the open windows come to their end and counts what was lost.
func (r *rehearsal) finish(ctx context.Context, s *Scenario) error {
	end := r.prober.now()
	for _, w := range r.windows {
		if w.to == 0 {
			end = max(end, w.atLeast)
		}
	}
	if err := r.until(ctx, end+echoGrace); err != nil {
		return err
	}
	for _, w := range r.windows {
		if w.to == 0 {
			w.to = end
		}
		r.report.Steps[w.step].Outages = r.outages(w)
	}
	for _, step := range s.Steps {
		a := step.Action
		if a == nil || a.Verb != verbPing || r.pings[Pair{a.A, a.B}] == nil {
			continue
		}
		r.report.Pings = append(r.report.Pings, r.prober.reportOf(r.pings[Pair{a.A, a.B}], a.Every, end))
	}
	return nil
}

// outages lists the pairs that were without answers in a window, the longest first.
// An echo that the next action catches on its way is none: it makes less than the
// time between two.
func (r *rehearsal) outages(w *window) []PairOutage {
	var found []PairOutage
	for _, p := range w.pairs {
		if l := r.prober.losses(r.trains[p], w.from, w.to); l.Outage > wholePace(len(r.trains))/2 {
			found = append(found, PairOutage{p.String(), seconds(l.Outage)})
		}
	}
	slices.SortStableFunc(found, func(a, b PairOutage) int { return cmp.Compare(b.Outage, a.Outage) })
	return found
}
