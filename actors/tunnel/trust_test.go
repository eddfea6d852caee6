package tunnel

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"re6st/actors/system"
	"re6st/hw/hwtest"
	kernel "re6st/hw/ktunnel"
	"re6st/hw/sock"
	"re6st/protocols/addr"
	"re6st/protocols/ktunnel"
	"re6st/protocols/rib"
)

// tunnelConn is a node's socket, whose datagrams to a link-local address go by the tunnels of
// it and its peer, as far as there is one at both ends.
type tunnelConn struct {
	*hwtest.Conn
	node, peer *testNode
}

func (c *tunnelConn) WriteBatch(packets []sock.Packet) (int, error) {
	for i, p := range packets {
		if !p.Addr.Addr().IsLinkLocalUnicast() {
			if n, err := c.Conn.WriteBatch(packets[i : i+1]); n == 0 {
				return i, err
			}
			continue
		}
		name, _ := c.peer.kernel.end()
		if here, _ := c.node.kernel.end(); here != p.Addr.Addr().Zone() || name == "" {
			c.node.kernel.set(func(f *fakeKernel) { f.lost++ })
			continue // it is gone
		}
		from := netip.AddrPortFrom(c.node.id().LinkLocal().WithZone(name), c.node.at.Port())
		for data, n := p.Data, p.Datagrams(); n > 0; n-- {
			size := len(data)
			if n > 1 {
				size = p.Segment
			}
			c.node.under.Inject(hwtest.Datagram{From: from, To: c.peer.at, TOS: p.TOS, Data: data[:size]})
			data = data[size:]
		}
	}
	return len(packets), nil
}

func (c *tunnelConn) ReadBatch(packets []sock.Packet) (int, error) {
	n, err := c.Conn.ReadBatch(packets)
	for i := range packets[:n] {
		if p := &packets[i]; p.Addr.Addr().IsLinkLocalUnicast() {
			p.Local = c.node.id().LinkLocal()
			_, p.Interface = c.node.kernel.end()
		}
	}
	return n, err
}

// end is the one tunnel that is there, and carries.
func (f *fakeKernel) end() (name string, index int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mute || len(f.at) != 1 {
		return "", 0
	}
	for name, index = range f.at {
	}
	return name, index
}

func (f *fakeKernel) Lead(s kernel.Spec, via netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails == nil && f.at[s.Name] == 0 {
		return errors.New("no such tunnel")
	}
	if f.fails == nil {
		f.led[s.Name] = via
	}
	return f.fails
}

func (f *fakeKernel) Unlead(s kernel.Spec) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.led, s.Name)
	return nil
}

func (f *fakeKernel) Carried(string) (packets, bytes uint64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count, 1000 * f.count, nil
}

// set changes what the kernel does.
func (f *fakeKernel) set(change func(f *fakeKernel)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// leads tells to whom packets go by a tunnel.
func (f *fakeKernel) leads() (all []netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, via := range f.led {
		all = append(all, via)
	}
	return all
}

// trusting is a pair whose tunnels carry, and whose ends trust each other.
func trusting(t *testing.T, prepare func(a, b *testNode), test func(w *world, a, b *testNode)) {
	tunnelled(t, nil, func(a, b *testNode) {
		a.through, b.through = b, a
		a.wanted, b.wanted = trustIn(b), trustIn(a)
		prepare(a, b)
	}, func(w *world, a, b *testNode) {
		for _, n := range w.nodes {
			n.routes(true)
		}
		time.Sleep(5 * time.Second)
		test(w, a, b)
	})
}

// routes has routes of the node go by its link, or not.
func (n *testNode) routes(by bool) {
	use := map[rib.LinkID]LinkUse{}
	if by {
		use[n.link().ID] = LinkUse{Routes: 1, Nodes: 1}
	}
	n.ref.Tell(RoutingChanged{ByLink: use})
}

func trustIn(n *testNode) Wanted {
	return Wanted{Kinds: []ktunnel.Kind{ktunnel.GRE}, Trusted: map[addr.Bits]bool{n.credentials.Identity.Prefix: true}}
}

// direct tells whether each of the two leads packets to the other by their tunnel, and says so.
func direct(a, b *testNode) bool {
	x, y := a.link(), b.link()
	return slices.Equal(a.kernel.leads(), []netip.Addr{b.id().LinkLocal()}) && slices.Equal(b.kernel.leads(), []netip.Addr{a.id().LinkLocal()}) &&
		x.Trusted && y.Trusted && x.Tunnel == "gre" && y.Tunnel == "gre"
}

// sealed tells whether neither does.
func sealed(a, b *testNode) bool {
	return len(a.kernel.leads())+len(b.kernel.leads()) == 0 && !a.link().Trusted && !b.link().Trusted
}

func (n *testNode) says(text string) bool {
	return slices.ContainsFunc(n.sys.Events(), func(e system.Event) bool { return strings.Contains(e.Text, text) })
}

func TestPacketsGoByATunnelThatBothEndsTrust(t *testing.T) {
	trusting(t, asTheyAre, func(w *world, a, b *testNode) {
		if !direct(a, b) {
			t.Fatalf("%+v leads to %v, %+v to %v", a.link(), a.kernel.leads(), b.link(), b.kernel.leads())
		}
		for _, c := range [][2]*testNode{{a, b}, {b, a}} {
			want, err := addr.Subnet(network, c[1].credentials.Identity.Prefix)
			if s := c[0].kernel.only(t); err != nil || s.Trust.Peer != want {
				t.Errorf("%v takes packets of %v, want %v", &s, s.Trust.Peer, want)
			}
		}
		if !a.says(", by gre, trusted") {
			t.Error("no event tells of it")
		}
		a.ref.Tell(TunnelsWanted{Wanted{Kinds: []ktunnel.Kind{ktunnel.GRE}}})
		time.Sleep(20 * time.Second)
		if s := b.kernel.only(t); !sealed(a, b) || s.Trust != (kernel.Trust{}) || b.link().Tunnel != "gre" {
			t.Errorf("one end trusts no more: %+v leads to %v, %+v to %v", a.link(), a.kernel.leads(), b.link(), b.kernel.leads())
		}
		a.ref.Tell(TunnelsWanted{trustIn(b)})
		time.Sleep(20 * time.Second)
		if !direct(a, b) {
			t.Errorf("it trusts again: %+v leads to %v, %+v to %v", a.link(), a.kernel.leads(), b.link(), b.kernel.leads())
		}
		b.end()
		time.Sleep(time.Minute)
		if left := append(a.kernel.leads(), b.kernel.leads()...); len(left) != 0 {
			t.Errorf("after the link's end packets go to %v", left)
		}
	})
}

func TestPacketsGoByATrustedTunnelWhereRoutesGoByItsLink(t *testing.T) {
	trusting(t, asTheyAre, func(w *world, a, b *testNode) {
		for _, by := range []bool{false, true} {
			a.routes(by)
			time.Sleep(5 * time.Second)
			if got := len(a.kernel.leads()) == 1; got != by || a.link().Trusted != by || !b.link().Trusted {
				t.Errorf("routes %t: packets %t, %+v", by, got, a.link())
			}
		}
	})
}

func TestOneEndAloneTrustsNothing(t *testing.T) {
	alone := func(_, b *testNode) { b.wanted.Trusted = nil }
	trusting(t, alone, func(w *world, a, b *testNode) {
		if s := a.kernel.only(t); !sealed(a, b) || s.Trust != (kernel.Trust{}) || a.link().Tunnel != "gre" {
			t.Errorf("%v of %+v leads to %v, and at the other end to %v", &s, s.Trust, a.kernel.leads(), b.kernel.leads())
		}
	})
}

func TestATrustedTunnelThatIsSilentLeadsNothing(t *testing.T) {
	trusting(t, asTheyAre, func(w *world, a, b *testNode) {
		b.kernel.set(func(f *fakeKernel) { f.mute = true })
		time.Sleep(5 * time.Second)
		if !sealed(a, b) || a.link().Tunnel != "" {
			t.Errorf("%+v leads to %v, %+v to %v", a.link(), a.kernel.leads(), b.link(), b.kernel.leads())
		}
		if a.says(", by , trusted") || b.says(", by , trusted") {
			t.Error("an event tells of a link that goes by no tunnel as trusted")
		}
		b.kernel.set(func(f *fakeKernel) { f.mute = false })
		time.Sleep(2 * time.Minute)
		if !direct(a, b) {
			t.Errorf("it carries again: %+v leads to %v, %+v to %v", a.link(), a.kernel.leads(), b.link(), b.kernel.leads())
		}
	})
}

func TestATrustedTunnelThatIsMadeAgainLeadsAgain(t *testing.T) {
	trusting(t, asTheyAre, func(w *world, a, b *testNode) {
		before := a.kernel.only(t)
		_ = a.kernel.Remove(before.Name)
		time.Sleep(2 * time.Minute)
		if after := a.kernel.only(t); !direct(a, b) || after.Name == before.Name {
			t.Errorf("%v: %+v leads to %v, %+v to %v", &after, a.link(), a.kernel.leads(), b.link(), b.kernel.leads())
		}
		for _, path := range []string{tunnelPath(a.link()) + "/kernel", tunnelPath(a.link())} {
			w.check(a.sys.Inject(path, system.InjectPanic))
			time.Sleep(2 * time.Minute)
			if !direct(a, b) {
				t.Errorf("after a fault of %s: %+v leads to %v, %+v to %v", path, a.link(), a.kernel.leads(), b.link(), b.kernel.leads())
			}
		}
	})
}

func TestWhereAKernelHasNoFiltersPacketsStaySealed(t *testing.T) {
	open := func(_, b *testNode) { b.kernel.open = true }
	trusting(t, open, func(w *world, a, b *testNode) {
		time.Sleep(10 * time.Second)
		if s := a.kernel.only(t); !sealed(a, b) || s.Trust != (kernel.Trust{}) || a.link().Tunnel != "gre" || b.link().Tunnel != "gre" {
			t.Errorf("%+v leads to %v, %+v to %v", a.link(), a.kernel.leads(), b.link(), b.kernel.leads())
		}
		if !b.says("packets stay sealed") || !b.says(unfiltered) {
			t.Error("no event tells why")
		}
		if x, y := a.kernel.only(t), b.kernel.only(t); x.Port != 4000 || x.Unfiltered || !y.Unfiltered {
			t.Errorf("%+v, %+v", x, y)
		}
	})
}

func TestARouteThatIsRefusedIsTriedAgain(t *testing.T) {
	refused := func(a, _ *testNode) { a.kernel.fails = errors.New("no room") }
	trusting(t, refused, func(w *world, a, b *testNode) {
		if len(a.kernel.leads()) != 0 || a.link().Trusted || !b.link().Trusted || !a.says("packets stay sealed: no room") {
			t.Errorf("%+v leads to %v", a.link(), a.kernel.leads())
		}
		for _, fails := range []error{nil, errors.New("no way"), nil} {
			a.kernel.set(func(f *fakeKernel) { f.fails = fails })
			time.Sleep(2 * kernelCheck)
			if a.link().Trusted != (fails == nil) || fails == nil && !direct(a, b) {
				t.Errorf("refused: %v; %+v leads to %v", fails, a.link(), a.kernel.leads())
			}
		}
	})
}

func TestTrustIsInAPeerOrInANetworkOfTheUnderlay(t *testing.T) {
	five, _ := addr.ParseCN("5/16")
	six, _ := addr.ParseCN("6/16")
	w := Wanted{
		Trusted: map[addr.Bits]bool{five: true}, Underlay: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:1::/48")},
	}
	for _, c := range []struct {
		peer          addr.Bits
		local, remote string
		want          bool
	}{
		{five, "203.0.113.1", "203.0.113.2", true},
		{six, "203.0.113.1", "203.0.113.2", false},
		{six, "192.0.2.1", "192.0.2.2", true},
		{six, "192.0.2.1", "::ffff:192.0.2.2", true},
		{six, "192.0.2.1", "203.0.113.2", false},
		{six, "203.0.113.1", "192.0.2.2", false},
		{six, "2001:db8:1::1", "2001:db8:1:2::2", true},
		{six, "192.0.2.1", "2001:db8:1:2::2", false},
	} {
		if got := w.trusts(c.peer, netip.MustParseAddr(c.local), netip.MustParseAddr(c.remote)); got != c.want {
			t.Errorf("%v from %s to %s: %t", c.peer, c.local, c.remote, got)
		}
	}
}
