package trace_test

import (
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/trace"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// path is what the machine is in front of: the nodes behind number 1, each so far
// from the one before.
type path struct {
	nodes    []uint64
	arrives  bool            // the last one is the egress
	noRoute  bool            // the last one has no route
	delay    time.Duration   // of one link, one way
	silent   map[int]bool    // numbers of hops that do not answer
	narrow   int             // full-size probes pass no further than this hop; 0: all do
	sessions map[uint64]bool // nodes that can prove their replies
	change   func(p *path, probe int)
}

// arrival is due at a time.
type arrival struct {
	at time.Time
	trace.Arrival
}

// run traces a path in virtual time.
func run(p path, cfg trace.Config) (hops []trace.Hop, end trace.End, took time.Duration) {
	cfg.ID, cfg.Self, cfg.Egress = trace.ID{1}, id(1), id(99)
	now, m := start, trace.New(start, cfg)
	var due []arrival
	ended, probes := false, 0
	for !ended {
		m.Drain(func(e trace.Event) {
			switch e := e.(type) {
			case trace.Send:
				if probes++; p.change != nil {
					p.change(&p, probes)
				}
				if a, ok := p.answer(e); ok {
					n := min(int(e.HopLimit), len(p.nodes))
					due = append(due, arrival{now.Add(2 * time.Duration(n) * p.delay), a})
				}
			case trace.Want:
				p.sessions[uint64(e.Node[7])] = true
			case trace.Hop:
				hops = append(hops, e)
			case trace.End:
				end, ended = e, true
			}
		})
		next, ok := m.NextTimeout()
		if ended || !ok {
			break
		}
		if len(due) > 0 && !due[0].at.After(next) {
			now = due[0].at
			m.HandleReply(now, due[0].Arrival)
			due = due[1:]
			continue
		}
		now = next
		m.HandleTimeout(now)
	}
	return hops, end, now.Sub(start)
}

func (p *path) answer(e trace.Send) (trace.Arrival, bool) {
	probe, err := trace.ParseProbe(e.Payload)
	if err != nil {
		panic(err)
	}
	n := min(int(e.HopLimit), len(p.nodes))
	if n == 0 || p.silent[n] || p.narrow > 0 && n > p.narrow && len(e.Payload) > trace.MinProbeLen {
		return trace.Arrival{}, false
	}
	last := n == len(p.nodes)
	if int(e.HopLimit) > n && !p.arrives && !p.noRoute {
		return trace.Arrival{}, false // lost behind the last one
	}
	r := trace.Reply{Probe: probe, Code: trace.Passed, From: id(1)}
	if n > 1 {
		r.From = id(p.nodes[n-2])
	}
	r.Back = r.From
	switch {
	case last && p.arrives:
		r.Code = trace.Arrived
	case last && p.noRoute:
		r.Code = trace.NoRoute
	case !last:
		r.Way = trace.Way{Next: id(p.nodes[n]), Type: trace.UDP, Metric: 96}
	}
	node := p.nodes[n-1]
	return trace.Arrival{Reply: r, Node: id(node), Proven: p.sessions[node], HopsBack: n}, true
}

func config() trace.Config {
	return trace.Config{Probes: trace.DefaultProbes, Timeout: trace.DefaultTimeout, Hops: trace.DefaultHops, Full: 1399}
}

func line(nodes ...uint64) path {
	return path{nodes: nodes, arrives: true, delay: time.Millisecond, sessions: map[uint64]bool{2: true}}
}

func TestALineIsTracedNodeByNode(t *testing.T) {
	hops, end, took := run(line(2, 3, 4), config())
	if len(hops) != 3 || end != (trace.End{Outcome: trace.Reached, After: id(4)}) {
		t.Fatalf("%+v, %+v", hops, end)
	}
	for i, h := range hops {
		rtt := 2 * time.Duration(i+1) * time.Millisecond
		if h.Number != i+1 || h.Node != id(uint64(i+2)) || h.Best != rtt || h.Worst != rtt || h.Sent != 3 || h.Received != 3 {
			t.Errorf("hop %d: %+v", i+1, h)
		}
		if !h.Proven || h.Full != trace.Passes || h.Strayed || len(h.Others) > 0 || h.HopsBack != i+1 {
			t.Errorf("hop %d: %+v", i+1, h)
		}
	}
	if hops[0].Way.Next != id(3) || hops[2].Code != trace.Arrived || !hops[2].Way.Next.IsZero() {
		t.Errorf("%+v", hops)
	}
	if took > time.Second {
		t.Errorf("it took %v", took)
	}
}

// A reply that nobody vouches for is a hint; one proven afterwards is not.
func TestWhatIsNotProvenIsAskedForAgain(t *testing.T) {
	p := line(2, 3)
	p.change = func(p *path, _ int) { delete(p.sessions, 3) }
	hops, _, _ := run(p, config())
	if !hops[0].Proven || hops[1].Proven {
		t.Errorf("%+v", hops)
	}
	p = line(2, 3)
	p.change = func(p *path, probe int) { p.sessions[3] = probe > 8 }
	if hops, _, _ = run(p, config()); !hops[1].Proven || hops[1].Sent != 3 || hops[1].Received != 3 {
		t.Errorf("%+v", hops[1])
	}
}

func TestABrokenPathEndsWhereTheLastAnswerCame(t *testing.T) {
	p := line(2, 3)
	p.arrives = false
	hops, end, _ := run(p, config())
	if len(hops) != 4 || !hops[2].Node.IsZero() || !hops[3].Node.IsZero() || end != (trace.End{Outcome: trace.Silent, After: id(3)}) {
		t.Errorf("%+v, %+v", hops, end)
	}
	p.noRoute = true
	hops, end, _ = run(p, config())
	if len(hops) != 2 || hops[1].Code != trace.NoRoute || end != (trace.End{Outcome: trace.Stuck, After: id(3)}) {
		t.Errorf("%+v, %+v", hops, end)
	}
	hops, end, _ = run(path{delay: time.Millisecond}, config())
	if len(hops) != 2 || end != (trace.End{Outcome: trace.Silent, After: id(1)}) {
		t.Errorf("%+v, %+v", hops, end)
	}
}

func TestASilentRelayIsPassed(t *testing.T) {
	p := line(2, 3, 4)
	p.silent = map[int]bool{2: true}
	hops, end, _ := run(p, config())
	if len(hops) != 3 || !hops[1].Node.IsZero() || hops[1].Sent != 3 || hops[2].Strayed || end != (trace.End{Outcome: trace.Reached, After: id(4)}) {
		t.Errorf("%+v, %+v", hops, end)
	}
}

func TestAPathThatChangesIsTold(t *testing.T) {
	p := line(2, 3, 4)
	p.change = func(p *path, probe int) { // while hop 2 is measured
		if probe == 7 {
			p.nodes = []uint64{2, 5, 4}
		}
	}
	hops, end, _ := run(p, config())
	if !end.Changed || len(hops[1].Others) != 1 || hops[1].Others[0] != id(5) {
		t.Errorf("%+v, %+v", hops, end)
	}
	p = line(2, 3, 4)
	p.change = func(p *path, _ int) { // after hop 2
		if _, met := p.sessions[3]; met && len(p.sessions) > 2 {
			p.nodes = []uint64{2, 5, 4}
		}
		p.sessions[4] = true
	}
	hops, end, _ = run(p, config())
	strayed := false
	for _, h := range hops {
		strayed = strayed || h.Strayed || len(h.Others) > 0
	}
	if !end.Changed || !strayed {
		t.Errorf("%+v, %+v", hops, end)
	}
}

func TestALinkThatIsTooNarrowIsFound(t *testing.T) {
	p := line(2, 3, 4)
	p.narrow = 2
	hops, _, _ := run(p, config())
	if hops[0].Full != trace.Passes || hops[1].Full != trace.Passes || hops[2].Full != trace.Fails {
		t.Errorf("%+v", hops)
	}
	cfg := config()
	cfg.Full = 0
	if hops, _, _ = run(p, cfg); hops[0].Full != trace.NotTried {
		t.Errorf("%+v", hops)
	}
}

func TestALoopAndALongPathEnd(t *testing.T) {
	loop := line()
	for range 30 {
		loop.nodes = append(loop.nodes, 2, 3)
	}
	hops, end, _ := run(loop, config())
	if end.Outcome != trace.Loop || len(hops) != 5 {
		t.Errorf("%d hops, %+v", len(hops), end)
	}
	long := line()
	for n := range uint64(60) {
		long.nodes = append(long.nodes, n+2)
	}
	if hops, end, _ = run(long, config()); end.Outcome != trace.HopsGone || len(hops) != trace.DefaultHops {
		t.Errorf("%d hops, %+v", len(hops), end)
	}
}

func TestRepliesOfOthersAreIgnored(t *testing.T) {
	cfg := config()
	cfg.ID, cfg.Self, cfg.Egress = trace.ID{1}, id(1), id(9)
	m := trace.New(start, cfg)
	good := trace.Arrival{Reply: trace.Reply{Probe: trace.Probe{ID: cfg.ID, Number: 1}, Code: trace.Arrived, From: id(1)}, Node: id(9)}
	for _, spoil := range []func(a *trace.Arrival){
		func(a *trace.Arrival) { a.ID = trace.ID{2} },
		func(a *trace.Arrival) { a.Number = 2 },
		func(a *trace.Arrival) { a.Node = id(1) },
		func(a *trace.Arrival) { a.Node = addr.NodeID{} },
	} {
		a := good
		spoil(&a)
		m.HandleReply(start, a)
	}
	m.HandleReply(start.Add(time.Millisecond), good)
	m.HandleReply(start.Add(2*time.Millisecond), good) // a copy
	m.HandleTimeout(start.Add(time.Second))
	for range 20 {
		at, ok := m.NextTimeout()
		if !ok {
			break
		}
		m.HandleTimeout(at)
	}
	m.Drain(func(e trace.Event) {
		if h, ok := e.(trace.Hop); ok && (h.Received != 1 || h.Best != time.Millisecond) {
			t.Errorf("%+v", h)
		}
	})
}
