package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
)

func actorsCommand() *cobra.Command {
	return view[monitor.Actors]{
		name:  "actors",
		short: "List the node's actors",
		long: `List the node's actors: one for each peer or resource that may fail on its own. QUEUE is
how many messages wait for one, LAST FAULT why it last failed.`,
		rows: actorRows,
	}.command()
}

func actorRows(a monitor.Actors, _ bool) [][]any {
	rows := [][]any{{"ACTOR", "KIND", "STATE", "FOR", "RESTARTS", "QUEUE", "DROPPED", "LAST FAULT"}}
	for _, r := range a.Actors {
		fault := "-"
		if r.LastFault != "" {
			fault = fmt.Sprintf("%s ago, %s: %s", age(a.Now, r.FaultAt), r.FaultKind, r.LastFault)
		}
		rows = append(rows, []any{r.Path, r.Kind, r.State, age(a.Now, r.Since), r.Restarts, r.Mailbox, r.Dropped, fault})
	}
	return rows
}
