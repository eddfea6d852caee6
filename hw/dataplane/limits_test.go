package dataplane

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"re6st/hw/hwtest"
	"re6st/hw/sock"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
	"re6st/tsn/class"
)

func TestNarrowLinksSplitSmallPacketsAndRefuseLargeOnes(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, b := line(t, net)
	meet(a, b)
	longest := 0
	net.Tap(func(d hwtest.Datagram) { longest = max(longest, len(d.Data)) })
	a.SetLinkMTU(2, 1340)
	relay.SetLinkMTU(3, 700)
	run(t, a, relay, b)
	small := packet(host(general, 1), host(general, 3), strings.Repeat("s", ipv6MinMTU-ipv6HeaderLen))
	if got := comes(t, a, b, small); !bytes.Equal(got, small) {
		t.Errorf("%d bytes came of %d", len(got), len(small))
	}
	if longest > 1340 {
		t.Errorf("longest datagram %d", longest)
	}
	eventually(t, "split at both", func() bool { return a.Stats().Split > 0 && relay.Stats().Split > 0 })
	large := packet(host(general, 1), host(general, 3), strings.Repeat("l", 1380-ipv6HeaderLen))
	a.tun.Inject(large)
	e := out(t, a)
	if mtu := int(e[46])<<8 | int(e[47]); e[40] != icmpTooBig || mtu != ipv6MinMTU || len(e) != ipv6MinMTU {
		t.Errorf("type %d, MTU %d, %d bytes", e[40], mtu, len(e))
	}
	a.SetLinkMTU(2, 0)
	a.tun.Inject(large)
	// The ingress may ask whether that is so, by another that is as long.
	eventually(t, "refused", func() bool { return relay.drops[DropTooBig].Load() >= 1 })
	eventually(t, "the link counts it", func() bool { s, _ := relay.LinkStats(3); return s.Dropped >= 1 })
	eventually(t, "the ingress was told", func() bool { return a.Stats().RelayErrors >= 1 })
}

func TestHandshakesOfStrangersAreBoundedBeforeTheyCostAnything(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, _ := line(t, net)
	relay.marked = func(datagram []byte) bool { return datagram[1] == 'm' }
	w := relay.newWorker(maxFrame)
	now := time.Now()
	take := func(kind fabric.Type, mark byte, times int) (taken int) {
		for range times {
			w.fromConn(&sock.Packet{Data: []byte{fabric.FirstByte(kind), mark}, Addr: a.at, At: now})
			for len(relay.Handshakes()) > 0 {
				<-relay.Handshakes()
				taken++
			}
		}
		return taken
	}
	if n := take(fabric.TypeInitiation, 'x', 2*callBurst); n != 0 || relay.Stats().Drops[DropHandshakeMAC] != 2*callBurst {
		t.Errorf("%d without the network's mark were taken, dropped %v", n, relay.Stats().Drops)
	}
	if n := take(fabric.TypeInitiation, 'm', callBurst+7); n != callBurst || relay.Stats().Drops[DropHandshakeRate] != 7 {
		t.Errorf("%d were taken at once, want %d; dropped %v", n, callBurst, relay.Stats().Drops)
	}
	// What this node's own handshakes wait for has an allowance apart.
	if n := take(fabric.TypeResponse, 'x', answerBurst+7); n != answerBurst || relay.Stats().Drops[DropHandshakeRate] != 14 {
		t.Errorf("%d answers were taken at once, want %d; dropped %v", n, answerBurst, relay.Stats().Drops)
	}
	now = now.Add(time.Second)
	if n := take(fabric.TypeInitiation, 'm', 2*callRate); n != min(callRate, callBurst) {
		t.Errorf("%d were taken a second later, want %d", n, min(callRate, callBurst))
	}
}

func TestWhatWaitsInVainIsAnsweredAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := hwtest.NewNetwork(1)
		a, _, b := line(t, net)
		run(t, a)
		first := packet(host(general, 1), host(general, 3), "first")
		a.tun.Inject(first)
		synctest.Wait()
		if len(a.Wanted()) != 1 || <-a.Wanted() != b.id {
			t.Fatal("not asked for")
		}
		time.Sleep(askAgain)
		a.tun.Inject(packet(host(general, 1), host(general, 3), "second"))
		synctest.Wait()
		if len(a.Wanted()) != 1 {
			t.Error("not asked for again")
		}
		time.Sleep(waitingTimeout)
		synctest.Wait()
		if n := a.drops[DropQueueTimeout].Load(); n != 2 || a.Stats().Waiting != (Count{}) {
			t.Errorf("%d timed out, waiting %+v", n, a.Stats().Waiting)
		}
		e := <-a.tun.Out()
		if e[40] != icmpUnreachable || e[41] != codeAddressUnreachable || !bytes.HasSuffix(e, []byte("second")) {
			t.Errorf("% x", e)
		}
	})
}

func TestWaitingIsBoundedInAll(t *testing.T) {
	w := newWaiting()
	now := time.Unix(1_800_000_000, 0)
	full := make([]byte, 1000)
	for d := range uint64(maxWaiting) {
		for range 3 {
			w.put(now, nodeID(d+1), full)
		}
	}
	if c := w.count(); c.Bytes > maxAllWaiting || c.Bytes < maxAllWaiting-uint64(len(full)) {
		t.Errorf("%+v", c)
	}
	if ask, dropped := w.put(now, nodeID(maxWaiting+1), full); ask || dropped != 1 {
		t.Errorf("one destination too many: asked %v, dropped %d", ask, dropped)
	}
	for d := range uint64(maxWaiting) {
		w.take(nodeID(d + 1))
	}
	if c := w.count(); c != (Count{}) {
		t.Errorf("left over: %+v", c)
	}
}

func TestANetworkMayHaveLessWaitForASession(t *testing.T) {
	w := newWaiting()
	now := time.Unix(1_800_000_000, 0)
	full := make([]byte, 1000)
	put := func(times int) {
		for range times {
			w.put(now, nodeID(1), full)
		}
	}
	put(50)
	w.setLimit(10_500)
	put(1)
	if c := w.count(); c != (Count{Packets: 10, Bytes: 10_000}) {
		t.Errorf("%+v wait, of 10,500 bytes", c)
	}
	w.setLimit(10 * maxWaitingBytes)
	put(200)
	if c := w.count(); c.Packets != maxWaitingBytes/1000 {
		t.Errorf("%+v wait", c)
	}
}

func TestLimiterForgetsWhoRestsAndRefusesTooMany(t *testing.T) {
	l := newLimiter[int](10, 2)
	now := time.Unix(1_800_000_000, 0)
	for i, want := range []bool{true, true, false} {
		if l.allow(now, 1) != want {
			t.Errorf("event %d: want %v", i, want)
		}
	}
	if !l.allow(now.Add(100*time.Millisecond), 1) || l.allow(now.Add(100*time.Millisecond), 1) {
		t.Error("a tenth of a second is one event")
	}
	for k := range maxBuckets {
		l.allow(now, k)
	}
	if l.allow(now, -1) {
		t.Error("more keys than the limit")
	}
	if later := now.Add(time.Minute); !l.allow(later, -1) || len(l.buckets) > 1 {
		t.Errorf("%d keys are kept that rest", len(l.buckets))
	}
	if l.allow(now.Add(-time.Hour), -1); l.buckets[-1].tokens > 2 {
		t.Error("a step back of the clock made tokens")
	}
}

func TestStrictTopologyIsTakenWhileItReaches(t *testing.T) {
	const strict = rib.Topology(1)
	net := hwtest.NewNetwork(1)
	a, relay, b := line(t, net)
	a.strict = map[class.ID]rib.Topology{safety.ID: strict}
	locator := func(link rib.LinkID) rib.Route {
		return rib.Route{
			Topology: strict, Prefix: netip.PrefixFrom(addr.Locator(locators, b.id), 128), Egress: b.id, NextHop: rib.NextHop{Link: link},
		}
	}
	topologies := make(chan uint8, 10)
	net.Tap(func(d hwtest.Datagram) {
		if h, err := fabric.ParseHop(d.Data); err == nil {
			topologies <- h.Topology
		}
	})
	for x, link := range map[*node]rib.LinkID{a: 2, relay: 3} {
		if _, _, err := x.table.Offer(x.start, rib.OriginBabel, locator(link)); err != nil {
			t.Fatal(err)
		}
		x.SetView(x.table.View())
	}
	meet(a, b)
	run(t, a, relay, b)
	expect := func(c class.Class, want rib.Topology) {
		t.Helper()
		a.tun.Inject(packet(host(c, 1), host(c, 3), "x"))
		out(t, b)
		for hop := range 2 {
			if got := rib.Topology(<-topologies); got != want {
				t.Errorf("%s, hop %d: topology %d, want %d", c.Name, hop, got, want)
			}
		}
	}
	expect(safety, strict)
	expect(general, 0)
	a.table.Withdraw(rib.OriginBabel, locator(2).Key())
	a.SetView(a.table.View())
	expect(safety, 0)
}

func TestRekeyLosesNothing(t *testing.T) {
	a, relay, b := metLine(t)
	run(t, a, relay, b)
	expect := func(x, y *node, payload string) {
		t.Helper()
		x.tun.Inject(packet(host(general, x.n), host(general, y.n), payload))
		if p := out(t, y); string(p[40:]) != payload {
			t.Errorf("%q came in the place of %q", p[40:], payload)
		}
	}
	expect(a, b, "old keys")
	oldLink, oldSession := a.links.Load().byID[2].session.Load(), a.sessions.Load().byEgress[b.id]
	kx, ky := newKeys()
	ia, ir := a.NewIndex(), relay.NewIndex()
	la, lr := must(fabric.NewLinkSession(fabric.AESGCM, kx, ia, ir)), must(fabric.NewLinkSession(fabric.AESGCM, ky, ir, ia))
	sa, sb := newPair(a, b)
	a.InstallLink(2, la)
	relay.InstallLink(1, lr)
	a.InstallSession(sa)
	b.InstallSession(sb)
	a.UseLink(2, la)
	a.UseSession(sa)
	expect(a, b, "new keys one way") // and the old ones back
	expect(b, a, "old keys back")
	relay.UseLink(1, lr)
	b.UseSession(sb)
	a.RetireLink(oldLink.LocalIndex())
	a.RetireSession(oldSession.LocalIndex())
	expect(b, a, "new keys")
	expect(a, b, "new keys too")
	a.RetireSession(sa.LocalIndex())
	a.tun.Inject(packet(host(general, 1), host(general, 3), "x"))
	if egress := <-a.Wanted(); egress != b.id {
		t.Errorf("asked for %s", egress)
	}
}

func TestControlAndHandshakesFromANewAddressGoUpAndMoveNothing(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, _ := line(t, net)
	run(t, a, relay)
	moved := netip.AddrPortFrom(a.at.Addr(), 99)
	if err := a.conn.Move(moved); err != nil {
		t.Fatal(err)
	}
	if err := a.SendControl(2, fabric.ControlProbe, nil); err != nil {
		t.Fatal(err)
	}
	if c := <-relay.control; c.Path.Remote != moved || c.Path.Local.Addr != relay.at.Addr() {
		t.Errorf("by %v", c.Path)
	}
	if s, _ := relay.LinkStats(1); s.Remote != a.at {
		t.Errorf("the link moved to %s by itself", s.Remote)
	}
	if err := relay.SendControlBy(1, fabric.Path{Remote: moved}, fabric.ControlPathChallenge, []byte("challenge")); err != nil {
		t.Fatal(err)
	}
	if c := <-a.control; c.Kind != fabric.ControlPathChallenge {
		t.Errorf("%+v", c)
	}
	if err := relay.SendControlBy(1, fabric.Path{Remote: netip.AddrPortFrom(host(general, 1), 1)}, fabric.ControlPathChallenge, nil); !errors.Is(err, ErrRemote) {
		t.Errorf("a challenge into the mesh: %v", err)
	}
	relay.SetPath(1, fabric.Path{Remote: moved})
	if err := relay.SendControl(1, fabric.ControlProbe, nil); err != nil {
		t.Fatal(err)
	}
	<-a.control
	relay.SetPath(1, fabric.Path{Remote: netip.AddrPortFrom(host(general, 1), 1)})
	if s, _ := relay.LinkStats(1); s.Remote != moved {
		t.Errorf("the link was moved into the mesh, to %s", s.Remote)
	}
	if err := a.Send(fabric.Path{Remote: netip.AddrPortFrom(host(general, 2), 1)}, []byte{0x11}); !errors.Is(err, ErrRemote) {
		t.Errorf("a handshake into the mesh: %v", err)
	}
	if err := a.Send(fabric.Path{Remote: relay.at}, []byte{fabric.FirstByte(fabric.TypeInitiation), 1, 2}); err != nil {
		t.Fatal(err)
	}
	if h := <-relay.Handshakes(); h.Path.Remote != moved || h.Path.Local.Addr != relay.at.Addr() || len(h.Datagram) != 3 || h.At.IsZero() {
		t.Errorf("%+v", h)
	}
	for range handshakeQueue + 5 {
		if err := a.Send(fabric.Path{Remote: relay.at}, []byte{fabric.FirstByte(fabric.TypeInitiation)}); err != nil {
			t.Fatal(err)
		}
	}
	dropped(t, relay, DropHandshakeFull, 5)
}

func TestCallsAboutLinksThatAreNotReadyFail(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, _, b := line(t, net)
	control := func(id rib.LinkID) error { return a.SendControl(id, fabric.ControlProbe, nil) }
	if err := control(7); !errors.Is(err, ErrNoLink) {
		t.Errorf("no link: %v", err)
	}
	a.AddLink(7, b.id, netip.AddrPortFrom(host(general, 3), 1), nil) // inside the mesh is nowhere
	if err := control(7); !errors.Is(err, ErrNoKeys) {
		t.Errorf("no keys: %v", err)
	}
	k, _ := newKeys()
	s := must(fabric.NewLinkSession(fabric.AESGCM, k, a.NewIndex(), 1))
	a.InstallLink(7, s)
	a.UseLink(7, s)
	if err := control(7); !errors.Is(err, ErrNoRemote) {
		t.Errorf("no remote: %v", err)
	}
	a.SetPath(7, fabric.Path{Remote: b.at})
	if err := a.SendControl(7, fabric.ControlProbe, make([]byte, maxFrame)); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long: %v", err)
	}
	if err := control(7); err != nil {
		t.Error(err)
	}
	a.AddLink(7, b.id, b.at, nil) // its actor restarted
	if err := control(7); err != nil {
		t.Errorf("added again: %v", err)
	}
	a.RetireLink(s.LocalIndex())
	if err := control(7); !errors.Is(err, ErrNoKeys) {
		t.Errorf("retired: %v", err)
	}
	a.AddLink(8, b.id, b.at, nil)
	a.RemoveLink(8)
	if l := a.links.Load().byPeer[b.id]; l == nil || l.id != 7 {
		t.Error("the peer's other link is not found any more")
	}
	a.RemoveLink(7)
	a.RemoveLink(7)
	if err := control(7); !errors.Is(err, ErrNoLink) {
		t.Errorf("removed: %v", err)
	}
}

func TestRunAfterCloseIsNoError(t *testing.T) {
	x := newNode(t, hwtest.NewNetwork(1), 1)
	x.Close()
	if err := x.Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRunEndsWithItsDevicesAndItsContext(t *testing.T) {
	net := hwtest.NewNetwork(1)
	for name, end := range map[string]struct {
		how  func(x *node, cancel func())
		fine bool
	}{
		"context": {func(_ *node, cancel func()) { cancel() }, true},
		"close":   {func(x *node, _ func()) { x.Close() }, true},
		"TUN":     {func(x *node, _ func()) { _ = x.tun.Close() }, false},
		"socket":  {func(x *node, _ func()) { _ = x.conn.Close() }, false},
	} {
		x := newNode(t, net, 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- x.Run(ctx) }()
		end.how(x, cancel)
		if err := <-done; (err == nil) != end.fine {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := x.tun.Write(nil); err == nil {
			t.Errorf("%s: the TUN is still open", name)
		}
		x.Close()
		cancel()
	}
}

func TestBadConfigurationIsNamed(t *testing.T) {
	net := hwtest.NewNetwork(1)
	x := newNode(t, net, 1)
	good := Config{Self: x.id, TUN: x.tun, Conn: x.conn, Classes: *x.classes.Load(), Accept: x.accept}
	for name, change := range map[string]func(*Config){
		"self": func(c *Config) { c.Self = addr.NodeID{} }, "TUN": func(c *Config) { c.TUN = nil },
		"conn": func(c *Config) { c.Conn = nil }, "accept": func(c *Config) { c.Accept = nil },
		"classes": func(c *Config) { c.Classes = class.Table{} },
		"MTU":     func(c *Config) { c.TUN = hwtest.NewTUN("mesh", maxFrame) },
	} {
		c := good
		change(&c)
		if _, err := New(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIndicesAreUnique(t *testing.T) {
	net := hwtest.NewNetwork(1)
	x := newNode(t, net, 1)
	seen := map[uint32]bool{}
	for range maxReserved + 100 {
		i := x.NewIndex()
		if i == 0 || seen[i] {
			t.Fatalf("index %d", i)
		}
		seen[i] = true
	}
	if len(x.reserved.taken) != maxReserved {
		t.Errorf("%d indices are reserved", len(x.reserved.taken))
	}
}

func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range reasonCount {
		if b, _ := r.MarshalText(); len(b) == 0 || seen[string(b)] {
			t.Errorf("reason %d is called %q", r, b)
		}
		seen[r.String()] = true
	}
}
