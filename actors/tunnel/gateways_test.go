package tunnel

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"re6st/actors/system"
	"re6st/hw/hwtest"
	"re6st/hw/netlink"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/firsthop"
	"re6st/protocols/rib"
)

var gateway1, gateway2 = netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.2.0.1")

// fakeRoutes is the kernel as far as Gateways go.
type fakeRoutes struct {
	mu    sync.Mutex
	links map[netip.Addr]int // of the routers that can be used
	held  map[netip.Addr]netip.Addr
	set   []netlink.HostRoute // all that were, in their order
}

// withGateways has a node dial through two routers, on two links.
func (n *testNode) withGateways() *fakeRoutes {
	f := &fakeRoutes{links: map[netip.Addr]int{gateway1: 1, gateway2: 2}, held: map[netip.Addr]netip.Addr{}}
	n.gateways = &Gateways{Addrs: []netip.Addr{gateway1, gateway2}, Routes: f}
	return f
}

func (f *fakeRoutes) Routers(all []netip.Addr) (map[netip.Addr]int, map[netip.Addr]error, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	faults := map[netip.Addr]error{}
	for _, r := range all {
		if f.links[r] == 0 {
			faults[r] = netlink.ErrLinkDown
		}
	}
	return maps.Clone(f.links), faults, nil
}

func (f *fakeRoutes) Set(set []netlink.HostRoute, remove []netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range remove {
		delete(f.held, a)
	}
	return f.add(set)
}

func (f *fakeRoutes) Reconcile(want []netlink.HostRoute) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.held)
	return f.add(want)
}

func (f *fakeRoutes) add(set []netlink.HostRoute) error {
	for _, r := range set {
		if f.links[r.Via] != r.Link {
			return fmt.Errorf("%v is not on link %d", r.Via, r.Link)
		}
		f.held[r.Addr] = r.Via
	}
	f.set = append(f.set, set...)
	return nil
}

// history is by what an address was routed, one after the other.
func (f *fakeRoutes) history(a netip.Addr) (via []netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.set {
		if r.Addr == a {
			via = append(via, r.Via)
		}
	}
	return via
}

// lose has the kernel lose a router, with the routes by it.
func (f *fakeRoutes) lose(router netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.links, router)
	maps.DeleteFunc(f.held, func(_, via netip.Addr) bool { return via == router })
}

// via is by what an address is routed.
func (f *fakeRoutes) via(a netip.Addr) netip.Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held[a]
}

func (f *fakeRoutes) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.held)
}

// gateways are those that a node shows, by peer.
func (n *testNode) shown(peer *testNode) netip.Addr {
	n.t.Helper()
	for _, l := range n.links() {
		if l.Peer == peer.id() {
			return l.Gateway
		}
	}
	n.t.Errorf("no link with %s", peer.id())
	return netip.Addr{}
}

func TestPeersAreDialledThroughGatewaysByTurns(t *testing.T) {
	inWorld(t, 4, func(w *world) {
		a, b, c, d := w.nodes[0], w.nodes[1], w.nodes[2], w.nodes[3]
		routes := a.withGateways()
		w.under.Tap(func(p hwtest.Datagram) {
			if p.From == a.at && p.To != d.at && !routes.via(p.To.Addr()).IsValid() {
				t.Errorf("a packet to %v left before its route was there", p.To)
			}
		})
		b.start(limits(10, 10))
		c.start(limits(10, 10))
		a.start(limits(10, 10), b, c)
		time.Sleep(2 * time.Second)
		got := []netip.Addr{routes.via(b.at.Addr()), routes.via(c.at.Addr())}
		if slices.SortFunc(got, netip.Addr.Compare); !slices.Equal(got, a.gateways.Addrs) {
			t.Errorf("two peers go through %v", got)
		}
		if got := a.shown(b); got != routes.via(b.at.Addr()) {
			t.Errorf("shown is %v, want %v", got, routes.via(b.at.Addr()))
		}
		d.start(limits(10, 10), a) // it dials a
		time.Sleep(2 * time.Second)
		if via, shown := routes.via(d.at.Addr()), a.shown(d); via.IsValid() || shown.IsValid() {
			t.Errorf("a peer that dialled is routed through %v, %v", via, shown)
		}
		w.under.Tap(nil)
		b.end()
		c.end()
		time.Sleep(10 * time.Second)
		for _, l := range a.links() {
			if l.Peer != d.id() {
				t.Errorf("still a link with %s", l.Peer)
			}
		}
	})
}

// dialThroughGateways has the first of three nodes dial the others through its gateways.
func (w *world) dialThroughGateways() (a, b, c *testNode, routes *fakeRoutes) {
	a, b, c = w.nodes[0], w.nodes[1], w.nodes[2]
	routes = a.withGateways()
	b.start(limits(0, 10))
	c.start(limits(0, 10))
	a.start(limits(10, 10), b, c)
	time.Sleep(2 * time.Second)
	return a, b, c, routes
}

func TestPeersOfAGatewayThatIsGoneMoveToTheNext(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		a, b, c, routes := w.dialThroughGateways()
		routes.lose(gateway1)
		a.ref.Tell(UnderlaySeen{})
		synctest.Wait()
		for _, p := range []*testNode{b, c} {
			if via, shown := routes.via(p.at.Addr()), a.shown(p); via != gateway2 || shown != gateway2 {
				t.Errorf("%v goes through %v, shown is %v", p.at, via, shown)
			}
		}
		routes.lose(gateway2)
		a.ref.Tell(UnderlaySeen{})
		synctest.Wait()
		if n := routes.count(); n > 0 || a.shown(b).IsValid() {
			t.Errorf("%d routes without a gateway, shown is %v", n, a.shown(b))
		}
		if n := len(a.links()); n != 2 {
			t.Errorf("%d links are left, want 2", n)
		}
	})
}

func TestOtherGatewaysAreTakenWhileLinksLive(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		a, b, c, routes := w.dialThroughGateways()
		before := a.links()
		by := func(first, second netip.Addr) {
			t.Helper()
			synctest.Wait()
			got := []netip.Addr{routes.via(b.at.Addr()), routes.via(c.at.Addr())}
			shown := []netip.Addr{a.shown(b), a.shown(c)}
			for _, l := range [][]netip.Addr{got, shown} {
				if slices.SortFunc(l, netip.Addr.Compare); !slices.Equal(l, []netip.Addr{first, second}) {
					t.Errorf("the peers go through %v, want %v, %v", l, first, second)
				}
			}
		}
		a.ref.Tell(GatewaysWanted{[]netip.Addr{gateway2}})
		by(gateway2, gateway2)
		a.ref.Tell(GatewaysWanted{})
		by(netip.Addr{}, netip.Addr{})
		a.ref.Tell(GatewaysWanted{[]netip.Addr{gateway2, gateway1}})
		by(gateway1, gateway2)
		if after := a.links(); len(after) != 2 || after[0].ID != before[0].ID || after[1].ID != before[1].ID {
			t.Errorf("links %+v, before %+v", after, before)
		}
		a.ref.Tell(GatewaysWanted{[]netip.Addr{gateway1}})
		by(gateway1, gateway1)
		w.check(a.sys.Inject("tunnel", system.InjectPanic)) // whose next life knows of it
		time.Sleep(10 * time.Second)
		by(gateway1, gateway1)
	})
}

func TestAPeerThatFallsSilentIsDialledThroughTheNextGateway(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		a, b, c, routes := w.dialThroughGateways()
		if routes.via(b.at.Addr()) != gateway1 { // whose turn it is again
			b, c = c, b
		}
		w.cut(a, b)
		w.cut(c, b) // which else has it dialled in its place
		time.Sleep(2 * time.Minute)
		// Between the second and the third it is dialled without one.
		if got := routes.history(b.at.Addr()); len(got) < 3 || !slices.Equal(got[:3], []netip.Addr{gateway1, gateway2, gateway1}) {
			t.Errorf("the dials went through %v", got)
		}
		w.heal(a, b)
		time.Sleep(10 * time.Minute)
		if !a.shown(c).IsValid() {
			t.Error("the other peer has lost its gateway")
		}
		a.shown(b)
	})
}

// Neither a fault of the tunnel nor of the manager loses a route, or leaves one.
func TestRoutesThroughGatewaysOutliveFaults(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		a, b := w.nodes[0], w.nodes[1]
		routes := a.withGateways()
		b.start(limits(0, 10))
		a.start(limits(10, 10), b)
		time.Sleep(2 * time.Second)
		w.check(a.sys.Inject(tunnelPath(a.link()), system.InjectPanic))
		time.Sleep(2 * time.Second)
		if !routes.via(b.at.Addr()).IsValid() || a.shown(b) != routes.via(b.at.Addr()) {
			t.Errorf("after a fault of the link it goes through %v", routes.via(b.at.Addr()))
		}
		stray := netip.MustParseAddr("10.9.9.9")
		w.check(routes.Set([]netlink.HostRoute{{Addr: stray, Via: gateway1, Link: 1}}, nil))
		w.check(a.sys.Inject("tunnel", system.InjectPanic))
		time.Sleep(10 * time.Second)
		if !routes.via(b.at.Addr()).IsValid() || routes.via(stray).IsValid() {
			t.Errorf("after a fault of the manager: %v", routes.held)
		}
	})
}

func TestALinkGoesByTheInterfaceOfItsGateway(t *testing.T) {
	uplink := func(local string, index int, isDefault bool) fabric.Uplink {
		p := netip.MustParsePrefix(local)
		return fabric.Uplink{Local: fabric.Local{Addr: p.Addr(), Interface: index}, OnLink: p.Masked(), Default: isDefault}
	}
	first, second, six := uplink("10.1.0.2/24", 1, true), uplink("10.2.0.2/24", 2, false), uplink("2001:db8:1::2/64", 3, true)
	plan := firsthop.New([]netip.Addr{gateway1, gateway2})
	plan.HandleUnderlay([]netip.Addr{gateway1, gateway2}, nil)
	m := &manager{
		kept:    &memory{uplinks: []fabric.Uplink{first, six, second}},
		routers: routers{plan: plan, links: map[netip.Addr]int{gateway1: 1, gateway2: 2}},
	}
	far, other := first, second
	far.Default, other.Default = false, true // while a link is dialled, and by its gateway
	remote := map[rib.LinkID]netip.AddrPort{}
	for id := rib.LinkID(1); id <= 2; id++ {
		remote[id] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(id)}), 7326)
		plan.HandleLink(id, addr.NodeIDFromUint64(uint64(id)), []netip.Addr{remote[id].Addr()})
	}
	remote[3] = netip.MustParseAddrPort("198.51.100.3:7326")
	for _, c := range []struct {
		link rib.LinkID
		up   bool
		want []fabric.Uplink
	}{
		{1, false, []fabric.Uplink{first, six, second}},
		{1, true, []fabric.Uplink{first, six, second}},
		{2, false, []fabric.Uplink{six, other, far}},
		{2, true, []fabric.Uplink{six, other, first}},
		{3, false, []fabric.Uplink{first, six, second}},
		{3, true, []fabric.Uplink{first, six, second}},
	} {
		s := &tunnelState{snap: LinkSnapshot{ID: c.link, Up: c.up, Remote: remote[c.link]}}
		if got := m.uplinksOf(s); !slices.Equal(got, c.want) {
			t.Errorf("link %d, up %v: %v, want %v", c.link, c.up, got, c.want)
		}
	}
}
