package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"re6st/actors/registry"
	"re6st/protocols/addr"
	protocol "re6st/protocols/registry"
)

func registryRight(dir *string) *cobra.Command {
	var gateway, none, asJSON bool
	var imports []string
	cmd := &cobra.Command{
		Use:   "right -d DIR NODE",
		Short: "Say what a node may announce beside its own prefixes",
		Long: `Say what a node may announce beside its own prefixes, in place of what it might before;
without a flag, show it. NODE is its id, or its prefix such as 5/16.

Rights are network parameters: a new version of these is signed, and running nodes take
it at once. What they are for, see origins there: with "require" a route counts only if
its node has proved that it may announce it, with "prefer" (the default) one that nobody
has proved, and nobody contradicts, counts where there is no other.`,
		Example: `  re6st registry right -d reg 5/16 --gateway
  re6st registry right -d reg 6f1c2b9a00d3e871 --import 2001:db8:77::/48 --import 192.0.2.0/24
  re6st registry right -d reg 5/16 --none
  re6st registry params set -d reg origins=require`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			right := protocol.Right{Gateway: gateway}
			for _, text := range imports {
				p, err := netip.ParsePrefix(text)
				if err != nil {
					return usageError{err}
				}
				right.Import = append(right.Import, p)
			}
			if none && !right.IsZero() {
				return usageError{errors.New("--none goes with no other right")}
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
			right.Node = n.ID
			p, err := setRight(cmd.Context(), s, right, none)
			if err != nil {
				return mistake(err)
			}
			return printRight(cmd.OutOrStdout(), n.Prefix, p.RightOf(n.ID), p.Number, asJSON)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&gateway, "gateway", false, "the default route: this node is a way out of the mesh")
	f.StringArrayVar(&imports, "import", nil, "a `PREFIX` that it has from elsewhere, such as from babeld, and what lies in it")
	f.BoolVar(&none, "none", false, "nothing any more")
	f.BoolVar(&asJSON, "json", false, "one JSON object")
	return cmd
}

// setRight is the parameters with a right in them, or as they are where nothing is said.
func setRight(ctx context.Context, s *registry.Store, right protocol.Right, none bool) (*protocol.SignedParams, error) {
	if right.IsZero() && !none {
		return s.Params(ctx)
	}
	return s.SetRight(ctx, rand.Reader, right)
}

func printRight(w io.Writer, prefix addr.Bits, r protocol.Right, number uint64, asJSON bool) error {
	if asJSON {
		imports := append([]netip.Prefix{}, r.Import...)
		return printJSON(w, map[string]any{
			"version": registrySchema, "prefix": prefix, "id": r.Node, "gateway": r.Gateway, "import": imports, "params": number,
		})
	}
	words := []string{}
	if r.Gateway {
		words = append(words, "gateway")
	}
	for _, p := range r.Import {
		words = append(words, "import "+p.String())
	}
	if len(words) == 0 {
		words = append(words, "its own prefixes only")
	}
	_, err := fmt.Fprintf(w, "%s %s: %s (parameters %d)\n", prefix.CN(), r.Node, strings.Join(words, ", "), number)
	return err
}
