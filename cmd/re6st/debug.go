package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
	"re6st/hw/fault"
)

func debugCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "debug",
		Short:   "Break a part of a node on purpose",
		Example: "  re6st debug fault node/tunnel\n  re6st debug fault --list",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(faultCommand(), jumpCommand(), blockCommand())
	return cmd
}

func blockCommand() *cobra.Command {
	var f nodeFlags
	cmd := &cobra.Command{
		Use:   "block CARRIER [off]",
		Short: "Drop a carrier's traffic, as a firewall does, to see what becomes of the links",
		Long: `Have the node drop all that goes or comes by CARRIER: udp, quic or tls. It stands for a firewall on
the way: nobody is told. Links go on by another carrier; re6st tunnels shows which, and re6st status what is
blocked. With off it passes again; a restart of the node ends all blocks.`,
		Example: "  re6st debug block udp\n  re6st debug block udp off",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 && args[1] != "off" {
				return usageError{fmt.Errorf("%q: only off may follow the carrier", args[1])}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
			defer cancel()
			var answer monitor.BlockAnswer
			if err := f.client().Post(ctx, "debug/block", monitor.BlockRequest{Carrier: args[0], Off: len(args) == 2}, &answer); err != nil {
				return err
			}
			blocked := "nothing"
			if len(answer.Blocked) > 0 {
				blocked = strings.Join(answer.Blocked, ", ")
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "blocked:", blocked)
			return err
		},
	}
	f.add(cmd)
	return cmd
}

func jumpCommand() *cobra.Command {
	var f nodeFlags
	cmd := &cobra.Command{
		Use:   "clock SHIFT",
		Short: "Have the wall clock of the node's process jump, to see what becomes of it",
		Long: `Have the wall clock of the node's process jump by SHIFT, as if somebody set that of the machine.
The machine's own stays. The node must lose no link; re6st status says what it makes of its clock.`,
		Example: "  re6st debug clock 1h\n  re6st debug clock -- -8760h",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			shift, err := time.ParseDuration(args[0])
			if err != nil {
				return usageError{fmt.Errorf("%q is no duration such as 1h or -30m", args[0])}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
			defer cancel()
			var answer monitor.ClockAnswer
			if err := f.client().Post(ctx, "debug/clock", monitor.ClockRequest{Shift: shift.Milliseconds()}, &answer); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "the node's clock says %s\n", answer.Now.Format(time.RFC3339))
			return err
		},
	}
	f.add(cmd)
	return cmd
}

// faultFlags say what is to fail, and how.
type faultFlags struct {
	nodeFlags
	how, pump, errno string
	count            uint64
	duration         time.Duration
	list, clear      bool
}

func faultCommand() *cobra.Command {
	var f faultFlags
	cmd := &cobra.Command{
		Use:   "fault TARGET | --list | --clear",
		Short: "Have an actor, a pump or a system call fail, to see what becomes of it",
		Long: `Have something fail. TARGET is the path of an actor, or the name of a system call; --list shows
both, and the pumps of each actor (the goroutines that do its IO).

An actor fails as its next message: by a panic or an error. With --pump one of its pumps fails:
by a panic, by an error, or by a stall: it hangs for --for, deaf to all, and fails then. --how pump
has a pump panic that was begun for it. re6st events tells what follows.

A system call fails with --error, so many times (--count) or for a time (--for). This needs
debug_faults = true in the node's configuration. --clear ends what still is to fail.`,
		Example: `  re6st debug fault --list
  re6st debug fault node/tunnel --how error
  re6st debug fault node/router --pump kernel --how stall --for 10s
  re6st debug fault sock.send --error ENOBUFS --count 20`,
		Args: func(cmd *cobra.Command, args []string) error {
			if f.list || f.clear {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
			defer cancel()
			if f.list || f.clear {
				return f.show(ctx, cmd.OutOrStdout())
			}
			return f.cause(ctx, cmd.OutOrStdout(), args[0])
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.how, "how", "", "of an actor or pump: panic (the default), error, stall or pump")
	flags.StringVar(&f.pump, "pump", "", "the pump of the actor that is to fail")
	flags.StringVar(&f.errno, "error", "", "of a system call: such as ENOBUFS or EIO")
	flags.Uint64Var(&f.count, "count", 0, "of a system call: how many fail")
	flags.DurationVar(&f.duration, "for", 0, "how long a pump stalls, or a system call fails")
	flags.BoolVar(&f.list, "list", false, "show what can be made to fail")
	flags.BoolVar(&f.clear, "clear", false, "end the faults of all system calls")
	cmd.MarkFlagsMutuallyExclusive("list", "clear")
	return cmd
}

// show lists what can fail, after a clear where that is asked for.
func (f *faultFlags) show(ctx context.Context, w io.Writer) error {
	var d monitor.Debug
	var err error
	if f.clear {
		err = f.client().Post(ctx, "debug/clear", struct{}{}, &d)
	} else {
		err = f.client().Get(ctx, "debug", &d)
	}
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(w, d)
	}
	rows := [][]any{{"ACTOR", "KIND", "STATE", "PUMPS"}}
	for _, a := range d.Actors {
		pumps := orDash(strings.Join(a.Pumps, " "))
		if len(a.Stuck) > 0 {
			pumps += "; stuck: " + strings.Join(a.Stuck, " ")
		}
		rows = append(rows, []any{a.Path, a.Kind, a.State, pumps})
	}
	if err := table(w, rows...); err != nil {
		return err
	}
	if !d.Faults {
		_, err := fmt.Fprintln(w, "\nSystem calls can be made to fail with debug_faults = true in the node's configuration.")
		return err
	}
	rows = [][]any{{"CALL", "WHAT IT IS FOR", "FAILED", "FAILS NOW"}}
	for _, c := range d.Calls {
		rows = append(rows, []any{c.Call, c.What, c.Failed, callState(c)})
	}
	fmt.Fprintln(w)
	return table(w, rows...)
}

// callState tells how a call fails now.
func callState(c monitor.DebugCall) string {
	if c.Errno == "" {
		return "-"
	}
	text := c.Errno
	if c.Left > 0 {
		text += fmt.Sprintf(", %d times", c.Left)
	}
	if c.For > 0 {
		text += fmt.Sprintf(", for %v", time.Duration(c.For)*time.Millisecond)
	}
	return text
}

// cause has the target fail.
func (f *faultFlags) cause(ctx context.Context, w io.Writer, target string) error {
	request, err := f.request(target)
	if err != nil {
		return usageError{err}
	}
	var answer monitor.FaultAnswer
	if err := f.client().Post(ctx, "debug/fault", request, &answer); err != nil {
		return err
	}
	if f.json {
		return printJSON(w, answer)
	}
	if answer.Call != "" {
		_, err := fmt.Fprintf(w, "%s is going to fail (%s)\n", answer.Call, answer.Errno)
		return err
	}
	what := answer.Actor
	if answer.Pump != "" {
		what = "pump " + answer.Pump + " of " + what
	}
	_, err = fmt.Fprintf(w, "%s is told to fail (%s)\n", what, answer.How)
	return err
}

// request is what the flags ask for.
func (f *faultFlags) request(target string) (monitor.FaultRequest, error) {
	r := monitor.FaultRequest{Count: f.count, For: f.duration.Milliseconds()}
	if !fault.IsCall(target) {
		if f.errno != "" || f.count != 0 {
			return r, fmt.Errorf("--error and --count are for a system call, and %q is none; --list shows them", target)
		}
		r.Actor, r.How, r.Pump = target, f.how, f.pump
		if r.How == "" {
			r.How = "panic"
		}
		return r, nil
	}
	if f.how != "" || f.pump != "" {
		return r, errors.New("--how and --pump are for an actor")
	}
	if f.errno == "" {
		return r, errors.New("--error is needed, such as --error ENOBUFS")
	}
	r.Call, r.Errno = target, f.errno
	if r.Count == 0 && r.For == 0 {
		r.Count = 1
	}
	return r, nil
}
