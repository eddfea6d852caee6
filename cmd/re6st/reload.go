package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
)

func reloadCommand() *cobra.Command {
	var f nodeFlags
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the node read its configuration again",
		Long: `Have the node read its configuration again, as a HUP signal does, and tell what became of
each key that changed: in force at once, or after a restart. A bad file changes nothing.`,
		Example: "  re6st reload\n  re6st reload -d /var/lib/re6st --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
			defer cancel()
			var answer monitor.Reloaded
			if err := f.client().Post(ctx, "reload", nil, &answer); err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), answer)
			}
			return showReloaded(cmd.OutOrStdout(), answer)
		},
	}
	f.add(cmd)
	return cmd
}

func showReloaded(w io.Writer, r monitor.Reloaded) error {
	if len(r.Changes) == 0 {
		_, err := fmt.Fprintln(w, "nothing has changed")
		return err
	}
	rows := [][]any{{"KEY", "WAS", "IS", "STATE"}}
	for _, c := range r.Changes {
		state := "after a restart"
		if c.Applied {
			state = "in force"
		}
		rows = append(rows, []any{c.Key, orDash(c.Old), orDash(c.New), state})
	}
	return table(w, rows...)
}
