package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"re6st/hw/netns"
)

// Defaults of the flags.
const (
	defaultNodes   = 4
	defaultTimeout = time.Minute
	defaultSeed    = 1
)

// Command returns `re6st lab`. Its errors are *ExitError where the status is not 1.
func Command() *cobra.Command {
	lab := &cobra.Command{
		Use:   "lab",
		Short: "A whole network in namespaces on this machine",
		Long: `A whole network in namespaces on this machine: a registry and nodes, each in a
network namespace of its own, joined by a router that only lets the packets of the
topology's neighbors through. It needs root, and nft of the package nftables.`,
		SilenceUsage: true, SilenceErrors: true,
		Example: "  re6st lab demo\n  re6st lab run --nodes 8 -- ip netns list",
		Args:    usage(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	lab.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &ExitError{exitUsage, err} })
	folder := lab.PersistentFlags().String("labs", Folder, "folder of all labs")
	lab.AddCommand(runCommand(folder), upCommand(folder), demoCommand(folder), chaosCommand(folder), panicsCommand(folder), floodCommand(folder),
		attackCommand(), sweepCommand(folder), listCommand(folder), execCommand(folder))
	lab.AddCommand(askCommands(folder)...)
	return lab
}

// flags adds the flags that describe a lab.
func (o *Options) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&o.Nodes, "nodes", defaultNodes, "number of nodes")
	f.StringVar((*string)(&o.Topology), "topology", string(Full), fmt.Sprintf("who reaches whom: one of %v", Topologies))
	f.Var(&o.Access.Families, "underlay", "what of the underlay the nodes reach")
	f.StringSliceVar(&o.Access.Uplinks, "uplinks", nil, "nodes with a second uplink")
	f.Var(&o.Access.NATs, "nat", fmt.Sprintf("nodes behind a NAT each, of one of the kinds %v", NATKinds))
	f.TextVar(&o.IPv4, "ipv4", netip.Prefix{}, "range of IPv4 of which each node has a share, such as 10.42.0.0/16")
	f.BoolVar(&o.Disks, "disks", false, "give each node's folder a disk of its own, that can be filled")
	f.Uint64Var(&o.Seed, "seed", defaultSeed, "of the random topology")
	f.StringVar(&o.Config, "config", "", "file handed to every node as its --config")
	f.DurationVar(&o.Timeout, "timeout", defaultTimeout, "for all pairs to answer")
	f.Var(addressFlag{&o.HTTP}, "http", "serve the live page at an address of the loopback, such as 127.0.0.1:8080")
	f.StringVar(&o.Logs, "logs", "", "folder for the logs, kept when the lab ends")
}

func runCommand(folder *string) *cobra.Command {
	var r run
	cmd := &cobra.Command{
		Use:   "run [flags] [-- CMD...]",
		Short: "Make a lab, wait until all pairs reach each other, run CMD in it, take it down",
		Long: `Make a lab, wait until an echo has come back between every ordered pair of nodes,
run CMD with RE6ST_LAB naming the folder of lab.json, take the lab down, and exit with
CMD's status. A scenario runs beside CMD; one that fails makes a status of 0 into 1.`,
		Example: `  re6st lab run --nodes 8 -- sh -c 'cat $RE6ST_LAB/lab.json'
  re6st lab run --nodes 12 --topology random --json
  re6st lab run --nodes 4 --nat n1=port-restricted,n2=random
  re6st lab run --scenario relay`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); len(args) > 0 && dash != 0 {
				return &ExitError{exitUsage, fmt.Errorf("lab: %q: write the command after --", args[0])}
			}
			r.words, r.options.Folder = args, *folder
			if cmd.Flags().Changed("nodes") {
				r.given.Nodes = r.options.Nodes
			}
			if cmd.Flags().Changed("topology") {
				r.given.Topology = r.options.Topology
			}
			return r.do(cmd)
		},
	}
	r.options.flags(cmd)
	cmd.Flags().StringVar(&r.scenarioName, "scenario", "",
		fmt.Sprintf("file of lines such as: at 2s cut n1 n2; or one of %v", scenarioNames()))
	cmd.Flags().BoolVar(&r.json, "json", false, "one JSON object on stdout, and everything else on stderr")
	return cmd
}

func upCommand(folder *string) *cobra.Command {
	r := run{up: true}
	cmd := &cobra.Command{
		Use:     "up [flags]",
		Short:   "Make a lab and keep it in the foreground until ^C",
		Example: "  re6st lab up --nodes 8 --topology ring --http 127.0.0.1:8080 --logs /tmp/re6st-logs",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.options.Folder = *folder
			return r.do(cmd)
		},
	}
	r.options.flags(cmd)
	return cmd
}

func sweepCommand(folder *string) *cobra.Command {
	return &cobra.Command{
		Use:     "sweep",
		Short:   "Take down labs whose owner is dead, as the next run would",
		Example: "  re6st lab sweep",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			swept, err := netns.Sweep(*folder)
			if _, e := os.Stat(rivals(*folder)); e == nil {
				more, e := netns.Sweep(rivals(*folder))
				swept, err = append(swept, more...), errors.Join(err, e)
			}
			for _, id := range swept {
				fmt.Fprintf(cmd.OutOrStdout(), "swept %s\n", id)
			}
			return err
		},
	}
}

// usage makes the errors of an argument check exit as usage errors do.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &ExitError{exitUsage, fmt.Errorf("lab: %w; write: re6st lab %s", err, cmd.Use)}
		}
		return nil
	}
}
