package dataplane

import (
	"bytes"
	"hash/maphash"
	"net/netip"
	"testing"

	"re6st/hw/hwtest"
	"re6st/protocols/inbound"
	"re6st/protocols/rib"
)

func established(t testing.TB) *inbound.Filter {
	t.Helper()
	f, err := inbound.New(inbound.Established, nil, maphash.MakeSeed())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestWhatTheInboundPolicyRefusesIsCountedAndNotSeen(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, b := line(t, net)
	b.SetInbound(established(t))
	meet(a, b)
	run(t, a, relay, b)
	udp := func(src, dst uint64, ports string) []byte {
		p := packet(host(general, src), host(general, dst), ports+"\x00\x08\x00\x00")
		p[6] = 17
		return p
	}
	a.tun.Inject(udp(1, 3, "\x00\x35\x13\x88"))
	dropped(t, b, DropNotEstablished, 1)
	b.tun.Inject(udp(3, 1, "\x13\x88\x00\x35"))
	out(t, a) // it has no policy
	answer := udp(1, 3, "\x00\x35\x13\x88")
	a.tun.Inject(answer)
	if got := out(t, b); !bytes.Equal(got, answer) {
		t.Errorf("came out: % x", got)
	}
	half := packet(host(general, 1), host(general, 3), "\x00\x35")
	half[6] = 17
	a.tun.Inject(half)
	dropped(t, b, DropUnreadable, 1)
	if n := b.Stats().Drops[DropNotEstablished]; n != 1 {
		t.Errorf("%d refused", n)
	}
}

func TestTheInboundPolicyIsNotForWhatLeavesByTheGateway(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, b := line(t, net)
	b.SetInbound(established(t))
	everywhere := netip.MustParsePrefix("::/0")
	for x, r := range map[*node]rib.Route{
		a: {Prefix: everywhere, Egress: b.id, NextHop: rib.NextHop{Link: 2}}, b: {Prefix: everywhere, Egress: b.id},
	} {
		if _, _, err := x.table.Offer(x.start, rib.OriginStatic, r); err != nil {
			t.Fatal(err)
		}
		x.SetView(x.table.View())
	}
	meet(a, b)
	run(t, a, relay, b)
	want := packet(host(general, 1), netip.MustParseAddr("2001:db8:ffff::2"), "outside")
	a.tun.Inject(want)
	if got := out(t, b); !bytes.Equal(got, want) {
		t.Errorf("came out: % x", got)
	}
}
