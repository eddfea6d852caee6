package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
)

func versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Tell what this binary was built from",
		Long:    `Tell what this binary was built from. What a running node was built from stands in re6st status.`,
		Example: "  re6st version\n  re6st version --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := monitor.ReadBuild()
			if asJSON {
				return printJSON(cmd.OutOrStdout(), struct {
					Version int `json:"version"`
					monitor.Build
				}{monitor.Schema, b})
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), buildLine(b))
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON (see its version)")
	return cmd
}

func buildLine(b monitor.Build) string {
	line := "re6st " + b.Module
	if b.Revision != "" {
		line += " (" + b.Revision[:min(12, len(b.Revision))]
		if b.Modified {
			line += ", modified"
		}
		line += ")"
	}
	return line + ", " + b.Go
}
