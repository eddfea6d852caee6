package netlink_test

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"re6st/hw/netlink"
	"re6st/hw/netns"
	"re6st/hw/netns/netnstest"
)

const (
	protocol = 77 // ours in these tests
	other    = "78"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(forwardEnv); dir != "" {
		beForwarder(dir)
	}
	goleak.VerifyTestMain(m)
}

// lab is a namespace with a veth pair, v0 and v1, both up.
type lab struct {
	t    testing.TB
	ns   *netns.NS
	conn *netlink.Conn
	link int // v0's index
}

func newLab(t testing.TB) *lab {
	t.Helper()
	g := netnstest.NewGroup(t)
	ns, err := g.Create("n1")
	if err == nil {
		err = netns.Veth(ns, "v0", ns, "v1")
	}
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ns.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	v0, err := conn.Link("v0")
	if err != nil {
		t.Fatal(err)
	}
	return &lab{t, ns, conn, v0.Index}
}

func ipCommand(args ...string) ([]byte, error) { return exec.Command("ip", args...).CombinedOutput() }

// ip runs iproute2 inside: a second opinion on what the kernel holds.
func (l *lab) ip(args ...string) string {
	l.t.Helper()
	var out []byte
	err := l.ns.Do(func() (err error) { out, err = ipCommand(args...); return })
	if err != nil {
		l.t.Fatalf("ip %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (l *lab) table(table uint32) *netlink.Table {
	l.t.Helper()
	tab, err := netlink.NewTable(l.conn, table, protocol)
	if err != nil {
		l.t.Fatal(err)
	}
	return tab
}

func (l *lab) reconcile(tab *netlink.Table, want netlink.Changes, routes ...netlink.Route) {
	l.t.Helper()
	got, err := tab.Reconcile(routes)
	if err != nil {
		l.t.Fatal(err)
	}
	if got != want {
		l.t.Errorf("Reconcile did %+v, want %+v", got, want)
	}
}

func (l *lab) shows(family, want string) {
	l.t.Helper()
	var lines []string
	for line := range strings.Lines(l.ip(family, "route", "show", "table", "all", "proto", fmt.Sprint(protocol))) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	if got := strings.Join(lines, "\n"); got != want {
		l.t.Errorf("ip %s route shows\n%s\nwant\n%s", family, got, want)
	}
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestReconcileAddsReplacesKeepsRemoves(t *testing.T) {
	l := newLab(t)
	tab := l.table(netlink.MainTable)
	via := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	a := netlink.Route{Dst: prefix("2001:db8:1::/64"), Link: l.link, Via: via("fe80::1")}
	b := netlink.Route{Dst: prefix("2001:db8:2::/64"), Link: l.link, Via: via("fe80::1"), Metric: 5}
	c := netlink.Route{Dst: prefix("2001:db8:3::/64"), Link: l.link, Via: via("fe80::1")}
	l.reconcile(tab, netlink.Changes{Added: 3}, a, b, c)
	b.Via = via("fe80::2")
	d := netlink.Route{Dst: prefix("2001:db8:4::/64"), Kind: netlink.Unreachable}
	l.reconcile(tab, netlink.Changes{Added: 1, Replaced: 1, Removed: 1, Kept: 1}, a, b, d)
	l.shows("-6", `2001:db8:1::/64 via fe80::1 dev v0 metric 1024 pref medium
2001:db8:2::/64 via fe80::2 dev v0 metric 5 pref medium
unreachable 2001:db8:4::/64 dev lo metric 1024 pref medium`)
	l.reconcile(tab, netlink.Changes{Kept: 3}, a, b, d)
	l.reconcile(tab, netlink.Changes{Removed: 3})
	l.shows("-6", "")
}

func TestEverySortOfRouteComesBackAsItWasSet(t *testing.T) {
	l := newLab(t)
	for _, a := range []string{"2001:db8:9::1/128", "10.0.0.1/30"} {
		if err := l.conn.SetAddress("v0", prefix(a), false); err != nil {
			t.Fatal(err)
		}
	}
	v6, v4 := netip.MustParseAddr("fe80::1"), netip.MustParseAddr("10.0.0.2")
	for _, r := range []netlink.Route{
		{Dst: prefix("::/0"), Link: l.link, Via: v6, Metric: 1},
		{Dst: prefix("::/0"), Src: prefix("2001:db8::/32"), Link: l.link, Via: v6, Metric: 1},
		{Dst: prefix("2001:db8:1::/64"), Link: l.link, Metric: 1},
		{Dst: prefix("2001:db8:1::/64"), Link: l.link, Metric: 1, PrefSrc: netip.MustParseAddr("2001:db8:9::1")},
		{Dst: prefix("2001:db8:1::/64"), Link: l.link, Metric: 1, MTU: 1300},
		{Dst: prefix("2001:db8:1::1/128"), Kind: netlink.Blackhole, Metric: 1},
		{Dst: prefix("2001:db8:1::1/128"), Kind: netlink.Prohibit, Metric: 1},
		{Dst: prefix("10.1.0.0/16"), Link: l.link, Via: v4},
		{Dst: prefix("10.1.0.0/16"), Link: l.link, Via: v4, Metric: 7, PrefSrc: netip.MustParseAddr("10.0.0.1")},
		{Dst: prefix("10.1.0.0/16"), Link: l.link},
		{Dst: prefix("10.1.0.0/16"), Link: l.link, Via: v6}, // RFC 9229
		{Dst: prefix("0.0.0.0/0"), Link: l.link, Via: netip.MustParseAddr("10.9.9.9"), OnLink: true},
		{Dst: prefix("10.1.0.0/16"), Kind: netlink.Unreachable},
	} {
		t.Run(r.String(), func(t *testing.T) {
			for _, table := range []uint32{netlink.MainTable, 100_000} {
				tab := l.table(table)
				l.reconcile(tab, netlink.Changes{Added: 1}, r)
				if got, err := tab.Routes(); err != nil || !slices.Equal(got, []netlink.Route{r}) {
					t.Errorf("table %d holds %+v, %v, want %+v", table, got, err, r)
				}
				l.reconcile(tab, netlink.Changes{Kept: 1}, r)
				l.reconcile(tab, netlink.Changes{Removed: 1})
			}
		})
	}
}

func TestReconcileRemovesWhatACrashedRunLeft(t *testing.T) {
	l := newLab(t)
	l.ip("-6", "route", "add", "2001:db8:dead::/48", "dev", "v0", "proto", fmt.Sprint(protocol))
	l.ip("-6", "route", "add", "2001:db8:dead::/48", "from", "2001:db8::/32", "dev", "v0", "proto", fmt.Sprint(protocol))
	l.ip("-4", "route", "add", "10.9.0.0/16", "dev", "v0", "proto", fmt.Sprint(protocol))
	l.reconcile(l.table(netlink.MainTable), netlink.Changes{Removed: 3})
	l.shows("-6", "")
	l.shows("-4", "")
}

func TestForeignRoutesAreNeverTouched(t *testing.T) {
	l := newLab(t)
	l.ip("-6", "route", "add", "2001:db8:1::/64", "dev", "v0", "proto", other, "metric", "9")
	l.ip("-6", "route", "add", "2001:db8:2::/64", "dev", "v0", "proto", other)
	l.ip("-4", "route", "add", "10.1.0.0/16", "dev", "v0", "proto", other)
	before := l.ip("route", "show", "table", "all", "proto", other) + l.ip("-6", "route", "show", "table", "all", "proto", other)
	tab := l.table(netlink.MainTable)
	same := netlink.Route{Dst: prefix("2001:db8:1::/64"), Link: l.link, Via: netip.MustParseAddr("fe80::1"), Metric: 9}
	same4 := netlink.Route{Dst: prefix("10.1.0.0/16"), Kind: netlink.Blackhole}
	beside := same
	beside.Metric = 8
	changes, err := tab.Reconcile([]netlink.Route{same, beside, same4})
	if !errors.Is(err, netlink.ErrForeign) || strings.Count(err.Error(), "cannot set") != 2 {
		t.Errorf("Reconcile: %v, want ErrForeign twice", err)
	}
	if changes != (netlink.Changes{Added: 1}) {
		t.Errorf("Reconcile did %+v, want the one beside them added", changes)
	}
	fresh := l.table(netlink.MainTable) // has not seen the table
	if err := fresh.Apply([]netlink.Route{same}, nil); !errors.Is(err, netlink.ErrForeign) {
		t.Errorf("Apply: %v, want ErrForeign", err)
	}
	if err := tab.Apply(nil, []netlink.Route{same, same4}); err != nil {
		t.Errorf("Apply of a removal: %v", err)
	}
	l.reconcile(tab, netlink.Changes{Removed: 1})
	after := l.ip("route", "show", "table", "all", "proto", other) + l.ip("-6", "route", "show", "table", "all", "proto", other)
	if before != after {
		t.Errorf("foreign routes were\n%s\nand are\n%s", before, after)
	}
}

func TestOtherTablesAreNotOurs(t *testing.T) {
	l := newLab(t)
	l.ip("-6", "route", "add", "2001:db8:1::/64", "dev", "v0", "proto", fmt.Sprint(protocol), "table", "500")
	l.reconcile(l.table(netlink.MainTable), netlink.Changes{})
	l.reconcile(l.table(500), netlink.Changes{Removed: 1})
}

func TestReplaceLeavesNoGap(t *testing.T) {
	l := newLab(t)
	tab := l.table(netlink.MainTable)
	r := netlink.Route{Dst: prefix("2001:db8:1::/64"), Link: l.link, Via: netip.MustParseAddr("fe80::1")}
	l.reconcile(tab, netlink.Changes{Added: 1}, r)
	var seen string
	err := l.ns.Do(func() error {
		monitor := exec.CommandContext(t.Context(), "ip", "-6", "monitor", "route")
		out, err := monitor.StdoutPipe()
		if err == nil {
			err = monitor.Start()
		}
		if err != nil {
			return err
		}
		events := make(chan string)
		go func() {
			defer close(events)
			for buffer := make([]byte, 4096); ; {
				n, err := out.Read(buffer)
				if err != nil {
					return
				}
				events <- string(buffer[:n])
			}
		}()
		// A first event shows that the monitor listens; the last one that it saw all before.
		marked := func(prefix string) error {
			for again := time.NewTicker(50 * time.Millisecond); ; {
				l.ip("-6", "route", "replace", prefix+"/64", "dev", "v1")
				select {
				case text, ok := <-events:
					if seen += text; !ok {
						return errors.New("the monitor ended")
					}
				case <-again.C:
				}
				if strings.Contains(seen, prefix) {
					again.Stop()
					return nil
				}
			}
		}
		if err := marked("2001:db8:ffff::"); err != nil {
			return err
		}
		r.Via = netip.MustParseAddr("fe80::2")
		l.reconcile(tab, netlink.Changes{Replaced: 1}, r)
		if err := marked("2001:db8:eeee::"); err != nil {
			return err
		}
		_ = monitor.Process.Kill()
		for range events { // what it had still to say
		}
		_ = monitor.Wait()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(seen, "via fe80::2") || strings.Contains(seen, "Deleted") {
		t.Errorf("the kernel told of\n%s\nwant a replacement and no deletion", seen)
	}
}

func TestApplyIsIdempotent(t *testing.T) {
	l := newLab(t)
	tab := l.table(netlink.MainTable)
	r := netlink.Route{Dst: prefix("2001:db8:1::/64"), Link: l.link}
	for range 2 {
		if err := tab.Apply([]netlink.Route{r}, nil); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if err := tab.Apply(nil, []netlink.Route{r}); err != nil {
			t.Error(err)
		}
	}
	l.shows("-6", "")
}

func TestOneBadRouteDoesNotHinderTheOthers(t *testing.T) {
	l := newLab(t)
	tab := l.table(netlink.MainTable)
	bad := netlink.Route{Dst: prefix("2001:db8:1::/64"), Link: 9999}
	good := netlink.Route{Dst: prefix("2001:db8:2::/64"), Link: l.link}
	changes, err := tab.Reconcile([]netlink.Route{bad, good, {}})
	var which *netlink.RouteError
	if !errors.As(err, &which) || which.Route.Link != 9999 || !errors.Is(err, netlink.ErrRoute) {
		t.Errorf("Reconcile: %v, want both failures named", err)
	}
	if changes != (netlink.Changes{Added: 1}) {
		t.Errorf("Reconcile did %+v", changes)
	}
}

func TestKernelsOwnProtocolNumbersAreRefused(t *testing.T) {
	if _, err := netlink.NewTable(nil, netlink.MainTable, 2); !errors.Is(err, netlink.ErrRoute) {
		t.Errorf("NewTable(protocol 2): %v", err)
	}
}

func TestAProtocolNumberIsOneProcesss(t *testing.T) {
	l, other := newLab(t), newLab(t)
	claim := func(l *lab, protocol uint8) (c io.Closer, err error) {
		err = l.ns.Do(func() error {
			c, err = netlink.Claim(protocol)
			return err
		})
		return c, err
	}
	first, err := claim(l, 206)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := claim(l, 206); !errors.Is(err, netlink.ErrClaimed) {
		t.Errorf("a second claim: %v, want ErrClaimed", err)
	}
	for _, c := range []struct {
		l        *lab
		protocol uint8
	}{{l, 207}, {other, 206}} {
		free, err := claim(c.l, c.protocol)
		if err != nil {
			t.Fatal(err)
		}
		if err := free.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := claim(l, 206)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestLinkSettings(t *testing.T) {
	l := newLab(t)
	if err := l.conn.SetMTU("v0", 1380); err != nil {
		t.Fatal(err)
	}
	if err := l.conn.SetUp("v0", false); err != nil {
		t.Fatal(err)
	}
	if err := l.conn.SetAddrGenMode("v0", netlink.AddrGenNone); err != nil {
		t.Fatal(err)
	}
	got, err := l.conn.Link("v0")
	if err != nil {
		t.Fatal(err)
	}
	if want := (netlink.Link{Index: l.link, Name: "v0", Kind: "veth", MTU: 1380, Multicast: true}); got != want {
		t.Errorf("link %+v, want %+v", got, want)
	}
	if err := l.conn.SetUp("v0", true); err != nil {
		t.Fatal(err)
	}
	if out := l.ip("-6", "addr", "show", "dev", "v0", "scope", "link"); out != "" {
		t.Errorf("with addrgenmode none the link has %s", out)
	}
	if _, err := l.conn.Link("nowhere"); !errors.Is(err, netlink.ErrNoLink) {
		t.Errorf("Link(nowhere): %v, want ErrNoLink", err)
	}
}

func TestDeprecatedAddress(t *testing.T) {
	l := newLab(t)
	p := prefix("2001:db8:1::1/64")
	find := func() (found []netlink.Addr) {
		addrs, err := l.conn.Addresses()
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(addrs, func(a netlink.Addr) bool { return a.Prefix != p })
	}
	for _, deprecated := range []bool{false, true} {
		if err := l.conn.SetAddress("v0", p, deprecated); err != nil {
			t.Fatal(err)
		}
		if got, want := find(), (netlink.Addr{Link: l.link, Prefix: p, Deprecated: deprecated}); !slices.Equal(got, []netlink.Addr{want}) {
			t.Errorf("addresses %+v, want %+v", got, want)
		}
	}
	for range 2 {
		if err := l.conn.RemoveAddress("v0", p); err != nil {
			t.Error(err)
		}
	}
	if got := find(); len(got) != 0 {
		t.Errorf("after RemoveAddress: %+v", got)
	}
}

func TestRateIsSetAndTakenAway(t *testing.T) {
	l := newLab(t)
	if err := l.conn.SetRate("v0", 0); err != nil {
		t.Errorf("no rate where none was: %v", err)
	}
	qdisc := func() string {
		var out []byte
		err := l.ns.Do(func() (err error) { out, err = exec.Command("tc", "qdisc", "show", "dev", "v0").Output(); return })
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	for _, rate := range []uint64{5_000_000, 10_000_000} {
		if err := l.conn.SetRate("v0", rate); err != nil {
			t.Fatal(err)
		}
		if got, want := qdisc(), fmt.Sprintf("rate %dMbit", rate/1_000_000); !strings.HasPrefix(got, "qdisc tbf") || !strings.Contains(got, want) {
			t.Errorf("qdisc %q, want tbf with %q", got, want)
		}
	}
	if err := l.conn.SetRate("v0", 0); err != nil {
		t.Fatal(err)
	}
	if got := qdisc(); strings.Contains(got, "tbf") {
		t.Errorf("after rate 0: %q", got)
	}
}
