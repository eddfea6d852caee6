package peer_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/claim"
	"re6st/protocols/fabric"
	"re6st/protocols/nat"
	"re6st/protocols/peer"
	"re6st/protocols/registry"
)

func prefix(t testing.TB, cn string) addr.Bits {
	t.Helper()
	b, err := addr.ParseCN(cn)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func samples(t testing.TB) []peer.Message {
	long := strings.Repeat("1", 128)
	bits, err := addr.ParseBits(long)
	if err != nil {
		t.Fatal(err)
	}
	return []peer.Message{
		peer.Ack{},
		peer.Hello{
			Prefix: prefix(t, "5/16"), Static: [32]byte{1, 2, 31: 3}, Software: "re6st 0.1",
			Endpoints: []netip.AddrPort{at("192.0.2.1:326"), at("[2001:db8::1]:65535")}, Numbers: [peer.Documents]uint64{1 << 63, 7},
			Carriers: 7, TLSPort: 8443,
			Country: "FR",
		},
		peer.Hello{},
		peer.ObservedAddress{Address: at("[2001:db8::2]:1")},
		peer.List{},
		peer.List{Peers: []peer.Peer{
			{ID: addr.NodeIDFromUint64(9), Prefix: bits, Age: 90 * time.Second, Endpoints: []netip.AddrPort{at("198.51.100.1:5"), at("[2001:db8::3]:6")}},
			{ID: addr.NodeIDFromUint64(10), Prefix: prefix(t, "1/3"), Static: [32]byte{7}},
			{ID: addr.NodeIDFromUint64(11), Prefix: prefix(t, "1/3"), Static: [32]byte{8}, TLSPort: 8443},
		}},
		peer.Offer{Number: 4},
		peer.Request{Number: 4, Offset: 1024},
		peer.Chunk{Number: 4, Offset: 1024, Total: 2048, Bytes: bytes.Repeat([]byte{5}, peer.ChunkLen)},
		peer.Offer{Document: peer.Revocations, Number: 4},
		peer.Request{Document: peer.Revocations, Number: 4, Offset: 1024},
		peer.Chunk{Document: peer.Revocations, Number: 4, Offset: 1024, Total: 2048, Bytes: bytes.Repeat([]byte{5}, peer.ChunkLen)},
		peer.Goodbye{Reason: peer.Leaving},
		peer.Rendezvous{Nonce: 1 << 63, NAT: nat.PortRestricted, Endpoints: []netip.AddrPort{at("203.0.113.1:7326")}},
		peer.Rendezvous{Answer: true, Nonce: 5, NAT: nat.Random},
		peer.Claims{Body: bytes.Repeat([]byte{6}, claim.MaxMessage)},
		peer.Tunnel{Body: []byte{1, 0}},
		peer.Unknown{Type: 200},
	}
}

func TestMessagesSurviveTheWire(t *testing.T) {
	h := peer.Header{Epoch: 0xdeadbeef, Sequence: 7}
	for _, m := range samples(t) {
		b, err := peer.Append([]byte("before"), h, m)
		if err != nil {
			t.Fatalf("%#v: %v", m, err)
		}
		got, back, err := peer.Decode(b[len("before"):])
		if err != nil || got != h || !reflect.DeepEqual(back, m) {
			t.Errorf("sent     %#v\nreceived %#v, %+v, %v", m, back, got, err)
		}
	}
}

func TestHelloIsThese(t *testing.T) {
	b, err := peer.Append(nil, peer.Header{Epoch: 1, Sequence: 2}, peer.Hello{
		Prefix: prefix(t, "5/12"), Static: [32]byte{0xaa}, Software: "re6st", Numbers: [peer.Documents]uint64{3, 4}, Endpoints: []netip.AddrPort{at("192.0.2.1:326")},
	})
	want := "01" + "01" + "00000001" + "00000002" +
		"010003" + "0c0050" +
		"020020" + "aa" + strings.Repeat("00", 31) +
		"030006" + "c0000201" + "0146" +
		"040005" + "7265367374" +
		"050008" + "0000000000000003" +
		"0b0008" + "0000000000000004"
	if got := hex.EncodeToString(b); err != nil || got != want {
		t.Errorf("%s, %v, want\n%s", got, err, want)
	}
}

func TestNewerMessagesAreSkippedNotRefused(t *testing.T) {
	b, err := peer.Append(nil, peer.Header{}, peer.Offer{Number: 4})
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, 99, 0, 2, 1, 2)
	if _, m, err := peer.Decode(b); err != nil || m != (peer.Offer{Number: 4}) {
		t.Errorf("with an unknown TLV: %v, %v", m, err)
	}
}

func TestMalformedMessagesAreRefused(t *testing.T) {
	const head = "01%s0000000100000001"
	for name, c := range map[string]struct {
		b    string
		want error
	}{
		"empty":                     {"", peer.ErrMalformed},
		"short header":              {"010100000001", peer.ErrMalformed},
		"another version":           {"02010000000100000001", peer.ErrVersion},
		"cut TLV header":            {strings.Replace(head, "%s", "04", 1) + "0500", peer.ErrMalformed},
		"cut TLV value":             {strings.Replace(head, "%s", "04", 1) + "05000801", peer.ErrMalformed},
		"number of seven bytes":     {strings.Replace(head, "%s", "04", 1) + "05000701020304050607", peer.ErrMalformed},
		"number twice":              {strings.Replace(head, "%s", "04", 1) + strings.Repeat("0500080000000000000001", 2), peer.ErrMalformed},
		"offer without number":      {strings.Replace(head, "%s", "04", 1), peer.ErrMalformed},
		"hello without key":         {strings.Replace(head, "%s", "01", 1) + "01000100", peer.ErrMalformed},
		"prefix of 129 bits":        {strings.Replace(head, "%s", "01", 1) + "010012" + "81" + strings.Repeat("00", 17), peer.ErrMalformed},
		"bits behind the prefix":    {strings.Replace(head, "%s", "01", 1) + "010002" + "0401", peer.ErrMalformed},
		"endpoint of five bytes":    {strings.Replace(head, "%s", "02", 1) + "0300050102030405", peer.ErrMalformed},
		"software with an escape":   {strings.Replace(head, "%s", "01", 1) + "0400011b", peer.ErrMalformed},
		"peer with id zero":         {strings.Replace(head, "%s", "03", 1) + "06002d" + strings.Repeat("00", 45), peer.ErrMalformed},
		"port of TLS of one byte":   {strings.Replace(head, "%s", "03", 1) + "210009" + strings.Repeat("01", 9), peer.ErrMalformed},
		"peer with a cut endpoint":  {strings.Replace(head, "%s", "03", 1) + "06002f01" + strings.Repeat("00", 44) + "0401", peer.ErrMalformed},
		"chunk beyond its total":    {strings.Replace(head, "%s", "06", 1) + "0500080000000000000001" + "07000400000000" + "08000400000001" + "0900020102", peer.ErrMalformed},
		"chunk of a huge total":     {strings.Replace(head, "%s", "06", 1) + "0500080000000000000001" + "070004ffffffff" + "080004ffffffff" + "0900020102", peer.ErrMalformed},
		"longer than a frame holds": {strings.Repeat("01", peer.MaxMessage+1), peer.ErrTooLong},
	} {
		b, err := hex.DecodeString(c.b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, m, err := peer.Decode(b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, m, err, c.want)
		}
	}
}

func TestTooLongMessagesAreNotSent(t *testing.T) {
	if _, err := peer.Append(nil, peer.Header{}, peer.List{Peers: make([]peer.Peer, 100)}); !errors.Is(err, peer.ErrTooLong) {
		t.Errorf("a hundred peers: %v", err)
	}
	if _, err := peer.Append(nil, peer.Header{}, peer.Hello{Software: "a\nb"}); !errors.Is(err, peer.ErrMalformed) {
		t.Errorf("two lines of software: %v", err)
	}
}

func TestAMessageFitsAControlFrame(t *testing.T) {
	if peer.MaxMessage > fabric.MaxControlBody {
		t.Errorf("a message has up to %d bytes, a control frame holds %d", peer.MaxMessage, fabric.MaxControlBody)
	}
	if _, err := peer.Append(nil, peer.Header{}, peer.Claims{Body: make([]byte, claim.MaxMessage)}); err != nil {
		t.Errorf("claims: %v", err)
	}
	if registry.MaxParams > peer.Params.MaxDocument() {
		t.Errorf("parameters have up to %d bytes, %d are gossiped", registry.MaxParams, peer.Params.MaxDocument())
	}
}

func TestCheckEndpoint(t *testing.T) {
	own := []netip.Prefix{netip.MustParsePrefix("2001:db8:42::/48")}
	for _, s := range []string{"192.0.2.1:1", "10.0.0.1:326", "[fd00::1]:326", "[2001:db8:43::1]:326", "[fe80::1%eth0]:326"} {
		if err := peer.CheckEndpoint(at(s), own); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{
		"192.0.2.1:0", "0.0.0.0:1", "0.1.2.3:1", "127.0.0.1:1", "[::1]:1", "[::]:1", "[ff02::1]:1", "224.0.0.1:1", "255.255.255.255:1",
		"[fe80::1]:1", "169.254.0.1:1", "[2001:db8:42:5::1]:326", "[::ffff:127.0.0.1]:1", "[2001:db8:42:5::1%eth0]:326",
	} {
		if err := peer.CheckEndpoint(at(s), own); !errors.Is(err, peer.ErrEndpoint) {
			t.Errorf("%s is taken for good: %v", s, err)
		}
	}
	if err := peer.CheckEndpoint(netip.AddrPort{}, own); !errors.Is(err, peer.ErrEndpoint) {
		t.Errorf("no address: %v", err)
	}
}

func TestARendezvousHasFewEndpointsThatCanBeDialled(t *testing.T) {
	r := peer.Rendezvous{Nonce: 1, Endpoints: []netip.AddrPort{
		at("127.0.0.1:1"), at("[2001:db8:42::1]:2"), at("192.0.2.1:3"), at("192.0.2.2:4"), at("192.0.2.3:5"), at("192.0.2.4:6"), at("192.0.2.5:7"),
	}}
	b, err := peer.Append(nil, peer.Header{Epoch: 1, Sequence: 1}, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, m, err := peer.Decode(b); err != nil || len(m.(peer.Rendezvous).Endpoints) != peer.MaxRendezvous {
		t.Errorf("%+v, %v: want %d endpoints", m, err, peer.MaxRendezvous)
	}
	got := r.Checked([]netip.Prefix{netip.MustParsePrefix("2001:db8:42::/48")}).Endpoints
	if want := r.Endpoints[2:6]; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCarriersOfANewerNodeAreRead(t *testing.T) {
	b, err := peer.Append(nil, peer.Header{}, peer.Hello{})
	if err != nil {
		t.Fatal(err)
	}
	_, m, err := peer.Decode(append(bytes.Clone(b), 12, 0, 5, 0x85, 0x01, 0xbb, 9, 9))
	if h, ok := m.(peer.Hello); err != nil || !ok || h.Carriers != 0x85 || h.TLSPort != 443 {
		t.Errorf("%+v, %v", m, err)
	}
	if _, _, err := peer.Decode(append(bytes.Clone(b), 12, 0, 2, 7, 1)); !errors.Is(err, peer.ErrMalformed) {
		t.Errorf("a port of one byte: %v", err)
	}
}
