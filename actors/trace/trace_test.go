package trace

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"re6st/actors/system"
	"re6st/hw/dataplane"
	"re6st/protocols/addr"
	"re6st/protocols/ktunnel"
	"re6st/protocols/rib"
	protocol "re6st/protocols/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func id(n uint64) addr.NodeID { return addr.NodeIDFromUint64(n) }

// path is a packet path that keeps what is sent. The next node to all is 2 by link 7.
type path struct {
	probes  chan dataplane.Probed
	answers chan dataplane.Traced

	mu       sync.Mutex
	sent     []protocol.Probe
	answered []protocol.Reply
	wanted   []addr.NodeID
	cut      bool // no way leads anywhere
}

func (p *path) Probes() <-chan dataplane.Probed { return p.probes }
func (p *path) Traced() <-chan dataplane.Traced { return p.answers }
func (p *path) LinkMTU(rib.LinkID) int          { return 1400 }

func (p *path) SendProbe(_ addr.NodeID, _ uint8, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	probe, err := protocol.ParseProbe(payload)
	p.sent = append(p.sent, probe)
	return err
}

func (p *path) SendAnswer(_ addr.NodeID, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	reply, err := protocol.ParseReply(payload)
	p.answered = append(p.answered, reply)
	return err
}

func (p *path) WayTo(rib.Topology, addr.NodeID) (addr.NodeID, rib.LinkID, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return id(2), 7, !p.cut
}

func (p *path) WantSession(n addr.NodeID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = append(p.wanted, n)
}

// world runs a test with node 1's actor.
func world(t *testing.T, test func(p *path, sys *system.System, ref system.Ref[Message])) {
	synctest.Test(t, func(t *testing.T) {
		p := &path{probes: make(chan dataplane.Probed, 64), answers: make(chan dataplane.Traced, 64)}
		sys := system.New(system.Config{Seed: 1})
		ref, err := Spawn(sys, Config{
			Self: id(1), Plane: p, Links: func() map[rib.LinkID]Link {
				return map[rib.LinkID]Link{7: {Type: protocol.UDP, Tunnel: ktunnel.FOU, RTT: time.Millisecond}}
			},
			Explain: func(_ rib.Topology, _ addr.NodeID, into func([]Choice)) {
				into([]Choice{{Peer: id(2), Link: 7, Metric: 96, Feasible: true}, {Peer: id(3), Link: 8, Metric: 200}})
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		test(p, sys, ref)
		sys.Quit()
		<-sys.Done()
		time.Sleep(2 * time.Second) // protoactor counts dead letters for a moment
	})
}

// start begins a trace of node 9; events takes what it emits.
func start(ref system.Ref[Message]) (run *Run, events func() []Event) {
	var mu sync.Mutex
	var all []Event
	run = &Run{Egress: id(9), Probes: 1, Timeout: time.Second, Hops: 5, Emit: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, e)
	}}
	ref.Tell(Start{run})
	return run, func() []Event {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// reply has a node answer the last probe.
func (p *path) reply(node uint64, code protocol.Code, proven bool) {
	synctest.Wait()
	p.mu.Lock()
	r := protocol.Reply{Probe: p.sent[len(p.sent)-1], Code: code, From: id(1)}
	p.mu.Unlock()
	p.answers <- dataplane.Traced{Node: id(node), Proven: proven, Hops: 1, Payload: r.Append(nil), At: time.Now()}
	synctest.Wait()
}

func TestATraceRunsToItsEnd(t *testing.T) {
	world(t, func(p *path, _ *system.System, ref system.Ref[Message]) {
		_, events := start(ref)
		p.reply(9, protocol.Arrived, true)
		time.Sleep(time.Second)
		got := events()
		if len(got) != 3 || got[0].Hop == nil || got[1].Hop == nil || got[2].End == nil || got[2].End.Outcome != protocol.Reached {
			t.Fatalf("%+v", got)
		}
		way := got[0].Hop.Way
		if way.Next != id(2) || way.Metric != 96 || way.MTU != 1400 || way.RTT != time.Millisecond || len(way.Others) != 1 || way.Others[0].Next != id(3) {
			t.Errorf("this node's own way: %+v", way)
		}
		if len(p.wanted) != 0 {
			t.Errorf("sessions with %v for what is proven", p.wanted)
		}
	})
}

func TestAHintAsksForASession(t *testing.T) {
	world(t, func(p *path, _ *system.System, ref system.Ref[Message]) {
		start(ref)
		p.reply(9, protocol.Arrived, false)
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.wanted) != 1 || p.wanted[0] != id(9) {
			t.Errorf("sessions with %v", p.wanted)
		}
	})
}

func TestNoWayEndsATraceAtOnce(t *testing.T) {
	world(t, func(p *path, _ *system.System, ref system.Ref[Message]) {
		p.cut = true
		_, events := start(ref)
		got := events()
		if len(got) != 2 || got[1].End == nil || got[1].End.Outcome != protocol.Stuck || got[1].End.After != id(1) || len(p.sent) != 0 {
			t.Errorf("%+v, %d probes", got, len(p.sent))
		}
	})
}

func TestTracesAreBoundedAndCancelled(t *testing.T) {
	world(t, func(p *path, _ *system.System, ref system.Ref[Message]) {
		var runs []*Run
		for range MaxRuns {
			run, events := start(ref)
			if got := events(); len(got) != 1 || got[0].Err != nil {
				t.Fatalf("%+v", got)
			}
			runs = append(runs, run)
		}
		_, refused := start(ref)
		if got := refused(); len(got) != 1 || !errors.Is(got[0].Err, ErrBusy) {
			t.Errorf("%+v", got)
		}
		ref.Tell(Cancel{runs[3]})
		if _, events := start(ref); len(events()) != 1 || events()[0].Err != nil {
			t.Errorf("%+v", events())
		}
		time.Sleep(time.Minute)
		if _, events := start(ref); events()[0].Err != nil {
			t.Error("traces that ended are still counted")
		}
	})
}

func TestProbesOfOthersAreAnswered(t *testing.T) {
	world(t, func(p *path, sys *system.System, _ system.Ref[Message]) {
		probe := func(egress uint64, noRoute bool, payload []byte) {
			p.probes <- dataplane.Probed{Ingress: id(5), Egress: id(egress), Peer: id(4), NoRoute: noRoute, Payload: payload, At: time.Now()}
			synctest.Wait()
		}
		good := protocol.Probe{ID: protocol.ID{1}, Number: 3, Extends: true}
		probe(9, false, good.Append(nil, 0))
		probe(9, true, good.Append(nil, 0))
		probe(1, false, good.Append(nil, 0))
		probe(9, false, []byte("what?"))
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.answered) != 3 {
			t.Fatalf("%+v", p.answered)
		}
		for i, want := range []protocol.Code{protocol.Passed, protocol.NoRoute, protocol.Arrived} {
			if r := p.answered[i]; r.Code != want || r.ID != good.ID || r.Number != good.Number || r.From != id(4) || r.Back != id(2) {
				t.Errorf("%+v, want code %d", r, want)
			}
		}
		if passed, stuck, end := p.answered[0].Way, p.answered[1].Way, p.answered[2].Way; passed.Next != id(2) || passed.Tunnel != ktunnel.FOU || len(passed.Others) != 1 ||
			!stuck.Next.IsZero() || len(stuck.Others) != 2 || !end.Next.IsZero() {
			t.Errorf("%+v, %+v, %+v", passed, stuck, end)
		}
		if n := len(sys.Events()); n != 1 {
			t.Errorf("a bad probe made %d events", n-1)
		}
	})
}
