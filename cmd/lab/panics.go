package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// Of `re6st lab panics`.
const (
	panicsNodes  = 7
	panicsCount  = 1000
	panicsMost   = 100_000
	panicsHub    = "n1"
	panicsEvery  = 20 * time.Millisecond // of each pair's echoes
	panicsPause  = 50 * time.Millisecond // after a restart, to see what it cost
	panicsEach   = 3 * time.Second       // a run takes no longer than so many of these
	panicsWithin = 20 * time.Second      // an actor must run again, and the mesh be whole
)

// panicsConfig is the nodes' configuration. With the usual window an actor that fails
// more often than five times a minute waits longer and longer, and is given up: a
// thousand panics would take hours. So the window is a moment, in which each panic is
// the first: what is measured is a restart, not a backoff.
const panicsConfig = "debug_faults = true\ndebug_restart_window_ms = 100\nlog = \"warn\"\nclient_count = 10\n"

// panicsRun is one `lab panics`.
type panicsRun struct {
	options Options
	count   int
	json    bool
	report  PanicsReport
}

func panicsCommand(folder *string) *cobra.Command {
	var r panicsRun
	cmd := &cobra.Command{
		Use:   "panics [flags]",
		Short: "Have the actors of one node panic in turn, under traffic, and see who notices",
		Long: `Make a wheel of nodes, n1 in the middle, and have each actor of n1 panic in turn, again and
again, while all pairs ping each other every 20 ms. For each panic the time until the actor runs again
is taken from the node's events, and the echoes are counted that were lost meanwhile: on the links of
the actor that failed, and on all others, through n1 too. On the others none may be lost, or the exit
code is 1. A tunnel or a neighbor has its own link. With node and node/tunnel all links of n1 end and
come anew, and packets move: there the others are those of pairs with a link of their own.

The nodes run with debug_restart_window_ms = 100: with the usual minute an actor that fails so often
would wait between restarts, and then be given up.`,
		Example: "  re6st lab panics --count 100\n  re6st lab panics --json",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.options.Folder = *folder
			return r.do(cmd)
		},
	}
	f := cmd.Flags()
	f.IntVar(&r.options.Nodes, "nodes", panicsNodes, "number of nodes")
	f.IntVar(&r.count, "count", panicsCount, "number of panics")
	f.DurationVar(&r.options.Timeout, "timeout", defaultTimeout, "for all pairs to answer at the start")
	f.StringVar(&r.options.Logs, "logs", "", "folder for the logs, kept when the lab ends")
	f.BoolVar(&r.json, "json", false, "one JSON object on stdout, and everything else on stderr")
	return cmd
}

// do runs it, and prints the summary whatever happened.
func (r *panicsRun) do(cmd *cobra.Command) error {
	r.options.Say, r.options.Topology = cmd.ErrOrStderr(), Wheel
	if r.count < 1 || r.count > panicsMost {
		return &ExitError{exitUsage, fmt.Errorf("lab: --count %d: from 1 to %d are possible", r.count, panicsMost)}
	}
	if _, err := Wheel.edges(r.options.Nodes, 0); err != nil {
		return &ExitError{exitUsage, err}
	}
	r.report = PanicsReport{Version: labVersion, Nodes: r.options.Nodes, Kinds: []PanicsOfKind{}, Leaks: []string{}}
	ctx, stop := signals(cmd.Context())
	defer stop()
	err := r.inLab(ctx)
	r.report.OK = err == nil && r.report.Panics == r.count && r.report.LostOthers == 0 && len(r.report.Leaks) == 0
	status := interruptedStatus(ctx)
	if status == 0 && !r.report.OK {
		status = exitFailed
	}
	err = errors.Join(err, r.print(cmd.OutOrStdout()))
	if status == 0 && err == nil {
		return nil
	}
	return &ExitError{max(status, exitFailed), err}
}

func (r *panicsRun) print(w io.Writer) error {
	if r.json {
		if err := json.NewEncoder(w).Encode(r.report); err != nil {
			return fmt.Errorf("lab: report: %w", err)
		}
		return nil
	}
	r.report.write(w)
	return nil
}

func (r *panicsRun) inLab(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout+time.Duration(r.count)*panicsEach+chaosExtra)
	defer cancel()
	config, err := configFile(panicsConfig)
	if err != nil {
		return err
	}
	defer os.Remove(config)
	r.options.Config = config
	lab, err := Open(ctx, r.options)
	if err != nil {
		return err
	}
	lab.say("lab %s: %d nodes, %s, %s", lab.ID(), r.options.Nodes, r.options.Topology, lab.Dir())
	err = r.inTurn(ctx, lab)
	err = errors.Join(err, lab.Close())
	r.report.Leaks = append(r.report.Leaks, remains(lab.ID(), lab.Dir())...)
	return err
}

// inTurn has the hub's actors panic one after the other.
func (r *panicsRun) inTurn(ctx context.Context, lab *Lab) error {
	if _, err := lab.Start(ctx); err != nil {
		return err
	}
	if err := sleep(ctx, quietBefore); err != nil {
		return err
	}
	before, err := lab.countSettled(ctx, panicsHub, func(_ string, c census) error { return complain(append(c.excess, c.left...)) })
	if err != nil {
		return err
	}
	p := newPanics(lab)
	pinging, end := context.WithCancel(ctx)
	defer end()
	p.pingAll(pinging)
	defer p.settle(&r.report)
	for done, turn := 0, 0; done < r.count; turn++ {
		a, err := p.next(ctx, turn)
		if err != nil {
			return err
		}
		if err := p.one(ctx, a); errors.Is(err, errGone) {
			continue
		} else if err != nil {
			return err
		}
		if done++; done%100 == 0 {
			lab.say("%d panics", done)
		}
	}
	end()
	_, err = lab.countSettled(ctx, panicsHub, func(_ string, now census) error { return leakedOrNil(now.leaks(before)) })
	var leaks leaked
	if errors.As(err, &leaks) {
		r.report.Leaks = append(r.report.Leaks, leaks...)
		err = nil
	}
	return err
}

// quantile is the value below which that share of a sorted list lies.
func quantile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

// milliseconds of a time, with three decimals.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// spread is the p50, the p99 and the most of some times.
func spread(times []time.Duration) (p50, p99, most float64) {
	sorted := slices.Sorted(slices.Values(times))
	return milliseconds(quantile(sorted, 0.5)), milliseconds(quantile(sorted, 0.99)), milliseconds(quantile(sorted, 1))
}
