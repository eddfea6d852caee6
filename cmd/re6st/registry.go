package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"re6st/actors/registry"
	"re6st/actors/system"
	"re6st/hw/clock"
	"re6st/hw/throttle"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	protocol "re6st/protocols/registry"
)

// registrySchema is the version of what the commands below print with --json.
const registrySchema = 1

// defaultRegistryDir is the registry's folder where -d names no other.
const defaultRegistryDir = "/var/lib/re6st-registry"

// stopTimeout is how long the service may take to end.
const stopTimeout = 10 * time.Second

func registryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "registry",
		Short: "Make a network, serve its registry and look after it",
		Long: `Make a network, serve its registry and look after it.

The registry holds the network's CA, hands out prefixes and certificates to nodes
with a token, tells them of each other and signs the network's parameters. All of it
is in one SQLite database; the commands work while the service runs.`,
		Example: `  re6st registry init -d reg --network 2001:db8:42::/48
  re6st registry serve -d reg --advertise registry.example.net:6326
  re6st registry token -d reg -n 3`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	dir := new(string)
	for _, c := range []*cobra.Command{registryInit(dir), registryServe(dir), registryToken(dir), registryNodes(dir), registryRevoke(dir), registryRight(dir), registryParams(dir)} {
		c.PersistentFlags().StringVarP(dir, "dir", "d", defaultRegistryDir, "the registry's folder")
		cmd.AddCommand(c)
	}
	return cmd
}

func registryInit(dir *string) *cobra.Command {
	var network, keyType, advertise, ipv4 string
	var clients, share int
	var set []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "init [-d DIR] --network PREFIX",
		Short: "Make a new network",
		Example: `  re6st registry init -d reg --network 2001:db8:42::/48 --advertise registry.example.net:6326
  re6st registry init -d reg --network fd12:3456:789a::/48 --key-type ed25519 --set hello_interval=2s
  re6st registry init -d reg --network 2001:db8:42::/48 --ipv4 10.42.0.0/16`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := registry.Creation{KeyType: cert.KeyType(keyType), Now: time.Now(), Rand: rand.Reader}
			var err error
			if c.Network, err = netip.ParsePrefix(network); err != nil {
				return usageError{err}
			}
			if c.Advertise, err = hostPort(advertise); err != nil {
				return err
			}
			if cmd.Flags().Changed("client-count") {
				set = append([]string{fmt.Sprintf("client_count=%d", clients)}, set...)
			}
			if cmd.Flags().Changed("ipv4-share") {
				set = append([]string{fmt.Sprintf("ipv4_share=%d", share)}, set...)
			}
			if ipv4 != "" {
				set = append([]string{"ipv4=" + ipv4}, set...)
			}
			if c.Params, err = settings(set); err != nil {
				return err
			}
			s, err := registry.Create(cmd.Context(), *dir, c)
			if err != nil {
				return mistake(err)
			}
			defer s.Close()
			return printNetwork(cmd.OutOrStdout(), s.Authority(), asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&network, "network", "", "IPv6 prefix of the network, such as 2001:db8:42::/48")
	f.StringVar(&ipv4, "ipv4", "", "IPv4 `PREFIX` of which each node has a share, such as 10.42.0.0/16; none: no IPv4")
	f.IntVar(&share, "ipv4-share", protocol.DefaultIPv4Share, "length of a node's share of it")
	f.StringVar(&keyType, "key-type", string(cert.ECDSA), "of the CA: ecdsa (P-256), rsa or ed25519")
	f.StringVar(&advertise, "advertise", "", "HOST:PORT at which nodes will reach the registry")
	f.IntVar(&clients, "client-count", 0, "how many links a node opens (default 4)")
	f.StringArrayVar(&set, "set", nil, "KEY=VALUE of the network's parameters, see `params`")
	f.BoolVar(&asJSON, "json", false, "one JSON object")
	cobra.CheckErr(cmd.MarkFlagRequired("network"))
	return cmd
}

func printNetwork(w io.Writer, a *cert.Authority, asJSON bool) error {
	fingerprint := hex.EncodeToString(a.Fingerprint[:])
	if asJSON {
		return printJSON(w, map[string]any{"version": registrySchema, "network": a.Network, "fingerprint": fingerprint})
	}
	_, err := fmt.Fprintf(w, "made network %s\nCA fingerprint %s\n", a.Network, fingerprint)
	return err
}

func registryServe(dir *string) *cobra.Command {
	var listen, advertise string
	var level slog.Level
	cmd := &cobra.Command{
		Use:   "serve [-d DIR]",
		Short: "Serve the registry until a signal",
		Long: `Serve the registry until a signal. Nodes reach it by TLS on the address that is
advertised, which is kept in the database for join lines; it is the one bound if
nobody said another.`,
		Example: `  re6st registry serve -d reg --listen '[::]:6326' --advertise registry.example.net:6326`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			log := slog.New(throttle.Log(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}), clock.Real{}))
			cfg := registry.Config{Dir: *dir, Listen: listen, Emit: func(e registry.Event) {
				if l, ok := e.(registry.Listening); ok {
					fmt.Fprintf(out, "serving %s on %s, as %s\n", l.Network, l.Address, l.Advertise)
					notify(log, readyState)
				}
			}}
			var err error
			if cfg.Advertise, err = hostPort(advertise); err != nil {
				return err
			}
			stopping := context.AfterFunc(cmd.Context(), func() { notify(log, stoppingState) })
			defer stopping()
			return runActors(cmd.Context(), log, func(s *system.System) error {
				_, err := system.Spawn(s, "registry", registry.Spec(cfg))
				return err
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "[::]:6326", "ADDRESS:PORT to listen on (TCP)")
	f.StringVar(&advertise, "advertise", "", "HOST:PORT at which nodes reach it")
	f.TextVar(&level, "log", slog.LevelInfo, "debug, info, warn or error")
	return cmd
}

// runActors runs the actors that spawn starts until ctx ends, or one cannot go on.
func runActors(ctx context.Context, log *slog.Logger, spawn func(*system.System) error) error {
	s := system.New(system.Config{Logger: log})
	err := spawn(s)
	if err == nil {
		select {
		case <-ctx.Done():
		case <-s.Done():
			err = s.Err()
		}
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if stopped := s.Stop(limit); err == nil {
		err = stopped
	}
	return err
}

func registryToken(dir *string) *cobra.Command {
	var n, length int
	var life time.Duration
	var advertise string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "token [-d DIR]",
		Short: "Make join lines, each for one node",
		Long: `Make join lines, each for one node: where the registry is, a token that can be used
once, and the CA's fingerprint. Whoever has the line can join: hand it over as you
would a password.`,
		Example: `  re6st registry token -d reg
  re6st registry token -d reg -n 20 --ttl 1h --prefix-length 24`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if life <= 0 || n < 1 {
				return usageError{fmt.Errorf("--number %d, --ttl %v; both are greater than zero", n, life)}
			}
			s, err := registry.Open(cmd.Context(), *dir)
			if err != nil {
				return err
			}
			defer s.Close()
			at, err := hostPort(advertise)
			if err != nil {
				return err
			}
			if at == nil {
				known, err := s.Advertise(cmd.Context())
				if err != nil {
					return err
				}
				at = &known
			}
			expires := time.Now().Add(life).UTC().Truncate(time.Second)
			tokens, err := s.NewTokens(cmd.Context(), rand.Reader, n, length, expires)
			if err != nil {
				return mistake(err)
			}
			var lines []string
			for _, t := range tokens {
				lines = append(lines, protocol.JoinLine{HostPort: *at, Token: t, Fingerprint: s.Authority().Fingerprint}.String())
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"version": registrySchema, "expires": expires, "prefix_length": length, "join": lines})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.Join(lines, "\n"))
			return err
		},
	}
	f := cmd.Flags()
	f.IntVarP(&n, "number", "n", 1, "how many")
	f.IntVar(&length, "prefix-length", registry.DefaultPrefixLength, "bits of the node's prefix behind the network's")
	f.DurationVar(&life, "ttl", registry.DefaultTokenLife, "how long it can be used")
	f.StringVar(&advertise, "advertise", "", "HOST:PORT in the line, if not the one that is served")
	f.BoolVar(&asJSON, "json", false, "one JSON object")
	return cmd
}

// nodeRow is a node as `registry nodes --json` shows it.
type nodeRow struct {
	Prefix    addr.Bits        `json:"prefix"`
	Address   netip.Addr       `json:"address"`
	IPv4      netip.Prefix     `json:"ipv4,omitzero"`
	ID        addr.NodeID      `json:"id"`
	Joined    time.Time        `json:"joined"`
	Expires   time.Time        `json:"expires"`
	Seen      time.Time        `json:"seen,omitzero"`
	Endpoints []netip.AddrPort `json:"endpoints"`
	Revoked   time.Time        `json:"revoked,omitzero"`
	Reason    string           `json:"reason,omitempty"` // why it was revoked
}

func registryNodes(dir *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "nodes [-d DIR]",
		Short: "List the nodes: prefixes, ids, when and where last seen",
		Example: `  re6st registry nodes -d reg
  re6st registry nodes -d reg --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := registry.Open(cmd.Context(), *dir)
			if err != nil {
				return err
			}
			defer s.Close()
			nodes, err := s.Nodes(cmd.Context())
			if err != nil {
				return err
			}
			rows := make([]nodeRow, 0, len(nodes))
			for _, n := range nodes {
				address, err := addr.Address(s.Authority().Network, n.Prefix)
				if err != nil {
					return err
				}
				row := nodeRow{Prefix: n.Prefix, Address: address, IPv4: n.IPv4, ID: n.ID, Joined: n.Joined, Expires: n.Expires, Seen: n.Seen, Endpoints: n.Endpoints}
				if !n.Revoked.IsZero() {
					row.Revoked, row.Reason = n.Revoked, n.Reason.String()
				}
				rows = append(rows, row)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"version": registrySchema, "network": s.Authority().Network, "nodes": rows})
			}
			return printNodes(cmd.OutOrStdout(), rows)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	return cmd
}

func printNodes(w io.Writer, rows []nodeRow) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	anyIPv4 := slices.ContainsFunc(rows, func(r nodeRow) bool { return r.IPv4.IsValid() })
	fmt.Fprint(t, "PREFIX\tADDRESS\t")
	if anyIPv4 {
		fmt.Fprint(t, "IPV4\t")
	}
	fmt.Fprintln(t, "ID\tSTATE\tJOINED\tEXPIRES\tSEEN\tENDPOINTS")
	for _, r := range rows {
		seen, at, state, address := "never", "-", "member", r.Address.String()
		switch {
		case r.IPv4.IsValid():
			address += "\t" + r.IPv4.String()
		case anyIPv4:
			address += "\t-"
		}
		if !r.Revoked.IsZero() {
			state = "revoked"
		}
		if !r.Seen.IsZero() {
			seen = r.Seen.Format(time.RFC3339)
		}
		if len(r.Endpoints) > 0 {
			var all []string
			for _, e := range r.Endpoints {
				all = append(all, e.String())
			}
			at = strings.Join(all, " ")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Prefix.CN(), address, r.ID, state,
			r.Joined.Format(time.RFC3339), r.Expires.Format(time.DateOnly), seen, at)
	}
	return t.Flush()
}

func registryParams(dir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "params [-d DIR]",
		Short: "Show or change the network's parameters",
		Long: `Show or change the network's parameters. Each change makes a new version, numbered
and signed by the CA, which nodes fetch and pass on to each other. Running nodes take it
at once, but for mtu and classes, which they take when they restart. The limits may be
lower than what nodes are built for (re6st limits), not higher.`,
		Example: `  re6st registry params show -d reg
  re6st registry params set -d reg client_count=6 liveness.in_use=100ms`,
		Args: cobra.NoArgs,
	}
	show := paramsCommand(dir, "show [-d DIR]", "Show them", cobra.NoArgs, func(ctx context.Context, s *registry.Store, _ []string) (*protocol.SignedParams, error) {
		return s.Params(ctx)
	})
	show.Example = "  re6st registry params show -d reg --json"
	cmd.RunE = show.RunE
	cmd.Flags().AddFlagSet(show.Flags())
	set := paramsCommand(dir, "set [-d DIR] KEY=VALUE...", "Change some, and show them all", cobra.MinimumNArgs(1), func(ctx context.Context, s *registry.Store, args []string) (*protocol.SignedParams, error) {
		changes, err := settings(args)
		if err != nil {
			return nil, err
		}
		return s.SetParams(ctx, rand.Reader, changes)
	})
	set.Example = "  re6st registry params set -d reg client_count=6 liveness.in_use=100ms"
	cmd.AddCommand(show, set)
	return cmd
}

// paramsCommand prints the parameters that get returns.
func paramsCommand(dir *string, use, short string, args cobra.PositionalArgs, get func(context.Context, *registry.Store, []string) (*protocol.SignedParams, error)) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := registry.Open(cmd.Context(), *dir)
			if err != nil {
				return err
			}
			defer s.Close()
			p, err := get(cmd.Context(), s, args)
			if err != nil {
				return mistake(err)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"version": registrySchema, "params": p.Params})
			}
			all, err := p.Settings()
			if err != nil {
				return err
			}
			for _, v := range all {
				fmt.Fprintf(cmd.OutOrStdout(), "%s=%s\n", v.Key, v.Value)
			}
			for _, word := range args {
				if key, _, _ := strings.Cut(word, "="); protocol.TakesRestart(key) {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s is in force on a node after its restart\n", key)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	return cmd
}

// mistake is an error whose cause is a word of the command line, if it is one.
func mistake(err error) error {
	for _, kind := range []error{protocol.ErrParams, protocol.ErrLength, addr.ErrNetwork, cert.ErrKey} {
		if errors.Is(err, kind) {
			return usageError{err}
		}
	}
	return err
}

// hostPort reads the value of --advertise; nil for an empty one.
func hostPort(s string) (*protocol.HostPort, error) {
	if s == "" {
		return nil, nil
	}
	h, err := protocol.ParseHostPort(s)
	if err != nil {
		return nil, usageError{err}
	}
	return &h, nil
}

func settings(words []string) (all []protocol.Setting, err error) {
	for _, w := range words {
		s, err := protocol.ParseSetting(w)
		if err != nil {
			return nil, usageError{err}
		}
		all = append(all, s)
	}
	return all, nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
