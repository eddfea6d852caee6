package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
)

func tunnelsCommand() *cobra.Command {
	return view[monitor.Tunnels]{
		name:  "tunnels",
		short: "List the node's links",
		long: `List the node's sealed links: to whom, opened by which end, for how long, how far away
and how busy. NODES is how many nodes are routed through a link, LOSS how many of its probes of
the last minute had no answer, MTU the longest datagram in bytes that its path carries, without
UDP and IP, as probes found out. BY is what it goes by; where that is trusted, what the two nodes
send each other goes by it as it is, and is not counted here. Behind REMOTE stands the one of
remote_gateways by which the link goes, if any. With --watch OUT and IN are what it carried since the last look,
a second.`,
		rows:  tunnelRows,
		since: tunnelRates,
	}.command()
}

// remote is where a link leads; a dash before that is known.
func remote(at netip.AddrPort) string {
	if !at.IsValid() {
		return "-"
	}
	return at.String()
}

// via is the one of remote_gateways by which a link goes, behind where it leads.
func via(gateway string) string {
	if gateway == "" {
		return ""
	}
	return " via " + gateway
}

func tunnelRows(a monitor.Tunnels, watched bool) [][]any {
	busy := []any{"SENT", "RECEIVED"}
	if watched {
		busy = []any{"OUT", "PACKETS", "IN", "PACKETS"}
	}
	rows := [][]any{slices.Concat([]any{"LINK", "NODE", "PREFIX", "ROLE", "STATE", "AGE", "RTT", "LOSS", "MTU", "NODES"}, busy, []any{"DROPPED", "CIPHER", "BY", "REMOTE"})}
	for _, t := range a.Tunnels {
		busy := []any{size(t.Sent.Bytes), size(t.Received.Bytes)}
		if watched {
			busy = append(rateCells(t.SentRate), rateCells(t.ReceivedRate)...)
		}
		rows = append(rows, slices.Concat(
			[]any{t.Link, t.Node, t.Prefix.CN(), role(t), t.State, age(a.Now, t.Since), milliseconds(t.RTT), loss(t.Loss), datagram(t.MTU), t.Destinations},
			busy,
			[]any{t.Dropped, orDash(t.Suite), orDash(by(t)), remote(t.Remote) + via(t.Gateway)},
		))
	}
	return rows
}

// loss is that of a link's probes, for people.
func loss(l *monitor.Loss) quantity {
	if l == nil || l.Probes == 0 {
		return "-"
	}
	return quantity(fmt.Sprintf("%.3g %%", 100*float64(l.Lost)/float64(l.Probes)))
}

// datagram is the longest that a link carries, for people.
func datagram(mtu int) quantity {
	if mtu == 0 {
		return "-"
	}
	return quantity(strconv.Itoa(mtu))
}

// by is what a link goes by.
func by(t monitor.Tunnel) string {
	if t.Trusted {
		return t.Tunnel + " trusted"
	}
	return cmp.Or(t.Tunnel, t.Carrier)
}

// role is by which end a link was opened, and whether for the traffic with the node only.
func role(t monitor.Tunnel) string {
	if t.Shortcut {
		return t.Role + " shortcut"
	}
	return t.Role
}

// rateCells are bytes and packets a second; dashes where there was no look before.
func rateCells(r *monitor.Rate) []any {
	if r == nil {
		return []any{quantity("-"), quantity("-")}
	}
	return []any{size(uint64(r.Bytes)) + "/s", quantity(fmt.Sprintf("%.0f/s", r.Packets))}
}

// tunnelRates are those of the links that were there before.
func tunnelRates(before, answer *monitor.Tunnels, d time.Duration) {
	old := map[uint32]monitor.Tunnel{}
	for _, t := range before.Tunnels {
		old[t.Link] = t
	}
	for i := range answer.Tunnels {
		t := &answer.Tunnels[i]
		if o, ok := old[t.Link]; ok && o.Since.Equal(t.Since) {
			t.SentRate, t.ReceivedRate = rate(o.Sent, t.Sent, d), rate(o.Received, t.Received, d)
		}
	}
}

// rate is nil where the counters began anew.
func rate(before, now monitor.Traffic, d time.Duration) *monitor.Rate {
	if d <= 0 || now.Bytes < before.Bytes || now.Packets < before.Packets {
		return nil
	}
	return &monitor.Rate{
		Packets: float64(now.Packets-before.Packets) / d.Seconds(), Bytes: float64(now.Bytes-before.Bytes) / d.Seconds(),
	}
}
