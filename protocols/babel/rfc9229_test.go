package babel_test

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// The tests are in the order of RFC 9229.

var far4 = rib.Key{Prefix: netip.MustParsePrefix("10.250.0.0/16")}

// update4 is an Update of an IPv4 prefix by the far router.
func update4(seqno, metric uint16, hop netip.Addr) babel.Update {
	u := update(seqno, metric)
	u.Prefix, u.NextHop = far4.Prefix, hop
	return u
}

func Test9229_2_1_WithoutAnIPv4AddressTheNextHopIsIPv6(t *testing.T) {
	four := netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		name   string
		local4 netip.Addr
		ae     byte
		hop    netip.Addr
	}{{"with one", four, 1, four}, {"without", netip.Addr{}, 4, selfLL}} {
		b := newBench(t)
		b.add(1, babel.Interface{Ifindex: 1, Local: selfLL, Local4: c.local4, Multicast: true})
		b.neighbor(1, 1)
		if err := b.router.Originate(b.now, far4, 0); err != nil {
			t.Fatal(err)
		}
		b.settle()
		b.pass(time.Second)
		us := updatesOf(b.take(), 1, far4)
		if len(us) != 1 || us[0].NextHop != c.hop {
			t.Errorf("%s: %+v", c.name, us)
		}
		p := (babel.Encoder{From: selfLL, Max: 1232}).Encode([]babel.TLV{us[0]})[0]
		if at := bytes.Index(p, []byte{8, 12}); at < 0 || p[at+2] != c.ae {
			t.Errorf("%s: %x, want encoding %d", c.name, p, c.ae)
		}
	}
}

func Test9229_2_2_RouteIsLearnedWithItsIPv6NextHop(t *testing.T) {
	other := netip.MustParseAddr("fe80::77")
	for _, c := range []struct {
		name string
		said netip.Addr // by a Next Hop TLV; the zero Addr: none
	}{{"of the packet's sender", netip.Addr{}}, {"of a Next Hop TLV", other}} {
		b := newBench(t)
		b.lan(1)
		n := b.neighbor(1, 1)
		hop := n.Addr
		if c.said.IsValid() {
			hop = c.said
		}
		b.say(n, update4(1, 100, hop))
		if r := b.routes[far4]; r.NextHop != (rib.NextHop{Ifindex: 1, Gateway: hop}) || r.Metric != 196 {
			t.Errorf("%s: %+v", c.name, r)
		}
		// Both encodings are of one route: each takes back what the other said.
		retraction := update4(1, babel.Infinity, netip.MustParseAddr("192.0.2.9"))
		if b.say(n, retraction); !b.routes[far4].Unreachable {
			t.Errorf("%s: after a retraction as plain IPv4: %+v", c.name, b.routes[far4])
		}
		b.say(n, update4(2, 100, netip.MustParseAddr("192.0.2.9")))
		if r := b.routes[far4]; r.NextHop.Gateway != netip.MustParseAddr("192.0.2.9") {
			t.Errorf("%s: plain IPv4: %+v", c.name, r)
		}
		if b.say(n, update4(2, babel.Infinity, hop)); !b.routes[far4].Unreachable {
			t.Errorf("%s: after a retraction by IPv6: %+v", c.name, b.routes[far4])
		}
	}
}

func Test9229_2_3_RequestsOfBothEncodingsAreOne(t *testing.T) {
	b := newBench(t)
	b.lan(1)
	n := b.neighbor(1, 1)
	if err := b.router.Originate(b.now, far4, 0); err != nil {
		t.Fatal(err)
	}
	b.settle()
	b.pass(time.Second)
	for name, tlv := range map[string]string{
		"route request, IPv4":      "0904 01 10 0afa",
		"route request, v4-via-v6": "0904 04 10 0afa",
		"seqno request, IPv4":      "0a10 01 10 03e8 40 00 ee000000000000ee 0afa",
		"seqno request, v4-via-v6": "0a10 04 10 03e8 40 00 ee000000000000ee 0afa",
	} {
		b.take()
		if err := b.neighbors[n].HandlePacket(b.now, n.Addr, packet(t, tlv)); err != nil {
			t.Fatal(err)
		}
		b.settle()
		b.pass(time.Second)
		if us := updatesOf(b.take(), 1, far4); len(us) != 1 {
			t.Errorf("%s: answered %+v", name, us)
		}
	}
	p := (babel.Encoder{From: selfLL, Max: 1232}).Encode([]babel.TLV{babel.RouteRequest(far4)})[0]
	if want := packet(t, "0904 01 10 0afa"); !bytes.Equal(p, want) {
		t.Errorf("we ask by %x, want %x", p, want)
	}
}

func Test9229_2_4_OtherTLVsHaveNoSuchEncoding(t *testing.T) {
	for name, tlv := range map[string]string{
		"next hop": "0706 04 00 c0000201", "IHU": "050a 0400 0060 0064 0a000001",
	} {
		if tlvs, ignored := decode(t, tlv); len(tlvs) != 0 || ignored != 1 {
			t.Errorf("%s: %+v, %d ignored", name, tlvs, ignored)
		}
	}
}

func Test9229_4_1_CompressionIsApartFromThatOfIPv4(t *testing.T) {
	const hop = "0706 01 00 c0000201 "
	for _, c := range []struct {
		name, tlvs string
		want       string
		ignored    int
	}{
		{"of its own", router8 + "080c 04 80 10 00 0640 0005 0060 0a01" + "080b 04 00 18 02 0640 0005 0060 02", "10.1.2.0/24 08", 0},
		{"not of IPv4", router8 + hop + "080c 01 80 10 00 0640 0005 0060 0a01" + "080b 04 00 18 02 0640 0005 0060 02", "10.1.0.0/16 08", 1},
		{"nor IPv4 of it", router8 + hop + "080c 04 80 10 00 0640 0005 0060 0a01" + "080b 01 00 18 02 0640 0005 0060 02", "10.1.0.0/16 08", 1},
	} {
		tlvs, ignored := decode(t, c.tlvs)
		got := prefixes(tlvs)
		if len(got) == 0 || got[len(got)-1] != c.want || ignored != c.ignored {
			t.Errorf("%s: %q, %d ignored; want %q last, %d", c.name, got, ignored, c.want, c.ignored)
		}
	}
}
