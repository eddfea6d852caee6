package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
)

func peersCommand() *cobra.Command {
	return view[monitor.Peers]{
		name:  "peers",
		short: "List the nodes that this one knows",
		long: `List the nodes that this one knows, linked or not: who told of them, whether a route
reaches them, when they were last known to be alive, and when they are dialled next.`,
		rows: peerRows,
	}.command()
}

func peerRows(a monitor.Peers, _ bool) [][]any {
	rows := [][]any{{"NODE", "PREFIX", "STATE", "REACHED", "SOURCE", "SEEN", "FAILED", "ENDPOINTS"}}
	for _, p := range a.Peers {
		state := p.State
		if p.Detail != "" {
			state += ", " + p.Detail
		}
		if p.NextDial.After(a.Now) {
			state = fmt.Sprintf("%s, dial in %s", state, span(p.NextDial.Sub(a.Now)))
		}
		var at []string
		for _, e := range p.Endpoints {
			at = append(at, e.String())
		}
		rows = append(rows, []any{
			p.Node, p.Prefix.CN(), state, yesNo(p.Reachable), p.Source, age(a.Now, p.Seen), p.Failures, orDash(strings.Join(at, " ")),
		})
	}
	return rows
}
