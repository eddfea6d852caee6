package lab

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// BenchCommand returns `re6st bench`: re6st beside the programs of others. Its errors are as
// Command's.
func BenchCommand() *cobra.Command {
	bench := &cobra.Command{
		Use:   "bench",
		Short: "Measure re6st beside the programs of others",
		Long: `Measure re6st beside the programs of others, each in a lab of its own on this machine. It needs root, nft of the
package nftables, and whatever is measured.`,
		SilenceUsage: true, SilenceErrors: true,
		Example: "  re6st bench fabric\n  re6st bench routing",
		Args:    usage(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	bench.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &ExitError{exitUsage, err} })
	folder := bench.PersistentFlags().String("labs", Folder, "folder of all labs")
	bench.AddCommand(routingCommand(folder), fabricCommand(folder))
	return bench
}

// bench is what the benchmarks have in common.
type bench struct {
	options    Options
	contenders []string
	rounds     int
	span       time.Duration // of one measurement
	json       bool
}

// benchmark is a bench whose report is an R.
type benchmark[R any] interface {
	check() error
	run(ctx context.Context, progress io.Writer) (R, error)
	write(w io.Writer, report R) error
}

// benchFlags gives a benchmark's command the flags that all have, and has it run; without
// arguments all of contenders are measured.
func benchFlags[R any](cmd *cobra.Command, folder *string, b *bench, of benchmark[R], contenders []string) {
	f := cmd.Flags()
	f.IntVar(&b.rounds, "rounds", b.rounds, "how often all is measured, in an order drawn anew")
	f.DurationVar(&b.span, "for", b.span, "how long each measurement takes")
	f.Uint64Var(&b.options.Seed, "seed", defaultSeed, "of the order")
	f.BoolVar(&b.json, "json", false, "one JSON object, with each measurement")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b.options.Folder, b.options.Say = *folder, io.Discard
		if b.contenders = args; len(args) == 0 {
			b.contenders = contenders
		}
		if err := of.check(); err != nil {
			return &ExitError{exitUsage, err}
		}
		ctx, stop := signals(cmd.Context())
		defer stop()
		report, err := of.run(ctx, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		if b.json {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(report)
		}
		return of.write(cmd.OutOrStdout(), report)
	}
}
