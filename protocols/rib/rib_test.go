package rib_test

import (
	"errors"
	"fmt"
	"math/rand"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/rib"
)

var (
	locators = netip.MustParsePrefix("fd12:3456:789a:bcde::/64")
	epoch    = time.Unix(1_800_000_000, 0)
)

func pfx(s string) netip.Prefix {
	if s == "" {
		return netip.Prefix{}
	}
	return netip.MustParsePrefix(s)
}

func offer(t *testing.T, tab *rib.Table, o rib.Origin, r rib.Route) (rib.Change, bool) {
	t.Helper()
	c, ok, err := tab.Offer(epoch, o, r)
	if err != nil {
		t.Fatal(err)
	}
	return c, ok
}

func TestLowestOriginThenLowestMetricWins(t *testing.T) {
	tab := rib.NewTable(locators)
	k := rib.Key{Prefix: pfx("2001:db8::/48")}
	r := func(metric uint16, link rib.LinkID) rib.Route {
		return rib.Route{Prefix: k.Prefix, Metric: metric, NextHop: rib.NextHop{Link: link}}
	}
	if c, ok := offer(t, tab, rib.OriginBGP, r(1, 1)); !ok || !c.Added() || c.Key != k {
		t.Fatalf("first offer: %+v, %v", c, ok)
	}
	if c, ok := offer(t, tab, rib.OriginBabel, r(900, 2)); !ok || c.Old.Origin != rib.OriginBGP || c.New.Origin != rib.OriginBabel {
		t.Fatalf("a better origin: %+v, %v", c, ok)
	}
	if _, ok := offer(t, tab, rib.OriginBGP, r(7, 3)); ok {
		t.Error("a worse origin's offer changed the best route")
	}
	if c, ok := offer(t, tab, rib.OriginLocal, rib.Route{Prefix: k.Prefix}); !ok || !c.New.NextHop.IsSelf() {
		t.Errorf("own prefix: %+v, %v", c, ok)
	}
	if c, ok := tab.Withdraw(rib.OriginLocal, k); !ok || c.New.NextHop.Link != 2 {
		t.Errorf("after the withdrawal: %+v, %v", c, ok)
	}
	if _, ok := tab.Withdraw(rib.OriginStatic, k); ok {
		t.Error("withdrawing what was never offered changed something")
	}
	if cs := tab.WithdrawAll(rib.OriginBabel); len(cs) != 1 || cs[0].New.Metric != 7 {
		t.Errorf("withdraw all: %+v", cs)
	}
	if c, ok := tab.Withdraw(rib.OriginBGP, k); !ok || !c.Removed() || tab.View().Len() != 0 {
		t.Errorf("last one out: %+v, %v, %d left", c, ok, tab.View().Len())
	}
}

func TestSinceIsKeptWhileTheWayStays(t *testing.T) {
	tab := rib.NewTable(locators)
	r := rib.Route{Prefix: pfx("2001:db8::/48"), Metric: 96, NextHop: rib.NextHop{Link: 1}}
	for i, c := range []struct {
		metric uint16
		link   rib.LinkID
		since  int
	}{{96, 1, 0}, {120, 1, 0}, {120, 2, 2}, {96, 2, 2}} {
		r.Metric, r.NextHop.Link = c.metric, c.link
		if _, _, err := tab.Offer(epoch.Add(time.Duration(i)*time.Second), rib.OriginBabel, r); err != nil {
			t.Fatal(err)
		}
		got, _ := tab.View().Get(r.Key())
		if want := epoch.Add(time.Duration(c.since) * time.Second); !got.Since.Equal(want) || got.Metric != c.metric {
			t.Errorf("step %d: since %s, metric %d; want %s, %d", i, got.Since, got.Metric, want, c.metric)
		}
	}
}

func TestLookupTakesDestinationThenSource(t *testing.T) { // RFC 9079 section 4
	tab := rib.NewTable(locators)
	for i, c := range []struct{ dst, src string }{
		{"::/0", ""},
		{"::/0", "2001:db8:1::/48"},
		{"2001:db8:2::/48", ""},
		{"2001:db8:2::/48", "2001:db8:1::/48"},
		{"2001:db8:2::/48", "2001:db8:1:1::/64"},
		{"2001:db8:3::/48", "2001:db8:1::/48"},
		{"2001:db8:2:3::/64", ""},
		{"10.0.0.0/8", ""},
		{"10.1.0.0/16", ""},
	} {
		offer(t, tab, rib.OriginBabel, rib.Route{Prefix: pfx(c.dst), Source: pfx(c.src), Metric: uint16(i), NextHop: rib.NextHop{Link: 1}})
	}
	offer(t, tab, rib.OriginBabel, rib.Route{Topology: 1, Prefix: pfx("2001:db8:2:3:4::/80"), Metric: 99, NextHop: rib.NextHop{Link: 1}})
	for _, c := range []struct {
		src, dst string
		metric   int // -1: none
	}{
		{"fd00::1", "2001:db8:9::1", 0},
		{"2001:db8:1::1", "2001:db8:9::1", 1},
		{"fd00::1", "2001:db8:2::1", 2},
		{"2001:db8:1:2::1", "2001:db8:2::1", 3},
		{"2001:db8:1:1::1", "2001:db8:2::1", 4},
		{"2001:db8:1::1", "2001:db8:3::1", 5},
		{"fd00::1", "2001:db8:3::1", 0},           // no source fits there: the shorter destination
		{"2001:db8:1:1::1", "2001:db8:2:3::1", 6}, // destination before source
		{"", "2001:db8:2:3:4::1", 6},              // other topologies are not looked up
		{"10.9.9.9", "10.1.2.3", 8},
		{"10.9.9.9", "10.2.2.3", 7},
		{"10.9.9.9", "11.0.0.1", -1},
	} {
		var src netip.Addr
		if c.src != "" {
			src = netip.MustParseAddr(c.src)
		}
		r, ok := tab.View().Lookup(src, netip.MustParseAddr(c.dst))
		if ok != (c.metric >= 0) || ok && int(r.Metric) != c.metric {
			t.Errorf("%s -> %s: route %d, %v; want %d", c.src, c.dst, r.Metric, ok, c.metric)
		}
	}
}

func TestRelayFindsLocatorsOfEachTopologyAndLookupDoesNot(t *testing.T) {
	tab := rib.NewTable(locators)
	offer(t, tab, rib.OriginBabel, rib.Route{Prefix: pfx("::/0"), NextHop: rib.NextHop{Link: 9}})
	locator := func(topology rib.Topology, n uint64) rib.Route {
		id := addr.NodeIDFromUint64(n)
		return rib.Route{
			Topology: topology, Prefix: netip.PrefixFrom(addr.Locator(locators, id), 128), Egress: id,
			NextHop: rib.NextHop{Link: rib.LinkID(n%7 + 1 + 10*uint64(topology))},
		}
	}
	for n := uint64(1); n <= 2000; n++ {
		offer(t, tab, rib.OriginBabel, locator(rib.Topology(n%3), n))
	}
	self := locator(0, 5000)
	self.NextHop = rib.NextHop{}
	offer(t, tab, rib.OriginLocal, self)
	v := tab.View()
	for n := uint64(1); n <= 2000; n++ {
		for topology := range rib.Topology(3) {
			want := locator(topology, n)
			link, ok := v.Relay(topology, want.Egress)
			if here := rib.Topology(n%3) == topology; ok != here || here && link != want.NextHop.Link {
				t.Fatalf("node %d topology %d: link %d, %v", n, topology, link, ok)
			}
		}
	}
	if link, ok := v.Relay(0, self.Egress); ok {
		t.Errorf("this node itself: link %d", link)
	}
	if r, ok := v.Lookup(netip.Addr{}, addr.Locator(locators, addr.NodeIDFromUint64(3))); ok {
		t.Errorf("a locator was looked up as an address: %+v", r)
	}
	tab.Withdraw(rib.OriginBabel, locator(1, 1).Key())
	if _, ok := tab.View().Relay(1, addr.NodeIDFromUint64(1)); ok {
		t.Error("a withdrawn locator is still relayed to")
	}
	if _, ok := v.Relay(1, addr.NodeIDFromUint64(1)); !ok {
		t.Error("the older view changed")
	}
}

func TestBadOffersAreNamed(t *testing.T) {
	tab := rib.NewTable(locators)
	for _, r := range []rib.Route{
		{}, {Prefix: pfx("10.0.0.0/8"), Source: pfx("fd00::/8")}, {Prefix: netip.PrefixFrom(netip.MustParseAddr("::ffff:1.2.3.4"), 128)},
	} {
		if _, _, err := tab.Offer(epoch, rib.OriginStatic, r); !errors.Is(err, rib.ErrRoute) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if c, _ := offer(t, tab, rib.OriginStatic, rib.Route{Prefix: pfx("2001:db8::1/32"), Source: pfx("::/0")}); c.Key != (rib.Key{Prefix: pfx("2001:db8::/32")}) {
		t.Errorf("not normalised: %s", c.Key)
	}
}

func TestUnreachableHidesShorterPrefixesButNoOtherOffer(t *testing.T) { // RFC 8966 section 2.8
	tab, dst := rib.NewTable(locators), netip.MustParseAddr("2001:db8:1::1")
	offer(t, tab, rib.OriginBabel, rib.Route{Prefix: pfx("::/0"), NextHop: rib.NextHop{Link: 9}})
	offer(t, tab, rib.OriginBabel, rib.Route{Prefix: pfx("2001:db8:1::/48"), Unreachable: true})
	if r, ok := tab.View().Lookup(netip.Addr{}, dst); ok {
		t.Errorf("found %+v", r)
	}
	offer(t, tab, rib.OriginBGP, rib.Route{Prefix: pfx("2001:db8:1::/48"), NextHop: rib.NextHop{Link: 2}})
	if r, ok := tab.View().Lookup(netip.Addr{}, dst); !ok || r.NextHop.Link != 2 {
		t.Errorf("a route of a worse origin lost to no route at all: %+v, %v", r, ok)
	}
}

func TestFullTableTakesNoNewKey(t *testing.T) {
	tab := rib.NewTable(locators)
	nth := func(i int) rib.Route {
		return rib.Route{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)}
	}
	for i := range rib.MaxRoutes {
		offer(t, tab, rib.OriginBabel, nth(i))
	}
	if _, _, err := tab.Offer(epoch, rib.OriginLocal, nth(rib.MaxRoutes)); !errors.Is(err, rib.ErrFull) {
		t.Errorf("one more: %v", err)
	}
	if _, ok := offer(t, tab, rib.OriginLocal, nth(3)); !ok {
		t.Error("a better offer for a known key was refused")
	}
}

// model is the table as plainly as it can be written.
type model map[rib.Key]map[rib.Origin]rib.Route

func (m model) routes() []rib.Route {
	var rs []rib.Route
	for _, offers := range m {
		var best *rib.Route
		for _, r := range offers {
			if best == nil || r.Origin < best.Origin {
				best = &r
			}
		}
		if best != nil {
			rs = append(rs, *best)
		}
	}
	slices.SortFunc(rs, func(a, b rib.Route) int { return a.Key().Compare(b.Key()) })
	return rs
}

func (m model) lookup(src, dst netip.Addr) (best rib.Route, ok bool) {
	for _, r := range m.routes() {
		if r.Topology != 0 || !r.Prefix.Contains(dst) || locators.Contains(dst) || r.Source.IsValid() && !r.Source.Contains(src) {
			continue
		}
		if !ok || r.Prefix.Bits() > best.Prefix.Bits() || r.Prefix.Bits() == best.Prefix.Bits() && r.Source.Bits() > best.Source.Bits() {
			best, ok = r, true
		}
	}
	return best, ok
}

func TestTableIsLikeItsModel(t *testing.T) {
	for seed := range int64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { likeItsModel(t, rand.New(rand.NewSource(seed))) })
	}
}

func likeItsModel(t *testing.T, rnd *rand.Rand) {
	tab, m := rib.NewTable(locators), model{}
	// A few bits that matter, so that prefixes nest and clash.
	address := func() netip.Addr {
		b := [16]byte{0xfd, 15: byte(rnd.Intn(2))}
		b[1], b[7], b[8] = byte(rnd.Intn(4))<<6, byte(rnd.Intn(4)), byte(rnd.Intn(2))<<7
		return netip.AddrFrom16(b)
	}
	prefix := func() netip.Prefix {
		p, _ := address().Prefix([]int{0, 8, 9, 10, 62, 63, 64, 65, 127, 128}[rnd.Intn(10)])
		return p
	}
	before, shadow := tab.View(), []rib.Route{}
	for step := range 600 {
		k := rib.Key{Topology: rib.Topology(rnd.Intn(3) / 2), Prefix: prefix()}
		if rnd.Intn(3) == 0 {
			if k.Source = prefix(); k.Source.Bits() == 0 {
				k.Source = netip.Prefix{}
			}
		}
		origin := rib.Origin(1 + rnd.Intn(3))
		if rnd.Intn(3) == 0 {
			tab.Withdraw(origin, k)
			delete(m[k], origin)
		} else {
			r := rib.Route{
				Topology: k.Topology, Prefix: k.Prefix, Source: k.Source, Metric: uint16(rnd.Intn(3)), Origin: origin,
				NextHop: rib.NextHop{Link: rib.LinkID(1 + rnd.Intn(3))}, Since: epoch,
			}
			offer(t, tab, origin, r)
			if m[k] == nil {
				m[k] = map[rib.Origin]rib.Route{}
			}
			m[k][origin] = r
		}
		want := m.routes()
		if got := tab.View().Routes(); !slices.Equal(got, want) || tab.View().Len() != len(want) {
			t.Fatalf("step %d: routes\n%v\nwant\n%v", step, got, want)
		}
		src, dst := address(), address()
		r, ok := tab.View().Lookup(src, dst)
		if wr, wok := m.lookup(src, dst); ok != wok || r != wr {
			t.Fatalf("step %d: %s -> %s: %+v, want %+v", step, src, dst, r, wr)
		}
		if step%100 == 50 {
			checkDiff(t, shadow, before, tab.View())
			before, shadow = tab.View(), want
		}
	}
}

// checkDiff: applying Diff to what the old view held makes the new one; and the
// old view still holds it.
func checkDiff(t *testing.T, held []rib.Route, before, after *rib.View) {
	t.Helper()
	if !slices.Equal(before.Routes(), held) {
		t.Fatal("a view changed after it was taken")
	}
	programmed := map[rib.Key]rib.Route{}
	for _, r := range held {
		programmed[r.Key()] = r
	}
	for _, c := range rib.Diff(before, after) {
		if programmed[c.Key] != c.Old {
			t.Fatalf("%s: old is %+v, not %+v", c.Key, c.Old, programmed[c.Key])
		}
		if c.Removed() {
			delete(programmed, c.Key)
		} else {
			programmed[c.Key] = c.New
		}
	}
	if len(programmed) != after.Len() {
		t.Fatalf("%d programmed, %d wanted", len(programmed), after.Len())
	}
	for _, r := range after.Routes() {
		if programmed[r.Key()] != r {
			t.Fatalf("%s: programmed %+v, want %+v", r.Key(), programmed[r.Key()], r)
		}
	}
}

func TestLookupsDoNotAllocate(t *testing.T) {
	tab := fill(t, 1000)
	v, src, dst := tab.View(), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:0:17::1")
	if n := testing.AllocsPerRun(100, func() { v.Lookup(src, dst); v.Relay(0, addr.NodeIDFromUint64(17)) }); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

func TestNilAndEmptyViews(t *testing.T) {
	for _, v := range []*rib.View{nil, {}, rib.NewTable(netip.Prefix{}).View()} {
		if _, ok := v.Lookup(netip.Addr{}, netip.MustParseAddr("::1")); ok || v.Len() != 0 || len(v.Routes()) != 0 {
			t.Error("an empty view has a route")
		}
		if _, ok := v.Relay(0, addr.NodeIDFromUint64(1)); ok {
			t.Error("an empty view has a relay")
		}
		if d := rib.Diff(v, nil); len(d) != 0 {
			t.Errorf("diff of two empty views: %v", d)
		}
	}
}

func fill(tb testing.TB, n int) *rib.Table {
	tab := rib.NewTable(locators)
	for i := range n {
		id := addr.NodeIDFromUint64(uint64(i + 1))
		sub := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0, byte(i >> 8), byte(i)})
		for _, p := range []netip.Prefix{netip.PrefixFrom(addr.Locator(locators, id), 128), netip.PrefixFrom(sub, 64)} {
			if _, _, err := tab.Offer(epoch, rib.OriginBabel, rib.Route{Prefix: p, Egress: id, NextHop: rib.NextHop{Link: rib.LinkID(i%8 + 1)}}); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return tab
}

func BenchmarkLookup(b *testing.B) {
	v, src := fill(b, 10000).View(), netip.MustParseAddr("2001:db8::1")
	i := 0
	for b.Loop() {
		i = (i + 7919) % 10000
		v.Lookup(src, netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0, byte(i >> 8), byte(i), 15: 1}))
	}
}

func BenchmarkRelay(b *testing.B) {
	v := fill(b, 10000).View()
	i := uint64(0)
	for b.Loop() {
		i = (i + 7919) % 10000
		v.Relay(0, addr.NodeIDFromUint64(i+1))
	}
}

func BenchmarkOffer(b *testing.B) {
	tab := fill(b, 10000)
	i := 0
	for b.Loop() {
		i++
		sub := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0, byte(i % 39), byte(i)})
		if _, _, err := tab.Offer(epoch, rib.OriginBabel, rib.Route{Prefix: netip.PrefixFrom(sub, 64), NextHop: rib.NextHop{Link: rib.LinkID(i + 1)}}); err != nil {
			b.Fatal(err)
		}
	}
}
