package netlink_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	vnl "github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"re6st/hw/fault"
	"re6st/hw/netlink"
)

// scale is how many routes a large network has.
const scale = 10_000

var hops = [2]netip.Addr{netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2")}

// routesBy are n routes, those whose number rest leaves from a division by three by the
// other next hop.
func (l *lab) routesBy(n, rest int) []netlink.Route {
	all := make([]netlink.Route, n)
	for i := range all {
		all[i] = netlink.Route{Dst: nth(i), Link: l.link, Via: hops[0]}
		if i%3 == rest {
			all[i].Via = hops[1]
		}
	}
	return all
}

func nth(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 8), byte(i)}), 48)
}

// deletions counts those that the kernel tells of until done, which adds a last prefix to
// know when all was said.
func (l *lab) deletions(last string) (done func() int) {
	l.t.Helper()
	var socket *nl.NetlinkSocket
	err := l.ns.Do(func() (err error) {
		if socket, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV6_ROUTE); err == nil {
			err = socket.SetReceiveBufferSize(64<<20, true)
		}
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	address := netip.MustParsePrefix(last).Addr().As16()
	end := string(address[:])
	return func() (n int) {
		defer socket.Close()
		l.ip("-6", "route", "add", last, "dev", "v1")
		for {
			messages, _, err := socket.Receive()
			if err != nil {
				l.t.Fatal(err)
			}
			for _, m := range messages {
				if strings.Contains(string(m.Data), end) {
					return n
				}
				if m.Header.Type == unix.RTM_DELROUTE {
					n++
				}
			}
		}
	}
}

// probed asks the kernel for the way to some of the prefixes again and again, until done
// tells how often it was asked and how often it knew none.
func (l *lab) probed(n int) (done func() (asked, none int)) {
	l.t.Helper()
	var handle *vnl.Handle
	if err := l.ns.Do(func() (err error) { handle, err = vnl.NewHandle(unix.NETLINK_ROUTE); return }); err != nil {
		l.t.Fatal(err)
	}
	var stop atomic.Bool
	var count, failed int
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ; !stop.Load(); count++ {
			a := nth(count * 7 % n).Addr().Next().As16()
			if _, err := handle.RouteGet(a[:]); err != nil {
				failed++
			}
		}
	}()
	return func() (int, int) {
		stop.Store(true)
		<-ended
		handle.Close()
		return count, failed
	}
}

func TestTenThousandRoutes(t *testing.T) {
	l := newLab(t)
	tab := l.table(netlink.MainTable)
	l.ip("-6", "route", "add", "2001:db8::/32", "dev", "v1", "proto", other, "metric", "7")
	want := l.routesBy(scale, -1)
	l.reconcile(tab, netlink.Changes{Added: scale}, want...)

	told, asked := l.deletions("2001:db8:ffff::/48"), l.probed(scale)
	want = l.routesBy(scale, 0)
	third := (scale + 2) / 3
	l.reconcile(tab, netlink.Changes{Replaced: third, Kept: scale - third}, want...)
	again := l.routesBy(scale, 1)
	var changed []netlink.Route
	for i, r := range again {
		if r != want[i] {
			changed = append(changed, r)
		}
	}
	if err := tab.Apply(changed, nil); err != nil {
		t.Fatal(err)
	}
	if n, none := asked(); n == 0 || none > 0 {
		t.Errorf("%d of %d lookups found no route while next hops changed", none, n)
	}
	if n := told(); n > 0 {
		t.Errorf("the kernel told of %d deletions while next hops changed", n)
	}
	held, err := tab.Routes()
	if err != nil || len(held) != scale {
		t.Fatalf("the table holds %d routes, %v", len(held), err)
	}
	for i, r := range held {
		if r.Via != again[i].Via || r.Dst != again[i].Dst {
			t.Fatalf("route %d is %s, want %s", i, r, again[i])
		}
	}
	l.reconcile(tab, netlink.Changes{Removed: scale})
	if got := l.ip("-6", "route", "show", "proto", fmt.Sprint(protocol)); got != "" {
		t.Errorf("left: %.200s", got)
	}
	if got := l.ip("-6", "route", "show", "proto", other); !strings.HasPrefix(got, "2001:db8::/32 dev v1 metric 7") {
		t.Errorf("the route of another protocol is now %q", got)
	}
}

// Another metric is another place in the kernel's table, and IPv6 tells routes with a next
// hop from those without where it replaces one.
func TestAPrefixThatStaysIsNeverWithoutARoute(t *testing.T) {
	l := newLab(t)
	tab := l.table(netlink.MainTable)
	base := netlink.Route{Dst: nth(1), Link: l.link, Via: hops[0]}
	onLink, metric, nowhere := base, base, netlink.Route{Dst: nth(1), Kind: netlink.Unreachable}
	onLink.Via, metric.Metric = netip.Addr{}, 4096
	beside := netlink.Route{Dst: nth(0), Link: l.link}
	l.reconcile(tab, netlink.Changes{Added: 2}, base, beside)
	deletions, asked := l.deletions("2001:db8:ffff::/48"), l.probed(2)
	turns := func(between ...netlink.Route) {
		for range 50 {
			for _, next := range between {
				if _, err := tab.Reconcile([]netlink.Route{next, beside}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	turns(onLink, base)
	if n, none := asked(); n == 0 || none > 0 {
		t.Errorf("%d of %d lookups found no route", none, n)
	}
	if n := deletions(); n > 0 {
		t.Errorf("%d deletions where only the next hop changed", n)
	}
	// Another metric is another route: that of the old one goes once the new one is there. A
	// lookup that met the old one as it went finds none, in the kernel: one in thousands.
	deletions, asked = l.deletions("2001:db8:fffd::/48"), l.probed(2)
	turns(metric, base)
	if n, none := asked(); n == 0 || none > n/200 {
		t.Errorf("%d of %d lookups found no route while the metric changed", none, n)
	}
	if n := deletions(); n != 100 {
		t.Errorf("%d deletions, want one for each change of the metric", n)
	}
	deletions = l.deletions("2001:db8:fffe::/48")
	for range 10 {
		l.reconcile(tab, netlink.Changes{Replaced: 1, Kept: 1}, nowhere, beside)
		l.reconcile(tab, netlink.Changes{Replaced: 1, Kept: 1}, base, beside)
	}
	if n := deletions(); n > 0 {
		t.Errorf("%d deletions where a route became unreachable, or was so", n)
	}
}

func TestEachFailureIsItsRoutes(t *testing.T) {
	l := newLab(t)
	tab := l.table(netlink.MainTable)
	want := l.routesBy(1000, -1)
	bad := []int{0, 127, 128, 129, 500, 999}
	for _, i := range bad {
		want[i].Link = 9999
	}
	changes, err := tab.Reconcile(want)
	if changes != (netlink.Changes{Added: len(want) - len(bad)}) {
		t.Errorf("Reconcile did %+v", changes)
	}
	var all netlink.Failures
	if !errors.As(err, &all) || len(all) != len(bad) {
		t.Fatalf("%v", err)
	}
	for i, one := range all {
		var which *netlink.RouteError
		if !errors.As(one, &which) || which.Route.Dst != want[bad[i]].Dst || which.Op != "set" {
			t.Errorf("failure %d is %v", i, one)
		}
	}
}

func TestATableThatIsFullSaysWhatToDo(t *testing.T) {
	l := newLab(t)
	faults := fault.New(time.Now)
	l.conn.SetFaults(faults)
	tab := l.table(netlink.MainTable)
	if err := tab.Apply(l.routesBy(1, -1), nil); err != nil {
		t.Fatal(err)
	}
	if err := faults.Fail(fault.Rule{Call: fault.NetlinkRoute, Errno: unix.ENOMEM, Count: 20}); err != nil {
		t.Fatal(err)
	}
	err := tab.Apply(l.routesBy(20, 0), nil)
	if !errors.Is(err, netlink.ErrNoRoom) || !errors.Is(err, unix.ENOMEM) || !strings.Contains(err.Error(), "net.ipv6.route.max_size") {
		t.Errorf("%v", err)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 9 || lines[8] != "and 12 more" {
		t.Errorf("twenty failures are written as %q", lines)
	}
	l.reconcile(tab, netlink.Changes{Added: 19, Kept: 1}, l.routesBy(20, -1)...)
}

func TestAKernelWithoutRoutesBySourceIsNamed(t *testing.T) {
	l := newLab(t)
	faults := fault.New(time.Now)
	l.conn.SetFaults(faults)
	tab := l.table(netlink.MainTable)
	if err := faults.Fail(fault.Rule{Call: fault.NetlinkRoute, Errno: unix.EINVAL, Count: 2}); err != nil {
		t.Fatal(err)
	}
	route := netlink.Route{Dst: nth(1), Link: l.link}
	bySource := route
	bySource.Src = prefix("2001:db8::/32")
	if err := tab.Apply([]netlink.Route{bySource}, nil); !errors.Is(err, netlink.ErrBySource) || !errors.Is(err, unix.EINVAL) {
		t.Errorf("by source: %v", err)
	}
	if err := tab.Apply([]netlink.Route{route}, nil); !errors.Is(err, unix.EINVAL) || errors.Is(err, netlink.ErrBySource) {
		t.Errorf("another: %v", err)
	}
}

func TestADumpIsWholeWhileTheTableChanges(t *testing.T) {
	l := newLab(t)
	tab := l.table(netlink.MainTable)
	l.reconcile(tab, netlink.Changes{Added: scale}, l.routesBy(scale, -1)...)
	conn, err := l.ns.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	busy, err := netlink.NewTable(conn, netlink.MainTable, protocol+1)
	if err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	ended := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			one := []netlink.Route{{Dst: nth(i % scale), Link: l.link, Metric: 5}}
			if err := errors.Join(busy.Apply(one, nil), busy.Apply(nil, one)); err != nil || stop.Load() {
				ended <- err
				return
			}
			time.Sleep(5 * time.Millisecond) // between two dumps it is quiet at times
		}
	}()
	for range 5 {
		if held, err := tab.Routes(); err != nil || len(held) != scale {
			t.Errorf("%d routes, %v", len(held), err)
		}
	}
	stop.Store(true)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func BenchmarkRoutes(b *testing.B) {
	l := newLab(b)
	tab := l.table(netlink.MainTable)
	took := map[string]time.Duration{}
	step := func(name string, routes []netlink.Route) {
		start := time.Now()
		if _, err := tab.Reconcile(routes); err != nil {
			b.Fatal(err)
		}
		took[name] += time.Since(start)
	}
	for b.Loop() {
		step("add", l.routesBy(scale, -1))
		step("replace-third", l.routesBy(scale, 0))
		step("look", l.routesBy(scale, 0))
		step("remove", nil)
	}
	for name, d := range took {
		b.ReportMetric(d.Seconds()*1000/float64(b.N), name+"-ms/op")
	}
}
