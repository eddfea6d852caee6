package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
)

// askTimeout is how long a node may take to answer with one object.
const askTimeout = 10 * time.Second

// nodeFlags say which node to ask, and how to show what it answers.
type nodeFlags struct {
	dir, socket string
	json        bool
}

func (f *nodeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.dir, "dir", "d", defaultDir(), "the node's folder; also $RE6ST_DIR")
	cmd.Flags().StringVar(&f.socket, "socket", "", "the node's socket, in place of the one in its folder")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON (see its version)")
}

func (f *nodeFlags) client() *monitor.Client {
	if f.socket != "" {
		return monitor.NewClient(f.socket)
	}
	return monitor.NewClient(monitor.SocketIn(f.dir))
}

// view is a command that asks for one object and shows it.
type view[T any] struct {
	name, short, long string
	show              func(w io.Writer, answer T) error
	after             func(answer T) error // nil: nothing; its error ends the command
}

func (v view[T]) command() *cobra.Command {
	var f nodeFlags
	cmd := &cobra.Command{
		Use:     v.name,
		Short:   v.short,
		Long:    v.long,
		Example: fmt.Sprintf("  re6st %s\n  re6st %[1]s -d /var/lib/re6st --json", v.name),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
			defer cancel()
			var answer T
			err := f.client().Get(ctx, v.name, &answer)
			if err != nil {
				return err
			}
			if f.json {
				err = printJSON(cmd.OutOrStdout(), answer)
			} else {
				err = v.show(cmd.OutOrStdout(), answer)
			}
			if err == nil && v.after != nil {
				err = v.after(answer)
			}
			return err
		},
	}
	f.add(cmd)
	return cmd
}

// table writes rows of cells in columns, without blanks at the ends of lines.
func table(w io.Writer, rows ...[]any) error {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, cell)
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for line := range bytes.Lines(b.Bytes()) {
		if _, err := fmt.Fprintf(w, "%s\n", bytes.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// age is how long ago t was, in its two largest units; "-" where t is zero.
func age(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(now.Sub(t))
}

func span(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}

// milliseconds is a time in microseconds, for people; "-" where it is not known.
func milliseconds(us int64) string {
	if us <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g ms", float64(us)/1000)
}

// size is a number of bytes, for people.
func size(n uint64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	v, i := float64(n), 0
	for ; v >= 999.5 && i < len(units)-1; i++ {
		v /= 1000
	}
	return fmt.Sprintf("%.3g %s", v, units[i])
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
