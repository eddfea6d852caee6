package dataplane

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"re6st/hw/hwtest"
	"re6st/hw/sock"
)

// sink is a Conn and a TUN that keeps the last packet, in memory that it reuses.
type sink struct {
	*hwtest.TUN
	last []byte
	n    int
}

func (s *sink) ReadBatch([]sock.Packet) (int, error) { panic("nobody reads") }
func (s *sink) WriteBatch(p []sock.Packet) (int, error) {
	for i := range p {
		s.last = append(s.last[:0], p[i].Data...)
		s.n++
	}
	return len(p), nil
}

func (s *sink) Write(p []byte) (int, error) {
	s.n++
	return len(p), nil
}
func (s *sink) LocalAddr() netip.AddrPort { return netip.AddrPort{} }
func (s *sink) Stats() sock.Stats         { return sock.Stats{} }

// path is each step of a packet of 1380 bytes, with the worker's memory of a real
// run. Each runs those before it, since a frame is good for once.
type path struct {
	a, relay, b *worker
	inner       []byte
	frame       sock.Packet
	wire        [3]*sink // what 1 and 2 send, and what 3 gives its kernel
}

func newPath(tb testing.TB) *path {
	net := hwtest.NewNetwork(1)
	a, relay, b := line(tb, net)
	meet(a, b)
	withIPv4(a, relay, b)
	p := &path{inner: packet(host(general, 1), host(general, 3), strings.Repeat("x", 1340))}
	for i, x := range []*node{a, relay, b} {
		p.wire[i] = &sink{TUN: x.tun}
		x.Plane.conn, x.Plane.tun = p.wire[i], p.wire[i]
	}
	p.a, p.relay, p.b = a.newWorker(maxFrame), relay.newWorker(maxFrame), b.newWorker(maxFrame)
	p.frame = sock.Packet{Data: make([]byte, 0, maxFrame), Addr: endpoint(9), At: time.Now()}
	return p
}

func (p *path) ingress() { enter(p.a, p.inner) }

// enter is a packet that the kernel handed over, with no other behind it.
func enter(w *worker, packet []byte) {
	room := w.room(len(packet))
	copy(room, packet)
	w.fromTUN(room)
	w.depart()
}

func (p *path) over(w *worker, s *sink) {
	p.frame.Data = append(p.frame.Data[:0], s.last...)
	w.fromConn(&p.frame)
	w.endBatch()
}

func (p *path) toRelay() {
	p.ingress()
	p.over(p.relay, p.wire[0])
}

func (p *path) toEgress() {
	p.toRelay()
	p.over(p.b, p.wire[1])
}

func TestPacketPathAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector sync.Pool drops what it is given, at random")
	}
	p := newPath(t)
	p.a.SetInbound(established(t))
	p.b.SetInbound(established(t))
	p.b.inbound.Load().Sent(0, packet(host(general, 3), host(general, 1), strings.Repeat("x", 1340)))
	const runs = 1000
	if n := testing.AllocsPerRun(runs, p.toEgress); n != 0 {
		t.Errorf("%v allocations from TUN to TUN", n)
	}
	if p.wire[2].n != runs+1 {
		t.Errorf("%d packets of %d arrived", p.wire[2].n, runs+1)
	}
}

func TestPacketPathAllocatesNothingForIPv4(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector sync.Pool drops what it is given, at random")
	}
	p := newPath(t)
	p.inner = packet4(host4(1), host4(3), strings.Repeat("x", 1340))
	p.a.SetInbound(established(t))
	p.b.SetInbound(established(t))
	p.b.inbound.Load().Sent(0, packet4(host4(3), host4(1), strings.Repeat("x", 1340)))
	const runs = 1000
	if n := testing.AllocsPerRun(runs, p.toEgress); n != 0 {
		t.Errorf("%v allocations from TUN to TUN", n)
	}
	if p.wire[2].n != runs+1 {
		t.Errorf("%d packets of %d arrived: %v", p.wire[2].n, runs+1, p.b.Stats().Drops)
	}
}

func BenchmarkPath(b *testing.B) {
	for _, c := range []struct {
		name string
		step func(*path)
	}{
		{"ingress", (*path).ingress},
		{"ingress+relay", (*path).toRelay},
		{"ingress+relay+egress", (*path).toEgress},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := newPath(b)
			b.ReportAllocs()
			b.SetBytes(int64(len(p.inner)))
			for b.Loop() {
				c.step(p)
			}
		})
	}
}
