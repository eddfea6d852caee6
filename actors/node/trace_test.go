package node

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"re6st/actors/monitor"
	"re6st/protocols/addr"
	"re6st/protocols/ktunnel"
	"re6st/protocols/rib"
	protocol "re6st/protocols/trace"
	"re6st/protocols/tunnelplan"
)

// traceTo traces from node 0 by the actors of all, but for the sockets.
func (m *mesh) traceTo(q monitor.TraceQuery) (start monitor.TraceStart, hops []monitor.TraceHop, end monitor.TraceEnd, err error) {
	q.Probes, q.Hops, q.Timeout = 3, 32, time.Second
	end, err = m.nodes[0].trace(m.t.Context(), q, func(l monitor.TraceLine) {
		switch {
		case l.Start != nil:
			start = *l.Start
		case l.Hop != nil:
			hops = append(hops, *l.Hop)
		}
	})
	return start, hops, end, err
}

func TestATraceShowsEachRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 4)
		m.line()
		m.whole(5 * time.Second)
		time.Sleep(5 * time.Second)
		far := m.nodes[3]
		for _, q := range []monitor.TraceQuery{{Address: far.address}, {Node: far.member.Identity.ID}} {
			start, hops, end, err := m.traceTo(q)
			if err != nil || start.Egress != far.member.Identity.ID || start.Address != far.address || start.Behind {
				t.Fatalf("%+v, %v", start, err)
			}
			if end.Outcome != monitor.TraceReached || end.After != start.Egress || end.Changed || end.Relayed == "" || len(hops) != 4 {
				t.Fatalf("%+v, %+v", end, hops)
			}
			for i, h := range hops {
				n := m.nodes[i].member.Identity
				if h.Hop != i || h.Node == nil || *h.Node != n.ID || *h.Prefix != n.Prefix || !h.Proven {
					t.Errorf("hop %d: %+v", i, h)
				}
				if i > 0 && (h.Received != 3 || h.Best < int64(2000*i) || h.HopsBack != i || !*h.Full || *h.From != m.nodes[i-1].member.Identity.ID) {
					t.Errorf("hop %d: %+v", i, h)
				}
				if i < 3 && (h.Way == nil || h.Way.Next != m.nodes[i+1].member.Identity.ID || h.Way.Remote != m.nodes[i+1].under || h.Way.Metric == 0 || h.Way.RTT == 0) {
					t.Errorf("hop %d: %+v", i, h.Way)
				}
			}
		}
	})
}

func TestATraceOfADeadNodeTellsWhereItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 4)
		m.line()
		m.whole(5 * time.Second)
		m.cut(1, 2) // node 1 does not know yet
		_, hops, end, err := m.traceTo(monitor.TraceQuery{Address: m.nodes[3].address})
		if err != nil || end.Outcome != monitor.TraceSilent && end.Outcome != monitor.TraceNoRoute || end.After != m.nodes[1].member.Identity.ID || len(hops) < 2 {
			t.Errorf("%+v, %v, %+v", end, err, hops)
		}
		time.Sleep(5 * time.Minute)
		_, hops, end, err = m.traceTo(monitor.TraceQuery{Node: m.nodes[3].member.Identity.ID})
		if err != nil || end.Outcome != monitor.TraceNoRoute || end.After != m.nodes[0].member.Identity.ID || len(hops) != 1 {
			t.Errorf("%+v, %v, %+v", end, err, hops)
		}
	})
}

// In a ring of four the far node is reached by both sides; it may answer by the other.
func TestATraceTellsTheWaysNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 4)
		for i := range m.nodes {
			m.cut(i, (i+2)%4)
		}
		for i := range m.nodes {
			m.start(i, (i+1)%4, (i+3)%4)
		}
		m.whole(5 * time.Second)
		time.Sleep(30 * time.Second)
		_, hops, end, err := m.traceTo(monitor.TraceQuery{Address: m.nodes[2].address})
		if err != nil || end.Outcome != monitor.TraceReached || len(hops) != 3 {
			t.Fatalf("%+v, %v, %+v", end, err, hops)
		}
		if c := hops[0].Choices; len(c) != 1 || c[0].Next == hops[0].Way.Next || c[0].Metric < hops[0].Way.Metric {
			t.Errorf("%+v, taken %+v", c, hops[0].Way)
		}
	})
}

func TestATraceOfThisNodeAndOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 2)
		m.prepare(0, 1)
		m.nodes[0].remembered = append(m.nodes[0].remembered, tunnelplan.Peer{
			ID: addr.NodeIDFromUint64(99), Endpoints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.99:7326")}, // and no prefix
		})
		m.launch(0)
		m.start(1, 0)
		m.whole(5 * time.Second)
		for _, q := range []monitor.TraceQuery{{Address: m.nodes[0].address}, {Node: m.nodes[0].member.Identity.ID}} {
			if _, hops, end, err := m.traceTo(q); err != nil || end.Outcome != monitor.TraceLocal || len(hops) != 0 {
				t.Errorf("%+v, %v, %+v", end, err, hops)
			}
		}
		nobody := m.network.Addr().Next().Next()
		if _, _, _, err := m.traceTo(monitor.TraceQuery{Address: nobody}); err == nil {
			t.Error("nobody is traced")
		}
		host := m.nodes[1].address.Next()
		if start, _, end, err := m.traceTo(monitor.TraceQuery{Address: host}); err != nil || !start.Behind || end.Outcome != monitor.TraceReached {
			t.Errorf("%+v, %+v, %v", start, end, err)
		}
	})
}

// The far node of a ring answers by the other side than that by which it is asked.
func TestATraceTellsAnAsymmetricPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 4)
		for i := range m.nodes {
			m.cut(i, (i+2)%4)
		}
		for i := range m.nodes {
			m.start(i, (i+1)%4, (i+3)%4)
		}
		m.whole(5 * time.Second)
		time.Sleep(30 * time.Second)
		near, far := m.nodes[0].member.Identity.ID, m.nodes[2]
		relay, _, _ := m.nodes[0].plane.WayTo(0, far.member.Identity.ID)
		other := m.nodes[1]
		if relay == other.member.Identity.ID {
			other = m.nodes[3]
		}
		_, by, ok := far.plane.WayTo(0, other.member.Identity.ID)
		if !ok {
			t.Fatal("the far node has no link to the other side")
		}
		table := rib.NewTable(m.params.LocatorRange)
		for _, r := range far.view.Load().Routes() {
			if r.Egress == near {
				r.NextHop.Link = by
			}
			_, _, err := table.Offer(time.Now(), r.Origin, r)
			m.check(err)
		}
		far.plane.SetView(table.View())
		_, hops, end, err := m.traceTo(monitor.TraceQuery{Address: far.address})
		if err != nil || end.Outcome != monitor.TraceReached || end.Changed || len(hops) != 3 {
			t.Fatalf("%+v, %v, %+v", end, err, hops)
		}
		if h := hops[2]; *h.From != relay || *h.Back != other.member.Identity.ID || h.HopsBack != 2 || !h.Proven {
			t.Errorf("from %s, back by %s, %+v", h.From, h.Back, h)
		}
	})
}

func TestATraceTellsTheTunnelAsTheLinkDoes(t *testing.T) {
	for _, kind := range []ktunnel.Kind{ktunnel.GRE, ktunnel.FOU, ktunnel.WireGuard, ktunnel.OpenVPNUDP, ktunnel.OpenVPNTCP} {
		if got := tunnelKind(kind.String()); got != kind {
			t.Errorf("%v is %v in a trace", kind, got)
		}
	}
	hop := protocol.Hop{Node: addr.NodeIDFromUint64(1), Way: protocol.Way{Next: addr.NodeIDFromUint64(2), Type: protocol.TLS, Tunnel: 77}}
	if w := traceHop(hop).Way; w.Link != "tls" || w.Tunnel != "kind 77" {
		t.Errorf("of a newer node: %+v", w)
	}
	hop.Way.Tunnel = tunnelKind("")
	if w := traceHop(hop).Way; w.Tunnel != "" {
		t.Errorf("by no tunnel: %+v", w)
	}
}
