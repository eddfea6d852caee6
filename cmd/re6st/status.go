package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
	"re6st/protocols/babel"
)

func statusCommand() *cobra.Command {
	return view[monitor.Status]{
		name:  "status",
		short: "Show how the node is",
		long: `Show how the node is: who it is, its links, what it reaches.
The exit code is 0, 3 if no node answers, or 4 if it is degraded
or its certificate was revoked; then the problems are listed. What a restart would change is noted.`,
		rows: statusRows,
		after: func(s monitor.Status) error {
			if s.State == monitor.Degraded || s.State == monitor.Revoked {
				return silentExit(exitDegraded)
			}
			return nil
		},
	}.command()
}

func statusRows(s monitor.Status, _ bool) [][]any {
	rows := [][]any{
		{"node", whole(s.Node)},
		{"prefix", s.Prefix.CN()},
		{"network", s.Network},
	}
	for _, a := range s.Addresses {
		rows = append(rows, []any{a.Class, a.Address})
	}
	if v := s.IPv4; v != nil && v.Share.IsValid() {
		rows = append(rows, []any{"ipv4", fmt.Sprintf("%s, share %s of %s", v.Address, v.Share, v.Range)})
	} else if v != nil {
		rows = append(rows, []any{"ipv4", fmt.Sprintf("no share of %s", v.Range)})
	}
	rows = append(rows, []any{"state", fmt.Sprintf("%s, started %s ago, process %d", s.State, age(s.Now, s.Started), s.PID)})
	for _, p := range s.Problems {
		rows = append(rows, []any{"problem", p})
	}
	for _, n := range s.Notices {
		rows = append(rows, []any{"notice", n})
	}
	for _, b := range s.Babel {
		rows = append(rows, []any{"babel", babelLine(b)})
	}
	rows = append(rows,
		[]any{"links", fmt.Sprintf("%d opened of %d, %d accepted of %d, %d on the LAN",
			s.Links.Opened, s.Links.ClientCount, s.Links.Accepted, s.Links.MaxClients, s.Links.LAN)},
		[]any{"reaches", fmt.Sprintf("%d nodes by %d routes", s.Reachable, s.Routes)},
		[]any{"parameters", fmt.Sprintf("number %d", s.Params)},
		[]any{"revocations", revocationsLine(s)},
		[]any{"certificate", certificateLine(s)},
		[]any{"origins", originsLine(s.Origins)},
		[]any{"registry", registryLine(s)},
		[]any{"nat", natLine(s)},
		[]any{"clock", s.Clock},
	)
	if q := s.Queues; q != nil {
		rows = append(rows, []any{"queues", fmt.Sprintf("%d of the TUN, %d sockets of the port", q.TUN, q.UDP)})
	}
	rows = append(rows, []any{"software", buildLine(s.Build)})
	return rows
}

// babelLine is an interface of the kernel that speaks Babel, with who is heard there.
func babelLine(b monitor.BabelInterface) string {
	parts := []string{b.Name}
	switch {
	case !b.Up:
		parts[0] += " is not there"
	case len(b.Neighbors) == 0:
		parts[0] += ", no neighbor"
	}
	for _, n := range b.Neighbors {
		text := fmt.Sprintf("%s at cost %d", n.Address, n.Cost)
		if n.Cost == babel.Infinity {
			text = fmt.Sprintf("%s, out of reach", n.Address)
		}
		if n.RTT > 0 {
			text += fmt.Sprintf(", round trip %.2f ms", n.RTT)
		}
		if n.Key != "" {
			text += ", proven by key " + n.Key
		} else if len(b.Keys) > 0 {
			text += ", not proven"
		}
		parts = append(parts, text)
	}
	if len(b.Keys) == 0 {
		parts = append(parts, "without keys")
	}
	judged := "refused"
	if b.AcceptBad {
		judged = "accepted by accept_bad"
	}
	for _, reason := range slices.Sorted(maps.Keys(b.Refused)) {
		parts = append(parts, fmt.Sprintf("%d packets %s: %s", b.Refused[reason], judged, reason))
	}
	return strings.Join(parts, "; ")
}

func revocationsLine(s monitor.Status) string {
	if s.CRL == 0 {
		return "none heard of"
	}
	return fmt.Sprintf("list %d", s.CRL)
}

func certificateLine(s monitor.Status) string {
	if left := s.Certificate.NotAfter.Sub(s.Now); left > 0 {
		return fmt.Sprintf("until %s, %s left", s.Certificate.NotAfter.Format(time.DateOnly), span(left))
	}
	return "ended " + s.Certificate.NotAfter.Format(time.RFC3339)
}

func natLine(s monitor.Status) string {
	if m := s.Mapping; m != nil {
		return fmt.Sprintf("%s; %s reaches this node, by %s of %s", s.NAT, m.External, m.Protocol, m.Gateway)
	}
	return s.NAT
}

func registryLine(s monitor.Status) string {
	r := s.Registry
	switch {
	case r.Asked.IsZero():
		return r.URL + ", not asked yet"
	case r.Error != "":
		return fmt.Sprintf("%s, asked %s ago: %s", r.URL, age(s.Now, r.Asked), r.Error)
	}
	return fmt.Sprintf("%s, asked %s ago", r.URL, age(s.Now, r.Asked))
}
