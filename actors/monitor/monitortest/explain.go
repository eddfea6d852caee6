package monitortest

import (
	"context"
	"net/netip"
	"time"

	"re6st/actors/monitor"
	"re6st/protocols/addr"
)

// explain is that of the made-up node: of what lies around 2001:db8:42:6::/64, of the
// default route, and of nothing else.
func explain(_ context.Context, dest netip.Prefix) ([]monitor.Destination, error) {
	all := routes()
	six := all[2].Prefix
	switch {
	case six.Contains(dest.Addr()) && six.Bits() <= dest.Bits():
		return []monitor.Destination{explainedSix(all[2]), locatorOf(id(0xb2), all[2])}, nil
	case dest.Bits() == 0:
		return []monitor.Destination{{
			Prefix: dest, Source: all[0].Source, Route: &all[0], Candidates: []monitor.Candidate{
				{Neighbor: id(0xc3).String(), Egress: id(0xc3), RouterID: id(0xc3).String(), Refmetric: 400, Cost: 96, Metric: 496, Smoothed: 480, Seqno: 3, Distance: &monitor.Distance{Seqno: 3, Metric: 400}, Requested: true, Verdict: "kept", Expires: Now.Add(40 * time.Second)},
				{Neighbor: "fe80::1%eth1", RouterID: "02005efffe000001", Refmetric: 0, Cost: 96, Metric: 96, Smoothed: 130, Seqno: 9, Feasible: true, Verdict: "waiting", Expires: Now.Add(9 * time.Second)},
			},
		}}, nil
	}
	return nil, nil
}

func explainedSix(route monitor.Route) monitor.Destination {
	by := func(n uint64, metric uint16) *monitor.RouteWay {
		return &monitor.RouteWay{Neighbor: id(n).String(), Egress: id(0xb2), Metric: metric}
	}
	distance := &monitor.Distance{Seqno: 12, Metric: 96}
	return monitor.Destination{
		Prefix: route.Prefix, Route: &route,
		Candidates: []monitor.Candidate{
			{Neighbor: id(0xb2).String(), Egress: id(0xb2), RouterID: id(0xb2).String(), Seqno: 12, Cost: 96, Metric: 96, Smoothed: 96, Distance: distance, Feasible: true, Verdict: "selected", Expires: Now.Add(50 * time.Second)},
			{Neighbor: id(0xc3).String(), Egress: id(0xb2), RouterID: id(0xb2).String(), Seqno: 12, Refmetric: 140, Cost: 97, Metric: 237, Smoothed: 237, Distance: distance, Verdict: "unfeasible", Expires: Now.Add(30 * time.Second)},
			{Neighbor: id(0xd4).String(), Egress: id(0xb2), RouterID: id(0xb2).String(), Seqno: 13, Refmetric: 800, Cost: 96, Metric: 896, Smoothed: 896, Distance: distance, Feasible: true, Verdict: "worse", Expires: Now.Add(20 * time.Second)},
		},
		Changes: []monitor.RouteChange{
			{Time: ago(26 * time.Hour), To: by(0xb2, 96), Reason: "learned"},
			{Time: ago(190 * time.Minute), From: by(0xb2, 96), Reason: "link down"},
			{Time: ago(189 * time.Minute), To: by(0xc3, 237), Reason: "seqno request answered"},
			{Time: ago(3 * time.Hour), From: by(0xc3, 237), To: by(0xb2, 96), Reason: "better metric"},
		},
	}
}

// locatorOf is the way to an egress.
func locatorOf(egress addr.NodeID, route monitor.Route) monitor.Destination {
	route.Prefix = netip.PrefixFrom(addr.Locator(netip.MustParsePrefix("fd00:1::/64"), egress), 128)
	return monitor.Destination{Prefix: route.Prefix, Route: &route, Locator: true}
}
