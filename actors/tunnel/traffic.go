package tunnel

import (
	"time"

	"re6st/actors/system"
	"re6st/hw/dataplane"
	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
	"re6st/protocols/tunnelplan"
)

// trafficEvery is how often the planner hears what traffic there is.
const trafficEvery = time.Second

// meter tells what has passed since it was last asked.
type meter struct {
	timer    *system.Timer
	sessions map[uint32]dataplane.Count // by local index
	links    map[rib.LinkID]dataplane.Count
	routed   RoutingChanged // the last one
	metrics  map[addr.NodeID]uint16
}

// routes takes note of where nodes are.
func (t *meter) routes(r RoutingChanged) { t.routed, t.metrics = r, nil }

// away is how many links without delay a route to a node is worth; 0: not known.
func (t *meter) away(id addr.NodeID) int {
	if t.metrics == nil {
		t.metrics = make(map[addr.NodeID]uint16, len(t.routed.Metric))
		for i, metric := range t.routed.Metric {
			t.metrics[t.routed.Reachable[i]] = metric
		}
	}
	return (int(t.metrics[id]) + babel.BaseCost/2) / babel.BaseCost
}

// exchanged is what passed end to end, by node; what a session had before its keys
// were retired is lost to it.
func (t *meter) exchanged(now []dataplane.Exchanged) []tunnelplan.Traffic {
	var all []tunnelplan.Traffic
	at := map[addr.NodeID]int{}
	next := make(map[uint32]dataplane.Count, len(now))
	for _, e := range now {
		next[e.Index] = e.Count
		c := grown(t.sessions[e.Index], e.Count)
		if c.Packets == 0 {
			continue
		}
		i, ok := at[e.Peer]
		if !ok {
			i, at[e.Peer] = len(all), len(all)
			all = append(all, tunnelplan.Traffic{Node: e.Peer, Links: t.away(e.Peer)})
		}
		all[i].Packets += c.Packets
		all[i].Bytes += c.Bytes
	}
	t.sessions = next
	return all
}

// grown is what was added to a counter; one that is less began anew.
func grown(before, now dataplane.Count) dataplane.Count {
	if now.Packets < before.Packets || now.Bytes < before.Bytes {
		return now
	}
	return dataplane.Count{Packets: now.Packets - before.Packets, Bytes: now.Bytes - before.Bytes}
}

func (m *manager) startMeasuring() {
	m.meter = meter{timer: m.ctx.NewTimer(measure{})}
	m.meter.timer.Rearm(m.ctx.Now().Add(trafficEvery), true)
}

// measure tells the planner what traffic there was; false: it has nothing to do about it.
func (m *manager) measure(now time.Time) bool {
	m.meter.timer.Rearm(now.Add(trafficEvery), true)
	var carried []tunnelplan.Carried
	next := make(map[rib.LinkID]dataplane.Count, len(m.tunnels))
	for id, t := range m.tunnels {
		if !t.snap.Up {
			continue
		}
		c := m.cfg.Plane.Carried(id)
		// What goes by a trusted tunnel sealed counts twice, which makes no idle link a busy one.
		next[id] = dataplane.Count{Packets: c.Packets + t.beside.Packets, Bytes: c.Bytes + t.beside.Bytes}
		if c = grown(m.meter.links[id], next[id]); c.Packets > 0 {
			carried = append(carried, tunnelplan.Carried{Peer: t.snap.Peer, Packets: c.Packets, Bytes: c.Bytes})
		}
	}
	m.meter.links = next
	return m.planner.HandleTraffic(now, m.meter.exchanged(m.cfg.Plane.Exchanged()), carried)
}
