package babel_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// trips is n round trips of a network, and what a router may take for its own
// delays at each hop.
func (n *network) trips(hops int) time.Duration {
	return time.Duration(hops) * (2*n.delay + 20*time.Millisecond)
}

// random links the nodes into a connected graph, with delays.
func (n *network) random(extra int) (links []*link) {
	rtt := func() time.Duration { return time.Duration(n.rnd.Intn(100)) * time.Millisecond }
	for i := 1; i < len(n.nodes); i++ {
		links = append(links, n.connect(i, n.rnd.Intn(i), rtt()))
	}
	for range extra {
		a := n.rnd.Intn(len(n.nodes))
		b := (a + 1 + n.rnd.Intn(len(n.nodes)-1)) % len(n.nodes)
		links = append(links, n.connect(a, b, rtt()))
	}
	return links
}

func TestColdStartTakesRoundTrips(t *testing.T) {
	for _, c := range []struct {
		name            string
		nodes, diameter int
		link            func(*network)
	}{
		{"line", 10, 9, func(n *network) { n.line() }},
		{"ring", 10, 5, func(n *network) { n.ring() }},
		{"grid", 30, 9, func(n *network) { n.grid(6) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t, 1, c.nodes)
			c.link(n)
			took := n.until(n.trips(c.diameter), n.whole)
			t.Logf("whole after %s, %d packets", took, n.pkts)
			n.run(3 * time.Minute)
			if !n.whole() {
				t.Errorf("three minutes later: %s", n.missing())
			}
			t.Logf("after 3 minutes %d packets", n.pkts)
		})
	}
}

func TestCutLinkIsRoutedAroundWithinRoundTrips(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(seed int64) (*network, []*link)
	}{
		{"ring", func(seed int64) (*network, []*link) { n := newNetwork(t, seed, 10); return n, n.ring() }},
		{"grid", func(seed int64) (*network, []*link) { n := newNetwork(t, seed, 16); return n, n.grid(4) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range int64(6) {
				n, links := c.make(seed)
				n.run(20 * time.Second)
				l := links[n.rnd.Intn(len(links))]
				n.cut(l)
				took := n.until(n.trips(10), n.whole)
				t.Logf("seed %d: cut %v, whole after %s", seed, l.ends, took)
				n.run(time.Duration(n.rnd.Intn(40)) * time.Second)
				if !n.whole() {
					t.Fatalf("seed %d: broken later: %s", seed, n.missing())
				}
				n.heal(l)
				n.until(n.trips(10), n.whole)
			}
		})
	}
}

// The starvation of RFC 8966 section 2.5: when its link to the source dies, A is
// left with B's route, which is too long to be feasible.
//
//	 A ---- B
//	  \    /
//	x  \  / long
//	    S
func TestStarvingRouterIsFedByASeqnoRequest(t *testing.T) {
	n := newNetwork(t, 1, 3)
	const s, a, b = 0, 1, 2
	n.connect(a, b, time.Millisecond)
	short := n.connect(s, a, time.Millisecond)
	n.connect(s, b, 800*time.Millisecond)
	n.run(20 * time.Second)
	if path, ok := n.walk(b, 0, s); !ok || len(path) != 3 {
		t.Fatalf("B does not go by A at first: %v", path)
	}
	before := n.nodes[s].router.Status().Seqno
	n.cut(short)
	took := n.until(n.trips(4), n.whole)
	if path, _ := n.walk(a, 0, s); fmt.Sprint(path) != "[1 2 0]" {
		t.Errorf("A goes by %v", path)
	}
	if after := n.nodes[s].router.Status().Seqno; after != before+1 {
		t.Errorf("the seqno of S went from %d to %d", before, after)
	}
	t.Logf("whole after %s", took)
}

func TestDeadNodeIsForgottenWithoutCountingToInfinity(t *testing.T) {
	n := newNetwork(t, 3, 12)
	n.grid(4)
	n.run(20 * time.Second)
	const dead = 5
	n.kill(dead)
	n.until(n.trips(12), func() bool {
		for _, nd := range n.nodes {
			if nd != nil {
				if _, ok := nd.table.View().Relay(0, nodeID(dead)); ok {
					return false
				}
			}
		}
		return true
	})
	for i, nd := range n.nodes {
		if nd == nil {
			continue
		}
		if r, ok := nd.table.View().Get(locator(dead, 0)); ok && !r.Unreachable {
			t.Errorf("node %d has %+v", i, r)
		}
	}
	n.run(4 * time.Minute)
	for i, nd := range n.nodes {
		if nd == nil {
			continue
		}
		if _, ok := nd.table.View().Get(locator(dead, 0)); ok {
			t.Errorf("node %d still holds the dead one as unreachable", i)
		}
		if st := nd.router.Status(); st.Requests != 0 || st.Sources > len(n.nodes)-1 {
			t.Errorf("node %d: %d requests pending, %d sources", i, st.Requests, st.Sources)
		}
	}
}

func TestRestartWithAndWithoutTheStoredSeqno(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("lost=%v", lost), func(t *testing.T) {
			n := newNetwork(t, 5, 10)
			links := n.ring()
			n.run(20 * time.Second)
			// Make the node use up some of its sequence numbers.
			for range 4 {
				for _, l := range links[:2] {
					n.cut(l)
					n.run(3 * time.Second)
					n.heal(l)
					n.run(3 * time.Second)
				}
			}
			const i = 2
			st, upto := n.nodes[i].router.Status(), n.nodes[i].upto
			if !less(st.Seqno, upto) {
				t.Fatalf("seqno %d is not below the reserved %d", st.Seqno, upto)
			}
			n.kill(i)
			n.run(time.Second)
			if lost {
				n.anew[i] = true
				n.startAs(i, babel.RouterID{0xaa, i}, 0)
			} else {
				n.start(i, upto)
			}
			for _, l := range links[1:3] {
				n.heal(l)
			}
			took := n.until(n.trips(10), n.whole)
			t.Logf("whole after %s", took)
			n.run(2 * time.Minute)
			if !n.whole() {
				t.Error(n.missing())
			}
		})
	}
}

func less(a, b uint16) bool { return int16(a-b) < 0 }

func TestWholeDespiteLoss(t *testing.T) {
	for seed := range int64(6) {
		n := newNetwork(t, seed, 12)
		n.loss = 0.2
		links := n.grid(4)
		up := n.until(30*time.Second, n.whole)
		n.run(30 * time.Second)
		n.cut(links[n.rnd.Intn(len(links))])
		again := n.until(60*time.Second, n.whole)
		t.Logf("seed %d: whole after %s, after the cut %s", seed, up, again)
	}
}

// churn cuts and heals links, kills and restarts nodes, at random.
func (n *network) churn(links []*link, steps int) {
	heal := func(l *link) {
		if !l.alive && n.nodes[l.ends[0]] != nil && n.nodes[l.ends[1]] != nil {
			n.heal(l)
		}
	}
	for range steps {
		l, i := links[n.rnd.Intn(len(links))], n.rnd.Intn(len(n.nodes))
		switch k := n.rnd.Intn(8); {
		case k < 3:
			if l.alive {
				n.cut(l)
			}
		case k < 6:
			heal(l)
		case k == 6 && n.nodes[i] != nil:
			upto := n.nodes[i].upto
			n.kill(i)
			n.after(time.Duration(n.rnd.Intn(2000))*time.Millisecond, func() { n.start(i, upto) })
		case k == 7 && l.alive:
			for _, e := range l.ends { // the delay changed, as one end sees it
				n.nodes[e].neighbors[l.id].HandleLink(n.now, true, time.Duration(n.rnd.Intn(300))*time.Millisecond)
				n.settle(e)
			}
		}
		n.run(time.Duration(n.rnd.Intn(2000)) * time.Millisecond)
	}
	n.run(3 * time.Second)
	for _, l := range links {
		heal(l)
	}
}

func TestNoForwardingLoopAtAnyInstant(t *testing.T) {
	for seed := range int64(24) {
		n := newNetwork(t, seed, 12)
		links := n.random(12)
		n.loss = []float64{0, 0.05, 0.2}[seed%3]
		n.churn(links, 60)
		n.until(60*time.Second, n.whole)
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	trace := func(seed int64) uint64 {
		n := newNetwork(t, seed, 10)
		n.loss = 0.05
		n.churn(n.random(8), 20)
		n.run(30 * time.Second)
		return n.trace
	}
	if a, b := trace(7), trace(7); a != b {
		t.Errorf("two runs of one seed sent %x and %x", a, b)
	}
	if trace(7) == trace(8) {
		t.Error("two seeds sent the same")
	}
}

func TestStrictTopologyStaysOnItsLinks(t *testing.T) {
	n := newNetwork(t, 1, 5)
	for i := range n.nodes {
		if err := n.nodes[i].router.Originate(n.now, locator(i, 1), 0); err != nil {
			t.Fatal(err)
		}
		n.settle(i)
	}
	const fast, own = time.Millisecond, 60 * time.Millisecond
	n.connect(0, 1, own, 1)
	n.connect(1, 2, own, 1)
	n.connect(0, 3, fast)
	n.connect(3, 2, fast)
	n.connect(3, 4, fast)
	n.run(20 * time.Second)
	for _, c := range []struct {
		topology rib.Topology
		to       int
		path     string
	}{{0, 2, "[0 3 2]"}, {1, 2, "[0 1 2]"}, {0, 4, "[0 3 4]"}, {1, 4, "[0]"}} {
		if path, _ := n.walk(0, c.topology, c.to); fmt.Sprint(path) != c.path {
			t.Errorf("topology %d to %d: %v, want %s", c.topology, c.to, path, c.path)
		}
	}
}

func TestEgressIsKeptAcrossTheFabric(t *testing.T) {
	n := newNetwork(t, 1, 4)
	links := n.line()
	own := rib.Key{Prefix: netip.MustParsePrefix("2001:db8:1::/64")}
	if err := n.nodes[0].router.Originate(n.now, own, 0); err != nil {
		t.Fatal(err)
	}
	n.settle(0)
	n.run(time.Second)
	r, ok := n.nodes[3].table.View().Get(own)
	if !ok || r.Egress != nodeID(0) || r.NextHop != (rib.NextHop{Link: links[2].id}) || r.Metric != 3*(babel.BaseCost+10) {
		t.Fatalf("%+v, %v", r, ok)
	}
	// Another node takes the prefix over, as a gateway does: same metric, new egress.
	n.nodes[0].router.Withdraw(n.now, own)
	n.settle(0)
	if err := n.nodes[1].router.Originate(n.now, own, babel.BaseCost+10); err != nil {
		t.Fatal(err)
	}
	n.settle(1)
	n.until(n.trips(4), func() bool {
		r, ok := n.nodes[3].table.View().Get(own)
		return ok && r.Egress == nodeID(1)
	})
}

func TestLongestPathHasAFiniteMetric(t *testing.T) {
	n := newNetwork(t, 1, babel.MaxDiameter+1)
	for i := range babel.MaxDiameter {
		n.connect(i, i+1, 10*time.Second)
	}
	n.until(n.trips(2*babel.MaxDiameter), n.whole)
	if r, _ := n.nodes[0].table.View().Get(locator(babel.MaxDiameter, 0)); r.Metric != babel.MaxDiameter*babel.MaxLinkCost {
		t.Errorf("metric %d, want %d", r.Metric, babel.MaxDiameter*babel.MaxLinkCost)
	}
}

// What babeld says in a second on each direction of a link of a ring, by the formats and
// intervals of RFC 8966 with one prefix a node, were it to put all in as few packets as it can:
// a Hello each interval, an IHU each third, a full update each fourth, of the half of the
// prefixes that split horizon leaves, each with its Router-Id and, compressed, 2 bytes of prefix.
func bytesOfBabeld(nodes int, hello time.Duration, overhead int) float64 {
	const header, sizeofHello, sizeofIHU, sizeofRouterID, sizeofUpdate = 4, 8, 16, 12, 14
	update := float64(nodes) / 2 * (sizeofRouterID + sizeofUpdate)
	return (float64(overhead+header+sizeofHello) + sizeofIHU/3. + update/4) / hello.Seconds()
}

// A node of ours has two prefixes, and says of each who is its egress.
func TestAQuietRingSaysLessThanBabeldWould(t *testing.T) {
	const nodes, overhead = 10, 48 // IPv6 and UDP
	for _, hello := range []time.Duration{4 * time.Second, 15 * time.Second} {
		n := newNetwork(t, 1, nodes)
		n.ring()
		for i, nd := range n.nodes {
			p := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: byte(i)}), 64)
			if err := nd.router.Originate(n.now, rib.Key{Prefix: p}, 0); err != nil {
				t.Fatal(err)
			}
			nd.router.SetHelloInterval(n.now, hello)
			n.settle(i)
		}
		n.run(time.Minute)
		n.pkts, n.bytes = 0, 0
		const d = 2 * time.Hour
		n.run(d)
		if n.pkts == 0 || !n.whole() {
			t.Fatalf("%d packets; %s", n.pkts, n.missing())
		}
		ours := float64(n.bytes+n.pkts*overhead) / (2 * nodes) / d.Seconds()
		theirs := bytesOfBabeld(nodes, hello, overhead)
		t.Logf("Hellos of %s: %.2f bytes a second, babeld %.1f at least", hello, ours, theirs)
		if 4*ours > theirs {
			t.Errorf("Hellos of %s: %.2f bytes a second, more than a quarter of babeld's %.1f", hello, ours, theirs)
		}
	}
}

// For two minutes nothing arrives, though the fabric holds the link for alive: what changed
// meanwhile is told soon after, and not with the next full update, minutes later.
func TestWhatWasLostIsRepairedBeforeTheNextFullUpdate(t *testing.T) {
	n := newNetwork(t, 3, 4)
	n.line()
	came, went := rib.Key{Prefix: netip.MustParsePrefix("2001:db8:1::/64")}, rib.Key{Prefix: netip.MustParsePrefix("2001:db8:2::/64")}
	if err := n.nodes[0].router.Originate(n.now, went, 0); err != nil {
		t.Fatal(err)
	}
	n.settle(0)
	n.run(10 * time.Second)
	if r, ok := n.nodes[3].table.View().Get(went); !ok || r.Unreachable {
		t.Fatalf("%+v, %v", r, ok)
	}
	n.loss = 1
	n.nodes[0].router.Withdraw(n.now, went)
	if err := n.nodes[0].router.Originate(n.now, came, 0); err != nil {
		t.Fatal(err)
	}
	n.settle(0)
	n.run(2 * time.Minute)
	n.loss = 0
	n.until(20*time.Second, func() bool {
		r, ok := n.nodes[3].table.View().Get(went)
		_, has := n.nodes[3].table.View().Get(came)
		return has && (!ok || r.Unreachable)
	})
}
