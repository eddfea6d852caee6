package dataplane

import (
	"testing"
	"time"

	"re6st/hw/hwtest"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
)

// transit is the body of a transit message from a node of this number.
func transit(kind fabric.TransitKind, to *node, from uint64, payload []byte) []byte {
	return fabric.Transit{HopLimit: 9, Kind: kind, Egress: to.id, Ingress: nodeID(from), Payload: payload}.Append(nil)
}

func TestQueuesToTheActorsAreBounded(t *testing.T) {
	_, relay, _ := line(t, hwtest.NewNetwork(1))
	w, now := relay.newWorker(maxFrame), time.Now()
	const beyond = 7
	for _, c := range []struct {
		name  string
		limit int
		put   func(n uint64)
		queue func() int
		drop  Reason
	}{
		{"handshakes in transit", transitQueue, func(n uint64) {
			w.transit(1, transit(fabric.TransitHandshake, relay, 1000+n, nil), now)
		}, func() int { return len(relay.Transits()) }, DropTransitFull},
		{"rendezvous", meetingQueue, func(n uint64) {
			w.transit(1, transit(fabric.TransitRendezvous, relay, 1000+n, nil), now)
		}, func() int { return len(relay.Rendezvous()) }, DropTransitFull},
		{"probes", traceQueue, func(n uint64) {
			w.transit(1, transit(fabric.TransitTrace, relay, 1000+n, nil), now)
		}, func() int { return len(relay.Probes()) }, DropTransitFull},
		{"answers to probes", traceQueue, func(n uint64) {
			w.transit(1, transit(fabric.TransitTraceReply, relay, 1000+n, []byte{0, 0}), now)
		}, func() int { return len(relay.Traced()) }, DropTransitFull},
		{"unknown sessions", unknownQueue, func(n uint64) {
			relay.hintUnknown(nodeID(1000+n), now)
		}, func() int { return len(relay.UnknownSessions()) }, reasonCount},
		{"wanted sessions", wantedQueue, func(n uint64) {
			relay.WantSession(nodeID(1000 + n))
		}, func() int { return len(relay.Wanted()) }, reasonCount},
	} {
		before := total(relay.Plane)
		for n := range uint64(c.limit + beyond) {
			c.put(n)
		}
		if n := c.queue(); n != c.limit {
			t.Errorf("%s: %d wait, want %d", c.name, n, c.limit)
		}
		if n := total(relay.Plane) - before; c.drop != reasonCount && n != beyond {
			t.Errorf("%s: %d were counted as dropped, want %d", c.name, n, beyond)
		}
	}
}

func TestRelayErrorsAreBoundedByIngress(t *testing.T) {
	a, relay, b := line(t, hwtest.NewNetwork(1))
	run(t, a)
	w, now := relay.newWorker(maxFrame), time.Now()
	hop := fabric.HopHeader{HopLimit: 9, Egress: b.id, Ingress: a.id}
	frame := make([]byte, fabric.Overhead)
	hop.Put(frame)
	for range 2 * relayErrorBurst {
		w.relayError(now, fabric.RelayNoRoute, 0, frame, hop)
	}
	w.relayError(now.Add(time.Second), fabric.RelayNoRoute, 0, frame, hop)
	if err := relay.SendTransit(a.id, nil); err != nil { // what comes behind them
		t.Fatal(err)
	}
	<-a.Transits()
	if n := a.drops[DropTransit].Load(); n != relayErrorBurst+1 { // of a frame that was not its own
		t.Errorf("%d errors told at once and after a second, want %d and 1", n, relayErrorBurst)
	}
}

func TestHintsOfUnknownSessionsAreBoundedByEgress(t *testing.T) {
	a, _, b := line(t, hwtest.NewNetwork(1))
	now := time.Now()
	hints := func(after time.Duration) (n int) {
		for range 10 {
			a.hintUnknown(b.id, now.Add(after))
		}
		for len(a.UnknownSessions()) > 0 {
			<-a.UnknownSessions()
			n++
		}
		return n
	}
	rest := time.Duration(float64(time.Second) / unknownRate)
	if n := hints(0); n != unknownBurst {
		t.Errorf("%d hints at once, want %d", n, unknownBurst)
	}
	if n := hints(rest - time.Second); n != 0 {
		t.Errorf("%d hints before %s", n, rest)
	}
	if n := hints(rest); n != 1 {
		t.Errorf("%d hints after %s, want 1", n, rest)
	}
}

func TestProbesThatComeByOneLinkAreBounded(t *testing.T) {
	_, relay, _ := line(t, hwtest.NewNetwork(1))
	w, now := relay.newWorker(maxFrame), time.Now()
	probes := func(link rib.LinkID, times uint64) (n int) {
		for i := range times { // each of an ingress that is made up
			w.transit(link, transit(fabric.TransitTrace, relay, 1000*uint64(link)+i, nil), now)
			for len(relay.Probes()) > 0 {
				<-relay.Probes()
				n++
			}
		}
		return n
	}
	if n := probes(1, 2*traceLinkBurst); n != traceLinkBurst {
		t.Errorf("%d probes of one link at once, want %d", n, traceLinkBurst)
	}
	if n := probes(3, 10); n != 10 {
		t.Errorf("%d of 10 probes of another link", n)
	}
}
