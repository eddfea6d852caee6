package babel_test

import (
	"testing"
	"time"

	"re6st/protocols/babel"
)

// The tests are in the order of RFC 9616.

// tunnel is an interface with timestamps; its one neighbor's clock reads clock now.
func tunnel(b *bench, cost babel.LinkCost) babel.NeighborKey {
	b.costs[1] = cost
	b.add(1, babel.Interface{Ifindex: 1, Local: selfLL, Multicast: true, Timestamps: true})
	return b.silent(1, 1)
}

// theirs is the neighbor's clock: it has an epoch of its own, and wraps around while a
// test runs.
func theirs(now time.Time) babel.Timestamp {
	return babel.Timestamp(uint32(now.Sub(epoch)/time.Microsecond) - 3_000_000)
}

// roundTrip plays one Hello of ours that takes half of rtt, a while there, and an answer
// that takes the other half.
func roundTrip(b *bench, key babel.NeighborKey, rtt, while time.Duration) {
	b.t.Helper()
	b.take()
	var origin babel.Timestamp
	for origin == 0 {
		b.pass(100 * time.Millisecond)
		for _, h := range of[babel.Hello](b.take()) {
			origin = h.Sent
		}
	}
	sent := epoch.Add(-time.Hour).Add(time.Duration(uint32(origin)) * time.Microsecond)
	arrived := sent.Add(rtt / 2)
	answered := arrived.Add(while)
	if back := answered.Add(rtt / 2); back.After(b.now) {
		b.pass(back.Sub(b.now))
	}
	b.hellos++
	at := answered.Add(rtt / 2)
	for _, p := range (babel.Encoder{From: key.Addr, Max: 1232}).Encode([]babel.TLV{
		babel.IHU{Address: selfLL, Rxcost: 96, Interval: 10 * time.Minute, Origin: origin, Received: theirs(arrived)},
		babel.Hello{Seqno: b.hellos, Interval: 10 * time.Minute, Sent: theirs(answered)},
	}) {
		if err := b.neighbors[key].HandleReceived(b.now, at, key.Addr, p); err != nil {
			b.t.Fatal(err)
		}
	}
	b.settle()
}

func Test9616_3_2_RoundTripIsMeasuredWithoutTheWaitThere(t *testing.T) {
	for _, while := range []time.Duration{0, time.Second, 30 * time.Second} {
		b := newBench(t)
		n := tunnel(b, babel.LinkCost{Type: babel.Tunnel})
		roundTrip(b, n, 40*time.Millisecond, while)
		if got := b.neighbors[n].Status().RTT; got != 40*time.Millisecond {
			t.Errorf("with %s between Hello and IHU: %s, want 40ms", while, got)
		}
	}
}

func Test9616_3_2_IHUTellsWhenTheHelloCame(t *testing.T) {
	b := newBench(t)
	n := tunnel(b, babel.LinkCost{Type: babel.Tunnel})
	b.take()
	b.say(n, babel.Hello{Seqno: 1, Interval: time.Minute, Sent: 77})
	at := b.now
	b.pass(20 * time.Second)
	told := 0
	for _, s := range b.take() {
		switch tlv := s.tlv.(type) {
		case babel.Hello:
			if tlv.Sent == 0 {
				t.Errorf("a Hello without timestamp: %+v", tlv)
			}
		case babel.IHU:
			if told++; tlv.Origin != 77 || tlv.Received != babel.Timestamp(uint32(at.Sub(epoch.Add(-time.Hour))/time.Microsecond)) {
				t.Errorf("%+v", tlv)
			}
		}
	}
	if told == 0 {
		t.Error("no IHU in 20 s")
	}
	b.pass(4 * time.Minute) // the neighbor is silent: what it said is too old to be told
	b.take()
	b.say(n, babel.Hello{Seqno: 2, Interval: time.Minute})
	b.pass(20 * time.Second)
	for _, ihu := range of[babel.IHU](b.take()) {
		if ihu.Origin != 0 || ihu.Received != 0 {
			t.Errorf("after 4 minutes: %+v", ihu)
		}
	}
}

func Test9616_3_2_OnlyWhereTimestampsAreSent(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.fabric(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	for _, key := range []babel.NeighborKey{n, m} {
		b.say(key, babel.Hello{Seqno: 100, Interval: time.Minute, Sent: 77})
	}
	b.pass(20 * time.Second)
	got := b.take()
	for _, h := range of[babel.Hello](got) {
		if h.Sent != 0 {
			t.Errorf("%+v", h)
		}
	}
	for _, ihu := range of[babel.IHU](got) {
		if ihu.Origin != 0 {
			t.Errorf("%+v", ihu)
		}
	}
}

func Test9616_3_2_TimeOfSendingIsStampedLate(t *testing.T) {
	b := newBench(t)
	tunnel(b, babel.LinkCost{Type: babel.Tunnel})
	packets := (babel.Encoder{From: selfLL, Max: 1232}).Encode([]babel.TLV{
		babel.RouteRequest{},
		babel.Hello{Seqno: 1, Interval: time.Second, Sent: 1},
		babel.IHU{Address: peerLL, Rxcost: 96, Interval: time.Second, Origin: 5, Received: 6},
		babel.Hello{Seqno: 2, Interval: time.Second},
	})
	b.router.Stamp(epoch, packets[0])
	tlvs, ignored, err := babel.Decode(packets[0], selfLL, false)
	if err != nil || ignored != 0 {
		t.Fatal(ignored, err)
	}
	const hour = babel.Timestamp(3_600_000_000)
	want := []babel.TLV{
		babel.RouteRequest{},
		babel.Hello{Seqno: 1, Interval: time.Second, Sent: hour},
		babel.IHU{Address: peerLL, Rxcost: 96, Interval: time.Second, Origin: 5, Received: 6},
		babel.Hello{Seqno: 2, Interval: time.Second},
	}
	for i := range want {
		if tlvs[i] != want[i] {
			t.Errorf("%+v, want %+v", tlvs[i], want[i])
		}
	}
}

func Test9616_3_3_ClockThatBeganAnewIsNoRoundTrip(t *testing.T) {
	b := newBench(t)
	n := tunnel(b, babel.LinkCost{Type: babel.Tunnel})
	roundTrip(b, n, 40*time.Millisecond, 0)
	now := babel.Timestamp(uint32(b.now.Sub(epoch.Add(-time.Hour)) / time.Microsecond))
	for name, tlvs := range map[string][]babel.TLV{
		"their clock went back": {
			babel.Hello{Seqno: 50, Interval: time.Minute, Sent: 1000},
			babel.IHU{Rxcost: 96, Interval: time.Minute, Origin: now - 1000, Received: 2000},
		},
		"an origin that is to come": {
			babel.Hello{Seqno: 51, Interval: time.Minute, Sent: 2000},
			babel.IHU{Rxcost: 96, Interval: time.Minute, Origin: now + 1000, Received: 1000},
		},
		"an origin of long ago": {
			babel.Hello{Seqno: 52, Interval: time.Minute, Sent: 2000},
			babel.IHU{Rxcost: 96, Interval: time.Minute, Origin: now - 181_000_000, Received: 1000},
		},
		"another's IHU": {
			babel.Hello{Seqno: 53, Interval: time.Minute, Sent: 2000},
			babel.IHU{Address: peerLL, Rxcost: 96, Interval: time.Minute, Origin: now - 1_000_000, Received: 1000},
		},
		"an IHU without Hello": {babel.IHU{Rxcost: 96, Interval: time.Minute, Origin: now - 1_000_000, Received: 1000}},
	} {
		b.say(n, tlvs...)
		if got := b.neighbors[n].Status().RTT; got != 40*time.Millisecond {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func Test9616_4_1_SamplesAreSmoothed(t *testing.T) {
	b := newBench(t)
	n := tunnel(b, babel.LinkCost{Type: babel.Tunnel})
	roundTrip(b, n, 100*time.Millisecond, 0)
	roundTrip(b, n, 20*time.Millisecond, 0)
	if got, want := b.neighbors[n].Status().RTT, (125*20*time.Millisecond+131*100*time.Millisecond)/256; got != want {
		t.Errorf("100 ms, then 20 ms: %s, want %s", got, want)
	}
}

func Test9616_4_1_LoadOfTheLinkItselfDoesNotCount(t *testing.T) {
	b := newBench(t)
	n := tunnel(b, babel.LinkCost{Type: babel.Tunnel})
	for range 4 {
		roundTrip(b, n, 20*time.Millisecond, 0)
	}
	before := b.neighbors[n].Status()
	// The queue fills, and between the bursts it is empty: one sample of four.
	for i := range 40 {
		rtt := 400 * time.Millisecond
		if i%4 == 3 {
			rtt = 20 * time.Millisecond
		}
		roundTrip(b, n, rtt, 0)
		if got := b.neighbors[n].Status(); got.Cost != before.Cost {
			t.Fatalf("sample %d: cost %d, was %d", i, got.Cost, before.Cost)
		}
	}
	for range 40 { // a longer way for good does
		roundTrip(b, n, 400*time.Millisecond, 0)
	}
	if got := b.neighbors[n].Status(); got.Cost < before.Cost+3000 {
		t.Errorf("a round trip of 400 ms costs %d, one of 20 ms %d", got.Cost, before.Cost)
	}
}

func Test9616_4_2_PenaltyGrowsBetweenMinAndMax(t *testing.T) {
	for _, c := range []struct {
		rtt     time.Duration
		penalty uint16
	}{
		{time.Millisecond, 0},
		{10 * time.Millisecond, 0},
		{255 * time.Millisecond, 2500},
		{500 * time.Millisecond, 5000},
		{3 * time.Second, 5000},
	} {
		b := newBench(t)
		n := tunnel(b, babel.LinkCost{Type: babel.Tunnel})
		roundTrip(b, n, c.rtt, 0)
		roundTrip(b, n, c.rtt, 0)
		if got := b.neighbors[n].Status(); got.RTTPenalty != c.penalty || got.Cost != 96+c.penalty || got.Rxcost != 96 {
			t.Errorf("%s: %+v, want penalty %d", c.rtt, got, c.penalty)
		}
		b.say(n, update(1, 100))
		b.want(n, 196+c.penalty)
	}
}

func Test9616_4_2_PenaltyAloneDoesNotEndALink(t *testing.T) {
	b := newBench(t)
	n := tunnel(b, babel.LinkCost{RTT: babel.RTT{Decay: 256, Min: time.Millisecond, Max: 2 * time.Millisecond, MaxPenalty: 65534}})
	roundTrip(b, n, time.Second, 0)
	roundTrip(b, n, time.Second, 0)
	if got := b.neighbors[n].Status().Cost; got != 65534 {
		t.Errorf("cost %d", got)
	}
}

func Test9616_4_3_NoiseDoesNotChangeTheCost(t *testing.T) {
	b := newBench(t)
	n := tunnel(b, babel.LinkCost{Type: babel.Tunnel})
	for range 5 {
		roundTrip(b, n, 100*time.Millisecond, 0)
	}
	was := b.neighbors[n].Status().Cost
	for _, ms := range []time.Duration{105, 98, 110, 103, 115, 101, 95} {
		roundTrip(b, n, ms*time.Millisecond, 0)
		if got := b.neighbors[n].Status().Cost; got != was {
			t.Errorf("at %d ms the cost is %d, was %d", ms, got, was)
		}
	}
}

func Test9616_RoundTripThatIsNotMeasuredIsForgotten(t *testing.T) {
	b := newBench(t)
	n := tunnel(b, babel.LinkCost{Type: babel.Tunnel})
	roundTrip(b, n, 300*time.Millisecond, 0)
	roundTrip(b, n, 300*time.Millisecond, 0)
	if got := b.neighbors[n].Status(); got.RTTPenalty == 0 {
		t.Fatalf("%+v", got)
	}
	// Its IHUs come every 10 minutes, and say no times any more.
	for i := range 4 {
		b.pass(10 * time.Minute)
		b.hello(n)
		if got := b.neighbors[n].Status(); (got.RTT == 0) != (i == 3) || (got.Cost == 96) != (i == 3) {
			t.Errorf("%d minutes later: %+v", 10*(i+1), got)
		}
	}
}

func TestLinkCostSaysWhatIsWrong(t *testing.T) {
	rtt := func(change func(*babel.RTT)) babel.LinkCost {
		r := babel.DefaultRTT
		change(&r)
		return babel.LinkCost{RTT: r}
	}
	for name, c := range map[string]babel.LinkCost{
		"type":          {Type: 9},
		"rxcost":        {Rxcost: babel.Infinity},
		"decay":         rtt(func(r *babel.RTT) { r.Decay = 0 }),
		"large decay":   rtt(func(r *babel.RTT) { r.Decay = 257 }),
		"min":           rtt(func(r *babel.RTT) { r.Min = 0 }),
		"max below min": rtt(func(r *babel.RTT) { r.Max = r.Min }),
		"large max":     rtt(func(r *babel.RTT) { r.Max = 2 * time.Minute }),
		"penalty":       rtt(func(r *babel.RTT) { r.MaxPenalty = babel.Infinity }),
	} {
		if _, err := babel.NewNeighbor(babel.NeighborConfig{Addr: peerLL, Local: selfLL, Cost: c, Epoch: epoch}); err == nil {
			t.Errorf("%s: %+v taken", name, c)
		}
	}
}
