package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
	"re6st/actors/registry"
	"re6st/hw/nodedir"
)

// renewTimeout is how long a renewal may take: each address of the registry is tried.
const renewTimeout = 2 * time.Minute

func renewCommand() *cobra.Command {
	var f nodeFlags
	var newKey bool
	cmd := &cobra.Command{
		Use:   "renew [-d DIR]",
		Short: "Renew the node's certificate now, or change its keys",
		Long: `Renew the node's certificate now, whether the node runs or not. A running node does so
by itself when a third of the certificate's life is left.

With --new-key the node gets new keys too, the certificate's and the static one; its id
and prefix stay. The old certificate is good until the registry sees the new one; then it
is put on the revocation list as superseded. A running node shows the new certificate at
once; its links stay up.`,
		Example: `  re6st renew
  re6st renew -d /var/lib/re6st --new-key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), renewTimeout)
			defer cancel()
			var answer monitor.Renewed
			err := f.client().Post(ctx, "renew", monitor.RenewRequest{NewKey: newKey}, &answer)
			if errors.Is(err, monitor.ErrNotRunning) && f.socket == "" {
				answer, err = renewAtRest(ctx, f.dir, newKey)
			}
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), answer)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "renewed until %s\n", answer.NotAfter.Format(time.RFC3339))
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&newKey, "new-key", false, "make new keys")
	return cmd
}

// renewAtRest renews the certificate of a node that does not run.
func renewAtRest(ctx context.Context, dir string, newKey bool) (answer monitor.Renewed, err error) {
	d, err := nodedir.Open(dir)
	if err != nil {
		return answer, fmt.Errorf("%w: %w", registry.ErrMember, err)
	}
	m, err := registry.LoadMember(d, time.Now())
	if err != nil {
		return answer, err
	}
	m, err = registry.Renew(ctx, registry.Renewing{
		Dir: d, Member: m, Client: registry.NewClient(m, nil, time.Now), NewKey: newKey, Now: time.Now,
	})
	if err != nil {
		return answer, err
	}
	c := m.Identity.Certificate
	answer.Header = monitor.Header{Version: monitor.Schema, Now: time.Now().UTC().Truncate(time.Second)}
	answer.Certificate = monitor.Certificate{Serial: c.SerialNumber.Text(16), NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC()}
	return answer, nil
}
