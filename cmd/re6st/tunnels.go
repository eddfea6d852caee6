package main

import (
	"io"
	"net/netip"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
)

func tunnelsCommand() *cobra.Command {
	return view[monitor.Tunnels]{
		name:  "tunnels",
		short: "List the node's links",
		long: `List the node's sealed links: to whom, opened by which end, for how long, how far away
and how busy. NODES is how many nodes are routed through a link.`,
		show: showTunnels,
	}.command()
}

// remote is where a link leads; a dash before that is known.
func remote(at netip.AddrPort) string {
	if !at.IsValid() {
		return "-"
	}
	return at.String()
}

func showTunnels(w io.Writer, a monitor.Tunnels) error {
	rows := [][]any{{"LINK", "NODE", "PREFIX", "ROLE", "STATE", "AGE", "RTT", "NODES", "SENT", "RECEIVED", "DROPPED", "CIPHER", "REMOTE"}}
	for _, t := range a.Tunnels {
		rows = append(rows, []any{
			t.Link, t.Node, t.Prefix.CN(), t.Role, t.State, age(a.Now, t.Since), milliseconds(t.RTT), t.Destinations,
			size(t.Sent.Bytes), size(t.Received.Bytes), t.Dropped, orDash(t.Suite), remote(t.Remote),
		})
	}
	return table(w, rows...)
}
