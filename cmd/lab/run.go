package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
)

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ sig syscall.Signal }

func (i *interrupted) Error() string { return "lab: " + i.sig.String() }

// signals ends the context with an *interrupted when the process is told to end. A
// reader of our output that went away is an error of the write, not our death: there
// is a lab to take down.
func signals(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	end, broken := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	signal.Notify(broken, syscall.SIGPIPE)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case sig := <-end:
			cancel(&interrupted{sig.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-done
		signal.Stop(end)
		signal.Stop(broken)
	}
}

// run is one `lab run` or `lab up`.
type run struct {
	options      Options
	given        Network // by flags; zero where the scenario may decide
	scenarioName string
	json         bool
	up           bool
	words        []string                          // CMD
	then         func(context.Context, *Lab) error // in place of CMD and a scenario; or nil

	scenario *Scenario
	report   Report
	out      io.Writer // for what is not JSON
	stdout   *os.File  // CMD's
}

func (r *run) do(cmd *cobra.Command) error {
	r.options.Say = cmd.ErrOrStderr()
	r.out, r.stdout = cmd.OutOrStdout(), os.Stdout
	if r.json {
		r.out, r.stdout = cmd.ErrOrStderr(), os.Stderr
	}
	if err := r.prepare(); err != nil {
		return &ExitError{exitUsage, err}
	}
	r.report = Report{Version: labVersion, Nodes: r.options.Nodes, Pairs: r.options.Nodes * (r.options.Nodes - 1)}
	ctx, stop := signals(cmd.Context())
	defer stop()
	status, err := r.inLab(ctx)
	if err != nil && status == 0 {
		status = exitFailed
	}
	r.report.Exit = status
	if r.json {
		if e := json.NewEncoder(cmd.OutOrStdout()).Encode(r.report); e != nil {
			err = errors.Join(err, fmt.Errorf("lab: report: %w", e))
		}
	}
	if status == 0 && err == nil {
		return nil
	}
	return &ExitError{max(status, exitFailed), err}
}

// prepare checks what can be checked before anything is made.
func (r *run) prepare() (err error) {
	for _, file := range []*string{&r.options.Config, &r.options.Logs} {
		if *file == "" {
			continue
		}
		if *file, err = filepath.Abs(*file); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
	}
	if r.options.Config != "" {
		if _, err := os.Stat(r.options.Config); err != nil {
			return fmt.Errorf("lab: --config: %w", err)
		}
	}
	if r.scenarioName != "" {
		if err := r.readScenario(); err != nil {
			return err
		}
	}
	if _, err = r.options.Topology.edges(r.options.Nodes, r.options.Seed); err != nil {
		return err
	}
	return cmp.Or(r.options.Access.check(r.options.Topology, r.options.Nodes), checkBabeld(r.options.Babeld, r.options.Nodes))
}

// readScenario takes from the scenario also what network it is for, where no flag says it.
func (r *run) readScenario() error {
	f, err := openScenario(r.scenarioName)
	if err != nil {
		return err
	}
	defer f.Close()
	if r.scenario, err = ParseScenario(r.scenarioName, f, r.given.Nodes); err != nil {
		return err
	}
	r.options.Nodes = cmp.Or(r.given.Nodes, r.scenario.Network.Nodes, r.options.Nodes)
	r.options.Topology = cmp.Or(r.given.Topology, r.scenario.Network.Topology, r.options.Topology)
	given, wanted := &r.options.Access, r.scenario.Access
	if len(given.NATs) == 0 {
		given.NATs = wanted.NATs
	}
	if len(given.Families) == 0 {
		given.Families = wanted.Families
	}
	if len(given.Uplinks) == 0 {
		given.Uplinks = wanted.Uplinks
	}
	r.options.Settings, r.options.Babeld = r.scenario.Settings, r.scenario.Babeld
	r.options.Disks = r.options.Disks || r.scenario.actsOnDisks()
	r.options.Spare = r.scenario.joins()
	return nil
}

// inLab makes the lab, uses it and takes it down whatever happened. The status is
// what to exit with; with an error and a status of 0 it is 1.
func (r *run) inLab(ctx context.Context) (status int, err error) {
	lab, err := Open(ctx, r.options)
	if err != nil {
		return interruptedStatus(ctx), err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(lab.ctx, func() { cancel(errDown) })()
	lab.say("lab %s: %d nodes, %s, %s", lab.ID(), r.options.Nodes, r.options.Topology, lab.Dir())
	took, err := lab.Start(ctx)
	if err != nil {
		return interruptedStatus(ctx), err
	}
	s := seconds(took)
	r.report.ConvergedS = &s
	fmt.Fprintf(r.out, "converged %d nodes, %d pairs, %.2f s\n", r.report.Nodes, r.report.Pairs, s)
	if r.up {
		lab.say("lab %s is up; `re6st lab list` shows it, ^C ends it", lab.ID())
		<-ctx.Done()
		return 0, nil
	}
	if r.then != nil {
		err := r.then(ctx, lab)
		return interruptedStatus(ctx), err
	}
	if links, err := lab.MaxLinks(ctx); err == nil {
		r.report.MaxLinks = &links
	} else if r.json {
		lab.say("max_links is null: %v", err)
	}
	return r.use(ctx, lab)
}

// use runs CMD and, beside it, the scenario.
func (r *run) use(ctx context.Context, lab *Lab) (status int, err error) {
	var rehearsed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		if r.scenario == nil {
			return
		}
		var report ScenarioReport
		report, rehearsed = lab.Run(ctx, r.scenario)
		r.report.Scenario = &report
	}()
	if len(r.words) > 0 {
		status, err = lab.command(ctx, r.words, r.stdout)
	}
	<-done
	if r.report.Scenario != nil {
		r.report.Scenario.write(r.out)
		if !r.report.Scenario.OK && status == 0 {
			status = exitFailed
		}
	}
	if ctx.Err() != nil { // CMD's status is our doing
		return interruptedStatus(ctx), context.Cause(ctx)
	}
	return status, errors.Join(err, rehearsed)
}

// interruptedStatus is the status to exit with if a signal ended ctx, else 0.
func interruptedStatus(ctx context.Context) int {
	var i *interrupted
	if errors.As(context.Cause(ctx), &i) {
		return statusInterrupted(i.sig)
	}
	return 0
}
