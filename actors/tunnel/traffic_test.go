package tunnel

import (
	"testing"
	"time"

	"re6st/hw/dataplane"
	"re6st/protocols/addr"
	"re6st/protocols/rib"
	"re6st/protocols/tunnelplan"
)

// TestAMeterTellsWhatPassedSinceTheLastTime: by node, whatever keys served, and as far as
// routes say that the node is.
func TestAMeterTellsWhatPassedSinceTheLastTime(t *testing.T) {
	one, two := addr.NodeIDFromUint64(1), addr.NodeIDFromUint64(2)
	count := func(peer addr.NodeID, index uint32, packets uint64) dataplane.Exchanged {
		return dataplane.Exchanged{Peer: peer, Index: index, Count: dataplane.Count{Packets: packets, Bytes: 100 * packets}}
	}
	traffic := func(node addr.NodeID, packets uint64, links int) tunnelplan.Traffic {
		return tunnelplan.Traffic{Node: node, Packets: packets, Bytes: 100 * packets, Links: links}
	}
	var m meter
	m.routes(RoutingChanged{Reachable: []addr.NodeID{one, two}, Metric: []uint16{3*96 + 5, 96}})
	for i, step := range []struct {
		now  []dataplane.Exchanged
		want []tunnelplan.Traffic
	}{
		{[]dataplane.Exchanged{count(one, 5, 10), count(two, 7, 1)}, []tunnelplan.Traffic{traffic(one, 10, 3), traffic(two, 1, 1)}},
		{[]dataplane.Exchanged{count(one, 5, 30), count(two, 7, 1)}, []tunnelplan.Traffic{traffic(one, 20, 3)}},
		{[]dataplane.Exchanged{count(one, 5, 31), count(one, 9, 4)}, []tunnelplan.Traffic{traffic(one, 5, 3)}}, // other keys
		{[]dataplane.Exchanged{count(one, 9, 5), count(two, 7, 3)}, []tunnelplan.Traffic{traffic(one, 1, 3), traffic(two, 3, 1)}},
	} {
		got := m.exchanged(step.now)
		if len(got) != len(step.want) {
			t.Fatalf("step %d: %+v, want %+v", i, got, step.want)
		}
		for j := range got {
			if got[j] != step.want[j] {
				t.Errorf("step %d: %+v, want %+v", i, got[j], step.want[j])
			}
		}
	}
	m.routes(RoutingChanged{Reachable: []addr.NodeID{two}, Metric: []uint16{192}})
	if n := m.away(one); n != 0 {
		t.Errorf("a node without a route is %d links away", n)
	}
}

// TestMuchTrafficMakesALinkThatGoesAgain: while the one to the relay stays.
func TestMuchTrafficMakesALinkThatGoesAgain(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		a, relay, b := w.nodes[0], w.nodes[1], w.nodes[2]
		l := tunnelplan.Limits{ClientCount: 1, MaxClients: 2, Shortcuts: 1, ShortcutRate: 64000, ShortcutIdle: 5 * time.Second}
		relay.start(l)
		b.start(l, relay)
		w.cut(a, b)
		a.start(l, relay, b)
		time.Sleep(200 * time.Millisecond)
		by := a.link()
		if by.Peer != relay.id() {
			t.Errorf("the link is with %s", by.Peer)
			return
		}
		for _, end := range []struct{ x, other *testNode }{{a, b}, {b, a}} {
			end.x.ref.Tell(RoutingChanged{
				Reachable: []addr.NodeID{relay.id(), end.other.id()}, Metric: []uint16{96, 192},
				ByLink: map[rib.LinkID]LinkUse{end.x.link().ID: {Routes: 2, Nodes: 2, Sole: 2}},
			})
		}
		time.Sleep(5 * time.Second)
		w.heal(a, b)
		time.Sleep(10 * time.Second)
		if n := len(a.links()); n != 1 {
			t.Errorf("%d links without traffic: %+v; events of b: %+v", n, a.links(), b.sys.Events())
			return
		}
		flow := func(seconds int, until func() bool) bool {
			for range seconds {
				a.plane.exchange(b.id(), 1000)
				time.Sleep(time.Second)
				if until() {
					return true
				}
			}
			return false
		}
		if !flow(5, func() bool { _, ok := a.with(b); return ok }) {
			t.Errorf("no link to the node with the traffic; events: %+v", a.sys.Events())
			return
		}
		direct, _ := a.with(b)
		if !direct.Shortcut || direct.Role != tunnelplan.Opened {
			t.Errorf("%+v is no shortcut", direct)
		}
		time.Sleep(20 * time.Second) // routes do not take it here, and so it carries nothing
		if _, ok := a.with(b); ok || len(a.links()) != 1 {
			t.Errorf("links of a: %+v, want the one with the relay", a.links())
		}
		var drained bool
		for _, e := range took[LinkChanged](a.take()) {
			drained = drained || e.ID == direct.ID && e.Draining
		}
		if !drained {
			t.Error("the shortcut was not drained before it was closed")
		}
	})
}
