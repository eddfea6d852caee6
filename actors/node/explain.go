package node

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"re6st/actors/monitor"
	"re6st/actors/neighbor"
	"re6st/actors/system"
	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// explainPatience is how long the router may take to answer; one that failed never does.
const explainPatience = 5 * time.Second

var errExplainLost = errors.New("the router did not answer: it is busy or failed; re6st events tells why")

// explain is monitor.Config's.
func (r *root) explain(ctx context.Context, dest netip.Prefix) ([]monitor.Destination, error) {
	answer := make(chan []neighbor.Explained, 1)
	r.router.Tell(neighbor.ExplainRoute{Prefix: dest, Into: func(all []neighbor.Explained) { answer <- all }})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(explainPatience):
		return nil, errExplainLost
	case explained := <-answer:
		peers := r.linkPeers()
		all := make([]monitor.Destination, len(explained))
		for i, e := range explained {
			all[i] = destination(e, peers)
		}
		return all, nil
	}
}

// linkPeers are the nodes at the other ends of links.
func (n *parts) linkPeers() map[rib.LinkID]addr.NodeID {
	snapshot, _ := system.Read[neighbor.Snapshot](n.sys, routerPath)
	peers := map[rib.LinkID]addr.NodeID{}
	for _, l := range snapshot.Neighbors {
		peers[l.Link] = l.Peer
	}
	return peers
}

func destination(e neighbor.Explained, peers map[rib.LinkID]addr.NodeID) monitor.Destination {
	d := monitor.Destination{
		Prefix: e.Prefix, Source: e.Source, Topology: uint8(e.Topology), Locator: e.Locator, Lost: e.Held,
	}
	if e.Route.Prefix.IsValid() {
		route := routeOf(e.Route, peers)
		d.Route = &route
	}
	for _, c := range e.Candidates {
		out := monitor.Candidate{
			Neighbor: e.Names[c.NeighborKey], Egress: c.Egress, RouterID: c.RouterID.String(), Seqno: c.Seqno, Refmetric: c.Refmetric,
			Cost: c.Cost, Metric: c.Metric, Smoothed: c.Smoothed, Feasible: c.Feasible, Requested: c.Requested,
			Verdict: c.Verdict.String(), Expires: c.Expires,
		}
		if c.Distance != nil {
			out.Distance = &monitor.Distance{Seqno: c.Distance.Seqno, Metric: c.Distance.Metric}
		}
		d.Candidates = append(d.Candidates, out)
	}
	for _, c := range e.Changes {
		d.Changes = append(d.Changes, monitor.RouteChange{
			Time: c.At, From: routeWay(c.From, e.Names), To: routeWay(c.To, e.Names), Reason: c.Cause.String(),
		})
	}
	return d
}

func routeWay(w babel.Way, names map[babel.NeighborKey]string) *monitor.RouteWay {
	switch {
	case w.Metric == babel.Infinity:
		return nil
	case w.Neighbor == babel.NeighborKey{}:
		return &monitor.RouteWay{Neighbor: "self", Egress: w.Egress, Metric: w.Metric}
	}
	return &monitor.RouteWay{Neighbor: names[w.Neighbor], Egress: w.Egress, Metric: w.Metric}
}
