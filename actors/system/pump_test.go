package system_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"re6st/actors/system"
	"re6st/actors/system/systemtest"
)

// withPump starts a pump in the first incarnation only.
func withPump(run func(ctx context.Context, p *system.Pump[message]) error, opts ...system.PumpOption) func(*system.Context[message]) error {
	return func(ctx *system.Context[message]) error {
		if ctx.Number() == 1 {
			ctx.Pump("reader", run, opts...)
		}
		return nil
	}
}

func TestPumpErrorIsATransientFault(t *testing.T) {
	h := systemtest.New(t, 0)
	spawn(t, h, "node", spec(probe{onStart: withPump(func(context.Context, *system.Pump[message]) error { return errBoom })}))
	h.Await("the restart", func() bool { return h.Record("node").Restarts == 1 })
	if r := h.Record("node"); r.FaultKind != "transient" || r.LastFault != "pump reader: boom" {
		t.Errorf("record %+v", r)
	}
}

func TestPumpFaultKeepsItsKind(t *testing.T) {
	h := systemtest.New(t, 0)
	spawn(t, h, "node", spec(probe{onStart: withPump(func(context.Context, *system.Pump[message]) error {
		return &system.Fault{Kind: system.BadConfig, Err: errBoom}
	})}))
	h.Await("the stop", func() bool { return h.State("node") == system.Stopped })
	if r := h.Record("node"); r.FaultKind != "config" || r.LastFault != "pump reader: boom" {
		t.Errorf("record %+v", r)
	}
}

func TestPumpThatReturnsNilEndsInPeace(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	spawn(t, h, "node", spec(probe{log: log, onStart: withPump(func(_ context.Context, p *system.Pump[message]) error {
		return p.Deliver(text("dialled"))
	})}))
	h.Await("the message", func() bool { return log.Len() == 2 })
	h.Advance(time.Minute)
	wantLog(t, log, "start 1", "dialled")
}

func TestPumpCloserUnblocksARead(t *testing.T) {
	h := systemtest.New(t, 0)
	conn, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 loopback: ", err)
	}
	var ended error
	ref := spawn(t, h, "node", spec(probe{onStart: withPump(func(context.Context, *system.Pump[message]) error {
		_, _, ended = conn.ReadFrom(make([]byte, 1)) // knows no context
		return ended
	}, system.WithCloser(conn))}))
	h.Run()
	ref.Tell(do(boom))
	h.Run() // joins the pump: ended is ours to read
	if !errors.Is(ended, net.ErrClosed) {
		t.Errorf("the read ended with %v, want net.ErrClosed", ended)
	}
	if r := h.Record("node"); r.Restarts != 1 {
		t.Errorf("record %+v, want one restart", r)
	}
}

func TestPumpIsCancelledWhenItsActorFaultsNotAfterTheBackoff(t *testing.T) {
	h := systemtest.New(t, 0)
	ended := make(chan struct{})
	ref := spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		if ctx.Number() == 2 {
			ctx.Pump("reader", func(ctx context.Context, _ *system.Pump[message]) error {
				defer close(ended)
				<-ctx.Done()
				return nil
			})
		}
		return nil
	}}))
	ref.Tell(do(boom))
	ref.Tell(do(boom)) // this one has to wait for its restart
	h.Run()
	<-ended
	if s := h.State("node"); s != system.Restarting {
		t.Errorf("state %v, want restarting", s)
	}
}

func TestPumpCloserIsClosedOnceWhenItsPumpEnds(t *testing.T) {
	h := systemtest.New(t, 0)
	var closed [2]int
	ended := make(chan struct{})
	ref := spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		if ctx.Number() > 1 {
			return nil
		}
		ctx.Pump("dial", func(context.Context, *system.Pump[message]) error { return nil },
			system.WithCloser(closer(func() error { closed[0]++; close(ended); return nil })))
		ctx.Pump("read", func(ctx context.Context, _ *system.Pump[message]) error { <-ctx.Done(); return nil },
			system.WithCloser(closer(func() error { closed[1]++; return nil })))
		return nil
	}}))
	h.Run()
	<-ended // by itself
	ref.Tell(do(boom))
	h.Run()
	ref.Stop()
	h.Run()
	if closed != [2]int{1, 1} {
		t.Errorf("closed %v times, want each once", closed)
	}
}

func TestPumpIsJoinedBeforeStopAndTheNextStart(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	ref := spawn(t, h, "node", spec(probe{log: log, onStart: withPump(func(ctx context.Context, _ *system.Pump[message]) error {
		<-ctx.Done()
		log.Emit("pump ended")
		return nil
	})}))
	ref.Tell(do(boom))
	h.Run()
	wantLog(t, log, "start 1", "pump ended", "stop 1", "start 2")
}

func TestPumpCloserThatPanicsOrFailsIsNoFault(t *testing.T) {
	h := systemtest.New(t, 0)
	idle := func(ctx context.Context, _ *system.Pump[message]) error { <-ctx.Done(); return nil }
	ref := spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		ctx.Pump("a", idle, system.WithCloser(closer(func() error { panic("closer") })))
		ctx.Pump("b", idle, system.WithCloser(closer(func() error { return errBoom })))
		return nil
	}}))
	h.Run()
	ref.Stop()
	h.Run()
	if got := h.Trace(); len(got) != 2 {
		t.Errorf("trace %q, want started and stopped", got)
	}
}

type closer func() error

func (c closer) Close() error { return c() }

var _ io.Closer = closer(nil)

func TestPumpThatDoesNotEndIsReported(t *testing.T) {
	h := systemtest.New(t, 0)
	release := make(chan struct{})
	sub := h.Subscribe(16)
	defer sub.Close()
	ref := spawn(t, h, "node", spec(probe{onStart: withPump(func(context.Context, *system.Pump[message]) error {
		<-release
		return nil
	})}))
	h.Run()
	ref.Stop()
	stopped := make(chan struct{})
	go func() { h.Run(); close(stopped) }() // blocks in the join
	for len(sub.C) < 2 {
		h.Clock.Advance(time.Second)
	}
	await(t, sub, "node", system.EventStuck)
	close(release)
	<-stopped
}

func TestOfferIsBoundedByTheCredit(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	offered := make(chan [2]int)
	more := make(chan struct{})
	spawn(t, h, "node", spec(probe{log: log, onStart: withPump(func(ctx context.Context, p *system.Pump[message]) error {
		for range 2 {
			taken := 0
			for range 10 {
				if p.Offer(text("packet")) {
					taken++
				}
			}
			offered <- [2]int{taken, int(p.Dropped())}
			<-more
		}
		return nil
	}, system.WithCredit(3))}))
	h.Queue.Step() // the start
	for i, want := range [][2]int{{3, 7}, {3, 14}} {
		if got := <-offered; got != want {
			t.Errorf("round %d: %d taken and %d dropped, want %d and %d", i, got[0], got[1], want[0], want[1])
		}
		h.Run() // handles what was taken, and so gives the credit back
		more <- struct{}{}
	}
	wantLog(t, log, "start 1", "packet", "packet", "packet", "packet", "packet", "packet")
	if n := h.Record("node").Dropped; n != 14 {
		t.Errorf("%d messages counted as dropped, want 14", n)
	}
}

func TestDeliverWaitsForCreditAndLosesNothing(t *testing.T) {
	h := systemtest.New(t, 0)
	log := new(systemtest.Collector[string])
	spawn(t, h, "node", spec(probe{log: log, onStart: withPump(func(_ context.Context, p *system.Pump[message]) error {
		for range 100 {
			if err := p.Deliver(text("chunk")); err != nil {
				return err
			}
		}
		return nil
	}, system.WithCredit(1))}))
	h.Await("all chunks", func() bool { return log.Len() == 101 })
}

func TestDeliverEndsWithTheIncarnation(t *testing.T) {
	h := systemtest.New(t, 0)
	var result error
	var late bool
	offered := make(chan struct{})
	ref := spawn(t, h, "node", spec(probe{onStart: withPump(func(_ context.Context, p *system.Pump[message]) error {
		p.Offer(text("takes the credit"))
		close(offered)
		result = p.Deliver(text("blocks"))
		late = p.Offer(text("late"))
		return nil
	}, system.WithCredit(1))}))
	ref.Tell(do(func(*system.Context[message]) error { <-offered; ref.Stop(); return nil }))
	h.Run() // joins the pump: result and late are ours to read
	if !errors.Is(result, context.Canceled) || late {
		t.Errorf("Deliver = %v, Offer = %v after the end, want context.Canceled and false", result, late)
	}
}

func TestPumpThatWasCancelledSendsNothing(t *testing.T) {
	h := systemtest.New(t, 0)
	var offered bool
	var delivered error
	ref := spawn(t, h, "node", spec(probe{onStart: withPump(func(ctx context.Context, p *system.Pump[message]) error {
		<-ctx.Done()
		offered, delivered = p.Offer(text("late")), p.Deliver(text("late"))
		return nil
	})}))
	ref.Tell(do(boom))
	h.Run()
	if offered || !errors.Is(delivered, context.Canceled) {
		t.Errorf("Offer = %v, Deliver = %v with credit left, want false and context.Canceled", offered, delivered)
	}
}

func TestPumpPanicWhileItEndsIsLoggedAndNoFault(t *testing.T) {
	var log bytes.Buffer
	s := system.New(system.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	ref := spawn(t, s, "node", spec(probe{onStart: withPump(func(ctx context.Context, _ *system.Pump[message]) error {
		<-ctx.Done()
		panic("at the end")
	})}))
	ref.Tell(do(boom))
	ref.Poison()
	stopWithin(t, s)
	if faults := strings.Count(log.String(), "msg=faulted"); faults != 1 || !strings.Contains(log.String(), "pump reader: panic: at the end") {
		t.Errorf("%d faults, want 1, and the late panic in the log:\n%s", faults, log.String())
	}
}

func TestInjectedFaults(t *testing.T) {
	for _, c := range []struct {
		inject system.Injection
		op     string
		kind   system.Kind
	}{
		{system.InjectPanic, "injected", system.Bug},
		{system.InjectError, "injected", system.Transient},
		{system.InjectPumpPanic, "pump injected", system.Bug},
	} {
		h := systemtest.New(t, 0)
		spawn(t, h, "node", spec(probe{}))
		if err := h.Inject("node", c.inject); err != nil {
			t.Fatal(err)
		}
		h.Await("the restart", func() bool { return h.Record("node").Restarts == 1 })
		for _, e := range h.Events() {
			if e.Kind == system.EventFaulted && (e.Fault.Op != c.op || e.Fault.Kind != c.kind) {
				t.Errorf("injection %d made fault %+v, want %q of kind %v", c.inject, e.Fault, c.op, c.kind)
			}
		}
		if err := h.Inject("nobody", c.inject); !errors.Is(err, system.ErrNoActor) {
			t.Errorf("Inject into nobody = %v, want ErrNoActor", err)
		}
	}
}

// namedPump starts one that ends when it is told to, in each incarnation.
func namedPump(ctx *system.Context[message]) error {
	ctx.Pump("reader", func(ctx context.Context, _ *system.Pump[message]) error { <-ctx.Done(); return nil })
	ctx.Pump("writer", func(ctx context.Context, _ *system.Pump[message]) error { <-ctx.Done(); return nil })
	return nil
}

func TestFaultsInjectedIntoANamedPump(t *testing.T) {
	for _, c := range []struct {
		inject system.Injection
		text   string
		kind   string
	}{
		{system.InjectPanic, "pump writer: panic: injected", "bug"},
		{system.InjectError, "pump writer: injected error", "transient"},
	} {
		h := systemtest.New(t, 0)
		spawn(t, h, "node", spec(probe{onStart: namedPump}))
		h.Run()
		if err := h.InjectPump("node", "writer", c.inject, 0); err != nil {
			t.Fatal(err)
		}
		h.Await("the restart", func() bool { return h.Record("node").Restarts == 1 })
		r := h.Record("node")
		if r.LastFault != c.text || r.FaultKind != c.kind || !slices.Equal(r.Pumps, []string{"reader", "writer"}) {
			t.Errorf("record %+v, want fault %q of kind %s, and both pumps again", r, c.text, c.kind)
		}
		if err := h.InjectPump("node", "nobody", c.inject, 0); !errors.Is(err, system.ErrNoPump) {
			t.Errorf("InjectPump into no pump = %v, want ErrNoPump", err)
		}
		if err := h.InjectPump("nobody", "writer", c.inject, 0); !errors.Is(err, system.ErrNoActor) {
			t.Errorf("InjectPump into nobody = %v, want ErrNoActor", err)
		}
	}
}

func TestAStalledPumpIsReportedAndThenItsActorRestarts(t *testing.T) {
	h := systemtest.New(t, 0)
	sub := h.Subscribe(16)
	defer sub.Close()
	spawn(t, h, "node", spec(probe{onStart: namedPump}))
	h.Run()
	const stall = 24 * time.Hour // longer than all the seconds that pass until it is told of
	if err := h.InjectPump("node", "reader", system.InjectStall, stall); err != nil {
		t.Fatal(err)
	}
	h.Await("the record of a stuck pump", func() bool {
		if len(h.Record("node").Stuck) == 0 {
			h.Advance(time.Second) // the pump leaves its work in its own time, and only then the stall begins
		}
		return slices.Equal(h.Record("node").Stuck, []string{"reader"})
	})
	await(t, sub, "node", system.EventStuck)
	if r := h.Record("node"); r.State != system.Running {
		t.Errorf("state %v while a pump hangs, want running", r.State)
	}
	h.Await("the restart", func() bool {
		if h.Record("node").Restarts == 0 {
			h.Advance(stall)
		}
		return h.Record("node").Restarts == 1
	})
	if r := h.Record("node"); r.LastFault != "pump reader: injected error after a stall of 24h0m0s" || len(r.Stuck) != 0 || len(r.Pumps) != 2 {
		t.Errorf("record %+v", r)
	}
}

func TestReplaceLeavesTheNewest(t *testing.T) {
	c := make(chan int, 1)
	for v := range 3 {
		system.Replace(c, v)
	}
	if v := <-c; v != 2 || len(c) != 0 {
		t.Errorf("got %d and %d more, want 2 alone", v, len(c))
	}
}
