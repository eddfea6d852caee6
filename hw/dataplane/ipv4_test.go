package dataplane

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"re6st/hw/hwtest"
	"re6st/protocols/checksum"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
)

var range4 = netip.MustParsePrefix("10.42.0.0/16")

// host4 is the IPv4 address of node n.
func host4(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 42, n, 1}) }

func share4(n byte) netip.Prefix { return netip.PrefixFrom(host4(n), 24).Masked() }

// packet4 is an inner packet of IPv4, of UDP, that may be fragmented.
func packet4(src, dst netip.Addr, payload string) []byte {
	b := make([]byte, ipv4HeaderLen, ipv4HeaderLen+len(payload))
	b[0], b[8], b[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(b[2:], uint16(ipv4HeaderLen+len(payload)))
	s, d := src.As4(), dst.As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	binary.BigEndian.PutUint16(b[10:], checksum.Of(0, b))
	return append(b, payload...)
}

// with changes the header of a packet, and its checksum.
func with(b []byte, change func([]byte)) []byte {
	b = bytes.Clone(b)
	change(b)
	binary.BigEndian.PutUint16(b[10:], 0)
	binary.BigEndian.PutUint16(b[10:], checksum.Of(0, b[:ipv4HeaderLen]))
	return b
}

func dontFragment(b []byte) { b[6] |= 0x40 }

// offer puts a route into a node's table.
func offer(x *node, o rib.Origin, r rib.Route) {
	if _, _, err := x.table.Offer(x.start, o, r); err != nil {
		panic(err)
	}
	x.SetView(x.table.View())
}

// withIPv4 gives the nodes of a line their IPv4 addresses and routes.
func withIPv4(nodes ...*node) {
	for i, x := range nodes {
		x.SetIPv4(range4)
		offer(x, rib.OriginLocal, rib.Route{Prefix: share4(byte(x.n)), Egress: x.id})
		for j, y := range nodes {
			if via := i + 1; i != j {
				if j < i {
					via = i - 1
				}
				offer(x, rib.OriginBabel, rib.Route{Prefix: share4(byte(y.n)), Egress: y.id, NextHop: rib.NextHop{Link: rib.LinkID(nodes[via].n)}})
			}
		}
	}
}

func TestIPv4CrossesTheMesh(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, b := line(t, net)
	withIPv4(a, relay, b)
	meet(a, b)
	run(t, a, relay, b)
	for _, there := range [][]byte{
		packet4(host4(1), host4(3), strings.Repeat("plaintext ", 100)),
		with(packet4(host4(1), host4(3), "\x01\x01\x01\x00behind options"), func(b []byte) { b[0] = 0x46 }),
		with(packet4(host4(1), host4(3), "a later fragment"), func(b []byte) { b[7] = 100 }),
	} {
		a.tun.Inject(there)
		if got := out(t, b); !bytes.Equal(got, there) {
			t.Errorf("% x came out as % x", there, got)
		}
	}
	back := packet4(host4(3), host4(1), "answer")
	b.tun.Inject(back)
	if got := out(t, a); !bytes.Equal(got, back) {
		t.Errorf("% x", got)
	}
	for _, x := range []*node{a, relay, b} {
		if s := x.Stats(); len(s.Drops) != 0 {
			t.Errorf("node %d dropped: %v", x.n, s.Drops)
		}
	}
}

func TestIPv4ThatMustNotEnterTheMeshIsRefused(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, b := line(t, net)
	ok := packet4(host4(1), host4(3), "payload")
	run(t, a, relay, b)
	a.tun.Inject(ok)
	dropped(t, a, DropIPv4, 1)
	withIPv4(a, relay, b)
	wayOut := rib.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Egress: b.id, NextHop: rib.NextHop{Link: 2}}
	offer(a, rib.OriginBabel, wayOut)
	offer(a, rib.OriginBabel, rib.Route{Prefix: share4(9), Egress: b.id, NextHop: rib.NextHop{Link: 2}, Unreachable: true})
	meet(a, b)
	to := func(dst string) []byte { return packet4(host4(1), netip.MustParseAddr(dst), "x") }
	for _, c := range []struct {
		name   string
		packet []byte
		reason Reason
		icmp   int // type*256+code, or 0 for none
	}{
		{"nowhere in the range, whatever the default route", to("10.42.8.1"), DropNoRoute, 0x300},
		{"a way just lost", to("10.42.9.1"), DropNoRoute, 0x300},
		{"this node", to("10.42.1.77"), DropLoop, 0},
		{"cut", ok[:len(ok)-1], DropMalformed, 0},
		{"half a header", ok[:19], DropMalformed, 0},
		{"a longer payload than it says", append(bytes.Clone(ok), 0), DropMalformed, 0},
		{"a header that is too short", append([]byte{0x44}, ok[1:]...), DropMalformed, 0},
		{"options that are not there", append([]byte{0x4f}, ok[1:]...), DropMalformed, 0},
		{"a group", to("224.0.0.1"), DropNotUnicast, 0},
		{"all on the link", to("255.255.255.255"), DropNotUnicast, 0},
		{"a neighbor", to("169.254.0.1"), DropNotUnicast, 0},
		{"this machine", to("127.0.0.1"), DropNotUnicast, 0},
		{"from nobody", packet4(netip.IPv4Unspecified(), host4(3), ""), DropNotUnicast, 0},
		{"an error", with(packet4(host4(1), host4(8), "\x03\x01\x00\x00\x00\x00\x00\x00"), func(b []byte) { b[9] = protocolICMP }), DropNoRoute, 0},
		{"a later fragment", with(packet4(host4(1), host4(8), "later"), func(b []byte) { b[7] = 1 }), DropNoRoute, 0},
		{"half an error", with(packet4(host4(1), host4(8), ""), func(b []byte) { b[9] = protocolICMP }), DropNoRoute, 0},
		{"an echo", with(packet4(host4(1), host4(8), "\x08\x00\x00\x00\x00\x00\x00\x00"), func(b []byte) { b[9] = protocolICMP }), DropNoRoute, 0x300},
	} {
		before := a.drops[c.reason].Load()
		a.tun.Inject(c.packet)
		dropped(t, a, c.reason, before+1)
		if c.icmp == 0 {
			if len(a.tun.Out()) != 0 {
				t.Errorf("%s: answered", c.name)
			}
			continue
		}
		e := out(t, a)
		if got := int(e[20])<<8 | int(e[21]); got != c.icmp || !bytes.Equal(e[28:], c.packet) {
			t.Errorf("%s: ICMP %#x: % x", c.name, got, e)
		}
		checkError(t, e, host4(1))
	}
	if n := a.conn.Stats().Sent; n != 0 {
		t.Errorf("%d datagrams left", n)
	}
	a.tun.Inject(to("198.51.100.7")) // outside of the range the default route is as any other
	dropped(t, b, DropNotHere, 1)
}

// checkError looks at the checksums of an ICMP error, and where it goes.
func checkError(t *testing.T, e []byte, to netip.Addr) {
	t.Helper()
	if h, _, ok := parseInner(e); !ok || h.src != range4.Addr() || h.dst != to || checksum.Of(0, e[:ipv4HeaderLen]) != 0 || checksum.Of(0, e[ipv4HeaderLen:]) != 0 {
		t.Errorf("a bad error: % x", e)
	}
}

func TestIPv4IsJudgedBeforeTheKernelSees(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, b := line(t, net)
	withIPv4(a, relay, b)
	offer(b, rib.OriginBabel, rib.Route{Prefix: netip.MustParsePrefix("192.168.7.0/24"), Egress: a.id, NextHop: rib.NextHop{Link: 2}})
	sa, sb := newPair(a, b)
	b.InstallSession(sb)
	run(t, relay, b)
	link := a.links.Load().byID[2].session.Load()
	send := func(p []byte, ecn uint8) { // a member with a modified program
		frame := make([]byte, fabric.HopHeaderLen)
		fabric.HopHeader{Class: uint8(general.ID), HopLimit: 64, ECN: ecn, Egress: b.id, Ingress: a.id}.Put(frame)
		frame = must(sa.Seal(frame, uint8(general.ID), p))
		if err := link.StampHop(frame); err != nil {
			t.Fatal(err)
		}
		net.Inject(hwtest.Datagram{From: a.at, To: relay.at, Data: frame})
	}
	ok := packet4(host4(1), host4(3), "x")
	send(packet4(host4(2), host4(3), "x"), 0)
	dropped(t, b, DropSpoofed, 1)
	// A LAN of this machine that is none of the mesh's, what lies nowhere, and what leads back.
	for i, dst := range []string{"192.168.1.1", "10.42.77.1", "192.168.7.1"} {
		send(packet4(host4(1), netip.MustParseAddr(dst), "x"), 0)
		dropped(t, b, DropNotHere, uint64(i+1))
	}
	send(ok, fabric.ECNCE)
	dropped(t, b, DropECN, 1)
	b.SetIPv4(netip.Prefix{})
	send(ok, 0)
	dropped(t, b, DropIPv4, 1)
	if len(b.tun.Out()) != 0 {
		t.Error("one of them reached the kernel")
	}
	b.SetIPv4(range4)
	send(ok, 0)
	if got := out(t, b); !bytes.Equal(got, ok) {
		t.Errorf("% x", got)
	}
	send(with(ok, func(b []byte) { b[1] = 0xb8 | fabric.ECNECT0 }), fabric.ECNCE)
	got := out(t, b)
	if h, _, _ := parseInner(got); h.ecn != fabric.ECNCE || got[1] != 0xb8|fabric.ECNCE || checksum.Of(0, got[:ipv4HeaderLen]) != 0 {
		t.Errorf("after congestion on the way: % x", got)
	}
}

// TestNarrowLinksAndIPv4: who forbids fragments is told the size, of others the frames
// are split.
func TestNarrowLinksAndIPv4(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, b := line(t, net)
	withIPv4(a, relay, b)
	meet(a, b)
	run(t, a, relay, b)
	a.SetLinkMTU(2, 1300+fabric.Overhead)
	large := packet4(host4(1), host4(3), strings.Repeat("l", 1380-ipv4HeaderLen))
	a.tun.Inject(with(large, dontFragment))
	e := out(t, a)
	checkError(t, e, host4(1))
	if typ, mtu := binary.BigEndian.Uint16(e[20:]), binary.BigEndian.Uint32(e[24:]); typ != 0x304 || mtu != 1300 || len(e) != icmp4MaxLen {
		t.Errorf("ICMP %#x, MTU %d, of %d bytes", typ, mtu, len(e))
	}
	if got := comes(t, a, b, large); !bytes.Equal(got, large) {
		t.Errorf("% x", got)
	}
	eventually(t, "it was split", func() bool { return a.Stats().Split > 0 })
}

func TestErrorsOfIPv4AreLimited(t *testing.T) {
	a := newNode(t, hwtest.NewNetwork(1), 1)
	a.SetIPv4(range4)
	run(t, a)
	const count = 10 * icmpBurst
	for range count {
		a.tun.Inject(packet4(host4(1), host4(8), "nowhere"))
	}
	dropped(t, a, DropNoRoute, count)
	if n := a.Stats().ICMP; n < icmpBurst || n > count/2 {
		t.Errorf("%d answers to %d packets, burst %d", n, count, icmpBurst)
	}
}

// TestEveryECNMendsTheChecksum, whatever the header was.
func TestEveryECNMendsTheChecksum(t *testing.T) {
	for tos := range 256 {
		for id := range 256 {
			p := with(packet4(host4(1), host4(3), ""), func(b []byte) { b[1], b[4], b[5] = byte(tos), byte(id), byte(id*7) })
			for ecn := range uint8(4) {
				if setECN(p, ecn); checksum.Of(0, p) != 0 {
					t.Fatalf("% x", p)
				}
			}
		}
	}
}
