package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/registry"
	"re6st/hw/nodedir"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	protocol "re6st/protocols/registry"
)

// joinSchema is the version of what join prints with --json.
const joinSchema = 1

func joinCommand() *cobra.Command {
	var dir, keyType string
	var force, noClock, asJSON bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "join LINE [-d DIR]",
		Short: "Make this machine a node of a network",
		Long: `Make this machine a node of a network: redeem the join line that the registry's
operator handed over, and keep the identity in DIR. Nothing is sent to a server whose
CA is not the one in the line. If it is interrupted, run it again with the same line.`,
		Example: `  re6st join 're6st://registry.example.net:6326/TOKEN#FINGERPRINT'`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			line, err := protocol.ParseJoinLine(args[0])
			if err != nil {
				return usageError{err}
			}
			d, err := nodedir.Create(dir)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			m, err := registry.Join(ctx, registry.Joining{
				Dir: d, Line: line, KeyType: cert.KeyType(keyType), Force: force, NoClock: noClock, Now: time.Now,
				Waiting: func(err error) { fmt.Fprintf(cmd.ErrOrStderr(), "%v; trying again\n", err) },
			})
			if err != nil {
				return err
			}
			return printMember(cmd, m, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&dir, "dir", "d", defaultDir(), "the node's folder; also $RE6ST_DIR")
	f.StringVar(&keyType, "key-type", string(cert.ECDSA), "of the node: ecdsa (P-256), rsa or ed25519")
	f.BoolVar(&force, "force", false, "replace the identity that is there")
	f.BoolVar(&noClock, "no-clock", false, "this device does not know the time: take the registry's word")
	f.DurationVar(&timeout, "timeout", time.Minute, "how long to try to reach the registry")
	f.BoolVar(&asJSON, "json", false, "one JSON object")
	return cmd
}

func printMember(cmd *cobra.Command, m *registry.Member, asJSON bool) error {
	network := m.Authority.Network
	address, err := addr.Address(network, m.Identity.Prefix)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), map[string]any{
			"version": joinSchema, "network": network, "prefix": m.Identity.Prefix, "id": m.Identity.ID, "address": address,
			"expires": m.Identity.Certificate.NotAfter,
		})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "joined %s as %s\n", address, m.Identity.Prefix.CN())
	return err
}
