package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/registry"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
)

func registryRevoke(dir *string) *cobra.Command {
	var reason string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "revoke -d DIR NODE",
		Short: "Take a node out of the network for good",
		Long: `Take a node out of the network for good. NODE is its id, or its prefix such as 5/16.

Its certificates go on the network's revocation list, which is numbered and signed by
the CA. The nodes that reach the registry have it at once, and pass it on to those
that do not: each closes its links and sessions with the node, drops its routes and
refuses it from then on. Its keys get no certificate any more. Its prefix is free
again when the last of its certificates has ended.

This cannot be undone. The machine can join again as another node: with a new join
line, and join --force.`,
		Example: `  re6st registry revoke -d reg 5/16 --reason key-compromise
  re6st registry revoke -d reg 6f1c2b9a00d3e871`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			why, err := cert.ParseReason(reason)
			if err != nil {
				return usageError{err}
			}
			s, err := registry.Open(cmd.Context(), *dir)
			if err != nil {
				return err
			}
			defer s.Close()
			n, err := findNode(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			list, err := s.Revoke(cmd.Context(), rand.Reader, n.ID, why, time.Now())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, map[string]any{
					"version": registrySchema, "prefix": n.Prefix, "id": n.ID, "reason": reason, "crl": list.Number, "revoked_nodes": len(list.Nodes()),
				})
			}
			_, err = fmt.Fprintf(out, "revoked %s %s: revocation list %d\n", n.Prefix.CN(), n.ID, list.Number)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&reason, "reason", cert.Unspecified.String(), "key-compromise, cessation-of-operation, privilege-withdrawn or unspecified")
	f.BoolVar(&asJSON, "json", false, "one JSON object")
	return cmd
}

// findNode is the node of an id or a prefix.
func findNode(ctx context.Context, s *registry.Store, name string) (registry.Node, error) {
	id, noID := addr.ParseNodeID(name)
	prefix, noPrefix := addr.ParseCN(name)
	if noID != nil && noPrefix != nil {
		return registry.Node{}, usageError{fmt.Errorf("%q is neither a node id, such as 6f1c2b9a00d3e871, nor a prefix, such as 5/16", name)}
	}
	nodes, err := s.Nodes(ctx)
	if err != nil {
		return registry.Node{}, err
	}
	for _, n := range nodes {
		if noID == nil && n.ID == id || noPrefix == nil && n.Prefix == prefix {
			return n, nil
		}
	}
	return registry.Node{}, fmt.Errorf("%w as %s; `re6st registry nodes` lists them", registry.ErrNoNode, name)
}
