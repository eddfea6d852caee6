package dataplane

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"re6st/hw/hwtest"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
)

// full is an inner packet of the TUN's MTU from node 1 to node 3.
func full() []byte {
	return packet(host(general, 1), host(general, 3), strings.Repeat("x", 1380-ipv6HeaderLen))
}

// knows waits until a node knows what the path to node 3 carries, and 0 where no less than
// the link does.
func knows(t *testing.T, x *node, mtu int) {
	t.Helper()
	eventually(t, "the path's MTU", func() bool { return x.narrowed(pathTo{0, nodeID(3)}, x.links.Load().byID[2]) == mtu })
}

func TestTheSenderHearsThatALinkBeyondIsNarrow(t *testing.T) {
	a, relay, b := metLine(t)
	relay.SetLinkMTU(3, 1392)
	run(t, a, relay, b)
	p := full()
	a.tun.Inject(p)
	if mtu := tooBigSaid(t, a, p); mtu != 1392-fabric.Overhead {
		t.Errorf("MTU %d named", mtu)
	}
	a.tun.Inject(p) // refused here from now on
	if mtu := tooBigSaid(t, a, p); mtu != 1392-fabric.Overhead {
		t.Errorf("MTU %d named", mtu)
	}
	fits := p[:1392-fabric.Overhead]
	fits[4], fits[5] = byte((len(fits)-ipv6HeaderLen)>>8), byte(len(fits)-ipv6HeaderLen)
	a.tun.Inject(fits)
	if got := out(t, b); len(got) != len(fits) {
		t.Errorf("%d bytes came, want %d", len(got), len(fits))
	}
}

// Also without a packet more: a TCP would send that by its timer only.
func TestTheSenderHearsThatALinkBeyondGotNarrower(t *testing.T) {
	a, relay, b := metLine(t)
	run(t, a, relay, b)
	p := full()
	a.tun.Inject(p)
	out(t, b)
	relay.SetLinkMTU(3, 1212)
	if mtu := tooBigSaid(t, a, p); mtu != ipv6MinMTU {
		t.Errorf("MTU %d named, want none under IPv6's least", mtu)
	}
}

// claimTooBig has node 2 say of a frame of a's that its next link carries so little.
func claimTooBig(a, relay *node, mtu uint16) {
	frame := make([]byte, fabric.HopHeaderLen, 200)
	fabric.HopHeader{HopLimit: 9, Egress: nodeID(3), Ingress: a.id}.Put(frame)
	session := a.sessions.Load().byEgress[nodeID(3)]
	sealed := must(session.Seal(frame, 0, make([]byte, 20)))
	e := must(fabric.NewRelayError(fabric.RelayTooBig, mtu, sealed))
	w := relay.borrow()
	defer relay.giveBack(w)
	if err := w.sendTransit(fabric.Transit{HopLimit: 9, Kind: fabric.TransitRelayError, Egress: a.id, Ingress: relay.id, Payload: e.Append(nil)}); err != nil {
		panic(err)
	}
}

func TestALieAboutAPathIsFoundOut(t *testing.T) {
	a, relay, b := metLine(t)
	run(t, a, relay, b)
	claimTooBig(a, relay, 1290)
	eventually(t, "asked, and answered", func() bool { s, _ := a.LinkStats(2); return a.Stats().RelayErrors == 1 && s.Received.Packets >= 3 })
	eventually(t, "it was no hint", func() bool { a.paths.mu.Lock(); defer a.paths.mu.Unlock(); return len(a.paths.asked) == 0 })
	knows(t, a, 0)
}

func TestNoHintNamesLessThanIPv6Has(t *testing.T) {
	a, relay, b := metLine(t)
	relay.SetLinkMTU(3, ipv6MinMTU+fabric.Overhead) // what the relay itself says of the probe may come late, and is no less then
	run(t, a, relay, b)
	claimTooBig(a, relay, 500)
	knows(t, a, ipv6MinMTU)
}

func TestHintsOfFramesThatWereNeverSentAreNone(t *testing.T) {
	a, _, b := metLine(t)
	session := a.sessions.Load().byEgress[b.id]
	w := a.newWorker(maxFrame)
	e := fabric.RelayError{Code: fabric.RelayTooBig, MTU: 1300, Session: fabric.SessionHeader{Index: session.RemoteIndex(), Counter: 5}, Egress: b.id, Ingress: a.id}
	w.hintTooBig(e, session, time.Now())
	if len(a.paths.asked) != 0 {
		t.Error("it was looked into")
	}
}

func TestWhatAPathCarriesIsForgotten(t *testing.T) {
	a, relay, b := metLine(t)
	relay.SetLinkMTU(3, 1392)
	run(t, a, relay, b)
	a.tun.Inject(full())
	knows(t, a, 1392-fabric.Overhead)
	w := a.newWorker(maxFrame)
	w.forgetPaths(time.Now().Add(pathRaiseAfter / 2))
	knows(t, a, 1392-fabric.Overhead)
	w.forgetPaths(time.Now().Add(pathRaiseAfter + time.Minute))
	knows(t, a, 0)
	a.tun.Inject(full())
	knows(t, a, 1392-fabric.Overhead)
	join(a, b)
	route(a, 3, 3) // another link leads there
	if n := a.narrowed(pathTo{0, b.id}, a.links.Load().byID[3]); n != 0 {
		t.Errorf("the path by another link is said to carry %d", n)
	}
	w.forgetPaths(time.Now())
	knows(t, a, 0)
}

// A class may have a topology of its own, which leads by another link.
func TestEachTopologyHasItsPath(t *testing.T) {
	const strict = 1
	net := hwtest.NewNetwork(1)
	a, _, b := line(t, net)
	join(a, b)
	meet(a, b)
	lead := func(link rib.LinkID) {
		t.Helper()
		_, _, err := a.table.Offer(time.Now(), rib.OriginBabel, rib.Route{
			Topology: strict, Prefix: netip.PrefixFrom(addr.Locator(locators, b.id), 128), Egress: b.id, NextHop: rib.NextHop{Link: link},
		})
		if err != nil {
			t.Fatal(err)
		}
		a.SetView(a.table.View())
	}
	lead(3)
	w, now := a.newWorker(maxFrame), time.Now()
	session := a.sessions.Load().byEgress[b.id]
	must(session.Seal(make([]byte, fabric.HopHeaderLen, 200), 0, make([]byte, 20)))
	hint := func(topology uint8, mtu uint16) {
		w.hintTooBig(fabric.RelayError{
			Code: fabric.RelayTooBig, MTU: mtu, Session: fabric.SessionHeader{Index: session.RemoteIndex()}, Topology: topology, Egress: b.id, Ingress: a.id,
		}, session, now)
		w.sessionMessage(b.id, fabric.PathProbe{Answer: true, Token: a.paths.token}.Append(nil, 0), fabric.HopHeader{Topology: topology}, now)
	}
	known := func(ordinary, other int) {
		t.Helper()
		links := a.links.Load().byID
		if x, y := a.narrowed(pathTo{0, b.id}, links[2]), a.narrowed(pathTo{strict, b.id}, links[3]); x != ordinary || y != other {
			t.Errorf("%d and %d are known, want %d and %d", x, y, ordinary, other)
		}
	}
	hint(0, 1300)
	hint(strict, 1320)
	hint(7, 1290) // of which there is no route
	if n := len(a.paths.asked); n != 2 {
		t.Errorf("%d hints are looked into", n)
	}
	known(1300, 1320)
	w.forgetPaths(now)
	known(1300, 1320)
	lead(2)
	w.forgetPaths(now)
	known(1300, 0)
}

func TestPathProbesAreAnsweredAtABoundedRate(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, b := newNode(t, net, 1), newNode(t, net, 2)
	join(a, b)
	meet(a, b)
	w, now := b.newWorker(maxFrame), time.Now()
	for range 2 * pathBurst {
		w.sessionMessage(a.id, fabric.PathProbe{Token: 2}.Append(nil, 0), fabric.HopHeader{}, now)
	}
	if n := b.drops[DropTransitRate].Load(); n != pathBurst {
		t.Errorf("%d were not answered, want %d", n, pathBurst)
	}
	w.sessionMessage(a.id, []byte{0, 99}, fabric.HopHeader{}, now)
	w.sessionMessage(a.id, fabric.PathProbe{Answer: true, Token: 2}.Append(nil, 0), fabric.HopHeader{}, now) // never asked
	if n := b.drops[DropMalformed].Load(); n != 1 || b.narrowed(pathTo{0, a.id}, b.links.Load().byID[1]) != 0 {
		t.Errorf("%d malformed", n)
	}
}

func TestNarrowPathsAreBounded(t *testing.T) {
	a, _, b := metLine(t)
	session := a.sessions.Load().byEgress[b.id]
	must(session.Seal(make([]byte, fabric.HopHeaderLen, 200), 0, make([]byte, 20)))
	a.paths.asked = map[pathTo]asked{}
	for i := range uint64(maxNarrow) {
		a.paths.asked[pathTo{0, nodeID(1000 + i)}] = asked{narrowPath: narrowPath{by: rib.LinkID(2)}}
	}
	w := a.newWorker(maxFrame)
	e := fabric.RelayError{Code: fabric.RelayTooBig, MTU: 1300, Session: fabric.SessionHeader{Index: session.RemoteIndex()}, Egress: b.id, Ingress: a.id}
	w.hintTooBig(e, session, time.Now())
	if len(a.paths.asked) != maxNarrow {
		t.Errorf("%d hints are looked into", len(a.paths.asked))
	}
}
