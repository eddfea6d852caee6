package tunnel

import (
	"net/netip"
	"testing"
	"time"

	"re6st/actors/system"
	"re6st/hw/hwtest"
	"re6st/protocols/addr"
	"re6st/protocols/nat"
	"re6st/protocols/rib"
	"re6st/protocols/tunnelplan"
)

// mappingTimeout is how long the NATs of these tests remember a silent flow.
const mappingTimeout = 30 * time.Second

func outside(i int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}) }

// behindNATs are four nodes: the first two behind a NAT each, with links to the other
// two. The first one has places to open, the second one dials nobody by itself.
func behindNATs(t *testing.T, random bool, test func(w *world, a, b *testNode)) {
	inWorld(t, 4, func(w *world) {
		a, b, c, d := w.nodes[0], w.nodes[1], w.nodes[2], w.nodes[3]
		for i, n := range []*testNode{a, b} {
			w.under.SetNAT(n.at.Addr(), hwtest.NAT{Outside: outside(i + 1), Random: random, Timeout: mappingTimeout})
		}
		c.start(limits(0, 10))
		d.start(limits(0, 10))
		b.start(limits(2, 10), c, d)
		time.Sleep(2 * time.Second)
		b.ref.Tell(ParamsChanged{Limits: limits(0, 10)})
		for _, l := range b.links() {
			b.ref.Tell(RoutingChanged{ByLink: map[rib.LinkID]LinkUse{l.ID: {Routes: 1, Nodes: 1, Sole: 1}}})
		}
		a.start(limits(10, 10), c, d)
		time.Sleep(2 * time.Second)
		a.routed(c, b, c, d)
		b.routed(c, a, c, d)
		test(w, a, b)
	})
}

// routed leads routes to a node over a link with another, and tells which nodes are
// reachable.
func (n *testNode) routed(via, to *testNode, reachable ...*testNode) {
	n.t.Helper()
	table := rib.NewTable(netip.MustParsePrefix("fd00:1::/64"))
	for _, l := range n.links() {
		if l.Peer != via.id() {
			continue
		}
		p := netip.PrefixFrom(addr.Locator(netip.MustParsePrefix("fd00:1::/64"), to.id()), 128)
		_, _, err := table.Offer(time.Now(), rib.OriginBabel, rib.Route{Prefix: p, Egress: to.id(), NextHop: rib.NextHop{Link: l.ID}})
		n.check(err)
	}
	n.plane.SetView(table.View())
	ids := []addr.NodeID{to.id()}
	use := map[rib.LinkID]LinkUse{}
	for _, r := range reachable {
		ids = append(ids, r.id())
	}
	for _, l := range n.links() {
		use[l.ID] = LinkUse{Routes: 1, Nodes: 1, Sole: 1}
	}
	n.ref.Tell(RoutingChanged{Reachable: ids, ByLink: use})
}

// with is the link with another node, if it is up.
func (n *testNode) with(o *testNode) (LinkSnapshot, bool) {
	for _, l := range n.links() {
		if l.Peer == o.id() {
			return l, true
		}
	}
	return LinkSnapshot{}, false
}

func (n *testNode) snapshot() Snapshot {
	n.links()
	s, _ := system.Read[Snapshot](n.sys, "tunnel")
	return s
}

func TestNodesBehindPortRestrictedNATsMeet(t *testing.T) {
	behindNATs(t, false, func(w *world, a, b *testNode) {
		began := time.Now()
		for time.Since(began) < 10*time.Second {
			if _, ok := b.with(a); ok {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		l, ok := a.with(b)
		if !ok || l.Remote.Addr() != outside(2) || l.Role != tunnelplan.Opened {
			t.Fatalf("link %+v, want one to %s; it knows %+v", l, outside(2), a.snapshot().Outlook)
		}
		if l, ok := b.with(a); !ok || l.Remote.Addr() != outside(1) || l.Role != tunnelplan.Accepted {
			t.Errorf("at the other end: %+v", l)
		}
		t.Logf("met after %v", time.Since(began))
		if a.snapshot().NAT != nat.PortRestricted {
			t.Errorf("behind %s", a.snapshot().NAT)
		}
		// Idle for longer than a NAT remembers: the probes keep the link.
		a.take()
		a.ref.Tell(RoutingChanged{})
		time.Sleep(20 * mappingTimeout)
		if still, ok := a.with(b); !ok || still.ID != l.ID {
			t.Errorf("the link was %+v, and is %+v: %+v", l, still, took[LinkDown](a.take()))
		}
	})
}

func TestNodesBehindRandomNATsKnowThatTheyCannotMeet(t *testing.T) {
	behindNATs(t, true, func(w *world, a, b *testNode) {
		time.Sleep(time.Minute)
		s := a.snapshot()
		if o := s.Outlook[b.id()]; s.NAT != nat.Random || o.Obstacle != nat.BothRandom || o.Failures == 0 {
			t.Errorf("behind %s, to the other %+v", s.NAT, o)
		}
		if _, ok := a.with(b); ok {
			t.Error("they have a link")
		}
		before := a.spawned()
		time.Sleep(10 * time.Minute)
		if n := a.spawned() - before; n > 4 {
			t.Errorf("%d dials in ten minutes", n)
		}
	})
}

func TestAMappedPortIsToldAndTakenBack(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		a := w.nodes[0]
		a.start(limits(10, 10))
		at := netip.MustParseAddrPort("203.0.113.9:7326")
		for _, c := range []struct {
			mapped netip.AddrPort
			want   int
		}{{at, 2}, {netip.MustParseAddrPort("127.0.0.1:1"), 2}, {netip.AddrPort{}, 1}} {
			a.ref.Tell(PortMapped{c.mapped})
			if s := a.snapshot(); len(s.Endpoints) != c.want {
				t.Errorf("mapped at %v: reached at %v", c.mapped, s.Endpoints)
			}
		}
	})
}
