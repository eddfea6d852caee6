package monitortest

import (
	"context"
	"errors"
	"net/netip"

	"re6st/actors/monitor"
	"re6st/protocols/addr"
)

// trace is that of the made-up node: the way to c3 leads by b2, that to d4 breaks off
// behind it, and of e5 nothing is known.
func trace(_ context.Context, q monitor.TraceQuery, each func(monitor.TraceLine)) (monitor.TraceEnd, error) {
	self, relay, far := id(0xa1), id(0xb2), id(0xc3)
	five, six, seven := prefix("5/16"), prefix("6/16"), prefix("7/16")
	yes, no := true, false
	if q.Node == id(0xe5) {
		return monitor.TraceEnd{}, errors.New("no route to 00000000000000e5")
	}
	each(monitor.TraceLine{Start: &monitor.TraceStart{Egress: q.Node, MTU: 1380}})
	if q.Node == self {
		return monitor.TraceEnd{Outcome: monitor.TraceLocal, After: self}, nil
	}
	each(monitor.TraceLine{Hop: &monitor.TraceHop{
		Node: &self, Prefix: &five, Proven: true,
		Way: &monitor.TraceWay{
			Next: relay, Link: "udp", Remote: netip.MustParseAddrPort("192.0.2.6:326"), RTT: 12345, MTU: 1380, Metric: 288, Loss: &monitor.Loss{Probes: 300, Lost: 6},
		},
		Choices: []monitor.TraceChoice{{Next: far, Metric: 300, Feasible: true}, {Next: id(0xd4), Metric: 65535}},
	}})
	hop := monitor.TraceHop{
		Hop: 1, Node: &relay, Prefix: &six, Proven: true, Sent: 3, Received: 3, Best: 12500, Worst: 13000, Full: &yes, From: &self, Back: &self, HopsBack: 1,
		Way: &monitor.TraceWay{Next: far, Link: "udp", Tunnel: "wireguard", Remote: netip.MustParseAddrPort("[2001:db8::7]:40000"), Metric: 96},
	}
	if q.Node != far {
		hop.Way.Next = q.Node
		each(monitor.TraceLine{Hop: &hop})
		each(monitor.TraceLine{Hop: &monitor.TraceHop{Hop: 2, Sent: 3}})
		each(monitor.TraceLine{Hop: &monitor.TraceHop{Hop: 3, Sent: 3}})
		return monitor.TraceEnd{Outcome: monitor.TraceSilent, After: relay}, nil
	}
	each(monitor.TraceLine{Hop: &hop})
	back := id(0xd4)
	each(monitor.TraceLine{Hop: &monitor.TraceHop{
		Hop: 2, Node: &far, Prefix: &seven, Sent: 3, Received: 2, Best: 870, Worst: 990, Full: &no, From: &self, Back: &back, HopsBack: 3,
		Others: []addr.NodeID{relay}, Strayed: true,
	}})
	return monitor.TraceEnd{Outcome: monitor.TraceReached, After: far, Changed: true, Relayed: "both ends are behind NATs that cannot be punched"}, nil
}
