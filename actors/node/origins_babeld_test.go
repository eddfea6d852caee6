package node

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"re6st/actors/monitor"
	"re6st/hw/netns"
	"re6st/protocols/addr"
	wire "re6st/protocols/registry"
	"re6st/protocols/tunnelplan"
)

// A network that requires claims, and babeld in between, which knows nothing of them and
// announces what it likes. Node 3 has no link with the others: it is an island.
//
//	n2 under0 ---- under0 n1 veth0 ---- veth0 babeld veth1 ---- veth1 n3
//	                                      lan0 fd99:1::1/64 and, a lie, half of n2's prefix
func TestBabeldInBetweenTakesNoPrefixAndHonestNodesBehindItAreReached(t *testing.T) {
	const theirs, honest, lie, island = "fd99:1::/64", "2001:db8:42:2::/64", "2001:db8:42:2:8000::/65", "2001:db8:42:3::/64"
	l := newLAN(t)
	n3, err := l.group.Create("n3")
	l.check(err)
	l.check(netns.Veth(l.other, "veth1", n3, "veth1"))
	l.ip(l.other, "addr add 2001:db8:42:2:8000::66/65 dev lan0")
	imports := func(node uint64, prefixes ...string) wire.Right {
		r := wire.Right{Node: addr.NodeIDFromUint64(node)}
		for _, p := range prefixes {
			r.Import = append(r.Import, netip.MustParsePrefix(p))
		}
		return r
	}
	l.params = func(p *wire.Params) {
		p.Origins = wire.OriginsRequire
		p.Rights = []wire.Right{imports(1, theirs, island), imports(3, theirs, "2001:db8:42:1::/64", honest)}
	}
	pid, state := filepath.Join(t.TempDir(), "pid"), filepath.Join(t.TempDir(), "state")
	l.start(l.other, "", "babeld", "-I", pid, "-S", state, "-c", "/dev/null",
		"-C", "interface veth0 type wired hello-interval 1 update-interval 4", "-C", "interface veth1 type wired hello-interval 1 update-interval 4",
		"-C", "redistribute proto 2 ip "+theirs+" allow", "-C", "redistribute proto 2 ip "+lie+" allow", "veth0", "veth1")
	border := l.folder(1, "trusted = [\"veth0\"]\n")
	l.runs(l.n1, border)
	l.node(l.n2, 2, "", tunnelplan.Peer{
		ID: addr.NodeIDFromUint64(1), Endpoints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7326")},
	})
	l.node(n3, 3, "trusted = [\"veth1\"]\nlan = false\n")

	l.until(l.n1, theirs, "via", "dev veth0")
	l.until(l.n2, theirs, "dev re6st0")
	l.until(l.n1, island, "via", "dev veth0")
	l.until(n3, honest, "via", "dev veth1")
	if got := l.routes(l.n1, lie); strings.Contains(got, "via") {
		t.Errorf("the border sends node 2's packets to babeld: %s", got)
	}
	l.ping(l.n2, "-c", "5", "-i", "0.2", "-w", "10", "2001:db8:42:1::1")
	l.ping(l.n2, "-c", "5", "-i", "0.2", "-w", "10", "fd99:1::1")
	l.ping(l.n2, "-c", "5", "-i", "0.2", "-w", "10", "2001:db8:42:3::1")
	l.saysWhy(border, lie+" is announced for node 0000000000000001 by an interface that is trusted, and is node 0000000000000002's")
	if got := l.routes(l.n1, lie); strings.Contains(got, "via") {
		t.Errorf("later the border sends node 2's packets to babeld: %s", got)
	}
}

var errSaid = errors.New("it is said")

// saysWhy waits for an event with that text.
func (l *lan) saysWhy(dir, text string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	client := monitor.NewClient(monitor.SocketIn(dir))
	err := monitor.Lines(ctx, client, http.MethodGet, "events?follow=1", nil, func(e monitor.Event) error {
		if strings.Contains(e.Text, text) {
			return errSaid
		}
		return nil
	})
	if !errors.Is(err, errSaid) {
		l.t.Errorf("no event says %q: %v", text, err)
	}
}

// Nodes that babeld alone joins, whose underlay it carries too: they have a sealed link
// across it, which comes before what babeld announces, and need no right for that. All
// packets of the mesh that babeld's machine would see in the clear are dropped there.
//
//	n2 under0 ---- under0 n1 veth0 ---- veth0 babeld veth1 ---- veth1 n3
func TestIslandsJoinedByBabeldHaveASealedLinkAcrossIt(t *testing.T) {
	const island, mesh, theirs = "2001:db8:42:3::/64", "2001:db8:42::/48", "fd99:1::/64"
	for _, policy := range []wire.Origins{wire.OriginsPrefer, wire.OriginsRequire} {
		t.Run(string(policy), func(t *testing.T) {
			l := newLAN(t)
			n3, err := l.group.Create("n3")
			l.check(err)
			l.check(netns.Veth(l.other, "veth1", n3, "veth1"))
			for ns, commands := range map[*netns.NS][]string{
				l.other: {"addr add 198.51.100.2/24 dev veth0", "addr add 203.0.113.2/24 dev veth1"},
				l.n1:    {"addr add 198.51.100.1/24 dev veth0", "route add 203.0.113.0/24 via 198.51.100.2"},
				n3:      {"addr add 203.0.113.3/24 dev veth1", "route add 198.51.100.0/24 via 203.0.113.2"},
			} {
				for _, c := range commands {
					l.ip(ns, c)
				}
			}
			l.check(l.other.Sysctl("net/ipv4/ip_forward", "1"))
			l.drop(l.other, mesh)
			l.params = func(p *wire.Params) {
				p.Origins = policy
				p.Rights = []wire.Right{{Node: addr.NodeIDFromUint64(1), Import: []netip.Prefix{netip.MustParsePrefix(theirs)}}}
			}
			pid, state := filepath.Join(t.TempDir(), "pid"), filepath.Join(t.TempDir(), "state")
			l.start(l.other, "", "babeld", "-I", pid, "-S", state, "-c", "/dev/null",
				"-C", "interface veth0 type wired hello-interval 1 update-interval 4", "-C", "interface veth1 type wired hello-interval 1 update-interval 4",
				"-C", "redistribute proto 2 ip "+theirs+" allow", "veth0", "veth1")
			peer := func(id uint64, at string) tunnelplan.Peer {
				return tunnelplan.Peer{ID: addr.NodeIDFromUint64(id), Endpoints: []netip.AddrPort{netip.MustParseAddrPort(at)}}
			}
			l.node(n3, 3, "trusted = [\"veth1\"]\nlan = false\n", peer(1, "198.51.100.1:7326"))
			l.until(l.other, island, "dev veth1")
			l.node(l.n1, 1, "trusted = [\"veth0\"]\nlan = false\n", peer(3, "203.0.113.3:7326"))
			l.node(l.n2, 2, "lan = false\n", peer(1, "192.0.2.1:7326"))

			l.until(l.n1, theirs, "dev veth0") // so it has heard babeld, which tells it of n3 too
			for _, from := range []*netns.NS{l.n1, l.n2} {
				l.ping(from, "-c", "5", "-i", "0.2", "-w", "20", "2001:db8:42:3::1")
				l.until(from, island) // not by babeld
			}
			l.until(l.other, island, "dev veth1")
		})
	}
}

// drop has a machine pass no packet to a prefix on.
func (l *lan) drop(ns *netns.NS, prefix string) {
	l.t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		l.t.Skip("needs nftables: ", err)
	}
	rule := "table ip6 t { chain c { type filter hook forward priority 0; ip6 daddr " + prefix + " drop; }; }"
	if out, err := exec.Command("ip", "netns", "exec", ns.Name(), "nft", rule).CombinedOutput(); err != nil {
		l.t.Fatalf("nft: %v: %s", err, out)
	}
}
