package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
)

// explainFlag gives `re6st routes` another thing to do.
func explainFlag(cmd *cobra.Command, f *nodeFlags) {
	var dest string
	cmd.Flags().StringVar(&dest, "explain", "", "tell why the route to `DEST` is the one it is, and how it changed")
	cmd.Example += "\n  re6st routes --explain 2001:db8:42:6::1"
	listRoutes := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case !cmd.Flags().Changed("explain"):
			return listRoutes(cmd, args)
		case cmd.Flags().Changed("watch"):
			return usageError{errors.New("--explain answers once: it goes without --watch")}
		}
		return explainRoute(cmd, f, dest)
	}
}

func explainRoute(cmd *cobra.Command, f *nodeFlags, dest string) error {
	l, err := f.labels(cmd.Context())
	if err != nil {
		return err
	}
	var q monitor.ExplainRequest
	if q.Dest, err = f.dest(dest); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
	defer cancel()
	var answer monitor.Explanation
	if err := f.client().Post(ctx, "explain", q, &answer); err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	if f.json {
		return printJSON(w, answer)
	}
	if len(answer.Destinations) == 0 {
		_, err := fmt.Fprintf(w, "no route to %s, nor to a prefix around it, and none of late\n", answer.Dest)
		return err
	}
	for i, d := range answer.Destinations {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := explainView(w, l, answer.Now, d); err != nil {
			return err
		}
	}
	return nil
}

// explainView shows one destination to people.
func explainView(w io.Writer, l *labels, now time.Time, d monitor.Destination) error {
	if _, err := fmt.Fprintln(w, l.in(headline(now, d))); err != nil {
		return err
	}
	if len(d.Candidates) > 0 {
		rows := [][]any{{"NEIGHBOR", "METRIC", "REFMETRIC", "COST", "SEQNO", "FEASIBLE", "WHY"}}
		for _, c := range d.Candidates {
			rows = append(rows, []any{c.Neighbor, metric(c.Metric), c.Refmetric, metric(c.Cost), c.Seqno, feasibility(c), why(c)})
		}
		if err := table(w, l.rows(rows)...); err != nil {
			return err
		}
	}
	if len(d.Changes) == 0 {
		return nil
	}
	rows := [][]any{{"AGO", "FROM", "TO", "REASON"}}
	for i := len(d.Changes) - 1; i >= 0; i-- {
		c := d.Changes[i]
		rows = append(rows, []any{age(now, c.Time), routeEnd(c.From), routeEnd(c.To), c.Reason})
	}
	return table(w, l.rows(rows)...)
}

// headline is a destination and its route in a line.
func headline(now time.Time, d monitor.Destination) string {
	name := d.Prefix.String()
	if d.Source.IsValid() {
		name += " from " + d.Source.String()
	}
	switch r := d.Route; {
	case r == nil:
		return name + ": no route"
	case d.Lost.After(now):
		return fmt.Sprintf("%s: lost, unreachable for %s yet", name, span(d.Lost.Sub(now)))
	case r.Via == "self":
		return fmt.Sprintf("%s: this node's own (%s), for %s", name, r.Origin, age(now, r.Since))
	case d.Locator:
		return fmt.Sprintf("%s, the locator of %s: by %s, metric %d, for %s", name, r.Egress, r.Via, r.Metric, age(now, r.Since))
	default:
		return fmt.Sprintf("%s: by %s, metric %d, sealed to %s, for %s", name, r.Via, r.Metric, orDash(egressOf(r)), age(now, r.Since))
	}
}

func egressOf(r *monitor.Route) string {
	if r.Egress.IsZero() {
		return ""
	}
	return r.Egress.String()
}

// metric is a number, or that it is infinite.
func metric(m uint16) quantity {
	if m == retracted {
		return "inf"
	}
	return quantity(fmt.Sprint(m))
}

// feasibility is below which (seqno, refmetric) a candidate would be feasible.
func feasibility(c monitor.Candidate) string {
	switch {
	case c.Distance == nil:
		return "yes, any is"
	case c.Feasible:
		return fmt.Sprintf("yes, below %d/%d", c.Distance.Seqno, c.Distance.Metric)
	}
	return fmt.Sprintf("not below %d/%d", c.Distance.Seqno, c.Distance.Metric)
}

// why is a verdict for people.
func why(c monitor.Candidate) string {
	asked := ""
	if c.Requested {
		asked = "; a newer seqno was asked for"
	}
	switch c.Verdict {
	case "kept":
		return "selected, though its last update is not feasible: the one before cannot make a circle" + asked
	case "own":
		return "this node announces the prefix itself"
	case "dead":
		return "the link is dead" + asked
	case "unfeasible":
		return "it might lead in a circle" + asked
	case "barred":
		return "its origin may not announce it: see re6st claims"
	case "unclaimed":
		return "no claim proves its origin, and one proves the selected one's"
	case "waiting":
		return fmt.Sprintf("better, but not for long enough: its smoothed metric is %d", c.Smoothed)
	case "worse":
		return "its metric is not smaller"
	}
	return c.Verdict + asked
}

// routeEnd is one end of a change.
func routeEnd(w *monitor.RouteWay) string {
	if w == nil {
		return "none"
	}
	return fmt.Sprintf("%s at %d", w.Neighbor, w.Metric)
}
