//go:build kernel

package ktunnel_test

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"re6st/hw/ktunnel"
	"re6st/hw/netlink"
)

// trusting has the ends trust their tunnel, and leads their packets by it. Each has an address
// of its prefix, 2001:db8:42:1::/64 and 2001:db8:42:2::/64.
func trusting(t *testing.T, s sort, a, b *end) (specs [2]ktunnel.Spec) {
	t.Helper()
	specs[0], specs[1] = s.specs(a, b, "t")
	prefixes := [2]netip.Prefix{netip.MustParsePrefix("2001:db8:42:1::/64"), netip.MustParsePrefix("2001:db8:42:2::/64")}
	for i, e := range []*end{a, b} {
		specs[i].Trust = ktunnel.Trust{Own: prefixes[i], Peer: prefixes[1-i], Source: prefixes[i].Addr().Next(), Protocol: 206}
		e.ip("link", "set", "lo", "up")
		e.ip("address", "add", specs[i].Trust.Source.String()+"/128", "dev", "lo")
		e.add(specs[i])
		conn, err := netlink.OpenAt(e.ns.Fd())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		direct, err := netlink.NewDirect(conn, 206, prefixes[i], netip.MustParsePrefix("2001:db8:42::/48"))
		if err == nil {
			err = direct.Sync(true)
		}
		if err == nil {
			err = e.tunnels.Lead(specs[i], specs[1-i].LinkLocal)
		}
		if err == nil { // as it is looked after
			err = e.tunnels.Lead(specs[i], specs[1-i].LinkLocal)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return specs
}

// echoes counts those that came to the host.
func (e *end) echoes() int {
	e.t.Helper()
	out, err := e.run("nstat", "-asz", "Icmp6InEchos")
	if err != nil {
		e.t.Fatal(out, err)
	}
	n, err := strconv.Atoi(strings.Fields(out[strings.Index(out, "Icmp6InEchos"):])[1])
	if err != nil {
		e.t.Fatal(out, err)
	}
	return n
}

func TestKernelATrustedTunnelTakesTheTwoNodesPacketsAlone(t *testing.T) {
	for _, s := range []sort{{ktunnel.GRE, false}, {ktunnel.FOU, true}, {ktunnel.WireGuard, false}} {
		t.Run(s.String(), func(t *testing.T) { trustsEachOther(t, s) })
	}
}

func trustsEachOther(t *testing.T, s sort) {
	a, b := twoEnds(t)
	specs := trusting(t, s, a, b)
	if out, ok := a.reaches(specs[0], 1000); !ok {
		t.Fatal("the link's own datagrams: ", out)
	}
	const size = "1300"
	if out, err := a.run("ping", "-6", "-c", "1", "-w", "20", "-s", size, "2001:db8:42:2::1"); err != nil {
		t.Fatal("the peer: ", out, a.ip("-6", "route", "get", "2001:db8:42:2::1"), b.ip("-s", "link"), b.ip("-6", "rule"))
	}
	if _, bytes, err := b.tunnels.Carried(specs[1].Name); err != nil || bytes < 2*1300 {
		t.Errorf("the tunnel carried %d bytes, %v", bytes, err)
	}
	// Ways of an attacker's making, so that only what b does keeps the packets out.
	a.ip("address", "add", "2001:db8:42:3::1/128", "dev", "lo")
	b.ip("address", "add", "2001:db8:9::1/128", "dev", "lo")
	a.ip("-6", "route", "add", "2001:db8:9::1/128", "via", "fe80::2", "dev", specs[0].Name)
	before := b.echoes()
	for _, c := range [][]string{{"2001:db8:42:3::1", "2001:db8:42:2::1"}, {"2001:db8:42:1::1", "2001:db8:9::1"}} {
		if out, err := a.run("ping", "-6", "-c", "1", "-w", "1", "-I", c[0], c[1]); err == nil {
			t.Errorf("from %s to %s: %s", c[0], c[1], out)
		}
	}
	if got := b.echoes() - before; got != 0 {
		t.Errorf("%d packets came of sources or for destinations that nobody trusts", got)
	}
	if err := a.tunnels.Unlead(specs[0]); err != nil {
		t.Fatal(err)
	}
	if out, err := a.run("ip", "-6", "route", "get", "2001:db8:42:2::1"); err == nil && strings.Contains(out, specs[0].Name) {
		t.Error(out)
	}
}
