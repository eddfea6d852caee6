package babel_test

import (
	"testing"
	"time"

	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// A member floods: what its neighbor passes on leaves room for the routes of others.
func TestAFloodOfRoutesHoldsUpNoOther(t *testing.T) {
	b := newBench(t)
	for i := babel.InterfaceID(1); i <= 3; i++ {
		b.fabric(i)
	}
	rogue, honest := b.neighbor(1, 1), b.neighbor(2, 2)
	b.neighbor(3, 3)
	b.settle()
	b.take()
	fair := many(1, 1<<22)[0]
	fair.Egress = nodeID(2)
	key := rib.Key{Prefix: fair.Prefix}
	heard := 0
	const prefixes, seconds = 3000, 24
	for tenth := range 10 * seconds {
		flood := many(prefixes/10, tenth%10*prefixes/10) // each route changes every second
		for i := range flood {
			flood[i].Metric = uint16(100 + tenth/10%5*200)
		}
		b.router.Handle(b.now, rogue, babel.Updates{Updates: flood})
		if tenth == 20 {
			b.router.Handle(b.now, honest, babel.Updates{Updates: []babel.Update{fair}})
		}
		b.pass(100 * time.Millisecond)
		got := b.take()
		for _, u := range updatesOf(got, 3, key) {
			if u.Metric != babel.Infinity {
				heard++
			}
		}
		if n := len(updatesOf(got, 3, rib.Key{})); n != 0 {
			t.Fatalf("%d updates of no route", n)
		}
		total := 0
		for _, s := range got {
			if _, ok := s.tlv.(babel.Update); ok && s.on == 3 {
				total++
			}
		}
		if most := babel.UpdateBurst; total > most {
			t.Fatalf("%d updates in a tenth of a second, want %d at most", total, most)
		}
		if tenth == 24 && heard == 0 {
			t.Error("a new route waits behind the flood")
		}
	}
	if heard < 2 { // at once, and in a full update
		t.Errorf("the route was told %d times in %d s", heard, seconds-2)
	}
}

// Two thousand routes, which a neighbor acknowledges within 10 ms, are with it soon, and
// never more of them on their way than its queue can hold.
func TestALargeTableGoesAtThePaceOfAcknowledgments(t *testing.T) {
	b := newBench(t)
	b.fabric(1)
	b.fabric(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	const routes, trip = 2000, 10 * time.Millisecond
	b.router.Handle(b.now, n, babel.Updates{Updates: many(routes, 0)})
	b.settle()
	heard, trips := map[rib.Key]bool{}, 0
	for ; len(heard) < routes && trips < 100; trips++ {
		b.pass(trip)
		sent := b.take()
		under := 0
		for _, s := range sent {
			if u, ok := s.tlv.(babel.Update); ok && s.on == 2 {
				heard[u.Key()] = true
				under++
			}
		}
		if under > babel.MaxUnacknowledged {
			t.Fatalf("%d updates on their way", under)
		}
		for _, ask := range of[babel.AckRequest](sent) {
			b.say(m, babel.Ack{Opaque: ask.Opaque})
		}
	}
	if most := 2 * routes / babel.MaxUnacknowledged * 2; trips > most {
		t.Errorf("%d routes took %d round trips, want %d at most", routes, trips, most)
	}
	b.pass(10 * time.Second)
	if again := of[babel.Update](b.take()); len(again) != 0 {
		t.Errorf("%d updates were repeated", len(again))
	}
}
