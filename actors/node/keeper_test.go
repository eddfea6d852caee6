package node

import (
	"context"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"re6st/actors/neighbor"
	"re6st/actors/system"
	"re6st/hw/fault"
	"re6st/hw/netlink"
	"re6st/hw/netns/netnstest"
	"re6st/hw/tun"
)

// keptTUN is a TUN in a namespace of its own, with a keeper.
type keptTUN struct {
	t      *testing.T
	conn   *netlink.Conn // in that namespace
	tun    tun.Device
	link   netlink.Link
	own    netip.Addr
	ipv4   atomic.Pointer[netip.Addr] // that is wanted; nil: none
	keeper system.Ref[keeperMessage]
	faults *fault.Table
	sys    *system.System
	mended chan bool
}

func newKeptTUN(t *testing.T) *keptTUN {
	t.Helper()
	g := netnstest.NewGroup(t)
	ns, err := g.Create("kept")
	check(t, err)
	k := &keptTUN{
		t: t, own: netip.MustParseAddr("2001:db8:42:7::1"), faults: fault.New(time.Now), mended: make(chan bool, 100),
		sys: system.New(system.Config{}),
	}
	check(t, ns.Do(func() (err error) { k.tun, err = tun.Open(tun.Config{Name: "mesh"}); return err }))
	k.conn, err = ns.Netlink()
	check(t, err)
	t.Cleanup(k.conn.Close)
	k.link, err = k.conn.Link("mesh")
	check(t, err)
	check(t, k.conn.SetAddress("mesh", netip.PrefixFrom(k.own, 128), false))
	open := func() (*netlink.Conn, error) {
		conn, err := ns.Netlink()
		if err == nil {
			conn.SetFaults(k.faults)
		}
		return conn, err
	}
	k.keeper, err = system.Spawn(k.sys, "tun", keeperSpec(keeper{
		open: open, ifindex: k.link.Index, ranges: []neighbor.Range{{Prefix: netip.MustParsePrefix("2001:db8:42::/48"), Address: k.own}},
		ipv4: k.wanted, had: new(lastIPv4),
		mended: func() { k.mended <- true },
	}))
	check(t, err)
	t.Cleanup(func() {
		check(t, k.sys.Stop(context.WithoutCancel(t.Context())))
		_ = k.tun.Close()
	})
	return k
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// whole waits until the TUN is up and has its address. One mending may come between
// two losses, so each is followed by a look.
func (k *keptTUN) whole(after string) {
	k.t.Helper()
	late := time.After(patience)
	for !k.isWhole() {
		select {
		case <-k.mended:
		case <-late:
			addrs, err := k.conn.Addresses()
			k.t.Fatalf("after %s: not mended; addresses %v, %v; %+v", after, addrs, err, k.sys.Events())
		}
	}
}

func (k *keptTUN) wanted() netip.Addr {
	if a := k.ipv4.Load(); a != nil {
		return *a
	}
	return netip.Addr{}
}

func TestTheAddressOfIPv4ComesAndGoes(t *testing.T) {
	k := newKeptTUN(t)
	foreign := netip.MustParseAddr("192.0.2.9")
	check(t, k.conn.SetAddress("mesh", netip.PrefixFrom(foreign, 32), false))
	for _, text := range []string{"10.42.7.1", "10.43.7.1", ""} {
		want := []netip.Addr{foreign}
		k.ipv4.Store(nil)
		if text != "" {
			a := netip.MustParseAddr(text)
			want = append(want, a)
			k.ipv4.Store(&a)
		}
		k.keeper.Tell(readdress{})
		k.has(want, "it is to be "+text)
		if text != "" {
			check(t, k.conn.RemoveAddress("mesh", netip.PrefixFrom(k.wanted(), 32)))
			k.has(want, "a flush")
			check(t, k.conn.SetUp("mesh", false))
			k.whole("down")
			k.has(want, "down")
		}
	}
}

// has waits until the TUN has these addresses of IPv4, and no other.
func (k *keptTUN) has(want []netip.Addr, after string) {
	k.t.Helper()
	for late := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		addrs, err := k.conn.Addresses()
		check(k.t, err)
		var got []netip.Addr
		for _, a := range addrs {
			if a.Link == k.link.Index && a.Prefix.Addr().Is4() {
				got = append(got, a.Prefix.Addr())
			}
		}
		slices.SortFunc(got, netip.Addr.Compare)
		slices.SortFunc(want, netip.Addr.Compare)
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(late) {
			k.t.Fatalf("after %s: addresses %v, want %v", after, got, want)
		}
	}
}

func (k *keptTUN) isWhole() bool {
	link, err := k.conn.Link("mesh")
	check(k.t, err)
	addrs, err := k.conn.Addresses()
	check(k.t, err)
	return link.Up && slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.Link == link.Index && a.Prefix.Addr() == k.own })
}

func TestATUNThatIsSetDownComesBackWithItsAddresses(t *testing.T) {
	k := newKeptTUN(t)
	check(t, k.conn.SetUp("mesh", false))
	k.whole("down")
	check(t, k.conn.RemoveAddress("mesh", netip.PrefixFrom(k.own, 128)))
	k.whole("a flush")
}

func TestAKeeperThatFailsMendsWithItsNextLife(t *testing.T) {
	for _, call := range []fault.Call{fault.NetlinkLink, fault.NetlinkAddress, fault.NetlinkWatch} {
		k := newKeptTUN(t)
		check(t, k.faults.Fail(fault.Rule{Call: call, Errno: unix.EBUSY, Count: 2}))
		check(t, k.conn.SetUp("mesh", false))
		k.whole(string(call) + " failed")
	}
}
