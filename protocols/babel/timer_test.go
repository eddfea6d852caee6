package babel

import (
	"math/rand"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/rib"
)

// bell is a timed that notes when it rings, and wants to ring again later.
type bell struct {
	alarm
	rung  []time.Time
	again time.Time
}

func (b *bell) due(_ *Router, now time.Time) time.Time {
	b.rung = append(b.rung, now)
	return b.again
}

func TestAlarmsRingOnceInOrder(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	rnd := rand.New(rand.NewSource(1))
	var q timers
	bells := make([]*bell, 50)
	want := map[*bell]time.Time{}
	for range 2000 {
		i := rnd.Intn(len(bells))
		if bells[i] == nil {
			bells[i] = &bell{}
		}
		if b := bells[i]; rnd.Intn(4) == 0 {
			q.disarm(b)
			delete(want, b)
		} else {
			at := start.Add(time.Duration(rnd.Intn(1000)) * time.Second)
			q.arm(b, at)
			if old, ok := want[b]; !ok || at.Before(old) {
				want[b] = at
			}
		}
	}
	if q.Len() != len(want) {
		t.Fatalf("%d alarms for %d that wait", q.Len(), len(want))
	}
	for s := 0; q.Len() > 0; s++ {
		q.run(nil, start.Add(time.Duration(s)*time.Second))
	}
	for _, b := range bells {
		if at, ok := want[b]; ok != (len(b.rung) == 1) || ok && !b.rung[0].Equal(at) {
			t.Errorf("rang %v, want %v, %v", b.rung, at, ok)
		}
	}
}

func TestAlarmThatRingsMayBeArmedAgain(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	var q timers
	b := &bell{again: start.Add(time.Minute)}
	q.arm(b, start)
	q.run(nil, start)
	if !q.next().Equal(b.again) {
		t.Fatalf("next is %s", q.next())
	}
	b.again = time.Time{}
	q.run(nil, start.Add(time.Minute))
	if len(b.rung) != 2 || !q.next().IsZero() {
		t.Errorf("rang %v, next %s", b.rung, q.next())
	}
}

func TestRoutesThatComeAndGoLeaveNothingBehind(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r, err := NewRouter(Config{RouterID: RouterID{1}, Rand: rand.New(rand.NewSource(1))})
	if err != nil {
		t.Fatal(err)
	}
	a := netip.MustParseAddr("fe80::1")
	key := NeighborKey{1, a}
	if err := r.AddInterface(now, 1, Interface{Ifindex: 1, Local: a, Multicast: true}); err != nil {
		t.Fatal(err)
	}
	if err := r.AddNeighbor(now, key); err != nil {
		t.Fatal(err)
	}
	r.Handle(now, key, CostChanged{96, 96})
	u := Update{Prefix: netip.MustParsePrefix("2001:db8::/32"), RouterID: RouterID{2}, Metric: 1, Interval: time.Minute, NextHop: a}
	for range 1000 {
		gone := u
		gone.Metric = Infinity
		r.Handle(now, key, Updates{[]Update{u, gone}})
		now = now.Add(time.Millisecond)
		r.HandleTimeout(now)
		r.Drain(func(Event) {})
	}
	if len(r.timers.items) > 3 {
		t.Errorf("%d alarms for one destination", len(r.timers.items))
	}
	for end := now.Add(4 * time.Minute); now.Before(end); {
		now, _ = r.NextTimeout()
		r.HandleTimeout(now)
		r.Drain(func(Event) {})
	}
	if len(r.timers.items)+len(r.plain)+r.sources+len(r.requests)+r.routes > 0 || len(r.destinations) > 1 {
		t.Errorf("left: %d alarms, %d destinations of %d, %d sources, %d requests, %d routes",
			len(r.timers.items), len(r.plain), len(r.destinations), r.sources, len(r.requests), r.routes)
	}
}

func TestTablesThatAreFullSayNo(t *testing.T) {
	r, err := NewRouter(Config{RouterID: RouterID{1}, Rand: rand.New(rand.NewSource(1))})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	nth := func(i int) *destination {
		return r.destination(rib.Key{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)})
	}
	record := func(d *destination, id int, seqno uint16) bool {
		return r.record(now, d, RouterID{2, byte(id >> 8), byte(id)}, addr.NodeID{}, seqno, 1)
	}
	for i := range MaxSourcesOfPrefix {
		if !record(nth(0), i, 1) {
			t.Fatalf("source %d of one prefix was refused", i)
		}
	}
	if record(nth(0), MaxSourcesOfPrefix, 1) || !record(nth(0), 7, 2) {
		t.Error("a prefix with too many sources takes a new one, or no update of one it has")
	}
	for i := range MaxSources - MaxSourcesOfPrefix {
		if !record(nth(i+1), 0, 1) {
			t.Fatalf("source %d was refused", i)
		}
	}
	if record(nth(MaxSources), 0, 1) || !record(nth(7), 0, 2) {
		t.Error("a full source table takes a new source, or no update of one it has")
	}
	for i := range MaxRequests {
		if r.pendingRequest(NeighborKey{}, nth(i), RouterID{2}, 1, 1) == nil {
			t.Fatalf("request %d was refused", i)
		}
	}
	if r.pendingRequest(NeighborKey{}, nth(MaxRequests), RouterID{2}, 1, 1) != nil {
		t.Error("one request too many")
	}
	var reasons []Reason
	r.Drain(func(e Event) {
		if e, ok := e.(Refused); ok {
			reasons = append(reasons, e.Reason)
		}
	})
	if !slices.Equal(reasons, []Reason{RefusedSources, RefusedRequests}) {
		t.Errorf("refused %v", reasons)
	}
}

// BenchmarkFullUpdate is a neighbor's full update of 10,000 routes, which a
// second neighbor hears in turn.
func BenchmarkFullUpdate(b *testing.B) {
	now := time.Unix(1_800_000_000, 0)
	r, err := NewRouter(Config{Self: addr.NodeID{1}, RouterID: RouterID{1}, Rand: rand.New(rand.NewSource(1))})
	if err != nil {
		b.Fatal(err)
	}
	keys := []NeighborKey{{1, netip.MustParseAddr("fe80::1")}, {2, netip.MustParseAddr("fe80::2")}}
	for _, k := range keys {
		if err := r.AddInterface(now, k.Interface, Interface{Fabric: true, Link: rib.LinkID(k.Interface), Local: netip.MustParseAddr("fe80::9")}); err != nil {
			b.Fatal(err)
		}
		if err := r.AddNeighbor(now, k); err != nil {
			b.Fatal(err)
		}
		r.Handle(now, k, CostChanged{96, 96})
	}
	updates := make([]Update, 10000)
	for i := range updates {
		p := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, byte(i >> 8), byte(i)})
		updates[i] = Update{Prefix: netip.PrefixFrom(p, 64), RouterID: RouterID{2, 6: byte(i >> 8), 7: byte(i)}, Interval: 16 * time.Second, Egress: addr.NodeID{2}}
	}
	sent := 0
	for b.Loop() {
		for chunk := range slices.Chunk(updates, 25) {
			r.Handle(now, keys[0], Updates{chunk})
		}
		now = now.Add(16 * time.Second)
		r.HandleTimeout(now)
		r.Drain(func(e Event) {
			if s, ok := e.(Send); ok {
				sent += len(s.Packet)
			}
		})
	}
	b.ReportMetric(float64(sent)/float64(b.N), "bytes/op")
}
