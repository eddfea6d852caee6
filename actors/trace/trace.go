package trace

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"re6st/actors/system"
	"re6st/hw/dataplane"
	"re6st/protocols/addr"
	"re6st/protocols/ktunnel"
	"re6st/protocols/rib"
	protocol "re6st/protocols/trace"
)

// MaxRuns is how many traces a node makes at a time.
const MaxRuns = 8

// ErrBusy refuses a trace beyond MaxRuns.
var ErrBusy = errors.New("too many traces at a time")

// Config is what the actor works with.
type Config struct {
	Self   addr.NodeID
	Prefix addr.Bits
	Plane  Plane
	// Explain calls into, once and on any goroutine, with the ways to a node by the
	// routing table, the selected one first.
	Explain func(t rib.Topology, egress addr.NodeID, into func([]Choice))
	// Links is what is known of this node's links now. It must not block.
	Links func() map[rib.LinkID]Link
}

// Plane is what the actor needs of the packet path.
type Plane interface {
	Probes() <-chan dataplane.Probed
	Traced() <-chan dataplane.Traced
	SendProbe(egress addr.NodeID, hopLimit uint8, payload []byte) error
	SendAnswer(ingress addr.NodeID, payload []byte) error
	WayTo(t rib.Topology, egress addr.NodeID) (addr.NodeID, rib.LinkID, bool)
	LinkMTU(id rib.LinkID) int
	WantSession(egress addr.NodeID)
}

// Choice is a way to a node by one neighbor.
type Choice struct {
	Peer     addr.NodeID
	Link     rib.LinkID
	Metric   uint16
	Feasible bool
}

// Link is what the tunnels know of a link.
type Link struct {
	Type   protocol.LinkType
	Remote netip.AddrPort
	RTT    time.Duration
	Tunnel ktunnel.Kind // below it; 0: none
	Loss   protocol.Loss
}

// Run is one trace. It belongs to the actor from Start on.
type Run struct {
	Egress  addr.NodeID
	Probes  int           // for each hop
	Timeout time.Duration // for each probe
	Hops    int           // at most
	Full    int           // length of a probe of full size; 0: none
	// Emit is called by the actor's goroutine and must not block: with the hops, this
	// node being number 0, then with the end or an error.
	Emit func(Event)
}

// Event is what became of a Run: one field is set.
type Event struct {
	Hop *protocol.Hop
	End *protocol.End
	Err error
}

// Message is what the actor takes.
//
//sumtype:decl
type Message interface{ traceMessage() }

// Start begins a trace.
type Start struct{ Run *Run }

// Cancel ends a trace, which emits nothing more.
type Cancel struct{ Run *Run }

type (
	probed    struct{ dataplane.Probed }
	traced    struct{ dataplane.Traced }
	explained struct {
		probed  dataplane.Probed
		probe   protocol.Probe
		choices []Choice
	}
	begun struct {
		run     *Run
		choices []Choice
	}
	tick struct{}
)

func (Start) traceMessage()     {}
func (Cancel) traceMessage()    {}
func (probed) traceMessage()    {}
func (traced) traceMessage()    {}
func (explained) traceMessage() {}
func (begun) traceMessage()     {}
func (tick) traceMessage()      {}

// Spawn starts the actor.
func Spawn(parent system.Parent, cfg Config) (system.Ref[Message], error) {
	return system.Spawn(parent, "trace", system.Spec[Message]{
		Kind:     "trace",
		New:      func() system.Handler[Message] { return &tracer{cfg: cfg} },
		OnBudget: system.Quarantine,
	})
}

// tracer drives a machine for each trace.
type tracer struct {
	cfg   Config
	ctx   *system.Context[Message]
	timer *system.Timer
	runs  []*running // oldest first
}

// running is a trace under way; the machine is nil until the router has answered.
type running struct {
	*Run
	id      protocol.ID
	machine *protocol.Machine
}

// Start reads what the packet path hands up.
func (t *tracer) Start(ctx *system.Context[Message]) error {
	t.ctx, t.timer = ctx, ctx.NewTimer(tick{})
	plane := t.cfg.Plane
	ctx.Pump("probes", func(stop context.Context, p *system.Pump[Message]) error {
		return system.Forward(stop, plane.Probes(), p, func(m dataplane.Probed) Message { return probed{m} })
	}, system.Queue(plane.Probes()))
	ctx.Pump("answers", func(stop context.Context, p *system.Pump[Message]) error {
		return system.Forward(stop, plane.Traced(), p, func(m dataplane.Traced) Message { return traced{m} })
	}, system.Queue(plane.Traced()))
	return nil
}

// Handle takes one message.
func (t *tracer) Handle(_ *system.Context[Message], m Message) error {
	switch m := m.(type) {
	case probed:
		t.probed(m.Probed)
	case explained:
		t.answer(m)
	case Start:
		t.start(m.Run)
	case begun:
		t.begin(m)
	case Cancel:
		t.remove(m.Run)
	case traced:
		t.traced(m.Traced)
	case tick:
		for _, r := range t.runs {
			if r.machine != nil {
				r.machine.HandleTimeout(t.ctx.Now())
			}
		}
	}
	t.settle()
	return nil
}

// Stop has nothing to close.
func (t *tracer) Stop(*system.Context[Message]) {}

func (t *tracer) start(run *Run) {
	if len(t.runs) >= MaxRuns {
		run.Emit(Event{Err: fmt.Errorf("%w: %d run; try again in a moment", ErrBusy, MaxRuns)})
		return
	}
	r := &running{Run: run}
	_, _ = rand.Read(r.id[:]) // it never fails: see crypto/rand
	t.runs = append(t.runs, r)
	self := t.ctx.Self()
	t.cfg.Explain(0, run.Egress, func(c []Choice) { self.Tell(begun{run, c}) })
}

// begin shows this node's own way, and sends the first probe.
func (t *tracer) begin(m begun) {
	for _, r := range t.runs {
		if r.Run != m.run || r.machine != nil {
			continue
		}
		way := t.way(0, r.Egress, m.choices)
		r.Emit(Event{Hop: &protocol.Hop{Node: t.cfg.Self, Proven: true, Code: protocol.Passed, Prefix: t.cfg.Prefix, Way: way}})
		if way.Next.IsZero() {
			r.Emit(Event{End: &protocol.End{Outcome: protocol.Stuck, After: t.cfg.Self}})
			t.remove(r.Run)
			return
		}
		r.machine = protocol.New(t.ctx.Now(), protocol.Config{
			ID: r.id, Self: t.cfg.Self, Egress: r.Egress, Probes: r.Probes, Timeout: r.Timeout, Hops: r.Hops, Full: r.Full,
		})
		return
	}
}

func (t *tracer) remove(run *Run) {
	for i, r := range t.runs {
		if r.Run == run {
			t.runs = append(t.runs[:i:i], t.runs[i+1:]...)
			return
		}
	}
}

// traced hands an answer to its trace.
func (t *tracer) traced(m dataplane.Traced) {
	reply, err := protocol.ParseReply(m.Payload)
	if err != nil {
		t.ctx.Log().Debug("answer to a probe", "node", m.Node, "error", err)
		return
	}
	for _, r := range t.runs {
		if r.id == reply.ID && r.machine != nil {
			r.machine.HandleReply(m.At, protocol.Arrival{Reply: reply, Node: m.Node, Proven: m.Proven, HopsBack: m.Hops})
		}
	}
}

// settle carries out what the machines want.
func (t *tracer) settle() {
	var next time.Time
	for _, r := range append([]*running(nil), t.runs...) { // those that end are removed
		if r.machine == nil {
			continue
		}
		r.machine.Drain(func(e protocol.Event) { t.do(r, e) })
		if at, ok := r.machine.NextTimeout(); ok && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	t.timer.Rearm(next, !next.IsZero())
}

func (t *tracer) do(r *running, e protocol.Event) {
	switch e := e.(type) {
	case protocol.Send:
		if err := t.cfg.Plane.SendProbe(r.Egress, e.HopLimit, e.Payload); err != nil {
			t.ctx.Log().Debug("probe not sent", "egress", r.Egress, "error", err)
		}
	case protocol.Want:
		t.cfg.Plane.WantSession(e.Node)
	case protocol.Hop:
		r.Emit(Event{Hop: &e})
	case protocol.End:
		r.Emit(Event{End: &e})
		t.remove(r.Run)
	}
}
