package netlink_test

import (
	"net/netip"
	"strings"
	"testing"

	"re6st/hw/netlink"
)

const testMark = 0x72000001

// bypassed is a lab whose v1 stands for the TUN of a mesh.
func bypassed(t *testing.T) (*lab, *netlink.Bypass) {
	l := newLab(t)
	for _, err := range []error{
		l.conn.SetAddress("v0", netip.MustParsePrefix("192.0.2.2/24"), false),
		l.conn.SetAddress("v0", netip.MustParsePrefix("2001:db8:1::2/64"), false),
		l.conn.SetGroup("v1", netlink.MeshGroup),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	b, err := netlink.NewBypass(l.conn, testMark, protocol)
	if err != nil {
		t.Fatal(err)
	}
	return l, b
}

// way is the link by which a packet leaves, or "unreachable".
func (l *lab) way(to, mark string) string {
	l.t.Helper()
	var out string
	err := l.ns.Do(func() error {
		raw, _ := ipCommand("route", "get", to, "mark", mark) // it fails where nothing leads there
		out = string(raw)
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	fields := strings.Fields(out)
	for i, f := range fields {
		if f == "dev" && !strings.Contains(out, "unreachable") {
			return fields[i+1]
		}
	}
	return "unreachable"
}

func TestMarkedPacketsStayOffTheMesh(t *testing.T) {
	l, b := bypassed(t)
	l.ip("route", "add", "default", "via", "192.0.2.1", "metric", "100")
	l.ip("-6", "route", "add", "default", "via", "2001:db8:1::1", "metric", "1024")
	// The mesh's default route comes first, and it has more special ones too.
	l.ip("-6", "route", "add", "default", "dev", "v1", "metric", "10", "proto", "206")
	l.ip("route", "add", "default", "dev", "v1", "metric", "10", "proto", "206")
	l.ip("-6", "route", "add", "2001:db8:7::/48", "dev", "v1", "metric", "10", "proto", "206")
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"2001:db8:9::9", "2001:db8:7::7", "198.51.100.1"} {
		if plain, marked := l.way(to, "0"), l.way(to, "0x72000001"); plain != "v1" || marked != "v0" {
			t.Errorf("to %s: %s without mark, %s with it", to, plain, marked)
		}
	}
	if way := l.way("2001:db8:1::9", "0x72000001"); way != "v0" {
		t.Errorf("a neighbor of the underlay is reached by %s", way)
	}
	l.ip("-6", "route", "del", "default", "metric", "1024")
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
	if way := l.way("2001:db8:9::9", "0x72000001"); way != "unreachable" {
		t.Errorf("without an underlay of that family it goes by %s", way)
	}
}

func TestTheBypassLeavesNothingAndTouchesNothingElse(t *testing.T) {
	l, b := bypassed(t)
	l.ip("rule", "add", "fwmark", "0x72000001", "lookup", "99", "pref", "32765")
	l.ip("-6", "rule", "add", "fwmark", "7", "lookup", "98")
	before := l.ip("rule") + l.ip("-6", "rule")
	for range 2 { // the second finds what a crashed run left
		if err := b.Sync(); err != nil {
			t.Fatal(err)
		}
		rules := l.ip("-6", "rule")
		if strings.Count(rules, "0x72000001") != 2 || !strings.Contains(rules, "lookup main suppress_ifgroup 7326") {
			t.Errorf("rules:\n%s", rules)
		}
		var err error
		if b, err = netlink.NewBypass(l.conn, testMark, protocol); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	after := l.ip("rule") + l.ip("-6", "rule")
	if before != after {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	l.shows("-4", "")
	l.shows("-6", "")
}

func TestTwoMeshesHaveMarksOfTheirOwn(t *testing.T) {
	l, a := bypassed(t)
	b, err := netlink.NewBypass(l.conn, testMark+1, protocol+1)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{a.Sync(), b.Sync(), a.Sync(), b.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if rules := l.ip("rule"); strings.Count(rules, "0x72000001") != 2 || strings.Contains(rules, "0x72000002") {
		t.Errorf("rules:\n%s", rules)
	}
	if _, err := netlink.NewBypass(l.conn, 0, protocol); err == nil {
		t.Error("no mark is taken for a mark")
	}
}
