package monitor

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"re6st/hw/ping"
	"re6st/protocols/addr"
)

// Limits of a trace.
const (
	DefaultTraceProbes, MaxTraceProbes = 3, 10
	DefaultTraceHops, MaxTraceHops     = 32, 64
	DefaultTraceTimeout                = time.Second
	MinTraceTimeout, MaxTraceTimeout   = 10 * time.Millisecond, 10 * time.Second

	traceEchoes    = 3
	traceEchoEvery = 20 * time.Millisecond
)

// TraceRequest is the body of POST /v1/trace.
type TraceRequest struct {
	Dest    string `json:"dest"`       // an address, a prefix such as 5/16, or a node id
	Probes  int    `json:"probes"`     // for each hop, at most MaxTraceProbes; 0: DefaultTraceProbes
	Hops    int    `json:"hops"`       // at most MaxTraceHops; 0: DefaultTraceHops
	Timeout int64  `json:"timeout_ms"` // for each probe; 0: a second
}

// TraceLine is one line of the answer: a Start, then a Hop for each node from this one
// on, an Echo, and an End; or an Error in place of what would follow.
type TraceLine struct {
	Version int         `json:"version"`
	Start   *TraceStart `json:"start,omitempty"`
	Hop     *TraceHop   `json:"hop,omitempty"`
	Echo    *TraceEcho  `json:"echo,omitempty"`
	End     *TraceEnd   `json:"end,omitempty"`
	Error   string      `json:"error,omitempty"`
}

// TraceStart is what is traced.
type TraceStart struct {
	Address  netip.Addr  `json:"address,omitzero"` // none: the node alone is known
	Egress   addr.NodeID `json:"egress"`           // the last node of the mesh on the way there
	Topology uint8       `json:"topology"`
	MTU      int         `json:"mtu"`    // of the packets that are tried, in bytes
	Behind   bool        `json:"behind"` // the address is of a host behind the egress
}

// TraceHop is a node on the way, and how it sends on. What is not Proven is a hint:
// any relay in front could have made it up.
type TraceHop struct {
	Hop      int           `json:"hop"`               // links from here; 0 is this node
	Node     *addr.NodeID  `json:"node"`              // null: no answer
	Prefix   *addr.Bits    `json:"prefix"`            // null: no answer
	Proven   bool          `json:"proven"`            // that it was this node that answered
	Sent     int           `json:"sent"`              // probes
	Received int           `json:"received"`          // answers
	Best     int64         `json:"rtt_us"`            // the least round trip
	Worst    int64         `json:"rtt_max_us"`        // the greatest
	Full     *bool         `json:"full,omitempty"`    // whether a packet of the MTU comes as far; left out: not tried
	From     *addr.NodeID  `json:"from,omitempty"`    // the neighbor by which the probes came
	Back     *addr.NodeID  `json:"back,omitempty"`    // the neighbor by which the answers left
	HopsBack int           `json:"hops_back"`         // links that the answers passed; 0: not known
	Others   []addr.NodeID `json:"others,omitempty"`  // that answered in its place: the path changed
	Strayed  bool          `json:"strayed,omitempty"` // the probes did not come from the hop before: the path changed
	Way      *TraceWay     `json:"way,omitempty"`     // on from here; left out: nowhere
	Choices  []TraceChoice `json:"choices,omitempty"` // ways that it does not take
	More     int           `json:"more,omitempty"`    // of these, left out
}

// TraceWay is how a node sends on.
type TraceWay struct {
	Next   addr.NodeID    `json:"next"`
	Link   string         `json:"link"`             // its type: udp, quic or tls
	Tunnel string         `json:"tunnel,omitempty"` // by which the link goes: gre, fou, wireguard, openvpn-udp or openvpn-tcp; left out: none, or not known, as of nodes of before
	Remote netip.AddrPort `json:"remote,omitzero"`
	RTT    int64          `json:"rtt_us"`         // of the link, smoothed; 0: not known
	Loss   *Loss          `json:"loss,omitempty"` // left out: not known, as of nodes of before
	MTU    int            `json:"mtu"`            // of inner packets in bytes; 0: not known
	Metric uint16         `json:"metric"`
}

// TraceChoice is a way that a node does not take.
type TraceChoice struct {
	Next     addr.NodeID `json:"next"`
	Metric   uint16      `json:"metric"`   // 65535: retracted
	Feasible bool        `json:"feasible"` // false: it might lead in a circle
}

// TraceEcho is what became of ICMPv6 echoes to the address, sealed as all traffic is.
type TraceEcho struct {
	Address  netip.Addr `json:"address"`
	Sent     int        `json:"sent"`
	Received int        `json:"received"`
	Best     int64      `json:"rtt_us"`
	Error    string     `json:"error,omitempty"` // why none could be sent
}

// TraceEnd is how a trace ended.
type TraceEnd struct {
	Outcome string      `json:"outcome"`           // see below
	After   addr.NodeID `json:"after"`             // the last node that answered
	Changed bool        `json:"changed"`           // the path did, while it was traced
	Relayed string      `json:"relayed,omitempty"` // why there is no direct link to the egress
}

// The outcomes of a trace.
const (
	TraceReached = "reached"
	TraceNoRoute = "no-route"  // After has none
	TraceSilent  = "no-answer" // beyond After
	TraceHopsEnd = "hop-limit" // that of the request
	TraceLoop    = "loop"
	TraceLocal   = "local" // the address is this node's own, or not reached through the mesh
)

// TraceQuery is a TraceRequest, checked.
type TraceQuery struct {
	Address netip.Addr  // of the destination; not valid where Node is set
	Node    addr.NodeID // the egress itself
	Probes  int
	Hops    int
	Timeout time.Duration
}

// trace writes what Config.Trace finds, then whether the destination answers.
func (s *server) trace(w http.ResponseWriter, r *http.Request) {
	var q TraceRequest
	if !body(w, r, &q) {
		return
	}
	query, err := s.traceQuery(q)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if s.cfg.Trace == nil {
		refuse(w, http.StatusNotImplemented, "this node cannot trace")
		return
	}
	out := newLines(w)
	write := func(l TraceLine) {
		l.Version = Schema
		_ = out.write(l) // where the caller has gone, the context ends
	}
	var start TraceStart
	end, err := s.cfg.Trace(r.Context(), query, func(l TraceLine) {
		if l.Start != nil {
			start = *l.Start
		}
		write(l)
	})
	if err != nil {
		write(TraceLine{Error: err.Error()})
		return
	}
	if end.Outcome == TraceReached && start.Address.IsValid() {
		echo := s.traceEcho(r.Context(), start, query.Timeout)
		write(TraceLine{Echo: &echo})
	}
	write(TraceLine{End: &end})
}

func (s *server) traceQuery(q TraceRequest) (TraceQuery, error) {
	c := TraceQuery{Probes: q.Probes, Hops: q.Hops, Timeout: time.Duration(q.Timeout) * time.Millisecond}
	if c.Probes == 0 {
		c.Probes = DefaultTraceProbes
	}
	if c.Hops == 0 {
		c.Hops = DefaultTraceHops
	}
	if q.Timeout == 0 {
		c.Timeout = DefaultTraceTimeout
	}
	switch {
	case c.Probes < 1 || c.Probes > MaxTraceProbes:
		return c, fmt.Errorf("probes %d, 1 to %d", q.Probes, MaxTraceProbes)
	case c.Hops < 1 || c.Hops > MaxTraceHops:
		return c, fmt.Errorf("hops %d, 1 to %d", q.Hops, MaxTraceHops)
	case q.Timeout < 0 || q.Timeout > MaxTraceTimeout.Milliseconds() || c.Timeout < MinTraceTimeout:
		return c, fmt.Errorf("timeout %d ms, %v to %v", q.Timeout, MinTraceTimeout, MaxTraceTimeout)
	}
	if id, err := addr.ParseNodeID(q.Dest); err == nil {
		c.Node = id
		return c, nil
	}
	var err error
	c.Address, err = s.resolve(s.cfg.Sources.Status(), q.Dest)
	return c, err
}

// traceEcho asks the destination itself.
func (s *server) traceEcho(ctx context.Context, start TraceStart, timeout time.Duration) TraceEcho {
	e := TraceEcho{Address: start.Address}
	c := ping.Config{Destination: start.Address, Count: traceEchoes, Interval: traceEchoEvery, Timeout: timeout}
	var err error
	if c.Source, err = s.cfg.Sources.Status().sourceFor(start.Address); err != nil {
		e.Error = err.Error()
		return e
	}
	sum, err := ping.Run(ctx, c, func(r ping.Reply) {
		if r.Err != nil {
			e.Error = r.Err.Error()
		}
	})
	if err != nil {
		e.Error = err.Error()
	}
	e.Sent, e.Received, e.Best = sum.Sent, sum.Received, sum.Min.Microseconds()
	return e
}
