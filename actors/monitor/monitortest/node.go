package monitortest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"re6st/actors/monitor"
	"re6st/actors/system"
	"re6st/hw/clock"
	"re6st/hw/dataplane"
	"re6st/hw/fault"
	"re6st/hw/sock"
	"re6st/protocols/addr"
)

// Now is when the made-up node answers.
var Now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Build is what the made-up node was built from.
var Build = monitor.Build{Module: "v0.1.0", Revision: "0123456789abcdef0123456789abcdef01234567", Go: "go1.26.0"}

// Sample is the made-up node: three others, two links.
func Sample() monitor.Sources {
	return monitor.Sources{Status: status, Peers: peers, Tunnels: tunnels, Routes: routes, Claims: claims, Vitals: vitals}
}

// DegradedSample is Sample of a node with a full disk.
func DegradedSample() monitor.Sources {
	s := Sample()
	s.Status = func() monitor.Status {
		st := status()
		st.State, st.Problems = monitor.Degraded, []string{"the disk is full: what was learned since 03:00:00 is lost at a restart"}
		st.Registry.Error = "no route to host"
		return st
	}
	return s
}

func id(n uint64) addr.NodeID { return addr.NodeIDFromUint64(n) }

func prefix(cn string) addr.Bits {
	b, err := addr.ParseCN(cn)
	if err != nil {
		panic(err)
	}
	return b
}

func endpoints(all ...string) (out []netip.AddrPort) {
	for _, s := range all {
		out = append(out, netip.MustParseAddrPort(s))
	}
	return out
}

func ago(d time.Duration) time.Time { return Now.Add(-d) }

// status has the loopback address, so that it can be pinged on any host.
func status() monitor.Status {
	return monitor.Status{
		Node: id(0xa1), Prefix: prefix("5/16"), Network: netip.MustParsePrefix("2001:db8:42::/48"),
		Addresses: []monitor.Address{{Class: "general", Address: netip.IPv6Loopback()}},
		State:     monitor.Running, Started: ago(26 * time.Hour),
		Links:     monitor.Links{Opened: 1, ClientCount: 10, Accepted: 1, MaxClients: 20},
		Reachable: 3, Routes: 4, Params: 7, CRL: 3, PID: 4711, Queues: &monitor.Queues{TUN: 2, UDP: 2},
		Certificate: monitor.Certificate{Serial: "1f", NotBefore: Now.AddDate(0, -1, 0), NotAfter: Now.AddDate(0, 11, 0)},
		Origins:     monitor.Origins{Policy: "prefer", Claims: 2, Barred: 3},
		Registry:    monitor.Registry{URL: "http://registry.example:9080", Asked: ago(90 * time.Second)}, NAT: "random",
		Mapping: &monitor.Mapping{External: netip.MustParseAddrPort("203.0.113.1:7326"), Protocol: "PCP", Gateway: netip.MustParseAddr("192.168.1.1")}, Clock: "synchronised",
		Babel: []monitor.BabelInterface{{
			Name: "eth1", Up: true, Keys: []string{"k1 (hmac-sha256)"}, Refused: map[string]uint64{"no key fits": 3, "no MAC": 12},
			Neighbors: []monitor.BabelNeighbor{{Address: netip.MustParseAddr("fe80::1"), Cost: 96, Key: "k1"}},
		}, {Name: "eth2", Up: true, Neighbors: []monitor.BabelNeighbor{{Address: netip.MustParseAddr("fe80::2"), Cost: 65535}}}, {Name: "eth3"}},
	}
}

func peers() []monitor.Peer {
	return []monitor.Peer{
		{
			Node: id(0xb2), Prefix: prefix("6/16"), Source: "direct", State: "linked", Reachable: true, Seen: Now,
			Endpoints: endpoints("192.0.2.6:326", "[2001:db8::6]:326"), Software: "re6st v0.1.0",
		},
		{
			Node: id(0xc3), Prefix: prefix("7/16"), Source: "gossip", State: "linked", Reachable: true, Seen: Now,
			Endpoints: endpoints("198.51.100.7:4000"),
		},
		{
			Node: id(0xd4), Prefix: prefix("1/3"), Source: "remembered", State: "idle", Detail: "both behind random NAT", Seen: ago(50 * time.Hour),
			Failures: 9, NextDial: Now.Add(4 * time.Minute), Endpoints: endpoints("203.0.113.8:326"),
		},
	}
}

func tunnels() []monitor.Tunnel {
	return []monitor.Tunnel{
		{
			Link: 1, Node: id(0xb2), Prefix: prefix("6/16"), Role: "opened", State: "up", Since: ago(3 * time.Hour),
			Remote: netip.MustParseAddrPort("192.0.2.6:326"), Gateway: "198.51.100.1", Carrier: "udp", Tunnel: "wireguard", Trusted: true, Suite: "AESGCM", RTT: 12345, Loss: &monitor.Loss{Probes: 300, Lost: 6}, MTU: 1472,
			Sent: monitor.Traffic{Packets: 1000, Bytes: 1234567}, Received: monitor.Traffic{Packets: 900, Bytes: 987}, Destinations: 2,
			ControlSent: map[string]monitor.Traffic{"babel": {Packets: 20, Bytes: 2400}, "probe": {Packets: 300, Bytes: 12300}},
		},
		{
			Link: 2, Node: id(0xc3), Prefix: prefix("7/16"), Role: "accepted", State: "draining", Since: ago(75 * time.Second),
			Remote: netip.MustParseAddrPort("[2001:db8::7]:40000"), Carrier: "tls", Suite: "ChaChaPoly", RTT: 870, Dropped: 3, Destinations: 1,
		},
	}
}

func routes() []monitor.Route {
	general := netip.MustParsePrefix("2001:db8:42:6::/64")
	return []monitor.Route{
		{Prefix: netip.MustParsePrefix("::/0"), Source: netip.MustParsePrefix("2001:db8:42::/48"), Egress: id(0xc3), Via: id(0xc3).String(), Metric: 128, Origin: "babel", Since: ago(time.Minute)},
		{Prefix: netip.MustParsePrefix("2001:db8:42:5::/64"), Egress: id(0xa1), Via: "self", Origin: "local", Since: ago(26 * time.Hour)},
		{Prefix: general, Egress: id(0xb2), Via: id(0xb2).String(), Metric: 96, Origin: "babel", Since: ago(3 * time.Hour)},
		{Prefix: general, Topology: 2, Egress: id(0xb2), Via: "eth1", Metric: 300, Origin: "babel", Since: ago(30 * time.Second)},
	}
}

func claims() []monitor.Claim {
	own, sixth := netip.MustParsePrefix("2001:db8:42:5::/64"), netip.MustParsePrefix("2001:db8:42:6::/64")
	return []monitor.Claim{
		{
			Node: id(0xa1), Prefix: prefix("5/16"), RouterID: "0102030405060708", Sequence: 1767323045000, Expires: Now.AddDate(0, 11, 0), State: "own",
			Prefixes: []monitor.ClaimedPrefix{{Prefix: own, AnyRouter: true}},
		},
		{
			Node: id(0xb2), Prefix: prefix("6/16"), RouterID: "1112131415161718", Sequence: 1767323045001, Expires: Now.Add(36 * time.Hour), State: "excessive",
			Prefixes: []monitor.ClaimedPrefix{{Prefix: sixth}, {Prefix: own}}, Refused: []netip.Prefix{own},
		},
	}
}

// reload finds a key that is in force and one that takes a restart.
func reload() ([]monitor.Change, error) {
	return []monitor.Change{
		{Key: "port", Old: "7326", New: "9000"},
		{Key: "client_count", Old: "0", New: "3", Applied: true},
	}, nil
}

func vitals() monitor.Vitals {
	return monitor.Vitals{
		Path: dataplane.Stats{
			Ingress: dataplane.Count{Packets: 1000, Bytes: 1_400_000}, Egress: dataplane.Count{Packets: 900, Bytes: 987},
			Relayed: dataplane.Count{Packets: 70, Bytes: 4900}, Waiting: dataplane.Count{Packets: 2, Bytes: 2600},
			Drops: map[dataplane.Reason]uint64{dataplane.DropForged: 3, dataplane.DropNoRoute: 5},
			Conn:  sock.Stats{Received: 2000, Sent: 2100, NoBuffer: 1},
		},
		Known: 3, Sessions: 2, Neighbors: 2, Accepted: 4,
		Refused: map[string]uint64{"mac": 12, "certificate": 0}, RefusedSessions: map[string]uint64{"replay": 1},
		CertificateEnd: Now.Add(90 * 24 * time.Hour), Answered: ago(90 * time.Second),
	}
}

// Start runs the made-up node in dir until stop is called.
func Start(dir string, sources monitor.Sources) (stop func() error, err error) {
	return StartFor(dir, -1, sources)
}

// StartFor is Start with a group that may use the read-only socket.
func StartFor(dir string, group int, sources monitor.Sources) (stop func() error, err error) {
	virtual := clock.NewVirtual(Now)
	sys := system.New(system.Config{Clock: virtual})
	stop = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		return sys.Stop(ctx)
	}
	_, err = system.Spawn(sys, "node", system.Spec[command]{Kind: "node", New: func() system.Handler[command] { return node{} }})
	if err == nil {
		err = await(sys, "node")
	}
	if err == nil {
		cfg := monitor.Config{
			Dir: dir, ReadOnlyGroup: group, System: sys, Sources: sources, Build: Build, Reload: reload, Trace: trace, Explain: explain, Faults: fault.New(virtual.Now),
		}
		_, err = system.Spawn(sys, "monitor", monitor.Spec(cfg))
	}
	if err == nil {
		err = await(sys, "monitor")
	}
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// await returns once the actor of a path runs; an error, if it faults first.
func await(sys *system.System, path string) error {
	sub := sys.Subscribe(64)
	defer sub.Close()
	for events := sys.Events(); ; events = []system.Event{<-sub.C} {
		for _, e := range events {
			switch {
			case e.Actor != path:
			case e.Kind == system.EventStarted:
				return nil
			case e.Kind == system.EventFaulted:
				return fmt.Errorf("%s: %w", path, e.Fault)
			}
		}
	}
}

type command interface{ isCommand() }

// node raises an event and then does nothing.
type node struct{}

func (node) Start(ctx *system.Context[command]) error {
	if ctx.Number() == 1 {
		ctx.Event("link", "up with "+id(0xb2).String())
	}
	return nil
}
func (node) Handle(*system.Context[command], command) error { return nil }
func (node) Stop(*system.Context[command])                  {}
