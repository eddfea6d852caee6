package discovery

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/actors/system"
	"re6st/hw/netlink"
	"re6st/hw/netns"
	"re6st/hw/netns/netnstest"
	"re6st/hw/sock"
	"re6st/protocols/addr"
	wire "re6st/protocols/discovery"
)

const patience = 60 * time.Second

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// spaces are namespaces that go with the test.
func spaces(t *testing.T, names ...string) []*netns.NS {
	t.Helper()
	group := netnstest.NewGroup(t)
	var all []*netns.NS
	for _, name := range names {
		ns, err := group.Create(name)
		check(t, err)
		all = append(all, ns)
	}
	return all
}

// finder runs the actor of node n in a namespace, and tells whom it finds.
func finder(t *testing.T, ns *netns.NS, network byte, n uint64, interfaces ...string) (*system.System, <-chan Found) {
	t.Helper()
	sys, _, found := finderRef(t, ns, network, n, interfaces...)
	return sys, found
}

func finderRef(t *testing.T, ns *netns.NS, network byte, n uint64, interfaces ...string) (*system.System, system.Ref[Message], <-chan Found) {
	t.Helper()
	sys := system.New(system.Config{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	found := make(chan Found, 64)
	ref, err := Spawn(sys, Config{
		Fingerprint: [32]byte{network}, Interfaces: interfaces,
		Self: wire.Beacon{ID: addr.NodeIDFromUint64(n), Static: [32]byte{byte(n)}, Port: 7000 + uint16(n)},
		Emit: func(f Found) { found <- f },
		Watch: func(ctx context.Context, report func(netlink.Event)) error {
			conn, err := ns.Netlink()
			if err != nil {
				return err
			}
			defer conn.Close()
			return conn.Watch(ctx, report)
		},
		Listen: func(name string) (conn *sock.Multicast, err error) {
			err = ns.Do(func() error {
				conn, err = sock.ListenMulticast(name, wire.Group)
				return err
			})
			return conn, err
		},
	})
	check(t, err)
	t.Cleanup(func() {
		limit, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		check(t, sys.Stop(limit))
	})
	return sys, ref, found
}

// linkLocal is the address that neighbors see; it comes when the kernel has seen the carrier.
func linkLocal(t *testing.T, ns *netns.NS, name string) netip.Addr {
	t.Helper()
	conn, err := ns.Netlink()
	check(t, err)
	defer conn.Close()
	link, err := conn.Link(name)
	check(t, err)
	for late := time.Now().Add(patience); time.Now().Before(late); time.Sleep(time.Millisecond) {
		addrs, err := conn.Addresses()
		check(t, err)
		for _, a := range addrs {
			if a.Link == link.Index && a.Prefix.Addr().Is6() && a.Prefix.Addr().IsLinkLocalUnicast() {
				return a.Prefix.Addr()
			}
		}
	}
	t.Fatalf("%s has no link-local address", name)
	return netip.Addr{}
}

func expect(t *testing.T, found <-chan Found, n uint64, at netip.Addr) {
	t.Helper()
	want := netip.AddrPortFrom(at, 7000+uint16(n))
	deadline := time.After(patience)
	for {
		select {
		case f := <-found:
			if f.ID == addr.NodeIDFromUint64(n) && f.Endpoint == want && f.Static == [32]byte{byte(n)} {
				return
			}
			t.Logf("found %+v", f)
		case <-deadline:
			t.Fatalf("node %d was not found at %s", n, want)
		}
	}
}

func TestNodesOfOneLANFindEachOther(t *testing.T) {
	ns := spaces(t, "a", "b")
	_, atA := finder(t, ns[0], 1, 1)
	_, atB := finder(t, ns[1], 1, 2)
	_, stranger := finder(t, ns[1], 2, 3) // another network's node on the same host
	check(t, netns.Veth(ns[0], "eth0", ns[1], "eth1"))
	expect(t, atA, 2, linkLocal(t, ns[1], "eth1").WithZone("eth0"))
	expect(t, atB, 1, linkLocal(t, ns[0], "eth0").WithZone("eth1"))

	t.Run("by another interface too, when that comes", func(t *testing.T) {
		check(t, netns.Veth(ns[0], "eth2", ns[1], "eth3"))
		expect(t, atA, 2, linkLocal(t, ns[1], "eth3").WithZone("eth2"))
	})
	t.Run("again at its new address", func(t *testing.T) {
		conn, err := ns[1].Netlink()
		check(t, err)
		defer conn.Close()
		fresh := netip.MustParsePrefix("fe80::99/64")
		check(t, conn.SetAddress("eth1", fresh, false))
		check(t, conn.RemoveAddress("eth1", netip.PrefixFrom(linkLocalOther(t, ns[1], "eth1", fresh.Addr()), 64)))
		expect(t, atA, 2, fresh.Addr().WithZone("eth0"))
	})
	select {
	case f := <-stranger:
		t.Errorf("another network's node found %+v", f)
	default:
	}
}

// linkLocalOther is a link-local address of an interface that is not known.
func linkLocalOther(t *testing.T, ns *netns.NS, name string, known netip.Addr) netip.Addr {
	t.Helper()
	conn, err := ns.Netlink()
	check(t, err)
	defer conn.Close()
	check(t, conn.RemoveAddress(name, netip.PrefixFrom(known, 64)))
	a := linkLocal(t, ns, name)
	check(t, conn.SetAddress(name, netip.PrefixFrom(known, 64), false))
	return a
}

func TestNewKeysAreToldAtOnceAndAfterARestart(t *testing.T) {
	ns := spaces(t, "a", "b")
	sys, a, _ := finderRef(t, ns[0], 1, 1)
	_, atB := finder(t, ns[1], 1, 2)
	check(t, netns.Veth(ns[0], "eth0", ns[1], "eth1"))
	expect(t, atB, 1, linkLocal(t, ns[0], "eth0").WithZone("eth1"))
	fresh := wire.Beacon{ID: addr.NodeIDFromUint64(1), Static: [32]byte{99}, Port: 7001}
	heard := func(found <-chan Found, isOldGood bool) {
		t.Helper()
		for late := time.After(patience); ; {
			select {
			case f := <-found:
				if f.ID == fresh.ID && f.Static == fresh.Static {
					return
				}
				if f.ID == fresh.ID && !isOldGood {
					t.Fatalf("it tells its old key again: %+v", f)
				}
			case <-late:
				t.Fatal("the new key is not told")
			}
		}
	}
	a.Tell(Renewed{fresh})
	heard(atB, true)
	check(t, sys.Inject("lan", system.InjectPanic))
	for late := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if i := slices.IndexFunc(sys.Actors(), func(r system.Record) bool { return r.Path == "lan" }); i >= 0 && sys.Actors()[i].Restarts > 0 {
			break
		}
		if time.Now().After(late) {
			t.Fatal("no restart")
		}
	}
	_, atC := finder(t, ns[1], 1, 3)
	heard(atC, false)
}

func TestOnlyTheInterfacesThatAreNamed(t *testing.T) {
	ns := spaces(t, "a", "b")
	check(t, netns.Veth(ns[0], "eth0", ns[1], "eth0"))
	check(t, netns.Veth(ns[0], "eth1", ns[1], "eth1"))
	sys, atA := finder(t, ns[0], 1, 1, "eth1")
	finder(t, ns[1], 1, 2)
	expect(t, atA, 2, linkLocal(t, ns[1], "eth1").WithZone("eth1"))
	for late := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // a child finds somebody before its parent says that it is there
		s, _ := system.Read[Snapshot](sys, "lan")
		if slices.Equal(s.Interfaces, []string{"eth1"}) {
			return
		}
		if len(s.Interfaces) > 0 || time.Now().After(late) {
			t.Fatalf("it speaks on %v", s.Interfaces)
		}
	}
}

func TestWhichInterfacesAreFit(t *testing.T) {
	good := netlink.Link{Index: 2, Name: "eth0", Kind: "device", Up: true, Running: true, Multicast: true}
	change := func(f func(*netlink.Link)) netlink.Link {
		l := good
		f(&l)
		return l
	}
	for name, c := range map[string]struct {
		link netlink.Link
		only []string
		want bool
	}{
		"a good one":            {good, nil, true},
		"one that is named":     {good, []string{"eth0"}, true},
		"another is named":      {good, []string{"eth1"}, false},
		"without carrier":       {change(func(l *netlink.Link) { l.Running = false }), nil, false},
		"without multicast":     {change(func(l *netlink.Link) { l.Multicast = false }), nil, false},
		"a tunnel below a link": {change(func(l *netlink.Link) { l.Group = netlink.TunnelGroup }), nil, false},
		"the loopback":          {change(func(l *netlink.Link) { l.Loopback = true }), nil, false},
		"a port of a bridge":    {change(func(l *netlink.Link) { l.Master = 7 }), nil, false},
		"a port that is named":  {change(func(l *netlink.Link) { l.Master = 7 }), []string{"eth0"}, true},
		"a TUN":                 {change(func(l *netlink.Link) { l.Kind = "tuntap" }), nil, false},
		"without link-local":    {change(func(l *netlink.Link) { l.Index = 3 }), nil, false},
	} {
		l := &lan{cfg: Config{Interfaces: c.only}, locals: map[int][]netip.Addr{2: {netip.MustParseAddr("fe80::1")}}}
		if got := l.fit(c.link); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
