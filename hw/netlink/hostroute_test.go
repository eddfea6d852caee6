package netlink_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"re6st/hw/netlink"
)

// hosted is a bypassed lab with a default route of each family by v0, and host routes.
func hosted(t *testing.T) (*lab, *netlink.Bypass, *netlink.HostRoutes) {
	t.Helper()
	l, b := bypassed(t)
	l.ip("route", "add", "default", "via", "192.0.2.1")
	l.ip("-6", "route", "add", "default", "via", "2001:db8:1::1")
	h, err := netlink.NewHostRoutes(l.conn, testMark, protocol)
	if err != nil {
		t.Fatal(err)
	}
	b.UseHostRoutes(true)
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
	return l, b, h
}

// next is the next hop of packets to an address, or "on link".
func (l *lab) next(to, mark string) string {
	l.t.Helper()
	fields := strings.Fields(l.ip("route", "get", to, "mark", mark))
	for i, f := range fields {
		if f == "via" {
			return fields[i+1]
		}
	}
	return "on link"
}

const marked = "0x72000001"

func TestHostRoutesAreForMarkedPacketsOnly(t *testing.T) {
	l, _, h := hosted(t)
	four, six := netip.MustParseAddr("198.51.100.9"), netip.MustParseAddr("2001:db8:9::9")
	set := []netlink.HostRoute{
		{Addr: four, Via: netip.MustParseAddr("192.0.2.7"), Link: l.link},
		{Addr: six, Via: netip.MustParseAddr("fe80::7%v0"), Link: l.link},
	}
	if err := h.Set(set, nil); err != nil {
		t.Fatal(err)
	}
	expect := func(to, mark, want string) {
		t.Helper()
		if got := l.next(to, mark); got != want {
			t.Errorf("to %s with mark %s by %s, want %s", to, mark, got, want)
		}
	}
	expect("198.51.100.9", marked, "192.0.2.7")
	expect("198.51.100.9", "0", "192.0.2.1")
	expect("198.51.100.8", marked, "192.0.2.1")
	expect("2001:db8:9::9", marked, "fe80::7")
	expect("2001:db8:9::9", "0", "2001:db8:1::1")
	// A mesh's route to the address is none for the marked, whatever stands before it.
	l.ip("-6", "route", "add", "2001:db8:9::/48", "dev", "v1", "proto", "206")
	expect("2001:db8:9::9", marked, "fe80::7")
	// The administrator's own route comes first.
	l.ip("route", "add", "198.51.100.0/24", "via", "192.0.2.9")
	expect("198.51.100.9", marked, "192.0.2.9")
	l.ip("route", "del", "198.51.100.0/24")
	set[0].Via = netip.MustParseAddr("192.0.2.8")
	if err := h.Set(set[:1], []netip.Addr{six}); err != nil {
		t.Fatal(err)
	}
	expect("198.51.100.9", marked, "192.0.2.8")
	expect("2001:db8:9::9", marked, "2001:db8:1::1")
	if err := h.Reconcile(set[1:]); err != nil {
		t.Fatal(err)
	}
	expect("198.51.100.9", marked, "192.0.2.1")
	expect("2001:db8:9::9", marked, "fe80::7")
}

func TestHostRoutesOfACrashedRunAreSweptAndThoseOfThisOneTakenAway(t *testing.T) {
	l, _, h := hosted(t)
	route := []netlink.HostRoute{{Addr: netip.MustParseAddr("198.51.100.9"), Via: netip.MustParseAddr("192.0.2.7"), Link: l.link}}
	if err := h.Set(route, nil); err != nil {
		t.Fatal(err)
	}
	next, err := netlink.NewBypass(l.conn, testMark, protocol) // it has no gateways any more
	if err == nil {
		err = next.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
	if rules := l.ip("rule"); strings.Count(rules, marked) != 2 {
		t.Errorf("rules:\n%s", rules)
	}
	if l.ip("route", "show", "table", "all", "198.51.100.9") != "" {
		t.Error("a route of the run before is left")
	}
	next.UseHostRoutes(true)
	if h, err = netlink.NewHostRoutes(l.conn, testMark, protocol); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{next.Sync(), h.Set(route, nil), next.Sync()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if next := l.next("198.51.100.9", marked); next != "192.0.2.7" {
		t.Errorf("a later Sync has left %s", next)
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	if rules := l.ip("rule") + l.ip("-6", "rule"); strings.Contains(rules, marked) {
		t.Errorf("rules:\n%s", rules)
	}
	l.shows("-4", "")
	l.shows("-6", "")
}

func TestRoutersAreFoundOnTheirLinks(t *testing.T) {
	l, _, h := hosted(t)
	l.ip("link", "add", "v2", "type", "veth", "peer", "name", "v3")
	l.ip("address", "add", "203.0.113.2/24", "dev", "v2")
	l.ip("link", "set", "v2", "up") // the other end is not
	l.ip("address", "add", "2001:db8:1::4/64", "dev", "v1")
	faults := map[string]error{
		"192.0.2.1": nil, "2001:db8:1::7": nil, "fe80::1%v0": nil,
		"192.0.2.2": netlink.ErrOwnAddress, "2001:db8:1::2": netlink.ErrOwnAddress, "2001:db8:1::4": netlink.ErrOwnAddress,
		"198.51.100.1": netlink.ErrNotOnLink, "2001:db8:9::9": netlink.ErrNotOnLink, "fe80::1%v1": netlink.ErrNotOnLink,
		"203.0.113.2": netlink.ErrOwnAddress, "203.0.113.1": netlink.ErrLinkDown,
		"fe80::1%v3": netlink.ErrLinkDown, "fe80::1%v9": netlink.ErrNoLink,
	}
	var routers []netip.Addr
	for r := range faults {
		routers = append(routers, netip.MustParseAddr(r))
	}
	links, bad, err := h.Routers(routers)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routers {
		want := faults[r.String()]
		if link, ok := links[r]; ok != (want == nil) || ok && link != l.link || !errors.Is(bad[r], want) {
			t.Errorf("%v: link %d, %v; want %v", r, link, bad[r], want)
		}
	}
}

func TestAMarkWhoseHostRoutesWouldBeTheSystemsIsRefused(t *testing.T) {
	if _, err := netlink.NewHostRoutes(nil, 1<<30|netlink.MainTable, protocol); err == nil || !strings.Contains(err.Error(), "take another mark") {
		t.Errorf("refused with %v", err)
	}
}
