package dataplane

import (
	"slices"
	"testing"
	"time"

	"re6st/hw/hwtest"
	"re6st/protocols/fabric"
)

func probe(t testing.TB, x *node) Probed {
	t.Helper()
	select {
	case p := <-x.probes:
		return p
	case <-time.After(time.Minute):
		t.Fatalf("no probe came to node %d; %+v", x.n, x.Stats())
		return Probed{}
	}
}

func answer(t testing.TB, x *node) Traced {
	t.Helper()
	select {
	case a := <-x.answers:
		return a
	case <-time.After(time.Minute):
		t.Fatalf("no answer came to node %d; %+v", x.n, x.Stats())
		return Traced{}
	}
}

func TestAProbeComesUpWhereItsHopLimitEnds(t *testing.T) {
	a, relay, b := line(t, hwtest.NewNetwork(1))
	run(t, a, relay, b)
	for hops, at := range []*node{relay, b, b} {
		if err := a.SendProbe(b.id, uint8(hops+1), []byte("who?")); err != nil {
			t.Fatal(err)
		}
		p := probe(t, at)
		from := a.id
		if at == b {
			from = relay.id
		}
		if p.Ingress != a.id || p.Egress != b.id || p.Peer != from || p.NoRoute || string(p.Payload) != "who?" {
			t.Errorf("hop limit %d: %+v", hops+1, p)
		}
	}
}

func TestAProbeThatCannotGoOnComesUp(t *testing.T) {
	a, relay, b := line(t, hwtest.NewNetwork(1))
	route(a, 9, 2)
	run(t, a, relay, b)
	for _, limit := range []uint8{1, 5} {
		if err := a.SendProbe(nodeID(9), limit, nil); err != nil {
			t.Fatal(err)
		}
		if p := probe(t, relay); !p.NoRoute || p.Egress != nodeID(9) {
			t.Errorf("%+v", p)
		}
	}
	if err := a.SendProbe(nodeID(8), 5, nil); err == nil {
		t.Error("a probe went where no route leads")
	}
}

// What a neighbor says by its own link, or who has a session seals, is proven.
func TestAnswersAreProvenByTheLinkOrBySession(t *testing.T) {
	a, relay, b := line(t, hwtest.NewNetwork(1))
	run(t, a, relay, b)
	say := func(x *node) Traced {
		t.Helper()
		if err := x.SendAnswer(a.id, []byte("me")); err != nil {
			t.Fatal(err)
		}
		return answer(t, a)
	}
	if got := say(relay); !got.Proven || got.Node != relay.id || got.Hops != 1 || string(got.Payload) != "me" {
		t.Errorf("the neighbor: %+v", got)
	}
	if got := say(b); got.Proven || got.Node != b.id || got.Hops != 2 || string(got.Payload) != "me" {
		t.Errorf("without a session: %+v", got)
	}
	meet(a, b)
	if got := say(b); !got.Proven || got.Node != b.id || got.Hops != 2 || string(got.Payload) != "me" {
		t.Errorf("with a session: %+v", got)
	}
}

// A relay cannot put its words into the mouth of a node, nor a packet's into an answer.
func TestASealedAnswerOfAnotherIsDropped(t *testing.T) {
	a, relay, b := line(t, hwtest.NewNetwork(1))
	meet(a, b)
	run(t, a, relay, b)
	forge := func(payload []byte) {
		t.Helper()
		w := relay.borrow()
		defer relay.giveBack(w)
		if err := w.sendTransit(fabric.Transit{HopLimit: 9, Kind: fabric.TransitTraceReply, Egress: a.id, Ingress: b.id, Payload: payload}); err != nil {
			t.Fatal(err)
		}
	}
	session := b.sessions.Load().byEgress[a.id]
	seal := func(said string) []byte {
		frame := make([]byte, fabric.HopHeaderLen)
		fabric.HopHeader{HopLimit: 1, Egress: a.id, Ingress: b.id}.Put(frame)
		return must(session.Seal(frame, 0, []byte(said)))
	}
	said := []byte("\x00\x04true")
	bad := seal("true")
	bad[len(bad)-1]++
	forge(slices.Concat(said, bad))
	dropped(t, a, DropForged, 1)
	forge(slices.Concat(said, []byte("short")))
	dropped(t, a, DropForged, 2)
	forge(slices.Concat(said, seal("else")))
	dropped(t, a, DropForged, 3)
	good := seal("true")
	forge(slices.Concat(said, good))
	if got := answer(t, a); !got.Proven || string(got.Payload) != "true" {
		t.Errorf("%+v", got)
	}
	forge(slices.Concat(said, good)) // replayed
	dropped(t, a, DropForged, 4)
	forge(said)
	if got := answer(t, a); got.Proven {
		t.Errorf("the relay speaks for b: %+v", got)
	}
	forge([]byte{0})
	forge([]byte("\x00\x09true"))
	dropped(t, a, DropTransit, 2)
}

// A node that restarted does not know the session by which others prove themselves: it
// hears them nevertheless, and they hear of it.
func TestAnAnswerByAForgottenSessionIsAHint(t *testing.T) {
	a, relay, b := line(t, hwtest.NewNetwork(1))
	meet(a, b)
	run(t, a, relay, b)
	a.RetireSession(a.sessions.Load().byEgress[b.id].LocalIndex())
	for _, x := range []*node{b, relay} {
		if err := x.SendAnswer(a.id, []byte("me")); err != nil {
			t.Fatal(err)
		}
		if got := answer(t, a); got.Proven != (x == relay) || string(got.Payload) != "me" {
			t.Errorf("%+v", got)
		}
	}
	eventually(t, "the other one is told", func() bool { return len(b.unknown) == 1 })
	b.WantSession(relay.id)
	b.WantSession(a.id) // it has one, and was told of it a moment ago
	if len(b.wanted) != 1 || len(b.unknown) != 1 {
		t.Errorf("%d sessions are wanted, %d not known", len(b.wanted), len(b.unknown))
	}
}

func TestProbesAreAnsweredAtABoundedRate(t *testing.T) {
	a, relay, b := line(t, hwtest.NewNetwork(1))
	run(t, a, relay, b)
	for range 2 * traceBurst {
		if err := a.SendProbe(b.id, 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "probes beyond the burst are dropped", func() bool { return relay.drops[DropTransitRate].Load() >= traceBurst/2 })
	if n := len(relay.probes); n < traceBurst {
		t.Errorf("%d of %d probes came up, the burst is %d", n, 2*traceBurst, traceBurst)
	}
}
