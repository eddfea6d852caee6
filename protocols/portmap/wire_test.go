package portmap_test

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"

	"re6st/protocols/portmap"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Answers of miniupnpd 2.3.1, for UDP port 7326 of 192.168.1.2, outside 11.0.0.6.
const (
	pcpGranted   = "028100000000007800000003000000000000000000000000787878787878787878787878110000001c9e1c9e00000000000000000000ffff0b000006"
	pmpAddress   = "00800000000000030b000006"
	pmpGranted   = "00810000000000031c9e1c9e00000078"
	testNonceHex = "787878787878787878787878"
)

func testNonce(t testing.TB) [portmap.NonceLen]byte {
	return [portmap.NonceLen]byte(unhex(t, testNonceHex))
}

func TestRequestsAreThoseOfTheRFCs(t *testing.T) {
	pcp := portmap.PCPMap{
		Client: netip.MustParseAddr("192.168.1.2"), Lifetime: 120, Nonce: testNonce(t), Internal: 7326,
		External: netip.AddrPortFrom(netip.Addr{}, 7326),
	}
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"PCP MAP", pcp.Append(nil), "0201000000000078" + "00000000000000000000ffffc0a80102" + testNonceHex + "11000000" + "1c9e1c9e" + "00000000000000000000ffff00000000"},
		{"PCP ANNOUNCE", portmap.PCPAnnounce(netip.MustParseAddr("192.168.1.2")), "0200000000000000" + "00000000000000000000ffffc0a80102"},
		{"NAT-PMP address", portmap.NATPMPAddress(), "0000"},
		{"NAT-PMP map", portmap.NATPMPMap(7326, 7326, 120), "000100001c9e1c9e00000078"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestAnswersOfARealGatewayAreRead(t *testing.T) {
	outside := netip.MustParseAddrPort("11.0.0.6:7326")
	m, err := portmap.ParsePCPMapped(unhex(t, pcpGranted))
	if want := (portmap.PCPMapped{Lifetime: 120, Epoch: 3, Nonce: testNonce(t), Internal: 7326, External: outside}); err != nil || m != want {
		t.Errorf("PCP: %+v, %v", m, err)
	}
	a, err := portmap.ParseNATPMPAnswer(unhex(t, pmpAddress))
	if want := (portmap.NATPMPAnswer{Epoch: 3, Address: outside.Addr()}); err != nil || a != want {
		t.Errorf("NAT-PMP address: %+v, %v", a, err)
	}
	a, err = portmap.ParseNATPMPAnswer(unhex(t, pmpGranted))
	if want := (portmap.NATPMPAnswer{Epoch: 3, Internal: 7326, External: 7326, Lifetime: 120}); err != nil || a != want {
		t.Errorf("NAT-PMP map: %+v, %v", a, err)
	}
}

func TestARefusalHasNoMore(t *testing.T) {
	if m, err := portmap.ParsePCPMapped(unhex(t, "028100020000001e00000003"+"000000000000000000000000")); err != nil || m.Result != 2 || m.Lifetime != 30 {
		t.Errorf("%+v, %v", m, err)
	}
	if a, err := portmap.ParseNATPMPAnswer(unhex(t, "0081000200000003")); err != nil || a.Result != 2 {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestWhatIsNoAnswerIsAnError(t *testing.T) {
	for text, want := range map[string]error{
		"":                                       portmap.ErrShort,
		"02810000":                               portmap.ErrShort,
		pcpGranted[:80]:                          portmap.ErrShort,
		pmpAddress:                               portmap.ErrVersion,
		"0201" + pcpGranted[4:]:                  portmap.ErrOpcode,
		"0282" + pcpGranted[4:]:                  portmap.ErrOpcode,
		pcpGranted[:72] + "06" + pcpGranted[74:]: portmap.ErrOpcode,
	} {
		if _, err := portmap.ParsePCPMapped(unhex(t, text)); !errors.Is(err, want) {
			t.Errorf("PCP %q: %v, want %v", text, err, want)
		}
	}
	for text, want := range map[string]error{
		"": portmap.ErrShort, "00800000": portmap.ErrShort, pmpAddress[:20]: portmap.ErrShort, pmpGranted[:24]: portmap.ErrShort,
		pcpGranted: portmap.ErrVersion, "0002000000000000": portmap.ErrOpcode,
	} {
		if _, err := portmap.ParseNATPMPAnswer(unhex(t, text)); !errors.Is(err, want) {
			t.Errorf("NAT-PMP %q: %v, want %v", text, err, want)
		}
	}
}

func TestTheAnswerToAnAnnouncementIsRead(t *testing.T) {
	const announced = "028000000000000000000003000000000000000000000000"
	if r, err := portmap.ParsePCPAnnounced(unhex(t, announced)); err != nil || r != portmap.Success {
		t.Errorf("%v, %v", r, err)
	}
	if r, err := portmap.ParsePCPAnnounced(unhex(t, "02800002"+announced[8:])); err != nil || r != 2 {
		t.Errorf("a refusal: %v, %v", r, err)
	}
	for name, c := range map[string]struct {
		b    string
		want error
	}{
		"of NAT-PMP": {pmpAddress, portmap.ErrVersion}, "to MAP": {pcpGranted, portmap.ErrOpcode}, "cut": {announced[:40], portmap.ErrShort}, "none": {"", portmap.ErrShort},
	} {
		if _, err := portmap.ParsePCPAnnounced(unhex(t, c.b)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
