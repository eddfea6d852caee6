package dataplane

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"re6st/hw/hwtest"
	"re6st/hw/sock"
	"re6st/hw/tun"
)

// sink is a Conn and a TUN that keeps the last packet, in memory that it reuses.
type sink struct {
	*hwtest.TUN
	last    []byte
	segment int // of last
	n       int // datagrams and packets
}

func (s *sink) ReadBatch([]sock.Packet) (int, error) { panic("nobody reads") }
func (s *sink) WriteBatch(p []sock.Packet) (int, error) {
	for i := range p {
		s.last, s.segment = append(s.last[:0], p[i].Data...), p[i].Segment
		s.n += p[i].Datagrams()
	}
	return p[0].Datagrams(), nil
}

func (s *sink) Support() tun.Support { return tun.Support{TCP: true} }
func (s *sink) WriteSuper(_ tun.Offload, _ int, packets [][]byte) error {
	s.n += len(packets)
	return nil
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
	super       []byte // a stream, cut into as many packets as leave by one call
	offload     tun.Offload
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
		x.conns[0], x.tuns[0] = p.wire[i], p.wire[i]
	}
	p.a, p.relay, p.b = a.newWorker(maxBatch), relay.newWorker(maxFrame), b.newWorker(maxFrame)
	p.a.super = make([]byte, tun.SuperRoom)
	p.frame = sock.Packet{Data: make([]byte, 0, maxBatch), Addr: endpoint(9), At: time.Now()}
	p.super, p.offload = stream45(host(general, 1), host(general, 3))
	return p
}

// batchLen is how many packets of 1380 bytes leave by one call.
const batchLen = 45

// stream45 is what a kernel hands over of a stream: batchLen packets in one.
func stream45(src, dst netip.Addr) ([]byte, tun.Offload) {
	const tcp, segment = 20, 1380 - ipv6HeaderLen - 20
	b := packet(src, dst, string(make([]byte, tcp+batchLen*segment)))
	l4 := b[ipv6HeaderLen:]
	b[6], l4[12], l4[13] = 6, tcp/4<<4, 0x10
	// The sum of the pseudo-header stands where the checksum goes.
	sum := uint32(6) + uint32(len(l4))
	for i := 8; i < ipv6HeaderLen; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(l4[16:], uint16(sum))
	return b, tun.Offload{Segment: segment, Kind: tun.KindTCP, ChecksumStart: ipv6HeaderLen, ChecksumOffset: 16}
}

func (p *path) ingress() { enter(p.a, p.inner) }

// enter is a packet that the kernel handed over, with no other behind it.
func enter(w *worker, packet []byte) {
	room := w.room(len(packet))
	copy(room, packet)
	w.fromTUN(room)
	w.depart()
}

func (p *path) ingressAll() {
	p.a.fromKernel(copy(p.a.super, p.super), p.offload)
	p.a.depart()
}

func (p *path) over(w *worker, s *sink) {
	p.frame.Data, p.frame.Segment = append(p.frame.Data[:0], s.last...), s.segment
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

func (p *path) allToRelay() {
	p.ingressAll()
	p.over(p.relay, p.wire[0])
}

func (p *path) allToEgress() {
	p.allToRelay()
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

func TestBatchesAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector sync.Pool drops what it is given, at random")
	}
	p := newPath(t)
	const runs = 100
	if n := testing.AllocsPerRun(runs, p.allToEgress); n != 0 {
		t.Errorf("%v allocations from TUN to TUN", n)
	}
	if want := (runs + 1) * batchLen; p.wire[2].n != want {
		t.Errorf("%d packets of %d arrived: %v", p.wire[2].n, want, p.b.Stats().Drops)
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

// BenchmarkSealRelayOpen is one packet of 1380 bytes, and as many as leave by one call: seal is what
// an ingress does, and the others add a relay's share, and the egress's, which opens.
func BenchmarkSealRelayOpen(b *testing.B) {
	for _, c := range []struct {
		name    string
		packets int
		step    func(*path)
	}{
		{"Seal", 1, (*path).ingress},
		{"Seal+Relay", 1, (*path).toRelay},
		{"Seal+Relay+Open", 1, (*path).toEgress},
		{"SealBatch", batchLen, (*path).ingressAll},
		{"SealBatch+RelayBatch", batchLen, (*path).allToRelay},
		{"SealBatch+RelayBatch+OpenBatch", batchLen, (*path).allToEgress},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := newPath(b)
			b.ReportAllocs()
			b.SetBytes(int64(len(p.inner) * c.packets))
			for b.Loop() {
				c.step(p)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.packets), "ns/packet")
		})
	}
}

// BenchmarkRelayBatch is a relay alone: what the link before it does to a frame is not
// measured.
func BenchmarkRelayBatch(b *testing.B) {
	p := newPath(b)
	p.ingressAll()
	sent := p.a.links.Load().byID[2].session.Load()
	b.ReportAllocs()
	b.SetBytes(int64(len(p.wire[0].last)))
	for b.Loop() {
		b.StopTimer()
		for rest := p.wire[0].last; len(rest) > 0; rest = rest[min(len(rest), p.wire[0].segment):] {
			if err := sent.StampHop(rest[:min(len(rest), p.wire[0].segment)]); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		p.over(p.relay, p.wire[0])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batchLen), "ns/packet")
	if want := b.N * batchLen; p.wire[1].n < want {
		b.Errorf("%d of %d packets passed: %v", p.wire[1].n, want, p.relay.Stats().Drops)
	}
}
