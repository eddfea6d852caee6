package sim

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"re6st/protocols/simnet"
)

// Exit codes of the house.
const (
	exitFailed = 1
	exitUsage  = 2
)

// exitError carries the status with which the process is to exit. err is nil where the
// output has said all.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }
func (e exitError) ExitCode() int { return e.code }
func (e exitError) Silent() bool  { return e.err == nil }

// defaultNodes is how many nodes there are where neither flag nor scenario says it.
const defaultNodes = 100

// Command returns `re6st sim`.
func Command() *cobra.Command {
	var r run
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Simulate a network of thousands of nodes in virtual time",
		Long: `Simulate a network in virtual time: the routers of the daemon, on nodes of which each has one prefix, with
links of some latency between them. It waits until every node reaches every other, plays a scenario, and
watches all along that packets could not go in circles and that no route is left to what is gone.

A scenario is a file of lines such as "at 2s kill 33%", "cut n1 n2", "expect whole within 5s" and "expect
clean within 60s", or one of those that the binary has. Clean is whole, and no route to what is not there.
The same flags send the same packets: the hash at the end tells, whatever the number of processors.`,
		Example: `  re6st sim
  re6st sim --nodes 1000 --seed 1
  re6st sim --nodes 5000 --degree 4 --originators 500 --json
  re6st sim --scenario split
  re6st sim --topology mesh --nodes 60`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := r.do(cmd)
			if errors.Is(err, simnet.ErrConfig) || errors.Is(err, simnet.ErrScenario) {
				return exitError{exitUsage, err}
			}
			return err
		},
	}
	f := cmd.Flags()
	f.IntVar(&r.config.Nodes, "nodes", 0, fmt.Sprintf("number of nodes (default what the scenario says, or %d)", defaultNodes))
	f.StringVar((*string)(&r.config.Topology), "topology", "", fmt.Sprintf("who has edges with whom: one of %v (default what the scenario says, or %s)", simnet.Topologies, simnet.Random))
	f.IntVar(&r.config.Degree, "degree", 0, fmt.Sprintf("edges of a node of the random topology; of a mesh, links that a node opens (default what the scenario says, or %d)", simnet.DefaultDegree))
	f.IntVar(&r.config.Originators, "originators", 0, "nodes that have a prefix, evenly spread (default all)")
	f.IntVar(&r.config.Ranges, "ranges", 0, "further prefixes of each of them, as traffic classes have")
	f.Uint64Var(&r.config.Seed, "seed", 1, "of all that is drawn")
	f.DurationVar(&r.config.Least, "least", simnet.DefaultLeast, "least latency of an edge, one way")
	f.DurationVar(&r.config.Most, "most", simnet.DefaultMost, "most latency of an edge, one way")
	f.BoolVar(&r.config.Trusting, "trusting", false, "have no node ask whether a route comes from who may announce it")
	f.Float64Var(&r.loss, "loss", 0, "percent of the packets that are lost")
	f.IntVar(&r.config.MTU, "mtu", 0, "bytes of a routing packet that pass an edge (default as in the daemon)")
	f.StringVar(&r.scenario, "scenario", simnet.DefaultScenario, fmt.Sprintf("file, or one of %v", simnet.Scenarios()))
	f.IntVar(&r.processors, "processors", runtime.GOMAXPROCS(0), "how many to use")
	f.BoolVar(&r.json, "json", false, "one JSON object on stdout, and the steps on stderr")
	return cmd
}
