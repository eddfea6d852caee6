package dataplane

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"re6st/hw/hwtest"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
	"re6st/tsn/class"
)

func TestPacketsOfTheEndsCrossARelayThatNeverSeesThem(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, b := line(t, net)
	var mu sync.Mutex
	var wire []hwtest.Datagram
	net.Tap(func(d hwtest.Datagram) {
		mu.Lock()
		defer mu.Unlock()
		d.Data = bytes.Clone(d.Data)
		wire = append(wire, d)
	})
	meet(a, b)
	run(t, a, relay, b)
	secret := strings.Repeat("plaintext of the ends ", 20)
	for i, c := range []class.Class{general, safety} {
		there, back := packet(host(c, 1), host(c, 3), secret), packet(host(c, 3), host(c, 1), "answer")
		a.tun.Inject(there)
		if got := out(t, b); !bytes.Equal(got, there) {
			t.Errorf("%s: %q", c.Name, got)
		}
		b.tun.Inject(back)
		if got := out(t, a); !bytes.Equal(got, back) {
			t.Errorf("%s: %q", c.Name, got)
		}
		eventually(t, "relayed", func() bool { return relay.Stats().Relayed.Packets == uint64(2*i+2) })
	}
	mu.Lock()
	defer mu.Unlock()
	if len(wire) != 8 {
		t.Errorf("%d datagrams for 4 packets of 2 hops", len(wire))
	}
	for i, d := range wire {
		if bytes.Contains(d.Data, []byte("plaintext")) || bytes.Contains(d.Data, []byte("answer")) {
			t.Errorf("datagram %d shows the packet: %q", i, d.Data)
		}
		want := general.DSCP
		if i >= 4 {
			want = safety.DSCP
		}
		if d.TOS != want<<2 {
			t.Errorf("datagram %d has DSCP %d, its class has %d", i, d.TOS>>2, want)
		}
	}
	if len(relay.tun.Out()) != 0 || relay.Stats().Egress.Packets != 0 {
		t.Error("the relay's kernel saw a packet")
	}
	for _, x := range []*node{a, relay, b} {
		if s := x.Stats(); len(s.Drops) != 0 {
			t.Errorf("node %d dropped: %v", x.n, s.Drops)
		}
	}
}

func TestLinkStatsTellLifeAndUse(t *testing.T) {
	a, relay, b := metLine(t)
	run(t, a, relay, b)
	if err := a.SendControl(2, fabric.ControlProbe, []byte("probe")); err != nil {
		t.Fatal(err)
	}
	c := <-relay.control
	if c.Link != 1 || c.Kind != fabric.ControlProbe || string(c.Body) != "probe" || c.Path.Remote != a.at || c.Path.Local.Addr != relay.at.Addr() || c.At.IsZero() {
		t.Errorf("%+v", c)
	}
	s, ok := relay.LinkStats(1)
	if !ok || s.Peer != a.id || s.Remote != a.at || s.Received.Packets != 1 || s.LastReceived.IsZero() || !s.LastData.IsZero() {
		t.Errorf("after control: %+v", s)
	}
	if s, _ := a.LinkStats(2); s.Sent.Packets != 1 || s.Sent.Bytes != uint64(fabric.ControlOverhead+5) || !s.LastData.IsZero() {
		t.Errorf("the sender: %+v", s)
	}
	a.tun.Inject(packet(host(general, 1), host(general, 3), "data"))
	out(t, b)
	for id, x := range map[rib.LinkID]*node{1: relay, 3: relay, 2: a} {
		eventually(t, fmt.Sprintf("node %d tells that link %d is in use", x.n, id), func() bool { s, _ := x.LinkStats(id); return !s.LastData.IsZero() })
	}
	if _, ok := a.LinkStats(9); ok {
		t.Error("a link that is not there has statistics")
	}
}

func TestForgedReplayedAndTamperedFramesAreCountedAndDropped(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, b := line(t, net)
	frames := make(chan hwtest.Datagram, 10)
	net.Tap(func(d hwtest.Datagram) {
		d.Data = bytes.Clone(d.Data)
		frames <- d
	})
	meet(a, b)
	run(t, a, relay, b)
	a.tun.Inject(packet(host(general, 1), host(general, 3), "once"))
	out(t, b)
	first, second := <-frames, <-frames
	net.Tap(nil)
	send := func(d hwtest.Datagram, change func([]byte)) {
		d.Data = bytes.Clone(d.Data)
		change(d.Data)
		net.Inject(d)
	}
	send(first, func([]byte) {})
	dropped(t, relay, DropReplayedHop, 1)
	send(second, func([]byte) {})
	dropped(t, b, DropReplayedHop, 1)
	send(first, func(f []byte) { f[19] ^= 0xff }) // another counter, so that the window has not seen it
	dropped(t, relay, DropForgedHop, 1)
	send(first, func(f []byte) { f[19] ^= 0xff; f[3] = 200 }) // and a longer life
	dropped(t, relay, DropForgedHop, 2)
	eventually(t, "the link counts them", func() bool { s, _ := relay.LinkStats(1); return s.Dropped == 3 })
	send(first, func(f []byte) { f[8] ^= 1 })
	dropped(t, relay, DropUnknownLink, 1)
	send(first, func(f []byte) { f[0] = 0x40 })
	dropped(t, relay, DropUnknownType, 1)

	// A relay that tampers with the sealed packet, or repeats it, has valid keys.
	insider := relay.links.Load().byID[3].session.Load()
	tampered := bytes.Clone(second.Data)
	tampered[60] ^= 1
	tampered[55]++ // a counter that the session has not seen
	for i, c := range []struct {
		frame  []byte
		reason Reason
	}{{tampered, DropForged}, {bytes.Clone(second.Data), DropReplayed}} {
		if err := insider.StampHop(c.frame); err != nil {
			t.Fatal(err)
		}
		net.Inject(hwtest.Datagram{From: relay.at, To: b.at, Data: c.frame})
		dropped(t, b, c.reason, 1)
		if len(b.tun.Out()) != 0 {
			t.Errorf("frame %d reached the kernel", i)
		}
	}
	// A stranger's bad datagrams have no answer.
	if n := relay.conn.Stats().Sent; n != 1 {
		t.Errorf("the relay sent %d datagrams for one packet", n)
	}
}

func TestPacketsWaitForASession(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, b := line(t, net)
	run(t, a, relay, b)
	payload := strings.Repeat("x", 1000)
	const count, kept = 100, maxWaitingBytes / (1000 + ipv6HeaderLen)
	begin := time.Now()
	for i := range count {
		p := packet(host(general, 1), host(general, 3), payload)
		p[40] = byte(i)
		a.tun.Inject(p)
	}
	if egress := <-a.Wanted(); egress != b.id {
		t.Errorf("asked for %s", egress)
	}
	dropped(t, a, DropQueueFull, count-kept)
	if w := a.Stats().Waiting; w.Packets != kept || w.Bytes > maxWaitingBytes {
		t.Errorf("waiting: %+v", w)
	}
	if len(a.Wanted()) != 0 && time.Since(begin) < askAgain {
		t.Error("asked for again too soon")
	}
	meet(a, b)
	for i := count - kept; i < count; i++ { // the newest, in order
		if p := out(t, b); int(p[40]) != i {
			t.Fatalf("packet %d came in the place of %d", p[40], i)
		}
	}
	if w := a.Stats().Waiting; w != (Count{}) {
		t.Errorf("still waiting: %+v", w)
	}
	a.tun.Inject(packet(host(general, 1), host(general, 3), "next"))
	if p := out(t, b); string(p[40:]) != "next" {
		t.Errorf("%q", p)
	}
}

func TestWhatMustNotEnterTheMeshIsRefused(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, b := line(t, net)
	if _, _, err := a.table.Offer(a.start, rib.OriginLocal, rib.Route{Prefix: prefix(general, 1), Egress: a.id}); err != nil {
		t.Fatal(err)
	}
	unreachable := rib.Route{Prefix: prefix(general, 9), Egress: b.id, NextHop: rib.NextHop{Link: 2}, Unreachable: true}
	wayOut := rib.Route{Prefix: netip.MustParsePrefix("::/0"), Egress: b.id, NextHop: rib.NextHop{Link: 2}} // leads to no node
	for _, r := range []rib.Route{unreachable, wayOut} {
		if _, _, err := a.table.Offer(a.start, rib.OriginBabel, r); err != nil {
			t.Fatal(err)
		}
	}
	a.SetView(a.table.View())
	meet(a, b)
	run(t, a, relay, b)
	g1, g3 := host(general, 1), host(general, 3)
	ok := packet(g1, g3, "payload")
	change := func(f func([]byte) []byte) []byte { return f(bytes.Clone(ok)) }
	for i, c := range []struct {
		name   string
		packet []byte
		reason Reason
		icmp   int // type*256+code, or 0 for none
	}{
		{"another class's range", packet(g1, host(safety, 3), ""), DropClassMismatch, 0x101},
		{"nowhere", packet(g1, host(general, 8), ""), DropNoRoute, 0x100},
		{"a way just lost", packet(g1, host(general, 9), ""), DropNoRoute, 0x100},
		{"this node", packet(g1, host(general, 1), ""), DropLoop, 0},
		{"IPv4", change(func(b []byte) []byte { b[0] = 0x45; return b }), DropIPv4, 0},
		{"cut", ok[:len(ok)-1], DropMalformed, 0},
		{"half a header", ok[:39], DropMalformed, 0},
		{"a longer payload than it says", append(bytes.Clone(ok), 0), DropMalformed, 0},
		{"a group", packet(g1, netip.MustParseAddr("ff0e::1"), ""), DropNotUnicast, 0},
		{"a neighbor", packet(netip.MustParseAddr("fe80::1"), g3, ""), DropNotUnicast, 0},
		{"from nobody", packet(netip.IPv6Unspecified(), g3, ""), DropNotUnicast, 0},
		{"IPv4 in disguise", packet(g1, netip.MustParseAddr("::ffff:192.0.2.1"), ""), DropNotUnicast, 0},
	} {
		before := a.drops[c.reason].Load()
		a.tun.Inject(c.packet)
		dropped(t, a, c.reason, before+1)
		if c.icmp == 0 {
			if len(a.tun.Out()) != 0 {
				t.Errorf("%d, %s: answered", i, c.name)
			}
			continue
		}
		e := out(t, a)
		if got := int(e[40])<<8 | int(e[41]); got != c.icmp || icmpChecksum(e) != 0 || !bytes.Equal(e[48:], c.packet) {
			t.Errorf("%s: ICMPv6 %#x, sum %#x: % x", c.name, got, icmpChecksum(e), e)
		}
		if h, _, ok := parseInner(e); !ok || h.src != g1 || h.dst != g1 {
			t.Errorf("%s: error from %s to %s", c.name, h.src, h.dst)
		}
	}
	if n := a.conn.Stats().Sent; n != 0 {
		t.Errorf("%d datagrams left", n)
	}
}

func TestWhatIsForNowhereInTheMeshLeavesByTheGateway(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, b := line(t, net)
	if _, _, err := a.table.Offer(a.start, rib.OriginBabel, rib.Route{
		Prefix: netip.MustParsePrefix("::/0"), Egress: b.id, NextHop: rib.NextHop{Link: 2},
	}); err != nil {
		t.Fatal(err)
	}
	a.SetView(a.table.View())
	meet(a, b)
	run(t, a, relay, b)
	want := packet(host(general, 1), netip.MustParseAddr("2001:db8:ffff::2"), "out")
	a.tun.Inject(want)
	if got := out(t, b); !bytes.Equal(got, want) {
		t.Errorf("the gateway gave its kernel % x", got)
	}
}

func TestErrorsAreNotAnsweredAndAnswersAreLimited(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a := newNode(t, net, 1)
	run(t, a)
	nowhere := host(general, 8)
	icmp := func(typ byte) []byte {
		p := packet(host(general, 1), nowhere, string([]byte{typ, 0, 0, 0, 0, 0, 0, 0}))
		p[6] = protocolICMPv6
		return p
	}
	behindOptions := packet(host(general, 1), nowhere, string([]byte{protocolICMPv6, 0, 1, 4, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0}))
	behindOptions[6] = 60
	for i, p := range [][]byte{icmp(1), icmp(127), icmp(137), behindOptions} {
		a.tun.Inject(p)
		dropped(t, a, DropNoRoute, uint64(i+1))
	}
	if n := a.Stats().ICMP; n != 0 {
		t.Errorf("%d errors about errors", n)
	}
	const count = 10 * icmpBurst
	for range count {
		a.tun.Inject(icmp(128))
	}
	dropped(t, a, DropNoRoute, 4+count)
	if n := a.Stats().ICMP; n < icmpBurst || n > count/2 {
		t.Errorf("%d answers to %d packets, burst %d", n, count, icmpBurst)
	}
}

func TestEgressChecksBeforeTheKernelSees(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, b := line(t, net)
	sa, sb := newPair(a, b)
	b.InstallSession(sb)
	run(t, relay, b)
	link := a.links.Load().byID[2].session.Load()
	send := func(c class.Class, p []byte, ecn uint8) { // a member with a modified program
		frame := make([]byte, fabric.HopHeaderLen)
		fabric.HopHeader{Class: uint8(c.ID), HopLimit: 64, ECN: ecn, Egress: b.id, Ingress: a.id}.Put(frame)
		frame = must(sa.Seal(frame, uint8(c.ID), p))
		if err := link.StampHop(frame); err != nil {
			t.Fatal(err)
		}
		net.Inject(hwtest.Datagram{From: a.at, To: relay.at, Data: frame})
	}
	ok := packet(host(general, 1), host(general, 3), "x")
	send(general, packet(host(general, 2), host(general, 3), "x"), 0)
	dropped(t, b, DropSpoofed, 1)
	send(safety, ok, 0)
	dropped(t, b, DropClassMismatch, 1)
	send(safety, packet(host(general, 1), host(safety, 3), "x"), 0)
	dropped(t, b, DropClassMismatch, 2)
	send(general, ok[:20], 0)
	dropped(t, b, DropMalformed, 1)
	send(general, packet(host(general, 1), netip.MustParseAddr("ff0e::1"), "x"), 0)
	dropped(t, b, DropNotUnicast, 1)
	send(general, ok, fabric.ECNCE)
	dropped(t, b, DropECN, 1)
	if len(b.tun.Out()) != 0 {
		t.Error("one of them reached the kernel")
	}
	send(general, ok, 0)
	if got := out(t, b); !bytes.Equal(got, ok) {
		t.Errorf("%q", got)
	}
	setECN(ok, fabric.ECNECT0)
	send(general, ok, fabric.ECNCE)
	if h, _, _ := parseInner(out(t, b)); h.ecn != fabric.ECNCE {
		t.Errorf("ECN %b after congestion on the way", h.ecn)
	}
}

func TestECNOfTheUnderlayReachesTheInnerPacket(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, b := line(t, net)
	var once sync.Once
	meet(a, b)
	captured := make(chan hwtest.Datagram, 1)
	net.Tap(func(d hwtest.Datagram) {
		once.Do(func() {
			d.Data = bytes.Clone(d.Data)
			captured <- d
		})
	})
	net.Cut(a.at.Addr(), relay.at.Addr()) // the router takes it and marks it
	run(t, a, relay, b)
	p := packet(host(general, 1), host(general, 3), "x")
	setECN(p, fabric.ECNECT0)
	a.tun.Inject(p)
	d := <-captured
	if d.TOS&3 != fabric.ECNECT0 {
		t.Errorf("outer ECN %b", d.TOS&3)
	}
	net.Heal(a.at.Addr(), relay.at.Addr())
	d.TOS |= fabric.ECNCE
	net.Inject(d)
	if h, _, _ := parseInner(out(t, b)); h.ecn != fabric.ECNCE {
		t.Errorf("inner ECN %b", h.ecn)
	}
}

func TestUnknownSessionIsToldToTheIngressOnce(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, b := line(t, net)
	sa, _ := newPair(a, b) // b lost its half in a restart
	a.InstallSession(sa)
	a.UseSession(sa)
	run(t, a, relay, b)
	for range 5 {
		a.tun.Inject(packet(host(general, 1), host(general, 3), "x"))
	}
	if egress := <-a.UnknownSessions(); egress != b.id {
		t.Errorf("hint about %s", egress)
	}
	dropped(t, b, DropUnknownSession, 5)
	eventually(t, "all hints arrived", func() bool { return a.Stats().RelayErrors == 5 })
	if len(a.UnknownSessions()) != 0 {
		t.Error("more than one hint went up")
	}
	if a.sessions.Load().byEgress[b.id] != sa {
		t.Error("the session did not stay")
	}
}

func TestForgedHintsAreIgnored(t *testing.T) {
	a, relay, b := metLine(t)
	run(t, a, relay, b)
	index := a.sessions.Load().byEgress[b.id].RemoteIndex()
	good := fabric.RelayError{
		Code: fabric.RelayUnknownSession, Session: fabric.SessionHeader{Index: index}, Egress: b.id, Ingress: a.id,
	}
	send := func(from addr.NodeID, change func(*fabric.RelayError)) {
		e := good
		change(&e)
		body := fabric.Transit{HopLimit: 9, Kind: fabric.TransitRelayError, Egress: a.id, Ingress: from, Payload: e.Append(nil)}.Append(nil)
		if err := relay.SendControl(1, fabric.ControlTransit, body); err != nil {
			t.Fatal(err)
		}
	}
	send(b.id, func(e *fabric.RelayError) { e.Session.Index++ })
	send(b.id, func(e *fabric.RelayError) { e.Ingress = relay.id })
	send(b.id, func(e *fabric.RelayError) { e.Egress = nodeID(77) })
	send(b.id, func(e *fabric.RelayError) { e.Code = 99 })
	dropped(t, a, DropTransit, 4)
	send(relay.id, func(*fabric.RelayError) {}) // a relay cannot know
	eventually(t, "counted", func() bool { return a.Stats().RelayErrors == 1 })
	if len(a.UnknownSessions()) != 0 {
		t.Error("a forged hint went up")
	}
	send(b.id, func(*fabric.RelayError) {})
	if egress := <-a.UnknownSessions(); egress != b.id {
		t.Errorf("the real hint was about %s", egress)
	}
}

func TestRelaysTellWhyAFrameWentNoFurther(t *testing.T) {
	a, relay, b := metLine(t)
	relay.table.WithdrawAll(rib.OriginBabel)
	route(relay, 1, 1)
	route(relay, 3, 1) // a loop: back where it came from
	route(a, 3, 2)
	run(t, a, relay, b)
	bounce := func() { a.tun.Inject(packet(host(general, 1), host(general, 3), "x")) }
	bounce() // a relays what comes back, until the hop limit ends it
	eventually(t, "the loop died", func() bool {
		return a.drops[DropHopLimit].Load()+relay.drops[DropHopLimit].Load() == 1
	})
	eventually(t, "passed on as often as the hop limit allows", func() bool {
		return a.Stats().Relayed.Packets+relay.Stats().Relayed.Packets == fabric.InitialHopLimit-1
	})
	relay.table.WithdrawAll(rib.OriginBabel)
	relay.RemoveLink(3)
	route(relay, 1, 1)
	bounce()
	dropped(t, relay, DropNoRoute, 1)
	eventually(t, "the ingress was told", func() bool { return a.Stats().RelayErrors >= 1 })
}

func TestTransitMessagesAreForwardedAndLimited(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, b := line(t, net)
	run(t, a, relay, b)
	if err := a.SendTransit(b.id, []byte("handshake")); err != nil {
		t.Fatal(err)
	}
	m := <-b.Transits()
	if m.Ingress != a.id || m.Link != 2 || string(m.Payload) != "handshake" || m.At.IsZero() {
		t.Errorf("%+v", m)
	}
	if err := a.SendRendezvous(b.id, []byte("rendezvous")); err != nil {
		t.Fatal(err)
	}
	if m := <-b.Rendezvous(); m.Ingress != a.id || string(m.Payload) != "rendezvous" {
		t.Errorf("%+v", m)
	}
	if err := a.SendTransit(nodeID(77), nil); !errors.Is(err, ErrNoRoute) {
		t.Errorf("to nowhere: %v", err)
	}
	for range 2 * transitBurst {
		if err := a.SendTransit(b.id, []byte("flood")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the flood ends at the first relay", func() bool { return relay.drops[DropTransitRate].Load() >= transitBurst/2 })
	if err := relay.SendTransit(b.id, []byte("another's")); err != nil {
		t.Fatal(err)
	}
	for m = <-b.Transits(); m.Ingress == a.id; m = <-b.Transits() {
	}
	if string(m.Payload) != "another's" {
		t.Errorf("%+v", m)
	}
	for _, bad := range [][]byte{
		[]byte("short"),
		fabric.Transit{HopLimit: 9, Kind: fabric.TransitHandshake, Egress: b.id, Ingress: b.id}.Append(nil),
		fabric.Transit{HopLimit: 9, Kind: 77, Egress: b.id, Ingress: nodeID(50)}.Append(nil),
	} {
		before := b.drops[DropTransit].Load()
		if err := relay.SendControl(3, fabric.ControlTransit, bad); err != nil {
			t.Fatal(err)
		}
		dropped(t, b, DropTransit, before+1)
	}
	last := fabric.Transit{HopLimit: 1, Kind: fabric.TransitHandshake, Egress: b.id, Ingress: nodeID(51)}.Append(nil)
	if err := a.SendControl(2, fabric.ControlTransit, last); err != nil {
		t.Fatal(err)
	}
	dropped(t, relay, DropHopLimit, 1)
}
