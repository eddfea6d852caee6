package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
	"re6st/actors/neighbor"
	"re6st/actors/node"
	"re6st/actors/registry"
	"re6st/actors/system"
	tracing "re6st/actors/trace"
	"re6st/actors/tunnel"
	"re6st/hw/carrier"
	"re6st/hw/dataplane"
	"re6st/hw/ktunnel"
	"re6st/hw/nodedir"
	"re6st/hw/openvpn"
	"re6st/hw/sock"
	"re6st/hw/throttle"
	"re6st/hw/tun"
	"re6st/protocols/babel"
	"re6st/protocols/cert"
	"re6st/protocols/claim"
	"re6st/protocols/discovery"
	"re6st/protocols/fabric"
	"re6st/protocols/firsthop"
	"re6st/protocols/inbound"
	"re6st/protocols/limit"
	"re6st/protocols/nat"
	"re6st/protocols/netcheck"
	"re6st/protocols/peer"
	protocol "re6st/protocols/registry"
	"re6st/protocols/rib"
	"re6st/protocols/trace"
	"re6st/protocols/tunnelplan"
)

// limitsSchema is the version of what `re6st limits --json` prints.
const limitsSchema = 1

// limitsOf is the limits of one package.
type limitsOf struct {
	Package string        `json:"package"`
	Limits  []limit.Limit `json:"limits"`
}

// allLimits are those of a node and of a registry, from the inside to the outside.
func allLimits() []limitsOf {
	return []limitsOf{
		{"protocols/fabric", fabric.Limits()},
		{"protocols/cert", cert.Limits()},
		{"protocols/babel", babel.Limits()},
		{"protocols/rib", rib.Limits()},
		{"protocols/claim", claim.Limits()},
		{"protocols/tunnelplan", tunnelplan.Caps()},
		{"protocols/firsthop", firsthop.Limits()},
		{"protocols/peer", peer.Limits()},
		{"protocols/discovery", discovery.Limits()},
		{"protocols/nat", nat.Limits()},
		{"protocols/netcheck", netcheck.Limits()},
		{"protocols/inbound", inbound.Limits()},
		{"protocols/trace", trace.Limits()},
		{"protocols/registry", protocol.Caps()},
		{"hw/dataplane", dataplane.Limits()},
		{"hw/carrier", carrier.Limits()},
		{"hw/sock", sock.Limits()},
		{"hw/tun", tun.Limits()},
		{"hw/ktunnel", ktunnel.Limits()},
		{"hw/nodedir", nodedir.Limits()},
		{"hw/openvpn", openvpn.Limits()},
		{"hw/throttle", throttle.Limits()},
		{"actors/system", system.Limits()},
		{"actors/neighbor", neighbor.Limits()},
		{"actors/node", node.Limits()},
		{"actors/tunnel", tunnel.Caps()},
		{"actors/trace", tracing.Limits()},
		{"actors/monitor", monitor.Limits()},
		{"actors/registry", registry.Bounds()},
	}
}

func limitsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "limits [PACKAGE...]",
		Short: "List the limits of nodes and registries, with their numbers",
		Long: `List what bounds the cost that others can cause, with its number, for whom it holds, and what
becomes of what goes beyond. PACKAGE names where in the source a limit is. Limits of the network, such as
client_count, are parameters: see re6st registry params.`,
		Example: "  re6st limits\n  re6st limits protocols/fabric --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			all := allLimits()
			if len(args) > 0 {
				all = slices.DeleteFunc(all, func(l limitsOf) bool { return !slices.Contains(args, l.Package) })
			}
			if len(all) == 0 {
				return usageError{fmt.Errorf("no limits of %s; re6st limits lists them all", strings.Join(args, " "))}
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(struct {
					Version  int        `json:"version"`
					Packages []limitsOf `json:"packages"`
				}{limitsSchema, all})
			}
			return showLimits(cmd.OutOrStdout(), all)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func showLimits(w io.Writer, all []limitsOf) error {
	rows := [][]any{{"LIMIT", "NUMBER", "PER", "BEYOND", "IN"}}
	for _, p := range all {
		for _, l := range p.Limits {
			rows = append(rows, []any{l.Name, strconv.FormatFloat(l.Value, 'f', -1, 64) + " " + l.Unit, l.Per, l.Beyond, p.Package})
		}
	}
	return table(w, rows...)
}
