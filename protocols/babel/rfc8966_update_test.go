package babel_test

import (
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// Sections 3.7, updates that are sent, and 4, what is read of those that come.

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
