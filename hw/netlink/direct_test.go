package netlink_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"re6st/hw/netlink"
)

// directed is a lab of a node 2001:db8:42:1::1 whose TUN v0 stands for, and whose v1 leads
// to the node 2001:db8:42:2::/64 past it. A LAN with another source is behind v1 too.
func directed(t *testing.T) (*lab, *netlink.Direct) {
	t.Helper()
	l := newLab(t)
	d, err := netlink.NewDirect(l.conn, protocol, netip.MustParsePrefix("2001:db8:42:1::/64"), netip.MustParsePrefix("2001:db8:42::/48"))
	if err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{"v0": "2001:db8:42:1::1/128", "v1": "fe80::1/64"} {
		if err := l.conn.SetAddress(name, netip.MustParsePrefix(address), false); err != nil {
			t.Fatal(err)
		}
	}
	l.ip("-6", "route", "add", "2001:db8:42::/48", "dev", "v0", "proto", "206")
	link, err := l.conn.Link("v1")
	if err != nil {
		t.Fatal(err)
	}
	err = l.table(netlink.DirectTable(protocol)).Apply([]netlink.Route{{
		Dst: netip.MustParsePrefix("2001:db8:42:2::/64"), Link: link.Index, Via: netip.MustParseAddr("fe80::2"), OnLink: true,
		PrefSrc: netip.MustParseAddr("2001:db8:42:1::1"),
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l, d
}

func TestOnlyTheOwnPrefixGoesTheDirectWay(t *testing.T) {
	l, d := directed(t)
	const near, far = "2001:db8:42:2::1", "2001:db8:42:3::1"
	ask := func(want string, args ...string) {
		t.Helper()
		var out string
		_ = l.ns.Do(func() error {
			raw, _ := ipCommand(append([]string{"-6", "route", "get"}, args...)...)
			out = string(raw)
			return nil
		})
		if !strings.Contains(out, want) {
			t.Errorf("%v: %s, want %s", args, out, want)
		}
	}
	ask("dev v0", near)
	for range 2 { // the second time nothing is to do
		if err := d.Sync(true); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.ns.Sysctl("net/ipv6/conf/all/forwarding", "1"); err != nil {
		t.Fatal(err)
	}
	ask("dev v1", near)
	ask("src 2001:db8:42:1::1", near)
	ask("dev v0", far)
	ask("dev v1", near, "from", "2001:db8:42:1::77", "iif", "v1") // of its prefix, from behind it
	ask("dev v0", near, "from", "2001:db8:42:3::1", "iif", "v1")  // another node's, which was unsealed here
	ask("dev v0", near, "from", "2001:db8:9::1", "iif", "v1")     // of a LAN that is not of the prefix
	rules := func() (out string) {
		_ = l.ns.Do(func() error { raw, _ := ipCommand("-6", "rule"); out = string(raw); return nil })
		return out
	}
	if n := strings.Count(rules(), "2001:db8:42::/48"); n != 2 {
		t.Errorf("%d rules: %s", n, rules())
	}
	if err := d.Sync(false); err != nil {
		t.Fatal(err)
	}
	ask("dev v0", near)
	if strings.Contains(rules(), "2001:db8:42::/48") {
		t.Error(rules())
	}
}

func TestTheRulesOfABypassAreNotThoseOfADirect(t *testing.T) {
	l, d := directed(t)
	b, err := netlink.NewBypass(l.conn, testMark, protocol)
	if err != nil {
		t.Fatal(err)
	}
	count := func() (mark, own int) {
		_ = l.ns.Do(func() error {
			raw, err := ipCommand("-6", "rule")
			mark, own = strings.Count(string(raw), "fwmark"), strings.Count(string(raw), "2001:db8:42::/48")
			return err
		})
		return mark, own
	}
	on, off := func() error { return d.Sync(true) }, func() error { return d.Sync(false) }
	for _, step := range []struct {
		do        func() error
		mark, own int
	}{
		{b.Sync, 2, 0},
		{on, 2, 2},
		{b.Sync, 2, 2},
		{off, 2, 0},
		{on, 2, 2},
		{b.Close, 0, 2},
		{off, 0, 0},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if mark, own := count(); mark != step.mark || own != step.own {
			t.Fatalf("%d rules of the bypass and %d of the direct ways, want %d and %d", mark, own, step.mark, step.own)
		}
	}
}

func TestWhatIsTrustedAloneIsPassedOn(t *testing.T) {
	l := newLab(t)
	if err := l.ns.Sysctl("net/ipv6/conf/all/forwarding", "1"); err != nil {
		t.Fatal(err)
	}
	l.ip("-6", "route", "add", "2001:db8:42::/48", "dev", "v0") // the TUN, or a LAN behind this machine
	own, peer := netip.MustParsePrefix("2001:db8:42:1::/64"), netip.MustParsePrefix("2001:db8:42:2::/64")
	for range 2 { // the second time nothing is to do
		if err := errors.Join(l.conn.PassOn("v1", peer, own), l.conn.Shut("v1")); err != nil {
			t.Fatal(err)
		}
	}
	passes := func(from, to string) (passes bool) {
		_ = l.ns.Do(func() error {
			out, err := ipCommand("-6", "route", "get", to, "from", from, "iif", "v1")
			passes = err == nil && strings.Contains(string(out), "dev v0")
			return nil
		})
		return passes
	}
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"2001:db8:42:2::1", "2001:db8:42:1::77", true},
		{"2001:db8:42:3::1", "2001:db8:42:1::77", false}, // of another node
		{"2001:db8:42:2::1", "2001:db8:42:3::1", false},  // into the mesh, in this node's name
		{"fe80::2", "2001:db8:42:1::77", false},
	} {
		if got := passes(c.from, c.to); got != c.want {
			t.Errorf("from %s to %s: %t", c.from, c.to, got)
		}
	}
	left := func() int {
		var out []byte
		_ = l.ns.Do(func() (err error) { out, err = ipCommand("-6", "rule"); return err })
		return strings.Count(string(out), "iif v1")
	}
	if n := left(); n != 2 {
		t.Errorf("%d rules, want 2", n)
	}
	if err := l.conn.Unshut("v1"); err != nil || left() != 0 {
		t.Errorf("%v, %d rules are left", err, left())
	}
	if err := errors.Join(l.conn.PassOn("v1", peer, own), l.conn.UnshutAll("v")); err != nil || left() != 0 {
		t.Errorf("%v, of a run that crashed %d rules are left", err, left())
	}
}
