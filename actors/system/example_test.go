package system_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"re6st/actors/system"
)

// liveness is a pure machine: it knows when a peer has been silent for too long.
type liveness struct {
	deadline time.Time
	silent   bool
}

func (l *liveness) HandlePacket(now time.Time)  { l.deadline = now.Add(20 * time.Millisecond) }
func (l *liveness) HandleTimeout(now time.Time) { l.silent = !now.Before(l.deadline) }
func (l *liveness) NextTimeout() (time.Time, bool) {
	return l.deadline, !l.silent && !l.deadline.IsZero()
}

// Message is what the peer actor takes.
//
//sumtype:decl
type Message interface{ isPeerMessage() }

type (
	PacketReceived struct{ Payload string }
	TimeoutReached struct{}
)

func (PacketReceived) isPeerMessage() {}
func (TimeoutReached) isPeerMessage() {}

// peer drives a liveness machine with a pump that reads and a timer.
type peer struct {
	conn  net.Conn
	emit  func(string)
	alive liveness
	timer *system.Timer
}

func (p *peer) Start(ctx *system.Context[Message]) error {
	p.timer = ctx.NewTimer(TimeoutReached{})
	ctx.Pump("reader", func(_ context.Context, out *system.Pump[Message]) error {
		buf := make([]byte, 1500)
		for {
			n, err := p.conn.Read(buf)
			if err != nil {
				return err
			}
			out.Offer(PacketReceived{string(buf[:n])})
		}
	}, system.WithCloser(p.conn))
	return nil
}

func (p *peer) Handle(ctx *system.Context[Message], m Message) error {
	switch m := m.(type) {
	case PacketReceived:
		p.emit(m.Payload)
		p.alive.HandlePacket(ctx.Now())
	case TimeoutReached:
		p.alive.HandleTimeout(ctx.Now())
	}
	if p.alive.silent {
		p.emit("silent")
	}
	p.timer.Rearm(p.alive.NextTimeout())
	return nil
}

func (p *peer) Stop(*system.Context[Message]) {}

// An actor that drives a pure machine with a pump and a timer.
func Example() {
	s := system.New(system.Config{})
	far, near := net.Pipe()
	events := make(chan string)
	_, err := system.Spawn(s, "peer", system.Spec[Message]{
		Kind: "peer",
		New:  func() system.Handler[Message] { return &peer{conn: near, emit: func(e string) { events <- e }} },
	})
	if err != nil {
		panic(err)
	}
	far.Write([]byte("hello"))
	fmt.Println(<-events)
	fmt.Println(<-events)
	fmt.Println(s.Stop(context.Background()))
	// Output:
	// hello
	// silent
	// <nil>
}
