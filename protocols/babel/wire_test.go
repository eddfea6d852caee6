package babel_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

var (
	peerLL = netip.MustParseAddr("fe80::b")
	selfLL = netip.MustParseAddr("fe80::a")
	rid    = babel.RouterID{1, 2, 3, 4, 5, 6, 7, 8}
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// packet is a header before the TLVs given in hexadecimal.
func packet(t testing.TB, tlvs string) []byte {
	b := unhex(t, tlvs)
	return append([]byte{42, 2, byte(len(b) >> 8), byte(len(b))}, b...)
}

func TestEveryTLVHasItsBytes(t *testing.T) {
	p := netip.MustParsePrefix
	for _, c := range []struct {
		name   string
		fabric bool
		tlv    babel.TLV
		hex    string
	}{
		{"4.6.3 acknowledgment request", false, babel.AckRequest{Opaque: 0x1234, Interval: time.Second}, "0206 0000 1234 0064"},
		{"4.6.4 acknowledgment", false, babel.Ack{Opaque: 0x1234}, "0302 1234"},
		{"4.6.5 hello", false, babel.Hello{Seqno: 7, Interval: 4 * time.Second}, "0406 0000 0007 0190"},
		{"4.6.5 unscheduled unicast hello", false, babel.Hello{Unicast: true, Seqno: 7}, "0406 8000 0007 0000"},
		{"RFC 9616 hello", false, babel.Hello{Seqno: 7, Interval: 4 * time.Second, Sent: 0x01020304}, "040c 0000 0007 0190 0304 01020304"},
		{
			"RFC 9616 IHU", false,
			babel.IHU{Address: selfLL, Rxcost: 96, Interval: time.Second, Origin: 0x01020304, Received: 0x05060708},
			"0518 0300 0060 0064 000000000000000a 0308 01020304 05060708",
		},
		{"4.6.6 IHU to all", false, babel.IHU{Rxcost: 96, Interval: time.Second}, "0506 0000 0060 0064"},
		{"4.6.6 IHU, link-local", false, babel.IHU{Address: selfLL, Rxcost: 96, Interval: time.Second}, "050e 0300 0060 0064 000000000000000a"},
		{"4.6.6 IHU, IPv4", false, babel.IHU{Address: netip.MustParseAddr("10.0.0.1"), Rxcost: 96, Interval: time.Second}, "050a 0100 0060 0064 0a000001"},
		{
			"4.6.9 update", false,
			babel.Update{Prefix: p("2001:db8::/32"), RouterID: rid, Seqno: 5, Metric: 96, Interval: 16 * time.Second, NextHop: peerLL},
			"060a 0000 0102030405060708  080e 02 80 20 00 0640 0005 0060 20010db8",
		},
		{
			"4.6.9 update with implied router-id", false,
			babel.Update{Prefix: p("2001:db8::102:304:506:708/128"), RouterID: rid, Seqno: 5, Metric: 96, Interval: 16 * time.Second, NextHop: peerLL},
			"081a 02 c0 80 00 0640 0005 0060 20010db8000000000102030405060708",
		},
		{
			"4.6.8 next hop", false,
			babel.Update{Prefix: p("10.0.0.0/8"), RouterID: rid, Seqno: 5, Metric: 96, Interval: 16 * time.Second, NextHop: netip.MustParseAddr("192.0.2.1")},
			"060a 0000 0102030405060708  0706 01 00 c0000201  080b 01 80 08 00 0640 0005 0060 0a",
		},
		{"4.6.9 wildcard retraction", false, babel.Update{Metric: babel.Infinity, Interval: 16 * time.Second}, "080a 00 00 00 00 0640 0000 ffff"},
		{"4.6.10 wildcard route request", false, babel.RouteRequest{}, "0902 0000"},
		{"4.6.10 route request", false, babel.RouteRequest{Prefix: p("2001:db8::/32")}, "0906 02 20 20010db8"},
		{
			"4.6.11 seqno request", false,
			babel.SeqnoRequest{Prefix: p("2001:db8::/32"), Seqno: 9, HopCount: 64, RouterID: rid},
			"0a12 02 20 0009 40 00 0102030405060708 20010db8",
		},
		{"RFC 9079 source prefix", false, babel.RouteRequest{Prefix: p("2001:db8::/32"), Source: p("fd77::/16")}, "090b 02 20 20010db8 80 03 10 fd77"},
		{
			"private: egress", true,
			babel.Update{Topology: 1, Prefix: p("2001:db8::/32"), RouterID: rid, Seqno: 5, Metric: 96, Interval: 16 * time.Second, Egress: nodeID(6), NextHop: peerLL},
			"060a 0000 0102030405060708  0819 02 80 20 00 0640 0005 0060 20010db8 f0 09 01 0000000000000007",
		},
		{"private: topology", true, babel.RouteRequest{Topology: 1, Prefix: p("2001:db8::/32")}, "0909 02 20 20010db8 f0 01 01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := packet(t, c.hex)
			got := (babel.Encoder{From: peerLL, Fabric: c.fabric, Max: 1232}).Encode([]babel.TLV{c.tlv})
			if len(got) != 1 || !bytes.Equal(got[0], want) {
				t.Fatalf("encoded\n%x, want\n%x", got, want)
			}
			back, ignored, err := babel.Decode(want, peerLL, c.fabric)
			if err != nil || ignored != 0 || !slices.Equal(back, []babel.TLV{c.tlv}) {
				t.Errorf("decoded %+v, %d ignored, %v", back, ignored, err)
			}
		})
	}
}

// decode is the TLVs of a kernel interface's packet.
func decode(t *testing.T, tlvs string) (got []babel.TLV, ignored int) {
	t.Helper()
	got, ignored, err := babel.Decode(packet(t, tlvs), peerLL, false)
	if err != nil {
		t.Fatal(err)
	}
	return got, ignored
}

// prefixes is what the Updates among the TLVs announce: "prefix router-id's last
// byte".
func prefixes(tlvs []babel.TLV) (ps []string) {
	for _, t := range tlvs {
		if u, ok := t.(babel.Update); ok {
			ps = append(ps, u.Prefix.String()+" "+u.RouterID.String()[14:])
		}
	}
	return ps
}

const (
	router8 = "060a 0000 0102030405060708 "
	router9 = "060a 0000 0102030405060709 "
)

func TestParserStateOfSection4_5(t *testing.T) {
	const unknown = " e0 00" // an unknown mandatory sub-TLV
	for _, c := range []struct {
		name, tlvs string
		want       []string
		ignored    int
	}{
		{
			"the router-id is of the last Router-Id", router8 + "080c 02 00 10 00 0640 0005 0060 2001" + router9 + "080c 02 00 10 00 0640 0005 0060 2002",
			[]string{"2001::/16 08", "2002::/16 09"},
			0,
		},
		{"an update without router-id is ignored", "080c 02 00 10 00 0640 0005 0060 2001", nil, 1},
		{"a retraction needs none", "080c 02 00 10 00 0640 0005 ffff 2001", []string{"2001::/16 00"}, 0},
		{
			"omitted bytes are of the default prefix", router8 + "080e 02 80 20 00 0640 0005 0060 20010db8" + "080c 02 00 30 04 0640 0005 0060 0042",
			[]string{"2001:db8::/32 08", "2001:db8:42::/48 08"},
			0,
		},
		{
			"only the prefix flag sets the default", router8 + "080e 02 80 20 00 0640 0005 0060 20010db8" + "080e 02 00 20 00 0640 0005 0060 fd000000" + "080c 02 00 30 04 0640 0005 0060 0042",
			[]string{"2001:db8::/32 08", "fd00::/32 08", "2001:db8:42::/48 08"},
			0,
		},
		{"a default is of one family", router8 + "080c 02 80 10 00 0640 0005 0060 2001" + "0706 01 00 c0000201" + "080b 01 00 10 01 0640 0005 0060 01", []string{"2001::/16 08"}, 1},
		{"omitting more than there is", router8 + "080a 02 00 10 02 0640 0005 0060", nil, 1},
		{"a router-id by flag, of a short address", "080c 01 40 10 00 0640 0005 ffff 0a01" + "080c 02 00 10 00 0640 0005 0060 2001", []string{"10.1.0.0/16 00", "2001::/16 00"}, 0},
		{"an IPv4 update without next hop", router8 + "080b 01 00 08 00 0640 0005 0060 0a", nil, 1},
		{"bits behind the prefix do not matter", router8 + "080b 02 00 03 00 0640 0005 0060 3f", []string{"2000::/3 08"}, 0},
		// What a TLV with an unknown mandatory sub-TLV does to the state it does all the same.
		{"router-id ignored", "060c 0000 0102030405060708" + unknown + "080c 02 00 10 00 0640 0005 0060 2001", []string{"2001::/16 08"}, 1},
		{"update with default prefix ignored", router8 + "0810 02 80 20 00 0640 0005 0060 20010db8" + unknown + "080c 02 00 30 04 0640 0005 0060 0042", []string{"2001:db8:42::/48 08"}, 1},
		{"next hop ignored", router8 + "0708 01 00 c0000201" + unknown + "080b 01 00 08 00 0640 0005 0060 0a", []string{"10.0.0.0/8 08"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ignored := decode(t, c.tlvs)
			if !slices.Equal(prefixes(got), c.want) || ignored != c.ignored {
				t.Errorf("%q, %d ignored; want %q, %d", prefixes(got), ignored, c.want, c.ignored)
			}
		})
	}
}

func TestWhatIsIgnoredAndWhatIsSkipped(t *testing.T) {
	hello := babel.Hello{Seqno: 7, Interval: 4 * time.Second}
	stamped := hello
	stamped.Sent = 0x01020304
	for _, c := range []struct {
		name, tlvs string
		want       []babel.TLV
		ignored    int
	}{
		{"padding", "00 00 0103 000000 0406 0000 0007 0190", []babel.TLV{hello}, 0},
		{"unknown TLV", "c803 010203 0406 0000 0007 0190", []babel.TLV{hello}, 0},
		{"authentication of RFC 8967", "1106 00000001 aaaa 0406 0000 0007 0190", []babel.TLV{hello}, 0},
		{"short timestamp of RFC 9616", "0409 0000 0007 0190 0301 01", []babel.TLV{hello}, 0},
		{"timestamp behind padding", "040f 0000 0007 0190 0101 00 0304 01020304", []babel.TLV{stamped}, 0},
		{"timestamp with more behind it", "040e 0000 0007 0190 0306 01020304 ffff", []babel.TLV{stamped}, 0},
		{"one timestamp in an IHU", "050c 0000 0060 0064 0304 01020304", []babel.TLV{babel.IHU{Rxcost: 96, Interval: time.Second}}, 0},
		{"sub-TLV padding", "040b 0000 0007 0190 00 0102 0000", []babel.TLV{hello}, 0},
		{"unknown mandatory sub-TLV", "0408 0000 0007 0190 e000", nil, 1},
		{"sub-TLV past the end", "0408 0000 0007 0190 0305", nil, 1},
		{"short hello", "0404 0000 0007", nil, 1},
		{"IHU without interval", "0506 0000 0060 0000", nil, 1},
		{"IHU with an unknown encoding", "0506 0900 0060 0064", nil, 1},
		{"IHU with a short address", "0508 0300 0060 0064 0000", nil, 1},
		{"prefix longer than its family", router8 + "080f 01 00 28 00 0640 0005 0060 0102030405", nil, 1},
		{"update without interval", router8 + "080c 02 00 10 00 0000 0005 0060 2001", nil, 1},
		{"link-local prefix", router8 + "0812 03 00 40 00 0640 0005 0060 0000000000000001", nil, 1},
		{"wildcard update that announces", "080a 00 00 00 00 0640 0000 0060", nil, 1},
		{"reserved router-id", "060a 0000 ffffffffffffffff 080c 02 00 10 00 0640 0005 0060 2001", nil, 1},
		{"wildcard request with a length", "0902 0010", nil, 1},
		{"seqno request without hops", "0a10 02 10 0009 00 00 0102030405060708 2001", nil, 1},
		{"source prefix for all", "0909 02 20 20010db8 80 01 00", nil, 1},
		{"two source prefixes", "0910 02 20 20010db8 80 03 10 fd77 80 03 10 fd78", nil, 1},
		{"private sub-TLV outside of the fabric", router8 + "0817 02 00 10 00 0640 0005 0060 2001 f0 09 00 0000000000000007", nil, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ignored := decode(t, c.tlvs)
			if !slices.Equal(got, c.want) || ignored != c.ignored {
				t.Errorf("%+v, %d ignored; want %+v, %d", got, ignored, c.want, c.ignored)
			}
		})
	}
}

func TestBrokenFramingIsAnError(t *testing.T) {
	for name, b := range map[string]string{
		"empty": "", "short": "2a02 00", "magic": "2b02 0000", "version": "2a03 0000",
		"body past the end": "2a02 0004 0000", "TLV past the body": "2a02 0004 0406 0000", "TLV without length": "2a02 0001 04",
	} {
		if tlvs, _, err := babel.Decode(unhex(t, b), peerLL, false); !errors.Is(err, babel.ErrPacket) || tlvs != nil {
			t.Errorf("%s: %v, %v", name, tlvs, err)
		}
	}
	// What follows the body is the trailer (section 4.2): not ours to read yet.
	if tlvs, _, err := babel.Decode(unhex(t, "2a02 0004 0302 1234 ffff"), peerLL, false); err != nil || len(tlvs) != 1 {
		t.Errorf("trailer: %v, %v", tlvs, err)
	}
}

func TestFabricUpdateWithoutTopologyBelongsToNone(t *testing.T) {
	tlvs, ignored, err := babel.Decode(packet(t, router8+"080f 02 00 10 00 0640 0005 0060 2001 f0 01 01"), peerLL, true)
	if err != nil || ignored != 1 || len(tlvs) != 0 {
		t.Errorf("topology without egress: %v, %d, %v", tlvs, ignored, err)
	}
}

// randomTLVs are of every sort.
func randomTLVs(rnd *rand.Rand, n int, fabric bool) (tlvs []babel.TLV) {
	prefix := func() netip.Prefix {
		b := [16]byte{0x20, 1, 0xd, 0xb8, byte(rnd.Intn(2)), byte(rnd.Intn(256)), 15: byte(rnd.Intn(256))}
		p, _ := netip.AddrFrom16(b).Prefix(16 + rnd.Intn(113))
		return p
	}
	for range n {
		topology, egress, source := rib.Topology(0), addr.NodeID{}, netip.Prefix{}
		if fabric {
			topology, egress = rib.Topology(rnd.Intn(2)), nodeID(rnd.Intn(9))
		}
		if rnd.Intn(4) == 0 {
			source = prefix()
		}
		id := babel.RouterID{7: byte(1 + rnd.Intn(3))}
		seqno, interval := uint16(rnd.Intn(65536)), time.Duration(1+rnd.Intn(65535))*10*time.Millisecond
		switch rnd.Intn(8) {
		case 0:
			tlvs = append(tlvs, babel.Hello{Unicast: rnd.Intn(2) == 0, Seqno: seqno, Interval: interval, Sent: babel.Timestamp(rnd.Intn(2)) * 0x01020304})
		case 1:
			tlvs = append(tlvs, babel.IHU{Address: []netip.Addr{{}, selfLL, netip.MustParseAddr("2001:db8::1")}[rnd.Intn(3)], Rxcost: seqno, Interval: interval})
		case 2:
			tlvs = append(tlvs, babel.RouteRequest{Topology: topology, Prefix: prefix(), Source: source})
		case 3:
			tlvs = append(tlvs, babel.SeqnoRequest{Topology: topology, Prefix: prefix(), Source: source, Seqno: seqno, HopCount: 1, RouterID: id})
		case 4:
			v4, _ := netip.AddrFrom4([4]byte{10, byte(rnd.Intn(3)), byte(rnd.Intn(256))}).Prefix(8 + rnd.Intn(25))
			hop := netip.AddrFrom4([4]byte{192, 0, 2, byte(rnd.Intn(2))})
			if rnd.Intn(2) == 0 {
				hop = peerLL
			}
			tlvs = append(tlvs, babel.Update{
				Topology: topology, Prefix: v4, RouterID: id, Seqno: seqno, Metric: 1, Interval: interval, Egress: egress,
				NextHop: hop,
			})
		default:
			tlvs = append(tlvs, babel.Update{
				Topology: topology, Prefix: prefix(), Source: source, RouterID: id, Seqno: seqno, Metric: uint16(rnd.Intn(babel.Infinity)),
				Interval: interval, Egress: egress, NextHop: peerLL,
			})
		}
	}
	return tlvs
}

func TestPackingKeepsOrderAndSize(t *testing.T) {
	for seed := range int64(200) {
		rnd := rand.New(rand.NewSource(seed))
		fabric := seed%2 == 0
		e := babel.Encoder{From: peerLL, Fabric: fabric, Max: babel.MinPacket + rnd.Intn(1000)}
		tlvs := randomTLVs(rnd, rnd.Intn(300), fabric)
		var back []babel.TLV
		packets := e.Encode(tlvs)
		for i, p := range packets {
			if len(p) > e.Max || len(p) < e.Max-100 && i < len(packets)-1 {
				t.Errorf("seed %d: packet %d of %d has %d bytes of %d", seed, i, len(packets), len(p), e.Max)
			}
			got, ignored, err := babel.Decode(p, peerLL, fabric)
			if err != nil || ignored != 0 {
				t.Fatalf("seed %d: %d ignored, %v", seed, ignored, err)
			}
			back = append(back, got...)
		}
		if !slices.Equal(back, tlvs) {
			t.Fatalf("seed %d: sent\n%+v, received\n%+v", seed, tlvs, back)
		}
	}
}

func TestNothingPrivateLeavesTheFabric(t *testing.T) {
	packets := (babel.Encoder{From: peerLL, Max: 1232}).Encode([]babel.TLV{
		babel.Update{Topology: 1, Prefix: netip.MustParsePrefix("2001:db8::/32"), RouterID: rid, Interval: time.Second, Egress: nodeID(1)},
		babel.RouteRequest{Topology: 1, Prefix: netip.MustParsePrefix("2001:db8::/32")},
		babel.SeqnoRequest{Topology: 1, Prefix: netip.MustParsePrefix("2001:db8::/32"), HopCount: 1, RouterID: rid},
	})
	if len(packets) != 0 {
		t.Errorf("TLVs of a topology were sent by a kernel interface: %x", packets)
	}
	for _, p := range (babel.Encoder{From: peerLL, Max: 1232}).Encode([]babel.TLV{
		babel.Update{Prefix: netip.MustParsePrefix("2001:db8::/32"), RouterID: rid, Interval: time.Second, Egress: nodeID(1)},
	}) {
		if bytes.Contains(p, []byte{0xf0, 9}) {
			t.Errorf("an egress was sent by a kernel interface: %x", p)
		}
	}
}

// captured is what babeld 1.12.1 sent in TestInteropBabeld: with timestamps, a
// source-specific request, and retractions at its end.
func captured(t testing.TB) (packets [][]byte) {
	b, err := os.ReadFile("testdata/babeld.hex")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		packets = append(packets, unhex(t, strings.TrimSpace(line)))
	}
	return packets
}

func TestCapturedBabeldPacketsDecode(t *testing.T) {
	seen := map[reflect.Type]int{}
	for _, p := range captured(t) {
		tlvs, ignored, err := babel.Decode(p, peerLL, false)
		if err != nil || ignored != 0 {
			t.Errorf("%x: %d ignored, %v", p, ignored, err)
		}
		for _, tlv := range tlvs {
			seen[reflect.TypeOf(tlv)]++
			if u, ok := tlv.(babel.Update); ok && u.Prefix.IsValid() && !netip.MustParsePrefix("fd77::/16").Contains(u.Prefix.Addr()) {
				t.Errorf("%+v is not what babeld was told to announce", u)
			}
		}
	}
	for _, want := range []babel.TLV{babel.Hello{}, babel.IHU{}, babel.Update{}, babel.RouteRequest{}} {
		if seen[reflect.TypeOf(want)] == 0 {
			t.Errorf("no %T in the capture", want)
		}
	}
}
