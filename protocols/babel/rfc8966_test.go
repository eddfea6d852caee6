package babel_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// The tests are in the order of RFC 8966; sections 2.5 to 2.7 and the network
// as a whole are in network_test.go, section 4 in wire_test.go.

func Test2_8_LostPrefixIsUnreachableForAWhile(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.neighbor(1, 1)
	b.say(n, update(1, 100))
	b.want(n, 196)
	b.say(n, update(1, babel.Infinity))
	if r, ok := b.routes[far]; !ok || !r.Unreachable {
		t.Errorf("after the retraction: %+v, %v", r, ok)
	}
	b.pass(9 * time.Second)
	if r, ok := b.routes[far]; !ok || !r.Unreachable {
		t.Errorf("9 s later: %+v, %v", r, ok)
	}
	b.pass(time.Second)
	if r, ok := b.routes[far]; ok {
		t.Errorf("10 s later: %+v", r)
	}
}

func Test3_2_1_SequenceNumbersWrapAround(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.lan(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.say(n, update(65535, 100))
	b.pass(time.Second) // it is announced, so the distance is (65535, 196)
	b.say(n, update(65535, babel.Infinity))
	b.say(m, update(65535, 300))
	b.wantNone()
	b.say(m, update(0, 300))
	b.want(m, 396)
	b.pass(time.Second)
	b.say(m, update(0, babel.Infinity))
	b.say(n, update(65535, 1))
	b.wantNone()
}

func Test3_3_AcknowledgmentIsSentAtOnceByUnicast(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.neighbor(1, 1)
	b.say(n, babel.AckRequest{Opaque: 0xabcd, Interval: time.Second})
	if got := b.take(); len(got) != 1 || got[0] != (sent{1, n.Addr, babel.Ack{Opaque: 0xabcd}}) {
		t.Errorf("sent %+v", got)
	}
}

func Test3_4_1_HellosAndIHUsAreSentOnSchedule(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.neighbor(1, 1)
	began := b.now
	var hellos []babel.Hello
	var ihus int
	for b.now.Before(began.Add(time.Minute)) {
		b.pass(100 * time.Millisecond)
		for _, s := range b.take() {
			switch tlv := s.tlv.(type) {
			case babel.Hello:
				hellos = append(hellos, tlv)
			case babel.IHU:
				if ihus++; tlv != (babel.IHU{Address: n.Addr, Rxcost: 96, Interval: 12 * time.Second}) {
					t.Errorf("%+v", tlv)
				}
			}
		}
	}
	// The interval less a tenth at most.
	if len(hellos) < 15 || len(hellos) > 17 {
		t.Errorf("%d Hellos in a minute", len(hellos))
	}
	for i, h := range hellos {
		if h.Interval != 4*time.Second || h.Unicast || h.Seqno != hellos[0].Seqno+uint16(i) {
			t.Errorf("Hello %d: %+v", i, h)
		}
	}
	if ihus < 5 || ihus > 6 {
		t.Errorf("%d IHUs in a minute", ihus)
	}
}

func Test3_4_1_HellosAreJittered(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.take()
	gaps := map[time.Duration]bool{}
	for last := b.now; len(gaps) < 5; {
		next, _ := b.router.NextTimeout()
		b.pass(next.Sub(b.now))
		if len(of[babel.Hello](b.take())) == 0 {
			continue
		}
		gap := b.now.Sub(last)
		if last = b.now; gap < 3600*time.Millisecond || gap > 4*time.Second {
			t.Fatalf("a Hello after %s, promised within 4s", gap)
		}
		if gaps[gap] {
			t.Fatalf("two gaps of %s", gap)
		}
		gaps[gap] = true
	}
}

func Test3_4_1_NewNeighborIsGreetedAtOnce(t *testing.T) {
	for _, c := range []struct {
		name     string
		ifc      babel.Interface
		to       netip.Addr
		interval time.Duration // 0 would do, but BIRD 2.0.12 takes that for 10 ms
	}{
		{"by multicast", babel.Interface{Ifindex: 1, Local: selfLL, Multicast: true}, netip.Addr{}, babel.HelloInterval},
		{"by unicast", babel.Interface{Ifindex: 1, Local: selfLL}, nodeID(1).LinkLocal(), 0},
	} {
		b := newBench(t)
		b.add(1, c.ifc)
		b.take()
		b.silent(1, 1)
		hellos := 0
		for _, s := range b.take() {
			if h, ok := s.tlv.(babel.Hello); ok {
				if hellos++; s.to != c.to || h.Interval != c.interval || h.Unicast == c.ifc.Multicast {
					t.Errorf("%s: to %s %+v", c.name, s.to, h)
				}
			}
		}
		if hellos != 1 {
			t.Errorf("%s: %d Hellos", c.name, hellos)
		}
	}
}

func Test3_4_1_UnicastHellosAreSentOnSchedule(t *testing.T) {
	for _, multicast := range []bool{false, true} {
		b := newBench(t)
		b.add(1, babel.Interface{Ifindex: 1, Local: selfLL, Multicast: multicast, Unicast: multicast})
		n, m := b.silent(1, 1), b.silent(1, 2)
		b.take()
		b.pass(time.Minute)
		group, last, ihus := 0, map[netip.Addr]babel.Hello{}, 0
		count := map[netip.Addr]int{}
		for _, s := range b.take() {
			switch tlv := s.tlv.(type) {
			case babel.Hello:
				if !s.to.IsValid() {
					group++
					continue
				}
				if was, ok := last[s.to]; !tlv.Unicast || tlv.Interval != 4*time.Second || ok && tlv.Seqno != was.Seqno+1 {
					t.Errorf("multicast %v: to %s %+v after %+v", multicast, s.to, tlv, was)
				}
				last[s.to] = tlv
				count[s.to]++
			default:
				if _, ok := tlv.(babel.IHU); ok {
					ihus++
				}
				if !s.to.IsValid() {
					t.Errorf("multicast %v: to the group %+v", multicast, tlv)
				}
			}
		}
		for _, key := range []babel.NeighborKey{n, m} {
			if got := count[key.Addr]; got < 15 || got > 17 {
				t.Errorf("multicast %v: %d Hellos to %s in a minute", multicast, got, key.Addr)
			}
		}
		if (group > 0) != multicast || ihus < 10 || ihus > 12 {
			t.Errorf("multicast %v: %d Hellos to the group, %d IHUs", multicast, group, ihus)
		}
	}
}

func Test3_4_1_SectionA_1_HelloHistory(t *testing.T) {
	hello := func(seqno uint16) babel.Hello { return babel.Hello{Seqno: seqno, Interval: 4 * time.Second} }
	for _, c := range []struct {
		name   string
		hellos []uint16
		want   uint16
	}{
		{"the first", []uint16{7}, 0x8000},
		{"in a row", []uint16{7, 8, 9}, 0xe000},
		{"one is missing", []uint16{7, 9}, 0xa000},
		{"wrapping around", []uint16{65535, 0}, 0xc000},
		{"going back undoes what came after", []uint16{7, 10, 9}, 0xa000},
		{"a restart", []uint16{7, 8, 9, 3000}, 0x8000},
	} {
		b := newBench(t)
		b.lan(1)
		n := b.silent(1, 1)
		for _, seqno := range c.hellos {
			b.say(n, hello(seqno))
		}
		if got := b.neighbors[n].Status().MulticastHistory; got != c.want {
			t.Errorf("%s: history %016b, want %016b", c.name, got, c.want)
		}
	}
	b := newBench(t)
	b.lan(1)
	n := b.silent(1, 1)
	b.say(n, hello(7), hello(8))
	b.pass(5900 * time.Millisecond)
	if got := b.neighbors[n].Status().MulticastHistory; got != 0xc000 {
		t.Errorf("before 1.5 intervals: %016b", got)
	}
	b.pass(100 * time.Millisecond)
	b.pass(4 * time.Second)
	if got := b.neighbors[n].Status().MulticastHistory; got != 0x3000 {
		t.Errorf("after 2.5 intervals: %016b", got)
	}
	b.say(n, babel.Hello{Seqno: 11}) // unscheduled: it counts, and the timer goes on
	b.pass(4 * time.Second)
	if got := b.neighbors[n].Status().MulticastHistory; got != 0x4c00 {
		t.Errorf("after an unscheduled one: %016b", got)
	}
}

func Test3_4_1_NeighborOfWhichNothingIsHeardExpires(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.silent(1, 1)
	b.say(n, babel.Hello{Seqno: 7, Interval: time.Second}, babel.Hello{Seqno: 8, Interval: time.Second})
	b.pass(16 * time.Second)
	if b.neighbors[n] == nil {
		t.Fatal("expired while there was a Hello in its history")
	}
	b.pass(time.Second) // 1.5 and 15 intervals
	if b.neighbors[n] != nil || len(b.router.Status().Neighbors) != 0 {
		t.Error("still there")
	}
}

func Test3_4_1_UnscheduledHellosKeepNoNeighborAlive(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.silent(1, 1)
	b.say(n, babel.IHU{Rxcost: 96, Interval: time.Minute})
	for seqno := range uint16(5) {
		b.say(n, babel.Hello{Seqno: seqno}, babel.Hello{Unicast: true, Seqno: seqno})
	}
	if got := b.neighbors[n].Status(); got.Cost != babel.Infinity {
		t.Errorf("of unscheduled Hellos only: %+v", got)
	}
	b.pass(time.Minute)
	if b.neighbors[n] != nil {
		t.Error("after a minute without a scheduled one it is still there")
	}
	// As babeld does it: scheduled by multicast, unscheduled by unicast.
	m := b.silent(1, 2)
	b.say(m, babel.IHU{Rxcost: 96, Interval: time.Hour})
	for seqno := range uint16(5) {
		b.say(m, babel.Hello{Seqno: seqno, Interval: time.Second}, babel.Hello{Unicast: true, Seqno: seqno})
	}
	if got := b.neighbors[m].Status(); got.Cost != 96 {
		t.Errorf("of both sorts: %+v", got)
	}
	b.pass(3 * time.Second)
	if got := b.neighbors[m].Status(); got.Cost != babel.Infinity {
		t.Errorf("when the scheduled ones are missing: %+v", got)
	}
	b.pass(15 * time.Second)
	if b.neighbors[m] != nil {
		t.Error("it is there though nothing is heard of it")
	}
}

func Test3_4_1_NeighborThatNeverSaysHelloIsForgotten(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.silent(1, 1)
	b.say(n, babel.RouteRequest{})
	b.pass(time.Minute)
	if b.neighbors[n] != nil || len(b.router.Status().Neighbors) != 0 {
		t.Error("still there")
	}
}

func Test3_4_2_TxcostIsOfTheIHUAndExpires(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.silent(1, 1)
	b.say(n, babel.Hello{Seqno: 7, Interval: time.Minute}, babel.Hello{Seqno: 8, Interval: time.Minute})
	b.say(n, babel.IHU{Address: netip.MustParseAddr("fe80::99"), Rxcost: 5, Interval: time.Second})
	if got := b.neighbors[n].Status().Txcost; got != babel.Infinity {
		t.Errorf("an IHU for another changed it to %d", got)
	}
	b.say(n, babel.IHU{Address: selfLL, Rxcost: 200, Interval: time.Second})
	b.say(n, update(1, 100))
	b.want(n, 300)
	b.pass(3400 * time.Millisecond)
	b.want(n, 300)
	b.pass(100 * time.Millisecond) // 3.5 intervals
	b.wantNone()
}

func Test3_4_3_AppendixA_2_1_TwoOutOfThree(t *testing.T) {
	for _, c := range []struct {
		seqnos []uint16
		cost   uint16
	}{
		{[]uint16{1}, babel.Infinity},
		{[]uint16{1, 2}, 150},
		{[]uint16{1, 3}, 150},
		{[]uint16{1, 2, 4}, 150},
		{[]uint16{1, 2, 5}, babel.Infinity},
		{[]uint16{1, 2, 5, 6}, 150},
	} {
		for _, unicast := range []bool{false, true} {
			b := newBench(t)
			b.lan(1)
			n := b.silent(1, 1)
			b.say(n, babel.IHU{Rxcost: 150, Interval: time.Minute})
			for _, seqno := range c.seqnos {
				b.say(n, babel.Hello{Unicast: unicast, Seqno: seqno, Interval: time.Minute})
			}
			if got := b.neighbors[n].Status(); got.Cost != c.cost || (got.Rxcost == babel.Infinity) != (c.cost == babel.Infinity) {
				t.Errorf("Hellos %v, unicast %v: %+v, want cost %d", c.seqnos, unicast, got, c.cost)
			}
		}
	}
}

func Test3_4_3_AppendixA_2_2_ETX(t *testing.T) {
	for _, c := range []struct {
		name   string
		seqnos []uint16 // of the Hellos that come
		txcost uint16
		rxcost uint16
		cost   uint16
	}{
		{"no loss", []uint16{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, 256, 256, 256},
		{"the first", []uint16{1}, 256, 1023, 1023},
		{"the first three", []uint16{1, 2, 3}, 256, 341, 341},
		{"one of the latest three is lost", []uint16{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17}, 256, 341, 341},
		{"one of long ago is lost", []uint16{1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, 256, 256, 256},
		{"half is lost the other way", []uint16{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, 512, 256, 512},
		{"the other end is wired", []uint16{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, 96, 256, 256},
		{"nothing is heard there", []uint16{1, 2, 3}, babel.Infinity, 341, babel.Infinity},
	} {
		for _, unicast := range []bool{false, true} {
			b := newBench(t)
			b.costs[1] = babel.LinkCost{Type: babel.Wireless}
			b.lan(1)
			n := b.silent(1, 1)
			b.say(n, babel.IHU{Rxcost: c.txcost, Interval: time.Minute})
			for _, seqno := range c.seqnos {
				b.say(n, babel.Hello{Unicast: unicast, Seqno: seqno, Interval: time.Minute})
			}
			if got := b.neighbors[n].Status(); got.Rxcost != c.rxcost || got.Cost != c.cost {
				t.Errorf("%s, unicast %v: %+v, want rxcost %d, cost %d", c.name, unicast, got, c.rxcost, c.cost)
			}
		}
	}
}

func Test3_5_1_FeasibilityCondition(t *testing.T) {
	for _, c := range []struct {
		name          string
		seqno, metric uint16
		feasible      bool
	}{
		{"same seqno, smaller metric", 5, 195, true},
		{"same seqno, same metric", 5, 196, false},
		{"same seqno, larger metric", 5, 197, false},
		{"newer seqno, larger metric", 6, 5000, true},
		{"older seqno, smaller metric", 4, 1, false},
	} {
		b := newBench(t)
		b.lan(1)
		b.lan(2)
		n, m := b.neighbor(1, 1), b.neighbor(2, 2)
		b.say(n, update(5, 100))
		b.pass(time.Second) // announced: the feasibility distance is (5, 196)
		b.say(n, update(5, babel.Infinity))
		b.say(m, update(c.seqno, c.metric))
		if c.feasible {
			b.want(m, c.metric+96)
		} else {
			b.wantNone()
		}
	}
}

func Test3_5_2_MetricIsStrictlyGreaterAndSaturates(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.silent(1, 1)
	b.say(n, babel.Hello{Seqno: 7, Interval: time.Minute}, babel.Hello{Seqno: 8, Interval: time.Minute},
		babel.IHU{Rxcost: 0, Interval: time.Minute}, update(1, 100))
	b.want(n, 101)
	b.say(n, babel.IHU{Rxcost: 96, Interval: time.Minute}, update(2, 65438))
	b.want(n, 65534)
	b.say(n, update(3, 65439))
	b.wantNone()
}

func Test3_5_3_RouteAcquisition(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.neighbor(1, 1)
	b.say(n, update(1, babel.Infinity))
	if got := b.router.Status().Routes; len(got) != 0 {
		t.Errorf("a retraction of what was never announced made %+v", got)
	}
	b.say(n, update(1, 100))
	b.want(n, 196)
	b.say(n, update(2, 50))
	b.want(n, 146)
	b.say(n, babel.Update{Prefix: far.Prefix, Metric: babel.Infinity, Interval: 16 * time.Second})
	b.wantNone()
	other := rib.Key{Prefix: netip.MustParsePrefix("2001:db8:fb::/48")}
	u := update(3, 100)
	u.Prefix = other.Prefix
	b.say(n, update(3, 100), u)
	if len(b.routes) != 2 {
		t.Fatalf("routes %v", b.routes)
	}
	b.say(n, babel.Update{Metric: babel.Infinity, Interval: 16 * time.Second})
	if !b.routes[far].Unreachable || !b.routes[other].Unreachable {
		t.Errorf("after a wildcard retraction: %+v", b.routes)
	}
}

func Test3_5_3_RouteExpires(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.neighbor(1, 1)
	b.say(n, update(1, 100))
	b.pass(55 * time.Second)
	b.want(n, 196)
	b.pass(time.Second) // 3.5 intervals of 16 s
	b.wantNone()
	if got := b.router.Status().Routes; len(got) != 0 {
		t.Errorf("left over: %+v", got)
	}
}

func Test3_5_3_UnfeasibleUpdateOfTheSelectedRouteKeepsItInUse(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.lan(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.say(n, update(1, 100))
	b.pass(time.Second)
	b.take()
	b.say(n, update(1, 300))
	b.want(n, 396)
	b.pass(time.Second)
	if us := updatesOf(b.take(), 2, far); len(us) != 1 || us[0].Metric != 396 {
		t.Errorf("others hear %+v; the new metric is the true one", us)
	}
	// Of another router-id it is another source, and must not be used.
	b.say(n, update(1, 100))
	other := update(1, 500)
	other.RouterID = babel.RouterID{7: 9}
	b.say(m, other)
	b.say(n, update(1, babel.Infinity))
	b.want(m, 596)
	b.pass(time.Second)
	b.say(m, update(1, 500))
	b.wantNone()
}

func Test3_6_SelectionPrefersTheSmallestMetric(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.lan(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.say(n, update(1, 300))
	b.want(n, 396)
	b.say(m, update(1, 200))
	b.want(m, 296)
	b.say(n, update(1, 200))
	b.want(m, 296) // no better: it stays
	b.say(m, update(1, babel.Infinity))
	b.want(n, 296)
}

func Test3_6_AppendixA_3_HysteresisWaitsForTheSmoothedMetric(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.lan(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.say(n, update(1, 200))
	b.say(m, update(1, 250))
	b.want(n, 296)
	b.say(m, update(1, 190)) // better by a little, just now
	b.want(n, 296)
	b.say(m, update(1, 250)) // and worse again
	b.pass(15 * time.Second)
	b.want(n, 296)
	b.say(m, update(1, 150)) // better for good
	b.want(n, 296)
	b.pass(15 * time.Second)
	b.want(m, 246)
}

func Test3_6_OwnPrefixEndsTheWaitForASmoothedMetric(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.lan(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.say(n, update(1, 200))
	b.say(m, update(1, 250))
	b.say(m, update(1, 190))
	if err := b.router.Originate(b.now, far, 0); err != nil {
		t.Fatal(err)
	}
	b.settle()
	b.pass(5 * time.Second)
	if r, ok := b.routes[far]; ok {
		t.Errorf("route %+v", r)
	}
}

func Test3_7_1_FullUpdatesArePeriodic(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.lan(2)
	n := b.neighbor(1, 1)
	b.neighbor(2, 2)
	b.say(n, update(1, 100))
	b.pass(time.Second)
	b.take()
	for range 10 {
		b.say(n, update(1, 100))
		b.pass(16 * time.Second)
		us := updatesOf(b.take(), 2, far)
		if len(us) == 0 || len(us) > 2 || us[0].Metric != 196 || us[0].Interval != 16*time.Second || us[0].RouterID != farID || us[0].Seqno != 1 {
			t.Fatalf("within an interval: %+v", us)
		}
	}
}

func Test3_7_1_FullUpdatesAreJittered(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.neighbor(1, 1)
	own := rib.Key{Prefix: netip.MustParsePrefix("2001:db8:5e1f::/48")}
	if err := b.router.Originate(b.now, own, 0); err != nil {
		t.Fatal(err)
	}
	b.settle()
	b.pass(time.Second)
	b.take()
	gaps := map[time.Duration]bool{}
	var last time.Time
	for len(gaps) < 5 {
		next, _ := b.router.NextTimeout()
		b.pass(next.Sub(b.now))
		if len(updatesOf(b.take(), 1, own)) == 0 {
			continue
		}
		gap := b.now.Sub(last)
		if first := last.IsZero(); !first && (gap < 14400*time.Millisecond || gap > 16*time.Second || gaps[gap]) {
			t.Fatalf("an Update %s after the last, which promised 16s; the gaps %v", gap, gaps)
		} else if !first {
			gaps[gap] = true
		}
		last = b.now
	}
}

func Test3_7_2_TriggeredUpdates(t *testing.T) {
	other := update(1, 100)
	other.RouterID = babel.RouterID{7: 9}
	for _, c := range []struct {
		name   string
		then   babel.Update
		within time.Duration // 0: not before the next full update
		metric uint16
	}{
		{"a retraction", update(1, babel.Infinity), time.Nanosecond, babel.Infinity},
		{"another router-id", other, 20 * time.Millisecond, 196},
		{"much better", update(1, 30), 200 * time.Millisecond, 126},
		{"about the same", update(1, 90), 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.lan(1)
			b.lan(2)
			n := b.neighbor(1, 1)
			b.neighbor(2, 2)
			b.pass(100 * time.Millisecond)
			b.say(n, update(1, 100))
			b.pass(20 * time.Millisecond)
			if us := updatesOf(b.take(), 2, far); len(us) != 1 || us[0].Metric != 196 {
				t.Fatalf("a new route: %+v", us)
			}
			b.say(n, c.then)
			b.pass(c.within)
			us := updatesOf(b.take(), 2, far)
			if c.within == 0 {
				b.pass(2 * time.Second)
				if us = append(us, updatesOf(b.take(), 2, far)...); len(us) != 0 {
					t.Errorf("sent %+v", us)
				}
			} else if len(us) == 0 || us[0].Metric != c.metric || us[0].RouterID != c.then.RouterID && c.metric != babel.Infinity {
				t.Errorf("sent %+v", us)
			}
		})
	}
}

func Test3_7_2_RetractionIsRepeatedOnALANAndAcknowledgedOnALink(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.lan(2)
	b.fabric(3)
	b.fabric(4)
	n := b.neighbor(1, 1)
	b.neighbor(2, 2)
	deaf, good := b.neighbor(3, 3), b.neighbor(4, 4)
	b.say(n, update(1, 100))
	b.pass(5 * time.Second)
	b.take()
	b.say(n, update(1, babel.Infinity))
	var lan, tolDeaf, toGood int
	for range 500 {
		for _, s := range b.take() {
			switch tlv := s.tlv.(type) {
			case babel.AckRequest:
				if s.to == good.Addr {
					b.say(good, babel.Ack{Opaque: tlv.Opaque})
				}
			case babel.Update:
				if tlv.Key() == far && tlv.Metric == babel.Infinity {
					lan += btoi(s.on == 2)
					tolDeaf += btoi(s.to == deaf.Addr)
					toGood += btoi(s.to == good.Addr)
				}
			}
		}
		b.pass(10 * time.Millisecond)
	}
	// A full update within these 5 s may repeat it once more while it is held.
	if lan < 3 || lan > 4 || tolDeaf < 5 || tolDeaf > 6 || toGood < 1 || toGood > 2 {
		t.Errorf("sent %d times on the LAN, %d without and %d with acknowledgment", lan, tolDeaf, toGood)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func Test3_7_3_FeasibilityDistanceIsOfWhatWasSent(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.lan(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.say(n, update(1, 100))
	b.say(n, update(1, babel.Infinity)) // before it was announced to anybody
	if got := b.router.Status().Sources; got != 0 {
		t.Errorf("%d sources before anything was sent", got)
	}
	b.say(m, update(1, 500))
	b.want(m, 596)
	b.pass(time.Second)
	if got := b.router.Status().Sources; got != 1 {
		t.Errorf("%d sources", got)
	}
	b.say(m, update(1, babel.Infinity))
	b.pass(3*time.Minute + time.Second)
	if got := b.router.Status().Sources; got != 0 {
		t.Errorf("%d sources three minutes after the last update", got)
	}
}

func Test3_7_4_SplitHorizonOnPointToPointOnly(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.fabric(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.say(n, update(1, 100))
	b.pass(20 * time.Second)
	if us := updatesOf(b.take(), 1, far); len(us) == 0 {
		t.Error("nothing on the LAN it came from")
	}
	b.say(n, update(1, babel.Infinity))
	b.pass(20 * time.Second)
	b.take()
	b.say(m, update(2, 100))
	b.pass(20 * time.Second)
	if us := updatesOf(b.take(), 2, far); len(us) != 0 {
		t.Errorf("sent back %+v", us)
	}
}

func Test3_7_4_WhatWasSaidBeforeIsTakenBack(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.fabric(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.say(n, update(1, 300))
	b.pass(time.Second)
	b.take()
	b.say(m, update(1, 50))
	b.want(m, 146)
	b.pass(30 * time.Millisecond)
	if us := updatesOf(b.take(), 2, far); len(us) != 1 || us[0].Metric != babel.Infinity {
		t.Errorf("the neighbor that is now the next hop hears %+v", us)
	}
}

func Test3_8_1_1_RouteRequestIsAnsweredWithAnUpdateOrARetraction(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.lan(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.say(n, update(1, 100))
	b.pass(5 * time.Second)
	b.take()
	b.say(m, babel.RouteRequest(far))
	if us := updatesOf(b.take(), 2, far); len(us) != 1 || us[0].Metric != 196 {
		t.Errorf("asked for a route: %+v", us)
	}
	unknown := rib.Key{Prefix: netip.MustParsePrefix("2001:db8:dead::/48")}
	b.say(m, babel.RouteRequest(unknown))
	if us := updatesOf(b.take(), 2, unknown); len(us) != 1 || us[0].Metric != babel.Infinity {
		t.Errorf("asked for an unknown one: %+v", us)
	}
	b.say(m, babel.RouteRequest{})
	if us := updatesOf(b.take(), 2, far); len(us) != 1 {
		t.Errorf("asked for all: %+v", us)
	}
	b.say(m, babel.RouteRequest{})
	if us := updatesOf(b.take(), 2, far); len(us) != 0 {
		t.Errorf("asked for all again: %+v at once", us)
	}
	b.pass(time.Second)
	if us := updatesOf(b.take(), 2, far); len(us) != 1 {
		t.Errorf("asked for all again: %+v a second later", us)
	}
}

func request(seqno uint16, hops uint8) babel.SeqnoRequest {
	return babel.SeqnoRequest{Prefix: far.Prefix, Seqno: seqno, HopCount: hops, RouterID: farID}
}

func Test3_8_1_2_SeqnoRequestIsAnswered(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.lan(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.say(n, update(5, 100))
	b.pass(time.Second)
	b.take()
	elsewhere := request(9, 64)
	elsewhere.RouterID = babel.RouterID{7: 9}
	for name, q := range map[string]babel.SeqnoRequest{"recent enough": request(5, 64), "older": request(4, 64), "another router-id": elsewhere} {
		b.say(m, q)
		got := b.take()
		if us := updatesOf(got, 2, far); len(us) != 1 || us[0].Seqno != 5 {
			t.Errorf("%s: %+v", name, us)
		}
		if _, qs := seqnoRequests(got); len(qs) != 0 {
			t.Errorf("%s: sent on %+v", name, qs)
		}
	}
	unknown := request(5, 64)
	unknown.Prefix = netip.MustParsePrefix("2001:db8:dead::/48")
	b.say(m, unknown)
	if got := b.take(); len(got) != 0 {
		t.Errorf("an unknown prefix: %+v", got)
	}
}

func Test3_8_1_2_OriginRaisesItsSeqnoByOne(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.neighbor(1, 1)
	own := rib.Key{Prefix: netip.MustParsePrefix("2001:db8:5e1f::/48")}
	if err := b.router.Originate(b.now, own, 0); err != nil {
		t.Fatal(err)
	}
	b.settle()
	b.pass(time.Second)
	b.take()
	q := babel.SeqnoRequest{Prefix: own.Prefix, Seqno: 1200, HopCount: 1, RouterID: selfID}
	for want := uint16(1001); want < 1004; want++ {
		b.say(n, q)
		if us := updatesOf(b.take(), 1, own); len(us) != 1 || us[0].Seqno != want || us[0].Metric != 0 || us[0].RouterID != selfID {
			t.Errorf("want seqno %d: %+v", want, us)
		}
	}
	q.Seqno = 1003
	b.say(n, q)
	if got := b.router.Status().Seqno; got != 1003 {
		t.Errorf("seqno %d after a request for what is there", got)
	}
	q.Prefix, q.Seqno = netip.MustParsePrefix("2001:db8:dead::/48"), 1100
	b.say(n, q)
	if got := b.router.Status().Seqno; got != 1003 {
		t.Errorf("seqno %d after a request for another's prefix", got)
	}
}

func Test3_8_1_2_SeqnoRequestIsSentOnTowardsTheSource(t *testing.T) {
	b := newBench(t)
	for id := range babel.InterfaceID(4) {
		b.lan(id + 1)
	}
	next, alternate, a, c := b.neighbor(1, 1), b.neighbor(2, 2), b.neighbor(3, 3), b.neighbor(4, 4)
	b.say(next, update(5, 100))
	b.say(alternate, update(5, 120))
	b.pass(time.Second)
	b.take()
	b.say(a, request(6, 1))
	if _, qs := seqnoRequests(b.take()); len(qs) != 0 {
		t.Errorf("at its last hop it was sent on: %+v", qs)
	}
	b.say(a, request(6, 64))
	want := request(6, 63)
	if to, qs := seqnoRequests(b.take()); !slices.Equal(to, []netip.Addr{next.Addr}) || qs[0] != want {
		t.Errorf("sent on to %v: %+v", to, qs)
	}
	b.say(c, request(6, 64)) // section 3.8.1.2: duplicates are not sent on
	if _, qs := seqnoRequests(b.take()); len(qs) != 0 {
		t.Errorf("a duplicate was sent on: %+v", qs)
	}
	b.say(next, update(6, 100))
	got := b.take()
	for _, on := range []babel.InterfaceID{3, 4} {
		if us := updatesOf(got, on, far); len(us) != 1 || us[0].Seqno != 6 {
			t.Errorf("who asked on %d hears %+v", on, us)
		}
	}
	b.say(next, request(7, 64)) // the next hop itself asks: not back to it
	if to, _ := seqnoRequests(b.take()); !slices.Equal(to, []netip.Addr{alternate.Addr}) {
		t.Errorf("the next hop's own request went to %v", to)
	}
}

func Test3_8_1_2_RequestThatIsSentOnIsSentAgain(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.lan(2)
	next, a := b.neighbor(1, 1), b.neighbor(2, 2)
	b.say(next, update(5, 100))
	b.pass(time.Second)
	b.take()
	b.say(a, request(6, 9))
	want := request(6, 8)
	sent := 0
	for range 20 {
		to, qs := seqnoRequests(b.take())
		for i, q := range qs {
			if sent++; to[i] != next.Addr || q != want {
				t.Errorf("to %s: %+v, want %+v", to[i], q, want)
			}
		}
		b.pass(time.Second)
	}
	if sent != 6 {
		t.Errorf("sent %d times, want once and 5 times again", sent)
	}
	b.say(a, request(6, 9)) // who asks later asks anew
	if _, qs := seqnoRequests(b.take()); len(qs) != 1 {
		t.Errorf("a request after the last one was given up: %+v", qs)
	}
}

func Test3_8_1_2_HopCountBoundsHowFarARequestGoes(t *testing.T) {
	for hops, want := range map[uint8]int{1: 0, 2: 1, 255: 1} {
		b := newBench(t)
		b.lan(1)
		b.lan(2)
		next, a := b.neighbor(1, 1), b.neighbor(2, 2)
		b.say(next, update(5, 100))
		b.pass(time.Second)
		b.take()
		b.say(a, request(6, hops))
		if _, qs := seqnoRequests(b.take()); len(qs) != want || want == 1 && qs[0].HopCount != hops-1 {
			t.Errorf("with %d hops to go: sent on %+v", hops, qs)
		}
	}
}

func Test3_8_1_2_AnswerByAnotherRouteIsPassedOn(t *testing.T) {
	b := newBench(t)
	for id := range babel.InterfaceID(3) {
		b.lan(id + 1)
	}
	n, m, a := b.neighbor(1, 1), b.neighbor(2, 2), b.neighbor(3, 3)
	b.say(n, update(5, 100))
	b.say(m, update(5, 120))
	b.pass(time.Second)
	b.say(a, request(6, 64))
	b.take()
	b.say(m, update(6, 120)) // the answer comes by the longer route
	b.want(m, 216)
	if us := updatesOf(b.take(), 3, far); len(us) == 0 || us[0].Seqno != 6 {
		t.Errorf("who asked hears %+v", us)
	}
}

func Test3_8_2_1_StarvingRouterAsksAllCandidatesAtOnceAndAgain(t *testing.T) {
	b := newBench(t)
	for id := range babel.InterfaceID(3) {
		b.lan(id + 1)
	}
	n, m, o := b.neighbor(1, 1), b.neighbor(2, 2), b.neighbor(3, 3)
	b.say(n, update(5, 100))
	b.pass(time.Second)
	b.say(m, update(5, 200))
	b.say(o, update(5, 300))
	b.take()
	b.say(n, update(5, babel.Infinity))
	b.wantNone()
	want := request(6, 64)
	if to, qs := seqnoRequests(b.take()); !slices.Equal(to, []netip.Addr{m.Addr, o.Addr}) || qs[0] != want {
		t.Fatalf("asked %v: %+v", to, qs)
	}
	// Again after 0.3, 0.6, 1.2, 2.4 and 4.8 s, and no more.
	const resends = 5
	for i := range resends + 1 {
		b.pass(300*time.Millisecond<<i - time.Millisecond)
		if _, qs := seqnoRequests(b.take()); len(qs) != 0 {
			t.Errorf("resend %d too early", i+1)
		}
		b.pass(time.Millisecond)
		if _, qs := seqnoRequests(b.take()); len(qs) != 2 && i < resends || len(qs) != 0 && i == resends {
			t.Errorf("resend %d: %+v", i+1, qs)
		}
	}
	if got := b.router.Status().Requests; got != 0 {
		t.Errorf("%d requests pending after the last resend", got)
	}
	b.say(m, update(6, 200))
	b.want(m, 296)
}

// A request that was sent to a neighbor that is gone goes another way at once.
func Test3_8_1_2_ARequestGoesAnotherWayWhenItsFirstIsGone(t *testing.T) {
	b := newBench(t)
	for id := range babel.InterfaceID(3) {
		b.lan(id + 1)
	}
	n, m, a := b.neighbor(1, 1), b.neighbor(2, 2), b.neighbor(3, 3)
	b.say(n, update(5, 100))
	b.say(m, update(5, 80)) // feasible, and no better: 176 to 196 by then
	b.pass(time.Second)
	b.take()
	b.say(a, request(6, 64))
	first, _ := seqnoRequests(b.take())
	if len(first) != 1 {
		t.Fatalf("sent on to %v", first)
	}
	gone, left := n, m
	if first[0] == m.Addr {
		gone, left = m, n
	}
	b.router.RemoveNeighbor(b.now, gone)
	b.pass(time.Millisecond)
	if to, qs := seqnoRequests(b.take()); !slices.Equal(to, []netip.Addr{left.Addr}) || qs[0].HopCount != 63 {
		t.Errorf("then sent on to %v: %+v", to, qs)
	}
}

func Test3_8_2_2_UnfeasibleUpdatesThatMatterAreAskedFor(t *testing.T) {
	for _, c := range []struct {
		name   string
		metric uint16
		asked  bool
	}{{"better than the selected route", 200, true}, {"worse", 450, false}} {
		b := newBench(t)
		b.lan(1)
		b.lan(2)
		n, m := b.neighbor(1, 1), b.neighbor(2, 2)
		b.say(n, update(5, 100))
		b.pass(time.Second)
		b.say(n, update(5, 300)) // of the selected route: it asks, and stays at 396
		if to, _ := seqnoRequests(b.take()); !slices.Equal(to, []netip.Addr{n.Addr}) {
			t.Errorf("the selected route turned unfeasible: asked %v", to)
		}
		b.say(m, update(5, c.metric))
		if to, _ := seqnoRequests(b.take()); slices.Contains(to, m.Addr) != c.asked {
			t.Errorf("%s: asked %v", c.name, to)
		}
		b.want(n, 396)
	}
}

func Test3_8_2_3_SelectedRouteIsAskedForBeforeItExpires(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.neighbor(1, 1)
	b.say(n, update(1, 100))
	b.pass(47 * time.Second)
	if got := of[babel.RouteRequest](b.take()); len(got) != 0 {
		t.Errorf("asked early: %+v", got)
	}
	b.pass(2 * time.Second)
	if got := of[babel.RouteRequest](b.take()); len(got) != 1 || got[0].Key() != far {
		t.Errorf("asked: %+v", got)
	}
}

func Test4_5_UpdatesFromElsewhereAreRefused(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.neighbor(1, 1)
	p := (babel.Encoder{From: n.Addr, Max: 1232}).Encode([]babel.TLV{update(1, 100)})[0]
	if err := b.neighbors[n].HandlePacket(b.now, netip.MustParseAddr("fe80::99"), p); err == nil {
		t.Error("taken")
	}
	if err := b.neighbors[n].HandlePacket(b.now, n.Addr, p[:9]); err == nil {
		t.Error("half a packet taken")
	}
	for _, martian := range []string{"fe80::/64", "ff0e::/16", "::1/128", "::/128", "127.0.0.0/8", "224.0.0.0/4"} {
		u := update(1, 100)
		u.Prefix, u.NextHop = netip.MustParsePrefix(martian), netip.MustParseAddr("192.0.2.1")
		if u.Prefix.Addr().Is6() {
			u.NextHop = n.Addr
		}
		b.say(n, u)
	}
	b.settle()
	if len(b.routes) != 0 || b.refused[babel.RefusedPacket] != 2 || b.refused[babel.RefusedMartian] != 6 {
		t.Errorf("routes %v, refused %v", b.routes, b.refused)
	}
	u := update(1, 100)
	u.Prefix = netip.MustParsePrefix("::/0")
	if b.say(n, u); len(b.routes) != 1 {
		t.Errorf("a default route was refused: %v", b.refused)
	}
}

func Test4_6_8_NextHopIsOfItsPacketOnly(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.neighbor(1, 1)
	other := netip.MustParseAddr("fe80::77")
	u := update(1, 100)
	u.NextHop = other
	b.say(n, u)
	if r := b.routes[far]; r.NextHop.Gateway != other {
		t.Errorf("by a Next Hop TLV: %+v", r)
	}
	b.say(n, update(1, 100)) // a packet without
	b.want(n, 196)
}

func Test4_4_UnknownSubTLVs(t *testing.T) {
	for name, tlv := range map[string]string{
		"acknowledgment request": "0206 0000 1234 0064",
		"acknowledgment":         "0302 1234",
		"hello":                  "0406 0000 0007 0190",
		"IHU":                    "0506 0000 0060 0064",
		"router-id":              "060a 0000 0102030405060708",
		"next hop":               "0706 0100 c0000201",
		"update":                 "080c 02 00 10 00 0640 0005 ffff 2001",
		"wildcard update":        "080a 00 00 00 00 0640 0000 ffff",
		"route request":          "0904 02 10 2001",
		"wildcard request":       "0902 0000",
		"seqno request":          "0a10 02 10 0009 40 00 0102030405060708 2001",
	} {
		bare := unhex(t, tlv)
		taken, _, err := babel.Decode(packet(t, tlv), peerLL, false)
		if err != nil {
			t.Fatal(err)
		}
		for sub, ignored := range map[string]int{"7f 02 beef": 0, "01 03 000000": 0, "00": 0, "00 7f 00 00": 0, "ff 02 beef": 1, "e0 00": 1, "7f 00 e0 00": 1} {
			b := unhex(t, sub)
			long := append(append([]byte{42, 2, 0, byte(len(bare) + len(b)), bare[0], bare[1] + byte(len(b))}, bare[2:]...), b...)
			got, n, err := babel.Decode(long, peerLL, false)
			if err != nil || n != ignored || len(got) != len(taken)*(1-ignored) {
				t.Errorf("%s with sub-TLVs %s: %+v, %d ignored, %v", name, sub, got, n, err)
			}
		}
	}
}
