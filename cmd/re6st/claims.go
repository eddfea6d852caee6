package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
)

func claimsCommand() *cobra.Command {
	return view[monitor.Claims]{
		name:  "claims",
		short: "List what nodes have signed about their routes",
		long: `List what nodes have signed about the routes that they announce: their prefixes, and the
router-id that they announce them under. A prefix with a * is imported, from routers of any
id; one with a ! is refused, as neither certificate nor rights give it to the node.
What is made of routes that no claim proves is a parameter of the network, origins:
re6st status shows it.`,
		rows: claimRows,
	}.command()
}

func claimRows(a monitor.Claims, _ bool) [][]any {
	rows := [][]any{{"NODE", "PREFIX", "STATE", "ROUTER", "ENDS IN", "CLAIMED"}}
	for _, c := range a.Claims {
		var all []string
		for _, p := range c.Prefixes {
			text := p.Prefix.String()
			if p.AnyRouter {
				text += "*"
			}
			if slices.Contains(c.Refused, p.Prefix) {
				text += "!"
			}
			all = append(all, text)
		}
		rows = append(rows, []any{c.Node, c.Prefix.CN(), c.State, c.RouterID, quantity(span(c.Expires.Sub(a.Now))), orDash(strings.Join(all, " "))})
	}
	return rows
}

func originsLine(o monitor.Origins) string {
	return fmt.Sprintf("%s; %d claims, %d announcements refused", o.Policy, o.Claims, o.Barred)
}
