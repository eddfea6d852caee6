package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
)

// retracted is the metric of a way that its neighbor took back (RFC 8966 section 2.3).
const retracted = 65535

func traceCommand() *cobra.Command {
	var f nodeFlags
	var q monitor.TraceRequest
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "trace DEST",
		Short: "Show the way that packets take to another node, and why",
		Long: `Show the way that packets take from this node to another: each node on it, its round trip,
the link that leads to it, and why the node before sends by that link. DEST is an address,
a node's prefix, its id or its name.

LINK is by what the link goes there: a tunnel of both kernels or of OpenVPN, or else udp, quic or tls.
METRIC is that of the route by which the node before sends on, WHY what it could have
done instead. LOSS is that of the link's own probes in the last minute, LOST that of this trace.
MTU is the largest packet that was tried and came through. What a node with
a question mark says is a hint: it could not prove that it was the one that answered.

The exit code is 0 where the last node of the mesh answered, else 1.`,
		Example: "  re6st trace 2001:db8:42:6::1\n  re6st trace 6/16 --probes 10\n  re6st trace gateway --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout < monitor.MinTraceTimeout || q.Probes < 1 || q.Hops < 1 {
				return usageError{fmt.Errorf("timeout %v, at least %v; probes %d and hops %d, at least 1", timeout, monitor.MinTraceTimeout, q.Probes, q.Hops)}
			}
			q.Timeout = timeout.Milliseconds()
			var err error
			if q.Dest, err = f.dest(args[0]); err != nil {
				return err
			}
			return runTrace(cmd, f, q, args[0])
		},
	}
	f.add(cmd)
	cmd.Flags().IntVarP(&q.Probes, "probes", "c", monitor.DefaultTraceProbes, "for each node")
	cmd.Flags().IntVarP(&q.Hops, "hops", "m", monitor.DefaultTraceHops, "links to follow at most")
	cmd.Flags().DurationVarP(&timeout, "timeout", "W", monitor.DefaultTraceTimeout, "how long an answer may take")
	return cmd
}

// runTrace traces the destination that was given as word.
func runTrace(cmd *cobra.Command, f nodeFlags, q monitor.TraceRequest, word string) error {
	l, err := f.labels(cmd.Context())
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	t := traceView{labels: l}
	if _, ok := l.table.Node(word); ok {
		t.asked = word
	}
	err = monitor.Lines(cmd.Context(), f.client(), http.MethodPost, "trace", q, func(line monitor.TraceLine) error {
		if f.json {
			if err := json.NewEncoder(w).Encode(line); err != nil {
				return err
			}
		}
		if line.Error != "" {
			return errors.New(line.Error)
		}
		t.take(line)
		return nil
	})
	if err != nil {
		return err
	}
	if !f.json {
		err = t.show(w)
	}
	if err == nil && !t.reached() {
		return silentExit(exitFailed)
	}
	return err
}

// traceView is a trace for people.
type traceView struct {
	*labels
	asked string // the destination's name, where it was asked for by that; the node may not know whose it is while no route leads there
	start monitor.TraceStart
	hops  []monitor.TraceHop
	echo  *monitor.TraceEcho
	end   monitor.TraceEnd
}

func (t *traceView) take(l monitor.TraceLine) {
	switch {
	case l.Start != nil:
		t.start = *l.Start
		if t.ids[t.start.Egress.String()] == "" && t.asked != "" {
			t.ids[t.start.Egress.String()] = t.asked
		}
	case l.Hop != nil:
		t.hops = append(t.hops, *l.Hop)
	case l.Echo != nil:
		t.echo = l.Echo
	case l.End != nil:
		t.end = *l.End
	}
}

func (t *traceView) reached() bool {
	return t.end.Outcome == monitor.TraceReached || t.end.Outcome == monitor.TraceLocal
}

func (t *traceView) show(w io.Writer) error {
	if t.end.Outcome == monitor.TraceLocal {
		_, err := fmt.Fprintf(w, "%s is this node's own, or is not reached through the mesh\n", t.destination())
		return err
	}
	if _, err := fmt.Fprintf(w, "trace to %s\n\n", t.destination()); err != nil {
		return err
	}
	rows := [][]any{{"HOP", "NODE", "PREFIX", "RTT", "LOST", "LINK", "REMOTE", "LINK RTT", "LOSS", "MTU", "METRIC", "WHY"}}
	for i, hop := range t.hops {
		if i > 1 && hop.Node == nil && t.hops[i-1].Node == nil {
			continue // one row says it
		}
		if i > 0 {
			rows = append(rows, t.row(t.hops[i-1], hop))
		}
	}
	if len(rows) > 1 {
		if err := table(w, t.rows(rows)...); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	for _, line := range t.conclusion() {
		if _, err := fmt.Fprintln(w, t.in(line)); err != nil {
			return err
		}
	}
	return nil
}

// destination is what is traced.
func (t *traceView) destination() string {
	egress := t.in(t.start.Egress.String())
	switch {
	case !t.start.Address.IsValid():
		return egress
	case t.start.Behind:
		return fmt.Sprintf("%s, behind %s", t.start.Address, egress)
	}
	return fmt.Sprintf("%s, %s", egress, t.start.Address)
}

// row is one node, and how the one before led to it.
func (t *traceView) row(before, hop monitor.TraceHop) []any {
	node, prefix := "*", "-"
	if hop.Node != nil {
		node, prefix = t.in(hop.Node.String()), hop.Prefix.CN()
		if !hop.Proven {
			node += "?"
		}
	}
	row := []any{hop.Hop, node, prefix, milliseconds(hop.Best), quantity(fmt.Sprintf("%d/%d", hop.Sent-hop.Received, hop.Sent))}
	if way := before.Way; way != nil && (hop.Node == nil || *hop.Node == way.Next) {
		row = append(row, cmp.Or(way.Tunnel, way.Link), remote(way.Remote), milliseconds(way.RTT), loss(way.Loss), t.mtu(way, hop), way.Metric)
	} else {
		row = append(row, "-", "-", quantity("-"), quantity("-"), t.mtu(nil, hop), quantity("-"))
	}
	return append(row, strings.Join(t.why(before, hop), "; "))
}

func (t *traceView) mtu(way *monitor.TraceWay, hop monitor.TraceHop) quantity {
	switch {
	case hop.Full != nil && *hop.Full:
		return quantity(fmt.Sprint(t.start.MTU))
	case way != nil && way.MTU > 0:
		return quantity(fmt.Sprint(way.MTU))
	case hop.Full != nil:
		return quantity(fmt.Sprintf("< %d", t.start.MTU))
	}
	return "-"
}

// why tells what the node before could have done instead, and what is odd about a node.
func (t *traceView) why(before, hop monitor.TraceHop) (all []string) {
	for _, c := range before.Choices {
		all = append(all, choice(c))
	}
	if before.More > 0 {
		all = append(all, fmt.Sprintf("%d more", before.More))
	}
	if len(all) == 0 && before.Way != nil {
		all = []string{"the only way"}
	}
	if hop.Node == nil {
		if before.Way != nil {
			all = append([]string{"sent to " + before.Way.Next.String()}, all...)
		}
		return all
	}
	if hop.Strayed && hop.From != nil {
		all = append(all, fmt.Sprintf("changed: came by %s", hop.From))
	}
	for _, o := range hop.Others {
		all = append(all, fmt.Sprintf("changed: %s answered too", o))
	}
	if hop.Back != nil && hop.From != nil && *hop.Back != *hop.From {
		all = append(all, fmt.Sprintf("answers by %s", hop.Back))
	}
	if hop.HopsBack > 0 && hop.HopsBack != hop.Hop {
		all = append(all, fmt.Sprintf("back in %d hops", hop.HopsBack))
	}
	return all
}

func choice(c monitor.TraceChoice) string {
	switch {
	case c.Metric == retracted:
		return fmt.Sprintf("not %s: retracted", c.Next)
	case !c.Feasible:
		return fmt.Sprintf("not %s: %d, might lead in a circle", c.Next, c.Metric)
	}
	return fmt.Sprintf("%s would be %d", c.Next, c.Metric)
}

// conclusion is what comes below the nodes.
func (t *traceView) conclusion() (lines []string) {
	after := t.end.After
	switch t.end.Outcome {
	case monitor.TraceReached:
		lines = append(lines, t.answer())
	case monitor.TraceNoRoute:
		lines = append(lines, fmt.Sprintf("* no route to %s at %s%s", t.start.Egress, after, t.instead()))
	case monitor.TraceSilent:
		lines = append(lines, fmt.Sprintf("* no answer after %s", after))
	case monitor.TraceHopsEnd:
		lines = append(lines, fmt.Sprintf("* not there after %d hops, at %s; --hops follows more", t.hops[len(t.hops)-1].Hop, after))
	case monitor.TraceLoop:
		lines = append(lines, fmt.Sprintf("* a loop: %s came again and again", after))
	}
	if t.end.Changed {
		lines = append(lines, "the path changed while it was traced: trace it again")
	}
	if t.end.Relayed != "" {
		lines = append(lines, fmt.Sprintf("relayed: no link leads to %s itself: %s", t.start.Egress, t.end.Relayed))
	}
	for _, hop := range t.hops {
		if hop.Node != nil && !hop.Proven {
			return append(lines, "? it could not prove that it was the one that answered")
		}
	}
	return lines
}

// instead is what the node without a route knows of.
func (t *traceView) instead() string {
	var all []string
	for _, c := range t.hops[len(t.hops)-1].Choices {
		all = append(all, choice(c))
	}
	if len(all) == 0 {
		return ""
	}
	return ": " + strings.Join(all, "; ")
}

// answer is what the egress, or the host behind it, makes of an echo.
func (t *traceView) answer() string {
	who := fmt.Sprintf("egress %s", t.end.After)
	switch {
	case t.echo == nil:
		return who
	case t.start.Behind:
		who = fmt.Sprintf("egress %s, host %s", t.end.After, t.echo.Address)
	}
	switch {
	case t.echo.Error != "":
		return fmt.Sprintf("%s: no echo could be sent: %s", who, t.echo.Error)
	case t.echo.Received == 0:
		return fmt.Sprintf("%s: no answer to %d echoes", who, t.echo.Sent)
	}
	return fmt.Sprintf("%s: answers echoes in %s, %d of %d lost", who, milliseconds(t.echo.Best), t.echo.Sent-t.echo.Received, t.echo.Sent)
}
