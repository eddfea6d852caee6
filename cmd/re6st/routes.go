package main

import (
	"github.com/spf13/cobra"

	"re6st/actors/monitor"
)

func routesCommand() *cobra.Command {
	return view[monitor.Routes]{
		name:  "routes",
		short: "List the node's routes",
		long: `List the routes that the node has selected. EGRESS is the node that opens what is sealed
for the route, VIA the next one on the way there; FROM the sources that a route is for.

With --explain they are not listed: it tells why the route to a prefix is the one it is, what
else there was, and how it changed of late. DEST is a prefix, an address, a node's prefix,
its id or its name; where it has no route of its own, that of the longest prefix around
it follows.`,
		rows: routeRows, more: explainFlag,
	}.command()
}

func routeRows(a monitor.Routes, _ bool) [][]any {
	rows := [][]any{{"PREFIX", "FROM", "TOPOLOGY", "EGRESS", "VIA", "METRIC", "ORIGIN", "AGE"}}
	for _, r := range a.Routes {
		from := "-"
		if r.Source.IsValid() {
			from = r.Source.String()
		}
		egress := "-"
		if !r.Egress.IsZero() {
			egress = r.Egress.String()
		}
		rows = append(rows, []any{r.Prefix, from, r.Topology, egress, r.Via, r.Metric, r.Origin, age(a.Now, r.Since)})
	}
	return rows
}
