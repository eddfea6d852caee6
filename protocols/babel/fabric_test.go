package babel_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// What is ours: fabric links, egresses, locators, and how a node comes and goes.

// greeting is what was sent in words, each TLV once.
func greeting(all []sent) (words []string) {
	for _, s := range all {
		word := ""
		switch tlv := s.tlv.(type) {
		case babel.Hello:
			word = "hello"
		case babel.IHU:
			word = "ihu"
		case babel.RouteRequest:
			word = "request"
		case babel.Update:
			word = "update " + tlv.Prefix.String()
		case babel.AckRequest:
			word = "ack?"
		}
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return words
}

func TestLinkUpGreetsAtOnce(t *testing.T) {
	b := newBench(t)
	own := locator(0, 0)
	if err := b.router.Originate(b.now, own, 0); err != nil {
		t.Fatal(err)
	}
	b.fabric(1)
	b.silent(1, 1)
	want := []string{"hello", "ihu", "request", "update " + own.Prefix.String(), "ack?"}
	if got := greeting(b.take()); !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestGreetingIsRepeatedUntilAcknowledged(t *testing.T) {
	b := newBench(t)
	own := locator(0, 0)
	if err := b.router.Originate(b.now, own, 0); err != nil {
		t.Fatal(err)
	}
	b.fabric(1)
	n := b.silent(1, 1)
	b.take()
	b.pass(300 * time.Millisecond)
	again := b.take()
	if len(updatesOf(again, 1, own)) != 1 {
		t.Fatalf("without acknowledgment: %+v", again)
	}
	b.say(n, babel.Ack{Opaque: of[babel.AckRequest](again)[0].Opaque})
	b.pass(3 * time.Second)
	if us := updatesOf(b.take(), 1, own); len(us) != 0 {
		t.Errorf("after it: %+v", us)
	}
}

func TestDeadLinkIsACostNow(t *testing.T) {
	b := newBench(t)
	b.fabric(1)
	b.fabric(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.say(n, update(1, 100))
	b.say(m, update(1, 150))
	b.want(n, 196)
	b.neighbors[n].HandleLink(b.now, false, 0)
	b.settle()
	b.want(m, 246)
	b.neighbors[m].HandleLink(b.now, false, 0)
	b.settle()
	b.wantNone()
	b.take()
	b.neighbors[n].HandleLink(b.now, true, 0)
	b.settle()
	b.want(n, 196) // what it said before still holds
	if got := of[babel.RouteRequest](b.take()); len(got) != 1 || got[0].Prefix.IsValid() {
		t.Errorf("what was missed is asked for: %+v", got)
	}
}

func TestLinkCostFollowsTheDelayButNotItsNoise(t *testing.T) {
	b := newBench(t)
	b.fabric(1)
	n := b.neighbor(1, 1)
	for _, c := range []struct {
		ms   int
		cost uint16
	}{{0, 96}, {5, 96}, {40, 136}, {49, 136}, {31, 136}, {28, 124}, {200, 296}, {240, 296}, {260, 356}, {5000, babel.MaxLinkCost}, {-3, 96}} {
		b.neighbors[n].HandleLink(b.now, true, time.Duration(c.ms)*time.Millisecond)
		if got := b.neighbors[n].Status().Cost; got != c.cost {
			t.Errorf("%d ms: cost %d, want %d", c.ms, got, c.cost)
		}
	}
}

func TestNeighborThatSaysItCannotHearIsNotUsed(t *testing.T) {
	b := newBench(t)
	b.fabric(1)
	n := b.neighbor(1, 1)
	b.say(n, update(1, 100), babel.IHU{Rxcost: babel.Infinity, Interval: 12 * time.Second})
	b.wantNone()
	b.pass(42 * time.Second)
	b.want(n, 196) // it said so long ago, and the fabric says the link lives
}

func TestUpdatesOverTheFabricAreChecked(t *testing.T) {
	for _, c := range []struct {
		name   string
		update func(*babel.Update)
		reason babel.Reason
	}{
		{"no egress", func(u *babel.Update) { u.Egress = addr.NodeID{} }, babel.RefusedEgress},
		{"metric 0 for another node", func(u *babel.Update) { u.Metric = 0 }, babel.RefusedForeign},
		{"locator of another node", func(u *babel.Update) { u.Prefix = locator(3, 0).Prefix }, babel.RefusedLocator},
		{"the range of locators", func(u *babel.Update) { u.Prefix = locators }, babel.RefusedLocator},
		{"locator for one source", func(u *babel.Update) {
			u.Prefix, u.Egress, u.Source = locator(3, 0).Prefix, nodeID(3), netip.MustParsePrefix("fd00::/8")
		}, babel.RefusedLocator},
		{"topology of other links", func(u *babel.Update) { u.Topology = 2 }, babel.RefusedTopology},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.fabric(1, 1)
			n := b.neighbor(1, 1)
			u := update(1, 100)
			c.update(&u)
			b.say(n, u)
			if len(b.routes) != 0 || b.refused[c.reason] != 1 {
				t.Errorf("routes %v, refused %v", b.routes, b.refused)
			}
		})
	}
	b := newBench(t)
	b.fabric(1, 1)
	n := b.neighbor(1, 1)
	good := update(1, 0)
	good.Egress = nodeID(1)
	there := babel.Update{Topology: 1, Prefix: locator(3, 0).Prefix, RouterID: farID, Seqno: 1, Metric: 96, Interval: 16 * time.Second, Egress: nodeID(3)}
	b.say(n, good, there)
	if len(b.routes) != 2 || len(b.refused) != 0 {
		t.Errorf("routes %v, refused %v", b.routes, b.refused)
	}
}

func TestARefusedUpdateTakesBackWhatWasAnnouncedBefore(t *testing.T) {
	b := newBench(t)
	b.fabric(1)
	n := b.neighbor(1, 1)
	b.say(n, update(1, 100))
	b.want(n, 196)
	b.say(n, update(1, 0)) // as if it were the origin
	b.wantNone()
	if b.refused[babel.RefusedForeign] != 1 {
		t.Errorf("refused %v", b.refused)
	}
}

func TestWhatComesBackToUsIsNoRoute(t *testing.T) {
	b := newBench(t)
	b.fabric(1)
	n := b.neighbor(1, 1)
	ours, egress := update(1, 100), update(1, 100)
	ours.RouterID, egress.Egress = selfID, nodeID(0)
	b.say(n, ours)
	b.wantNone()
	b.say(n, update(1, 100))
	b.want(n, 196)
	b.say(n, egress) // it takes our way now: its former way is gone
	b.wantNone()
}

func TestLocatorsStayInTheFabric(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.fabric(2)
	n := b.neighbor(1, 1)
	b.neighbor(2, 2)
	if err := b.router.Originate(b.now, locator(0, 0), 0); err != nil {
		t.Fatal(err)
	}
	b.settle()
	b.say(n, babel.RouteRequest{}, babel.RouteRequest(locator(0, 0)))
	b.pass(time.Minute)
	all := b.take()
	if us := updatesOf(all, 1, locator(0, 0)); len(us) != 0 {
		t.Errorf("on the LAN: %+v", us)
	}
	if us := updatesOf(all, 2, locator(0, 0)); len(us) == 0 || us[0].Egress != nodeID(0) {
		t.Errorf("on the link: %+v", us)
	}
	theirs := update(1, 100)
	theirs.Prefix = locator(3, 0).Prefix
	if b.say(n, theirs); len(b.routes) != 0 || b.refused[babel.RefusedLocator] != 1 {
		t.Errorf("from the LAN: routes %v, refused %v", b.routes, b.refused)
	}
}

func TestADefaultRouteStaysWhereItIsNotForwarded(t *testing.T) {
	b := newBench(t)
	b.add(1, babel.Interface{Ifindex: 1, Local: selfLL, Multicast: true, NoDefault: true})
	b.lan(2)
	b.fabric(3)
	n := b.neighbor(1, 1)
	b.neighbor(2, 2)
	b.neighbor(3, 3)
	everywhere := rib.Key{Prefix: netip.MustParsePrefix("::/0")}
	if got := b.router.Egresses(everywhere); len(got) != 0 {
		t.Errorf("a way out by %v before there is any", got)
	}
	if err := b.router.Originate(b.now, everywhere, 0); err != nil {
		t.Fatal(err)
	}
	b.settle()
	b.say(n, babel.RouteRequest(everywhere))
	b.pass(time.Minute)
	all := b.take()
	if us := updatesOf(all, 1, everywhere); len(us) != 0 {
		t.Errorf("on the LAN that does without: %+v", us)
	}
	for _, i := range []babel.InterfaceID{2, 3} {
		if us := updatesOf(all, i, everywhere); len(us) == 0 {
			t.Errorf("on interface %d: nothing", i)
		}
	}
}

func TestEveryWayOutIsKnown(t *testing.T) {
	b := newBench(t)
	b.fabric(1)
	b.fabric(2)
	b.lan(3)
	everywhere := rib.Key{Prefix: netip.MustParsePrefix("::/0")}
	for i, egress := range map[int]int{1: 7, 2: 8} {
		u := update(1, 100+uint16(i))
		u.Prefix, u.Egress, u.RouterID = everywhere.Prefix, nodeID(egress), babel.RouterID(nodeID(egress))
		b.say(b.neighbor(babel.InterfaceID(i), i), u)
	}
	if got, want := b.router.Egresses(everywhere), []addr.NodeID{nodeID(7), nodeID(8)}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	u := update(1, 100)
	u.Prefix = everywhere.Prefix
	b.say(b.neighbor(3, 3), u)
	if got, want := b.router.Egresses(everywhere), []addr.NodeID{nodeID(0), nodeID(7), nodeID(8)}; !slices.Equal(got, want) {
		t.Errorf("with one of the LAN: %v, want %v", got, want)
	}
}

func TestWhoImportsFromAKernelInterfaceIsTheEgress(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.fabric(2)
	b.fabric(3)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.neighbor(3, 3)
	b.say(n, update(1, 100))
	b.pass(time.Second)
	if us := updatesOf(b.take(), 3, far); len(us) == 0 || us[0].Egress != nodeID(0) || us[0].RouterID != farID {
		t.Errorf("imported: %+v", us)
	}
	if r := b.routes[far]; r.Egress != nodeID(0) || r.NextHop.Ifindex != 1 || r.NextHop.Link != 0 {
		t.Errorf("imported: %+v", r)
	}
	b.say(n, update(1, babel.Infinity))
	b.say(m, update(2, 100))
	b.pass(time.Second)
	if us := updatesOf(b.take(), 3, far); len(us) == 0 || us[len(us)-1].Egress != nodeID(77) {
		t.Errorf("from the fabric: %+v", us)
	}
	if r := b.routes[far]; r.Egress != nodeID(77) || r.NextHop != (rib.NextHop{Link: 2}) {
		t.Errorf("from the fabric: %+v", r)
	}
}

func TestIPv4IsAnnouncedByAnAddressOfItsOwnIfThereIsOne(t *testing.T) {
	b := newBench(t)
	four := netip.MustParseAddr("192.0.2.1")
	b.lan(1)
	b.add(2, babel.Interface{Ifindex: 2, Local: selfLL, Local4: four, Multicast: true})
	b.neighbor(1, 1)
	b.neighbor(2, 2)
	key := rib.Key{Prefix: netip.MustParsePrefix("10.1.0.0/16")}
	if err := b.router.Originate(b.now, key, 7); err != nil {
		t.Fatal(err)
	}
	b.settle()
	b.pass(time.Second)
	all := b.take()
	if us := updatesOf(all, 1, key); len(us) == 0 || us[0].NextHop != selfLL || us[0].Metric != 7 {
		t.Errorf("without an address: %+v", us)
	}
	if us := updatesOf(all, 2, key); len(us) == 0 || us[0].NextHop != four || us[0].Metric != 7 {
		t.Errorf("with one: %+v", us)
	}
}

func TestOwnPrefixTakesPrecedenceAndGivesWay(t *testing.T) {
	b := newBench(t)
	b.fabric(1)
	n := b.neighbor(1, 1)
	b.say(n, update(1, 100))
	b.want(n, 196)
	if err := b.router.Originate(b.now, far, 0); err != nil {
		t.Fatal(err)
	}
	b.settle()
	if _, ok := b.routes[far]; ok {
		t.Error("our own prefix is offered as another's")
	}
	b.router.Withdraw(b.now, far)
	b.settle()
	b.want(n, 196)
	for _, p := range []string{"fe80::/64", "ff05::/16"} {
		if err := b.router.Originate(b.now, rib.Key{Prefix: netip.MustParsePrefix(p)}, 0); !errors.Is(err, babel.ErrPrefix) {
			t.Errorf("%s: %v", p, err)
		}
	}
	if err := b.router.Originate(b.now, far, babel.Infinity); !errors.Is(err, babel.ErrPrefix) {
		t.Errorf("at infinity: %v", err)
	}
}

func TestSeqnoIsReservedAhead(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.neighbor(1, 1)
	if err := b.router.Originate(b.now, far, 0); err != nil {
		t.Fatal(err)
	}
	if b.upto != 1064 {
		t.Fatalf("reserved up to %d at first", b.upto)
	}
	for range 500 {
		q := babel.SeqnoRequest{Prefix: far.Prefix, Seqno: b.router.Status().Seqno + 1, HopCount: 1, RouterID: selfID}
		b.say(n, q)
		if s := b.router.Status().Seqno; !less(s, b.upto) {
			t.Fatalf("uses %d, reserved up to %d", s, b.upto)
		}
	}
}

func TestRestartingNeighborKeepsItsRoutesForASecond(t *testing.T) {
	for _, back := range []bool{true, false} {
		b := newBench(t)
		b.fabric(1)
		n := b.neighbor(1, 1)
		b.say(n, update(1, 100))
		b.router.NeighborStale(b.now, n)
		b.pass(900 * time.Millisecond)
		b.want(n, 196)
		b.take()
		if back {
			b.router.Handle(b.now, n, babel.CostChanged{Cost: 96, Rxcost: 96})
			b.settle()
			if got := of[babel.RouteRequest](b.take()); len(got) != 1 {
				t.Errorf("what was missed is asked for: %+v", got)
			}
		}
		b.pass(time.Second)
		if back {
			b.want(n, 196)
		} else {
			b.wantNone()
		}
	}
}

func TestRemovedNeighborAndInterfaceTakeTheirRoutesAlong(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.fabric(2)
	n, m := b.neighbor(1, 1), b.neighbor(2, 2)
	b.say(n, update(1, 100))
	b.say(m, update(1, 180))
	b.router.RemoveNeighbor(b.now, n)
	delete(b.neighbors, n)
	b.settle()
	b.want(m, 276)
	b.router.RemoveInterface(b.now, 2)
	delete(b.neighbors, m)
	b.settle()
	b.wantNone()
	b.router.Handle(b.now, m, babel.Updates{Updates: []babel.Update{update(2, 1)}})
	b.settle()
	if b.refused[babel.RefusedNeighbor] != 1 || len(b.router.Status().Neighbors) != 0 {
		t.Errorf("refused %v, %+v", b.refused, b.router.Status())
	}
}

func TestRetractTakesAllBackAndFallsSilent(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.fabric(2)
	b.neighbor(1, 1)
	b.neighbor(2, 2)
	if err := b.router.Originate(b.now, far, 0); err != nil {
		t.Fatal(err)
	}
	b.settle()
	b.take()
	b.router.Retract(b.now)
	b.settle()
	all := b.take()
	for _, on := range []babel.InterfaceID{1, 2} {
		if us := updatesOf(all, on, rib.Key{}); len(us) != 1 || us[0].Metric != babel.Infinity {
			t.Errorf("on %d: %+v", on, us)
		}
	}
	if us := of[babel.Update](all); len(us) != 2 {
		t.Errorf("sent %+v", us)
	}
	if _, ok := b.router.NextTimeout(); ok {
		t.Error("it still waits for something")
	}
	b.router.HandleTimeout(b.now.Add(time.Minute))
	b.settle()
	if got := b.take(); len(got) != 0 {
		t.Errorf("later: %+v", got)
	}
}

func TestWhatAnEarlierRouterAnnouncedAndThisOneLacksIsTakenBack(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	b.fabric(2)
	n := b.neighbor(1, 1)
	b.neighbor(2, 2)
	b.say(n, update(5, 100))
	b.pass(time.Second)
	b.take()
	gone := rib.Key{Prefix: netip.MustParsePrefix("2001:db8:fff::/48")}
	b.router.Disown(b.now, []rib.Key{gone, far})
	b.settle()
	all := b.take()
	for _, on := range []babel.InterfaceID{1, 2} {
		if us := updatesOf(all, on, gone); len(us) != 1 || us[0].Metric != babel.Infinity {
			t.Errorf("on %d: %+v", on, us)
		}
		if us := updatesOf(all, on, far); len(us) != 0 {
			t.Errorf("on %d, of what is reached: %+v", on, us)
		}
	}
}

// many is n Updates of different prefixes.
func many(n, from int) (us []babel.Update) {
	for i := range n {
		u := update(1, 100)
		k := from + i
		u.Prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(k >> 16), byte(k >> 8), byte(k)}), 56)
		us = append(us, u)
	}
	return us
}

func TestLimits(t *testing.T) {
	b := newBench(t)
	b.fabric(1)
	n := b.neighbor(1, 1)
	b.router.Handle(b.now, n, babel.Updates{Updates: many(babel.MaxRoutesPerNeighbor+3, 0)})
	b.settle()
	if len(b.routes) != babel.MaxRoutesPerNeighbor || b.refused[babel.RefusedNeighborRoutes] != 3 {
		t.Errorf("%d routes of one neighbor, refused %v", len(b.routes), b.refused)
	}
	for i := 2; i <= 5; i++ {
		b.fabric(babel.InterfaceID(i))
		n := b.silent(babel.InterfaceID(i), i)
		b.router.Handle(b.now, n, babel.Updates{Updates: many(babel.MaxRoutesPerNeighbor, i*babel.MaxRoutesPerNeighbor)})
	}
	b.settle()
	if got := len(b.router.Status().Routes); got != babel.MaxRoutes || b.refused[babel.RefusedRoutes] != babel.MaxRoutesPerNeighbor {
		t.Errorf("%d routes, refused %v", got, b.refused)
	}
	b.lan(9)
	for i := range babel.MaxNeighbors - 5 {
		if err := b.router.AddNeighbor(b.now, babel.NeighborKey{Interface: 9, Addr: nodeID(100 + i).LinkLocal()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.router.AddNeighbor(b.now, babel.NeighborKey{Interface: 9, Addr: nodeID(99).LinkLocal()}); !errors.Is(err, babel.ErrFull) {
		t.Errorf("one neighbor too many: %v", err)
	}
}

func TestANetworkMayAllowANeighborFewerRoutes(t *testing.T) {
	b := newBench(t)
	b.fabric(1)
	n := b.neighbor(1, 1)
	b.router.Handle(b.now, n, babel.Updates{Updates: many(20, 0)})
	b.router.SetRoutesPerNeighbor(10)
	b.router.Handle(b.now, n, babel.Updates{Updates: many(25, 0)})
	b.settle()
	if len(b.routes) != 20 || b.refused[babel.RefusedNeighborRoutes] != 5 {
		t.Errorf("%d routes, of which 20 were there before, refused %v", len(b.routes), b.refused)
	}
	b.router.SetRoutesPerNeighbor(2 * babel.MaxRoutesPerNeighbor)
	b.router.Handle(b.now, n, babel.Updates{Updates: many(babel.MaxRoutesPerNeighbor+3, 0)})
	b.settle()
	if len(b.routes) != babel.MaxRoutesPerNeighbor {
		t.Errorf("%d routes once twice of what is built for was allowed", len(b.routes))
	}
}

func TestBadArgumentsAreNamed(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.neighbor(1, 1)
	for name, cfg := range map[string]babel.Interface{
		"no link": {Fabric: true, Local: selfLL}, "no ifindex": {Local: selfLL}, "global address": {Ifindex: 1, Local: far.Prefix.Addr()},
		"zone": {Ifindex: 1, Local: selfLL.WithZone("eth0")}, "small packets": {Ifindex: 1, Local: selfLL, MaxPacket: 100},
	} {
		if err := b.router.AddInterface(b.now, 7, cfg); !errors.Is(err, babel.ErrInterface) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.router.AddInterface(b.now, 1, babel.Interface{Ifindex: 1, Local: selfLL}); !errors.Is(err, babel.ErrInterface) {
		t.Errorf("twice: %v", err)
	}
	for _, key := range []babel.NeighborKey{n, {Interface: 7, Addr: n.Addr}} {
		if err := b.router.AddNeighbor(b.now, key); !errors.Is(err, babel.ErrNeighbor) {
			t.Errorf("%v: %v", key, err)
		}
	}
	if _, err := babel.NewRouter(babel.Config{}); !errors.Is(err, babel.ErrRouterID) {
		t.Errorf("router-id: %v", err)
	}
	for _, cfg := range []babel.NeighborConfig{{}, {Addr: far.Prefix.Addr()}, {Addr: peerLL, Fabric: true}} {
		if _, err := babel.NewNeighbor(cfg); !errors.Is(err, babel.ErrNeighbor) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}
