package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
)

func pingCommand() *cobra.Command {
	var f nodeFlags
	var q monitor.PingRequest
	var interval, timeout time.Duration
	cmd := &cobra.Command{
		Use:   "ping DEST",
		Short: "Send echoes to another node through the mesh",
		Long: `Send echoes from the node's own address to another, and time the replies. The node
sends them through the kernel, so they go the way of all traffic. DEST is an address, of
IPv6 or, in a network that has it, of IPv4, a node's prefix, its id or its name. The exit code is 1 if nothing came back.`,
		Example: "  re6st ping 2001:db8:42:6::1\n  re6st ping 6/16 --count 10 --interval 100ms\n  re6st ping 00000000000000b2 --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Interval, q.Timeout = interval.Milliseconds(), timeout.Milliseconds()
			if interval < monitor.MinPingInterval || timeout < time.Millisecond {
				return usageError{fmt.Errorf("interval %v is at least %v, timeout %v a millisecond", interval, monitor.MinPingInterval, timeout)}
			}
			var err error
			if q.Dest, err = f.dest(args[0]); err != nil {
				return err
			}
			return runPing(cmd, f, q)
		},
	}
	f.add(cmd)
	cmd.Flags().IntVarP(&q.Count, "count", "c", monitor.DefaultPings, "how many")
	cmd.Flags().DurationVarP(&interval, "interval", "i", time.Second, "from one to the next")
	cmd.Flags().DurationVarP(&timeout, "timeout", "W", time.Second, "a later reply is a lost one")
	cmd.Flags().IntVarP(&q.Size, "size", "s", 56, "bytes of data")
	return cmd
}

func runPing(cmd *cobra.Command, f nodeFlags, q monitor.PingRequest) error {
	w := cmd.OutOrStdout()
	received := 0
	err := monitor.Lines(cmd.Context(), f.client(), http.MethodPost, "ping", q, func(l monitor.PingLine) error {
		switch {
		case f.json:
			if err := json.NewEncoder(w).Encode(l); err != nil {
				return err
			}
		case l.Reply != nil:
			return showReply(w, *l.Reply)
		case l.Summary != nil:
			if err := showSummary(w, *l.Summary); err != nil {
				return err
			}
		}
		if l.Summary != nil {
			received = l.Summary.Received
		}
		if l.Error != "" {
			return errors.New(l.Error)
		}
		return nil
	})
	if err == nil && received == 0 {
		return silentExit(exitFailed)
	}
	return err
}

func showReply(w io.Writer, r monitor.PingReply) error {
	what := fmt.Sprintf("reply from %s: seq %d, %.3f ms", r.Address, r.Sequence, float64(r.RTT)/1000)
	switch {
	case r.Error != "":
		what = fmt.Sprintf("not sent to %s: seq %d: %s", r.Address, r.Sequence, r.Error)
	case r.Lost:
		what = fmt.Sprintf("no reply from %s: seq %d", r.Address, r.Sequence)
	}
	_, err := fmt.Fprintln(w, what)
	return err
}

func showSummary(w io.Writer, s monitor.PingSummary) error {
	loss := 0
	if s.Sent > 0 {
		loss = 100 * (s.Sent - s.Received) / s.Sent
	}
	rtt := ""
	if s.Received > 0 {
		rtt = fmt.Sprintf(", rtt min/avg/max %.3f/%.3f/%.3f ms", float64(s.Min)/1000, float64(s.Avg)/1000, float64(s.Max)/1000)
	}
	_, err := fmt.Fprintf(w, "%s to %s: %d sent, %d received, %d %% lost%s\n", s.Source, s.Address, s.Sent, s.Received, loss, rtt)
	return err
}
