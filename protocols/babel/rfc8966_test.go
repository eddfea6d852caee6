package babel_test

import (
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// The tests are in the order of RFC 8966; sections 2.5 to 2.7 and the network
// as a whole are in network_test.go, sections 3.7 and 3.8 in rfc8966_update_test.go and
// rfc8966_request_test.go, section 4 in wire_test.go.

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
