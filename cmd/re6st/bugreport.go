package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
	"re6st/actors/monitor/bugreport"
)

func bugreportCommand() *cobra.Command {
	var f nodeFlags
	var out, config string
	cmd := &cobra.Command{
		Use:   "bugreport [-o FILE]",
		Short: "Gather what somebody else needs to find a fault",
		Long: `Gather what somebody else needs to find a fault, in a tar file on this machine: what the node
says of itself, what re6st doctor finds, the kernel's routes, and the configuration. Keys and
tokens are never read or are taken out; addresses, prefixes and node ids stay in. What went in
is listed. Nothing is sent anywhere.`,
		Example: "  re6st bugreport\n  re6st bugreport -d /var/lib/re6st -o /tmp/report.tar.gz",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now().UTC()
			if out == "" {
				out = "re6st-bugreport-" + now.Format("20060102-150405") + ".tar.gz"
			}
			contents, err := writeReport(cmd.Context(), &f, config, out, now)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), reportWritten{monitor.Header{Version: monitor.Schema, Now: now}, out, contents})
			}
			rows := [][]any{{"FILE", "SIZE", "WHAT"}}
			for _, c := range contents {
				rows = append(rows, []any{c.Name, size(uint64(c.Size)), c.What})
			}
			if err := table(cmd.OutOrStdout(), rows...); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "\n%s: look at it before you hand it on; it has addresses and node ids, no keys\n", out)
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "the file to write (re6st-bugreport-TIME.tar.gz)")
	cmd.Flags().StringVar(&config, "config", "", "the node's configuration file (DIR/node.toml where it exists)")
	return cmd
}

// reportWritten is what `re6st bugreport --json` prints.
type reportWritten struct {
	monitor.Header
	File     string              `json:"file"`
	Contents []bugreport.Content `json:"contents"`
}

// writeReport makes the file, readable by its owner only, or leaves none.
func writeReport(ctx context.Context, f *nodeFlags, config, out string, now time.Time) (contents []bugreport.Content, err error) {
	file, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if config == "" {
		config = filepath.Join(f.dir, nodeConfigFile)
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			err = errors.Join(err, os.Remove(out))
		}
	}()
	return bugreport.Write(ctx, file, bugreport.Subject{
		Dir: f.dir, Config: config, Client: f.client(), Now: now, Diagnosis: diagnose(ctx, f, config),
	})
}
