package neighbor

import (
	"errors"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/rib"
)

var errDisk = errors.New("no room")

var someone = addr.NodeIDFromUint64(9)

func TestWhatComesBeforeALinkIsSetIsKeptForIt(t *testing.T) {
	l := NewLinks()
	if !l.Deliver(1, time.Now(), []byte("early")) {
		t.Fatal("refused")
	}
	if len(l.ports()) != 0 {
		t.Error("a link without a peer is up")
	}
	l.Set(Link{ID: 1, Peer: someone})
	if p := (<-l.ports()[0].inbox); string(p.body) != "early" {
		t.Errorf("got %q", p.body)
	}
}

func TestTheQueueOfALinkIsBounded(t *testing.T) {
	l := NewLinks()
	l.Set(Link{ID: 1, Peer: someone})
	for i := range inboxSize + 3 {
		if ok := l.Deliver(1, time.Now(), nil); ok != (i < inboxSize) {
			t.Fatalf("packet %d: %v", i, ok)
		}
	}
	if l.Dropped() != 3 {
		t.Errorf("%d dropped, want 3", l.Dropped())
	}
}

func TestANeighborThatFloodsStarvesNoOther(t *testing.T) {
	l := NewLinks()
	l.Set(Link{ID: 1, Peer: someone})
	l.Set(Link{ID: 2, Peer: addr.NodeIDFromUint64(10)})
	packet := make([]byte, 1<<10)
	start, taken := time.Now(), 0
	deliver := func(at time.Time, id rib.LinkID) {
		if l.Deliver(id, at, packet) {
			taken++
			for _, p := range l.ports() {
				for len(p.inbox) > 0 {
					<-p.inbox
				}
			}
		}
	}
	for range 4 * NeighborBurst / len(packet) {
		deliver(start, 1)
	}
	if taken != NeighborBurst/len(packet) || int(l.Dropped()) != 3*taken {
		t.Errorf("%d packets taken at once, %d dropped; want a burst", taken, l.Dropped())
	}
	l.Set(Link{ID: 1, Peer: someone, RTT: time.Second}) // gives it no new one
	taken = 0
	for ms := range 10_000 {
		deliver(start.Add(time.Duration(ms)*time.Millisecond), 1)
	}
	if want := 10 * NeighborRate / len(packet); taken < want-2 || taken > want+2 {
		t.Errorf("%d packets taken in 10 s, want %d", taken, want)
	}
	if !l.Deliver(2, start, packet) {
		t.Error("the other one is refused")
	}
}

// What was under way when a link was removed makes it early again, for ever: it
// must not take the place of those that will be set.
func TestLinksThatAreNeverSetMakeRoomForOthers(t *testing.T) {
	l, now := NewLinks(), time.Now()
	for i := range 10 * maxEarly {
		if !l.Deliver(rib.LinkID(i+1), now.Add(time.Duration(i)), []byte("late")) {
			t.Fatalf("link %d was refused", i+1)
		}
	}
	if l.early != maxEarly || len(l.links) != maxEarly {
		t.Errorf("%d early ones of %d, want %d", l.early, len(l.links), maxEarly)
	}
	if l.links[1] != nil || l.links[10*maxEarly] == nil {
		t.Error("it is not the oldest that went")
	}
	for i := range 10 * maxEarly {
		l.Remove(rib.LinkID(i + 1))
	}
	if l.early != 0 || len(l.links) != 0 {
		t.Errorf("%d early ones of %d are left", l.early, len(l.links))
	}
}

func TestSetKeepsTheQueue(t *testing.T) {
	l := NewLinks()
	told := 0
	l.observe(func() { told++ })
	l.Set(Link{ID: 1, Peer: someone})
	l.Deliver(1, time.Now(), []byte("x"))
	l.Set(Link{ID: 1, Peer: someone, RTT: time.Second})
	if p := l.ports()[0]; len(p.inbox) != 1 || l.rtt(1) != time.Second || told != 2 {
		t.Errorf("%d packets, round trip %s, told %d times", len(p.inbox), l.rtt(1), told)
	}
	l.Set(Link{ID: 1, Peer: someone, RTT: time.Millisecond, Draining: true})
	if l.rtt(1) != drained || l.rtt(2) != 0 {
		t.Errorf("draining: %s; no link: %s", l.rtt(1), l.rtt(2))
	}
}

func TestARouterThatIsBehindLeavesPacketsInTheirQueue(t *testing.T) {
	room := make(slots, maxUnderWay)
	for range maxUnderWay {
		room <- struct{}{}
	}
	select {
	case room <- struct{}{}:
		t.Fatal("one more is under way")
	default:
	}
	room.release()
	room <- struct{}{}
	for range 2 * maxUnderWay { // an incarnation that ended owes nothing
		room.release()
	}
	slots(nil).release()
	if len(room) != 0 {
		t.Errorf("%d under way", len(room))
	}
}
