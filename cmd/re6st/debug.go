package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
)

func debugCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "debug",
		Short:   "Break a part of a node on purpose",
		Example: "  re6st debug fault node/tunnel",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(faultCommand())
	return cmd
}

func faultCommand() *cobra.Command {
	var f nodeFlags
	var how string
	cmd := &cobra.Command{
		Use:   "fault ACTOR",
		Short: "Have an actor fail, to see what becomes of it",
		Long: `Have an actor fail as its next message: by a panic, by an error, or by a panic in one of
its pumps. ACTOR is a path that re6st actors shows; re6st events tells what follows.`,
		Example: "  re6st debug fault node/tunnel --how error\n  re6st debug fault monitor --how pump",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
			defer cancel()
			var answer monitor.FaultAnswer
			if err := f.client().Post(ctx, "debug/fault", monitor.FaultRequest{Actor: args[0], How: how}, &answer); err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), answer)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is told to fail (%s)\n", answer.Actor, answer.How)
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&how, "how", "panic", "panic, error or pump")
	return cmd
}
