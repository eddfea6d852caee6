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

// Of `re6st lab chaos`.
const (
	chaosNodes    = 10
	chaosDuration = 10 * time.Minute
	chaosLongest  = 24 * time.Hour
	chaosRate     = 1800             // echoes a second, of all pairs
	healPatience  = time.Minute      // for all pairs to answer, once all is healed
	quietBefore   = 3 * time.Second  // for the mesh to settle before it is counted
	chaosExtra    = 5 * time.Minute  // beside its duration, a run takes no longer
	calmPatience  = 90 * time.Second // for quarantines to end
)

// chaosConfig is the nodes' configuration.
const chaosConfig = "debug_faults = true\nlog = \"info\"\n"

// chaosRun is one `lab chaos`.
type chaosRun struct {
	options  Options
	duration time.Duration
	json     bool
	report   ChaosReport
}

func chaosCommand(folder *string) *cobra.Command {
	var r chaosRun
	cmd := &cobra.Command{
		Use:   "chaos [flags]",
		Short: "Hurt a mesh at random from a seed, under traffic, and see that it lives and leaks nothing",
		Long: `Make a lab, let it converge, and then hurt it about four times a second: actors and their pumps
panic, fail and stall, budgets are spent, calls of the kernel fail, edges are cut, nodes and the registry
are killed, interfaces go down. All pairs ping each other meanwhile. What is hit, and when, follows from
the seed; which of a node's actors, from what it has then.

A pair that has a path and gets no answer for a while is traced; with --logs, chaos.log there has all strikes,
traces and outages.

In the end all is healed, and must be whole within a minute, with no more goroutines, files, routes,
rules and addresses than at the start, with the foreign routes that were put beside those of the mesh,
and nothing is left when the lab is taken down. Else the exit code is 1.`,
		Example: "  re6st lab chaos --duration 1m\n  re6st lab chaos --nodes 10 --seed 7 --duration 10m --json",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.options.Folder = *folder
			return r.do(cmd)
		},
	}
	f := cmd.Flags()
	f.IntVar(&r.options.Nodes, "nodes", chaosNodes, "number of nodes")
	f.StringVar((*string)(&r.options.Topology), "topology", string(Random), fmt.Sprintf("who reaches whom: one of %v", Topologies))
	f.Uint64Var(&r.options.Seed, "seed", defaultSeed, "of the strikes, and of the random topology")
	f.DurationVar(&r.duration, "duration", chaosDuration, "how long to hurt it")
	f.DurationVar(&r.options.Timeout, "timeout", defaultTimeout, "for all pairs to answer at the start")
	f.StringVar(&r.options.Logs, "logs", "", "folder for the logs, kept when the lab ends")
	f.BoolVar(&r.json, "json", false, "one JSON object on stdout, and everything else on stderr")
	return cmd
}

// do runs it, and prints the summary whatever happened.
func (r *chaosRun) do(cmd *cobra.Command) error {
	r.options.Say = cmd.ErrOrStderr()
	if r.duration < time.Second || r.duration > chaosLongest {
		return &ExitError{exitUsage, fmt.Errorf("lab: --duration %v: from 1s to %v is possible", r.duration, chaosLongest)}
	}
	if _, err := r.options.Topology.edges(r.options.Nodes, r.options.Seed); err != nil {
		return &ExitError{exitUsage, err}
	}
	r.report = ChaosReport{
		Version: labVersion, Seed: r.options.Seed, Nodes: r.options.Nodes, Topology: r.options.Topology, DurationS: seconds(r.duration),
		Faults: map[string]int{}, Outages: []ChaosOutage{}, OutagesOver: map[string]int{}, ForeignLost: []string{}, Leaks: []string{}, Unplanned: []string{},
	}
	ctx, stop := signals(cmd.Context())
	defer stop()
	err := r.inLab(ctx)
	r.report.OK = err == nil && r.report.WholeS != nil && len(r.report.ForeignLost)+len(r.report.Leaks)+len(r.report.Unplanned) == 0
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

func (r *chaosRun) print(w io.Writer) error {
	if r.json {
		if err := json.NewEncoder(w).Encode(r.report); err != nil {
			return fmt.Errorf("lab: report: %w", err)
		}
		return nil
	}
	r.report.write(w)
	return nil
}

// inLab makes the lab, hurts it, and takes it down. What it leaves is a leak too.
func (r *chaosRun) inLab(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout+r.duration+chaosExtra)
	defer cancel()
	config, err := configFile(chaosConfig)
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
	err = r.hurt(ctx, lab)
	err = errors.Join(err, lab.Close())
	r.report.Leaks = append(r.report.Leaks, remains(lab.ID(), lab.Dir())...)
	return err
}

// configFile writes a configuration for the nodes of a lab.
func configFile(text string) (string, error) {
	f, err := os.CreateTemp("", "re6st-lab-*.toml")
	if err != nil {
		return "", fmt.Errorf("lab: %w", err)
	}
	_, err = f.WriteString(text)
	return f.Name(), errors.Join(err, f.Close())
}

// hurt does all that is between the making of a lab and its end.
func (r *chaosRun) hurt(ctx context.Context, lab *Lab) error {
	for _, name := range lab.names {
		if err := addForeign(lab.under.members[name]); err != nil {
			return err
		}
	}
	took, err := lab.Start(ctx)
	if err != nil {
		return err
	}
	s := seconds(took)
	r.report.ConvergedS = &s
	lab.say("converged %d nodes, %.2f s; it is going to be hurt for %v, seed %d", r.options.Nodes, s, r.duration, r.options.Seed)
	if err := sleep(ctx, quietBefore); err != nil {
		return err
	}
	before, err := lab.countAll(ctx, func(_ string, c census) error { return complain(append(c.excess, c.left...)) })
	if err != nil {
		return err
	}
	c := newChaos(lab, &r.report)
	pinging, end := context.WithCancel(ctx)
	defer end()
	c.pingAll(pinging)
	inquiring, enough := context.WithTimeout(ctx, r.duration)
	defer enough()
	c.lab.background.Go(func() { c.inquire(inquiring) })
	c.run(ctx, planStrikes(r.options.Seed, r.options.Nodes, r.duration))
	c.settleOutages()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return c.verify(ctx, before)
}

func complain(about []string) error {
	if len(about) == 0 {
		return nil
	}
	return fmt.Errorf("lab: %q", about)
}

// pingAll has all pairs ping each other.
func (c *chaos) pingAll(ctx context.Context) {
	for _, pair := range allPairs(c.lab.names) {
		c.trains = append(c.trains, c.lab.prober.newTrain(pair))
	}
	every := max(wholeSlowest, time.Duration(len(c.trains))*time.Second/chaosRate)
	c.lab.prober.pace(ctx, every, c.trains, nil)
}

// verify heals all, waits until the mesh is whole, and looks for what was lost and what
// was leaked.
func (c *chaos) verify(ctx context.Context, before map[string]census) error {
	if err := c.heal(ctx); err != nil {
		return err
	}
	healed := c.lab.prober.now()
	waiting, cancel := context.WithTimeout(ctx, healPatience)
	defer cancel()
	last, missing := c.lab.prober.await(waiting, c.trains, healed)
	if len(missing) == 0 {
		whole := seconds(last - healed)
		c.report.WholeS = &whole
	} else {
		c.fail("%d pairs do not answer %v after all was healed, first of all %v", len(missing), healPatience, missing[0])
	}
	c.calm(ctx)
	err := each(c.lab.nodes(), func(m *member) error { return c.inspect(ctx, m, before[m.name]) })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.report.Unplanned = append(c.report.Unplanned, c.unplanned...)
	slices.Sort(c.report.Leaks)
	return err
}

// inspect looks at what a node holds, and at what is lost beside it.
func (c *chaos) inspect(ctx context.Context, m *member, before census) error {
	lost, err := foreignLost(m.ns)
	if err != nil {
		return err
	}
	_, err = c.lab.countSettled(ctx, m.name, func(_ string, now census) error { return leakedOrNil(now.leaks(before)) })
	var leaks leaked
	if err != nil && !errors.As(err, &leaks) {
		c.fail("%s does not tell what it holds: %v", m.name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, route := range lost {
		c.report.ForeignLost = append(c.report.ForeignLost, m.name+": "+route)
	}
	for _, text := range leaks {
		c.report.Leaks = append(c.report.Leaks, m.name+": "+text)
	}
	return nil
}

// leaked are leaks, as an error.
type leaked []string

func leakedOrNil(found []string) error {
	if len(found) == 0 {
		return nil
	}
	return leaked(found)
}

func (l leaked) Error() string { return fmt.Sprintf("lab: %q", []string(l)) }

// heal undoes what strikes have not undone: those that failed halfway.
func (c *chaos) heal(ctx context.Context) error {
	if err := c.lab.Do(ctx, Action{Verb: verbHeal, A: everyName}); err != nil {
		return err
	}
	if err := ignore(ErrState, c.lab.launch(c.lab.members[registryName])); err != nil {
		return err
	}
	for _, name := range c.lab.names {
		if err := c.start(name); err != nil {
			return err
		}
		if _, err := c.debug(ctx, name); err != nil {
			return fmt.Errorf("lab: %s: %w", name, err)
		}
		if err := c.lab.program.clearFaults(ctx, c.lab.members[name].dir); err != nil {
			return fmt.Errorf("lab: %s: %w", name, err)
		}
	}
	return nil
}

// calm waits for the ends of quarantines and stalls.
func (c *chaos) calm(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, calmPatience)
	defer cancel()
	for {
		loud := false
		for _, name := range c.lab.names {
			now, err := c.lab.count(ctx, name)
			loud = loud || err != nil || len(now.left) > 0
		}
		if !loud || sleep(ctx, countEvery) != nil {
			return
		}
	}
}
