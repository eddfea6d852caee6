package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"re6st/actors/monitor"
	"re6st/actors/node"
	"re6st/hw/clock"
	"re6st/hw/nodedir"
	"re6st/hw/process"
	"re6st/hw/throttle"
)

// nodeConfigFile is read from the node's folder where --config names no other.
const nodeConfigFile = "node.toml"

func nodeCommand() *cobra.Command {
	var dir, config string
	cmd := &cobra.Command{
		Use:   "node [-d DIR] [--config FILE]",
		Short: "Run this machine as a node",
		Long: `Run this machine as a node of the network that it joined. It opens sealed links to a
few peers, routes over them, and holds the node's addresses on a TUN. It needs root or
CAP_NET_ADMIN, and goes on when the registry is dead. TERM or INT stops it,
HUP has it read its configuration again (re6st reload).

Keys of the configuration, all optional (TOML):
  port            UDP port, 0 takes a free one             (7326)
  carriers        what links may go by: "udp", "quic",     ([]: all)
                  "tls"; the first that works, in this
                  order
  tls_port        TCP port that serves tls, 0: none        (443)
  interface       name of the TUN                          ("re6st0")
  mtu             of the TUN, in bytes                     (the network's)
  endpoints       more addresses that reach this node      ([])
  trusted         interfaces that speak Babel in the clear ([])
  babel_interface interfaces that speak Babel with those  ([])
                  who have a key (RFC 8967), and no other:
                  { name = "eth1", key = [{ id = "k1",
                  type = "hmac-sha256" or "blake2s128",
                  value = "HEX", password = "TEXT", or
                  value_file = "FILE" with HEX in it }] };
                  accept_bad = true takes what others say.
                  Named in trusted too, it needs no key. How
                  links there are judged: type = "wired",
                  "wireless" (lost Hellos, ETX) or "tunnel"
                  (round trip too, RFC 9616; of itself where
                  the interface is point-to-point), rxcost,
                  rtt_min_ms (10), rtt_max_ms (500), rtt_decay
                  (125 of 256), max_rtt_penalty (5000); how
                  they are spoken to: hello_interval_ms (the
                  network's), unicast = true
  lan             find nodes on this machine's LANs        (true)
  lan_interfaces  on these interfaces only                 ([]: all)
  gateway         offer this machine's IPv6 default route  (false)
                  to the mesh while it has one
  gateway_sources whom that is for, by source; "::/0" is   (the network's addresses)
                  everybody
  default_route   send what is for nowhere else into the   (false)
                  mesh, if its source is the mesh's
  plain_default   interfaces that speak Babel with routers ([])
                  which know no routes by source: their
                  default route is for all packets
  inbound         what the mesh may send here: "all",      ("all")
                  "established" from here, or "list"
  inbound_list    what else with "list", such as           ([])
                  "2001:db8:42::/48 tcp 22", "::/0 icmp",
                  "10.42.0.0/16 icmp"
  port_mapping    have the gateway map the port, by PCP,   (true)
                  NAT-PMP or UPnP
  remote_gateways routers on this machine's links, such as ([])
                  "192.0.2.1" or "fe80::1%eth1": peers that
                  it dials are reached through them by turns
  batches         have the kernel cut and join packets     (true)
                  (GSO, GRO); false where that is broken
  queues          of the TUN, and sockets of the port: how (0: half of the
                  many processors forward, up to 16        processors, 1 to 4)
  subnets         parts of the node's prefix for           ([])
                  interfaces of this machine, such as
                  { interface = "br0", length = 80 }, or
                  { interface = "br0", part = "PREFIX" };
                  of its share of IPv4, by part only
  origins         routes that no claim proves: "off" takes (the network's)
                  them as others, "prefer" where there is
                  no proven one, "require" does not
  tunnels         tunnels of both kernels that links go    ([]: over udp)
                  by where both ends have them, best
                  first: "gre", "fou", "wireguard", and
                  those of OpenVPN: "openvpn-udp",
                  "openvpn-tcp"
  tunnel_peer     other ones for a peer, such as           ([])
                  { prefix = "5/16", tunnels = ["fou"] };
                  with trusted = true what the two nodes
                  send each other goes by it unsealed, if
                  the peer says so too
  trusted_underlay  the same for tunnels between addresses ([])
                  of one network, such as "192.0.2.0/24"
  tunnel_port     the first of 64 ports for fou,           (free ones)
                  wireguard and openvpn
  openvpn         the program                              (as PATH has it)
  client_count    links to open                            (the network's)
  max_clients     links to accept                          (the network's)
  neighbours      peers to prefer: dialled first and kept; ([])
                  prefixes such as "6/16", ids, or names of
                  the file hosts in the folder
  country         the node's, such as "FR": see the        (none)
                  network's same_country
  shortcuts       links beside those to nodes with which   (4)
                  much is exchanged over several others;
                  0: none
  shortcut_kbit   how much that is, in kbit/s; a packet    (512)
                  counts for 256 bytes at least
  shortcut_idle   how long one carries less than a quarter ("2m")
                  of that before it is let go
  route_protocol  number on the node's kernel routes       (206)
  control_dir     where the control sockets lie            (/run/NAME for /var/lib/NAME, else DIR)
  control_group   who may use the read-only one            ("re6st" where there is such a group)
  mark            on packets that carry the mesh, 0: none  (0x72000000 + route_protocol)
  http            address of the loopback that serves a
                  live page, /metrics and /events, such as
                  "127.0.0.1:7327"                         (none)
  log             debug, info, warn or error               ("info")
  debug_faults    re6st debug fault may fail system calls  (false)
  debug_originate  prefixes to announce, whoever's they are, and
  debug_router_id  a router-id to do so under, for tests of claims (none)
  debug_metric    of the routes of others, whatever they cost, (the true one)
                  likewise
  debug_restart_window_ms  faults of an actor count together for so long, for tests (60000)`,
		Example: "  re6st node -d /var/lib/re6st\n  re6st node -d /var/lib/re6st --config /etc/re6st/node.toml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := readNodeConfig(dir, config)
			if err != nil {
				return err
			}
			return runNode(cmd.Context(), dir, c, func() (node.Config, error) { return readNodeConfig(dir, config) })
		},
	}
	f := cmd.Flags()
	f.StringVarP(&dir, "dir", "d", defaultDir(), "the node's folder, where it joined")
	f.StringVar(&config, "config", "", "configuration file (DIR/node.toml where it exists)")
	return cmd
}

// readNodeConfig reads the named file, or that of the folder if there is one.
func readNodeConfig(dir, file string) (node.Config, error) {
	if file != "" {
		return node.ReadConfig(file)
	}
	if d, err := nodedir.Open(dir); err == nil && d.Has(nodeConfigFile) {
		return node.ReadConfig(d.Path(nodeConfigFile))
	}
	return node.ParseConfig(nil)
}

func runNode(ctx context.Context, dir string, c node.Config, again func() (node.Config, error)) error {
	level := new(slog.LevelVar)
	level.Set(c.Log)
	logger := slog.New(throttle.Log(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}), clock.Real{}))
	stopping := context.AfterFunc(ctx, func() { notify(logger, stoppingState) })
	defer stopping()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	err := node.Run(ctx, node.Options{
		Dir: dir, Config: c, Logger: logger, Version: "re6st " + monitor.ReadBuild().Module, Ready: func() { ready(logger) },
		Watchdog:   node.Watchdog{Interval: process.WatchdogInterval(), Feed: func() { notify(logger, aliveState) }},
		ReadConfig: again, Reloads: hup, LogLevel: level,
	})
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w; run it as root or with CAP_NET_ADMIN", err)
	}
	return err
}

// ready tells the service manager, and gives back what only the start needed.
func ready(logger *slog.Logger) {
	notify(logger, readyState)
	if err := process.ReleaseImage(); err != nil {
		logger.Debug("the start's memory is kept", "err", err)
	}
}

// defaultDir is the node's folder where -d names no other.
func defaultDir() string {
	if dir := os.Getenv("RE6ST_DIR"); dir != "" {
		return dir
	}
	return "/var/lib/re6st"
}
