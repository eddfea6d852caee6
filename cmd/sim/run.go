package sim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"re6st/protocols/simnet"
)

// shardsEach is how many shards there are for each processor, so that all have work
// until the end of a window.
const shardsEach = 4

// memoryGoal is from where on memory is collected more often, in bytes: a network that
// needs less in the end shall not hold twice that. One that needs more has routeGoal for
// each node and prefix: to collect all the time would take longer than the simulation.
const (
	memoryGoal = 1850 << 20
	routeGoal  = 1200
)

// run is one `re6st sim`.
type run struct {
	config     simnet.Config
	loss       float64 // percent
	scenario   string
	processors int
	json       bool
}

// Report is what `re6st sim --json` prints.
type Report struct {
	simnet.Report
	Processors int     `json:"processors"`
	Wall       float64 `json:"wall_s"`
	CPU        float64 `json:"cpu_s"`
	Peak       int64   `json:"peak_bytes"` // of memory of the process
}

func (r *run) do(cmd *cobra.Command) error {
	if r.processors < 1 {
		return exitError{exitUsage, fmt.Errorf("sim: --processors %d: at least one is needed", r.processors)}
	}
	scenario, err := r.load()
	if err != nil {
		return err
	}
	c := r.config
	c.Nodes, c.Topology, c.Degree = cmp.Or(c.Nodes, scenario.Nodes, defaultNodes), cmp.Or(c.Topology, scenario.Topology), cmp.Or(c.Degree, scenario.Degree)
	c.Ranges = cmp.Or(c.Ranges, scenario.Ranges)
	c.Loss = r.loss / 100
	c.Stop = cmd.Context().Err
	c.Shards, c.Each = min(shardsEach*r.processors, simnet.MaxShards), onProcessors(r.processors)
	steps := cmd.OutOrStdout()
	if r.json {
		steps = cmd.ErrOrStderr()
	}
	report, err := r.play(c, scenario, steps)
	if err != nil {
		return err
	}
	if r.json {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(report)
	} else {
		report.write(cmd.OutOrStdout())
	}
	if err == nil && !report.OK {
		return exitError{code: exitFailed}
	}
	return err
}

// load reads the scenario: one that the binary has by its name, or else a file.
func (r *run) load() (*simnet.Scenario, error) {
	if s, ok := simnet.LoadScenario(r.scenario); ok {
		return s, nil
	}
	f, err := os.Open(r.scenario)
	if err != nil {
		return nil, exitError{exitUsage, fmt.Errorf("sim: --scenario: %w; those without a file are %v", err, simnet.Scenarios())}
	}
	defer f.Close()
	return simnet.ParseScenario(r.scenario, f)
}

// play makes the network and plays the scenario. An invariant that breaks is in the
// report; the error is for what cannot be simulated.
func (r *run) play(c simnet.Config, s *simnet.Scenario, steps io.Writer) (Report, error) {
	begin, cpu := time.Now(), used()
	n, err := simnet.New(c)
	if err != nil {
		return Report{}, fmt.Errorf("sim: %w", err)
	}
	size := n.Report()
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(max(memoryGoal, routeGoal*int64(size.Nodes)*int64(size.Prefixes))))
	var done []simnet.StepReport
	ok, err := n.Play(s, func(step simnet.StepReport) {
		done = append(done, step)
		fmt.Fprintln(steps, line(step))
	})
	if err != nil && (n.Err() == nil || c.Stop() != nil) {
		return Report{}, fmt.Errorf("sim: %w", err)
	}
	report := Report{Report: n.Report(), Processors: r.processors}
	report.OK, report.Steps = ok, done
	report.Wall, report.CPU, report.Peak = time.Since(begin).Seconds(), (used() - cpu).Seconds(), peak()
	return report, nil
}

// onProcessors runs calls on that many processors.
func onProcessors(processors int) func(n int, do func(i int)) {
	return func(n int, do func(i int)) {
		var next atomic.Int64
		work := func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		}
		var others sync.WaitGroup
		for range min(processors, n) - 1 {
			others.Go(work)
		}
		work()
		others.Wait()
	}
}

// used is the processor time of this process.
func used() time.Duration {
	u := usage()
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peak is the most memory that this process held at a time, in bytes.
func peak() int64 { return int64(usage().Maxrss) * 1024 } //nolint:unconvert // an int32 on 32-bit machines

func usage() (u syscall.Rusage) {
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // of oneself it cannot fail
	}
	return u
}
