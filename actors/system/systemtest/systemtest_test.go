package systemtest_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"re6st/actors/system"
	"re6st/actors/system/systemtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ticker emits its age each second, and what its pump reads.
type ticker struct {
	emit  func(string)
	input <-chan string
}

type message interface{ isMessage() }

type (
	tick struct{}
	line string
)

func (tick) isMessage() {}
func (line) isMessage() {}

func (a *ticker) Start(ctx *system.Context[message]) error {
	ctx.After(time.Second, tick{})
	ctx.Pump("input", func(ctx context.Context, p *system.Pump[message]) error {
		for {
			select {
			case s := <-a.input:
				p.Offer(line(s))
			case <-ctx.Done():
				return nil
			}
		}
	})
	return nil
}

func (a *ticker) Handle(ctx *system.Context[message], m message) error {
	switch m := m.(type) {
	case tick:
		a.emit(ctx.Now().Format("15:04:05"))
		ctx.After(time.Second, tick{})
	case line:
		a.emit(string(m))
	}
	return nil
}

func (a *ticker) Stop(*system.Context[message]) {}

func TestHarnessRunsTimersInVirtualTimeAndAwaitsPumps(t *testing.T) {
	h := systemtest.New(t, 0)
	out, input := new(systemtest.Collector[string]), make(chan string)
	if _, err := system.Spawn(h, "ticker", system.Spec[message]{New: func() system.Handler[message] {
		return &ticker{emit: out.Emit, input: input}
	}}); err != nil {
		t.Fatal(err)
	}
	h.Advance(3500 * time.Millisecond)
	if got, want := out.Take(), []string{"00:00:01", "00:00:02", "00:00:03"}; !slices.Equal(got, want) {
		t.Errorf("emitted %q, want %q", got, want)
	}
	input <- "typed"
	h.Await("the line", func() bool { return out.Len() > 0 })
	if got := out.Take(); !slices.Equal(got, []string{"typed"}) {
		t.Errorf("emitted %q, want typed", got)
	}
	if h.State("ticker") != system.Running || h.State("nobody") != system.Stopped {
		t.Error("wrong states")
	}
	h.Shutdown()
	if got, want := h.Trace(), []string{"ticker started", "ticker stopped"}; !slices.Equal(got, want) {
		t.Errorf("trace %q, want %q", got, want)
	}
}

func drain(q *systemtest.Queue) (order []int) {
	for i := range 20 {
		q.Schedule(func() { order = append(order, i) })
	}
	for q.Step() {
	}
	return order
}

func TestQueueOrder(t *testing.T) {
	fifo := drain(systemtest.NewQueue(0))
	if !slices.IsSorted(fifo) || len(fifo) != 20 {
		t.Errorf("seed 0 ran %v, want first in, first out", fifo)
	}
	one := drain(systemtest.NewQueue(1))
	if !slices.Equal(one, drain(systemtest.NewQueue(1))) {
		t.Error("seed 1 gave two orders")
	}
	if slices.Equal(one, drain(systemtest.NewQueue(2))) || slices.IsSorted(one) {
		t.Error("the seed makes no difference")
	}
}

func TestQueueSaysThatItHasWork(t *testing.T) {
	q := systemtest.NewQueue(0)
	go q.Schedule(func() {})
	<-q.Ready()
	if !q.Step() || q.Step() {
		t.Error("want one run, and no more")
	}
}
