package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
	"re6st/actors/netcheck"
	"re6st/hw/doctor"
	protocol "re6st/protocols/netcheck"
)

// netcheckSchema is the version of what `re6st netcheck --json` prints.
const netcheckSchema = 1

// examination is what `re6st netcheck --json` prints.
type examination struct {
	Version  int              `json:"version"`
	Now      time.Time        `json:"now"`
	Outcome  netcheck.Outcome `json:"outcome"` // ok, degraded or failed
	Facts    protocol.Facts   `json:"facts"`
	Findings []doctor.Finding `json:"findings"`
}

func netcheckCommand() *cobra.Command {
	var f nodeFlags
	var s subject
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "netcheck",
		Short: "Examine what the network lets through",
		Long: `Examine what the network of this machine lets through: addresses and default routes, the
registry's name, the registry and its clock, UDP to other nodes and the largest packet that passes to
each, QUIC and TLS where UDP does not pass, the NAT that they see, and what the gateway would map. Each lack comes with its cure.

No node has to run. Where one does it is asked whom it knows; else the nodes are those that the folder
DIR remembers. Elsewhere, --registry or --peer name whom to ask; nodes answer those only who know the
fingerprint of the network's CA, which the folder has, a join line, or the registry when it is asked.
Nothing is changed: the gateway is asked what it speaks, and maps nothing.

LARGEST is the longest IP packet that came through, of 1500 bytes at most, SEEN AT is from where a node
sees this machine. The exit code is 0, 4 where something lacks, or 1 where nobody of the network is
reached.`,
		Example: "  re6st netcheck\n  re6st netcheck --registry registry.example:6326\n" +
			"  re6st netcheck --peer 192.0.2.7:7326 --peer 198.51.100.9:7326 --json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout <= 0 {
				return usageError{fmt.Errorf("timeout %v: it must be more than 0", timeout)}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			e, err := examineNetwork(ctx, &f, s)
			if err != nil {
				return err
			}
			if f.json {
				err = printJSON(cmd.OutOrStdout(), e)
			} else {
				err = showExamination(cmd.OutOrStdout(), e)
			}
			if err != nil {
				return err
			}
			return verdict(e.Outcome)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&s.registry, "registry", "", "`HOST:PORT` of a registry, or a join line, in place of the node's")
	cmd.Flags().StringArrayVar(&s.peers, "peer", nil, "`HOST:PORT` of a node to ask too; may be repeated")
	cmd.Flags().StringVar(&s.fingerprint, "fingerprint", "", "of the network's CA, where neither folder nor registry tells it")
	cmd.Flags().DurationVarP(&timeout, "timeout", "W", 30*time.Second, "how long all of it may take")
	return cmd
}

// verdict is the exit code of an outcome.
func verdict(o netcheck.Outcome) error {
	switch o {
	case netcheck.Failed:
		return silentExit(exitFailed)
	case netcheck.Degraded:
		return silentExit(exitDegraded)
	case netcheck.Well:
	}
	return nil
}

// showExamination writes the findings, and what became of each node's address.
func showExamination(w io.Writer, e examination) error {
	for _, f := range e.Findings {
		if _, err := io.WriteString(w, findingText(f)); err != nil {
			return err
		}
	}
	if len(e.Facts.Peers) > 0 {
		rows := [][]any{{"NODE", "ADDRESS", "LINK", "RTT", "LARGEST", "SEEN AT", "QUIC", "TLS"}}
		for _, p := range e.Facts.Peers {
			rows = append(rows, peerRow(p))
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := table(w, rows...); err != nil {
			return err
		}
	}
	text := map[netcheck.Outcome]string{
		netcheck.Well: "all is well", netcheck.Degraded: "it works, and something lacks", netcheck.Failed: "nobody of the network is reached",
	}[e.Outcome]
	_, err := fmt.Fprintf(w, "\n%s: %d examined, %d lacking\n", text, len(e.Findings), doctor.Count(e.Findings, doctor.Lack))
	return err
}

func peerRow(p protocol.Peer) []any {
	node, largest := "-", quantity("-")
	if p.Node != nil {
		node = p.Node.String()
	}
	switch {
	case p.Largest > 0:
		largest = quantity(fmt.Sprint(p.Largest))
	case p.TooBig > 0:
		largest = quantity(fmt.Sprintf("< %d", p.TooBig))
	}
	rtt := milliseconds(p.RTT)
	if !p.Answered {
		rtt = quantity(orDash(p.Refusal))
	}
	return []any{node, p.Address, yesNo(p.Linked), rtt, largest, remote(p.Seen), yesNo(p.QUIC), yesNo(p.TLS)}
}

// examinationOf judges facts, with what else was found.
func examinationOf(facts protocol.Facts, more ...doctor.Finding) examination {
	findings, outcome := netcheck.Judge(facts)
	findings = append(findings, more...)
	if outcome == netcheck.Well && doctor.Count(findings, doctor.Lack) > 0 {
		outcome = netcheck.Degraded
	}
	return examination{netcheckSchema, time.Now().UTC(), outcome, facts, findings}
}

// meshOf are the mesh's own addresses, which say nothing of the network below.
func meshOf(s *monitor.Status) []netip.Prefix {
	if s == nil {
		return nil
	}
	mesh := []netip.Prefix{s.Network}
	if s.IPv4 != nil {
		mesh = append(mesh, s.IPv4.Range)
	}
	return mesh
}

func parseFingerprint(text string) (f [32]byte, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(f) {
		return f, usageError{fmt.Errorf("fingerprint %q is not %d hexadecimal digits", text, 2*len(f))}
	}
	return [32]byte(b), nil
}
