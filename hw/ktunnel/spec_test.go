package ktunnel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func sound(kind Kind) Spec {
	s := Spec{
		Name: "n1-a", Kind: kind, Key: 7, MTU: 1400, LinkLocal: netip.MustParseAddr("fe80::1"),
		Local: netip.MustParseAddrPort("192.0.2.1:5000"), Remote: netip.MustParseAddrPort("192.0.2.2:5001"),
	}
	s.Private[0], s.Peer[0] = 1, 2
	return s
}

func TestASoundSpecIsTaken(t *testing.T) {
	for _, kind := range []Kind{GRE, FOU, WireGuard} {
		s := sound(kind)
		if err := s.check("n1"); err != nil {
			t.Error(kind, err)
		}
		s.Local, s.Remote = netip.MustParseAddrPort("[2001:db8::1]:5000"), netip.MustParseAddrPort("[2001:db8::2]:5001")
		if err := s.check("n1"); err != nil {
			t.Error(kind, err)
		}
	}
}

func TestASpecThatMakesNoTunnelIsRefused(t *testing.T) {
	ports := netip.MustParseAddrPort
	for _, c := range []struct {
		kind   Kind
		change func(*Spec)
		says   string
	}{
		{GRE, func(s *Spec) { s.Kind = 0 }, "none of gre"},
		{GRE, func(s *Spec) { s.Name = "n2-a" }, `begins with "n1-"`},
		{GRE, func(s *Spec) { s.Name = "n1-" }, `begins with "n1-"`},
		{GRE, func(s *Spec) { s.Name = "n1-1234567890123" }, "15 bytes"},
		{GRE, func(s *Spec) { s.Name = "n1-a/b" }, "the name"},
		{GRE, func(s *Spec) { s.Remote = netip.AddrPort{} }, "unicast addresses"},
		{GRE, func(s *Spec) { s.Remote = ports("224.0.0.1:1") }, "unicast addresses"},
		{GRE, func(s *Spec) { s.Remote = ports("[fe80::1%eth0]:1") }, "unicast addresses"},
		{GRE, func(s *Spec) { s.Remote = ports("[::ffff:192.0.2.2]:1") }, "unicast addresses"},
		{GRE, func(s *Spec) { s.Remote = ports("[2001:db8::2]:1") }, "two families"},
		{GRE, func(s *Spec) { s.Remote = s.Local }, "both outer addresses"},
		{GRE, func(s *Spec) { s.Key = 0 }, "a key"},
		{FOU, func(s *Spec) { s.Key = 0 }, "a key"},
		{FOU, func(s *Spec) { s.Local = ports("192.0.2.1:0") }, "a UDP port"},
		{WireGuard, func(s *Spec) { s.Remote = ports("192.0.2.2:0") }, "a UDP port"},
		{WireGuard, func(s *Spec) { s.Private = [KeyLen]byte{} }, "a private key"},
		{WireGuard, func(s *Spec) { s.Peer = [KeyLen]byte{} }, "public key"},
		{GRE, func(s *Spec) { s.LinkLocal = netip.MustParseAddr("2001:db8::1") }, "fe80::/64"},
		{GRE, func(s *Spec) { s.LinkLocal = netip.MustParseAddr("fe80::") }, "fe80::/64"},
		{GRE, func(s *Spec) { s.LinkLocal = netip.MustParseAddr("fe80:0:0:1::1") }, "fe80::/64"},
		{GRE, func(s *Spec) { s.LinkLocal = netip.Addr{} }, "fe80::/64"},
		{GRE, func(s *Spec) { s.MTU = 1279 }, "1280 to 65535"},
		{GRE, func(s *Spec) { s.MTU = 65536 }, "1280 to 65535"},
	} {
		s := sound(c.kind)
		c.change(&s)
		if err := s.check("n1"); !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
}

func TestErrorsDoNotShowKeys(t *testing.T) {
	s := sound(WireGuard)
	s.Private = [KeyLen]byte(bytes.Repeat([]byte{0xee}, KeyLen))
	if text := s.String(); strings.Contains(text, "ee") && strings.Contains(text, "238") || text != "wireguard tunnel n1-a from 192.0.2.1:5000 to 192.0.2.2:5001" {
		t.Error(text)
	}
}

func TestTheMTULeavesRoomForTheHeaders(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		ipv6 bool
		want int
	}{
		{GRE, false, 1472}, {GRE, true, 1452}, {FOU, false, 1464}, {FOU, true, 1444}, {WireGuard, false, 1440}, {WireGuard, true, 1408},
	} {
		if got := c.kind.MTU(1500, c.ipv6); got != c.want {
			t.Errorf("%v, IPv6 %v: %d, want %d", c.kind, c.ipv6, got, c.want)
		}
	}
}

func TestASocketAddressIsTheKernels(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1:5000":     "\x13\x88\xc0\x00\x02\x01" + strings.Repeat("\x00", 8),
		"[2001:db8::1]:5000": "\x13\x88" + strings.Repeat("\x00", 4) + "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01" + strings.Repeat("\x00", 4),
	} {
		if got := sockaddr(netip.MustParseAddrPort(text)); string(got[2:]) != want {
			t.Errorf("%s: % x", text, got)
		}
	}
}

func TestATrustThatIsNoneIsRefused(t *testing.T) {
	good := Trust{
		Own: netip.MustParsePrefix("2001:db8:42:1::/64"), Peer: netip.MustParsePrefix("2001:db8:42:2::/64"), Source: netip.MustParseAddr("2001:db8:42:1::1"), Protocol: 206,
	}
	s := sound(GRE)
	s.Trust = good
	if err := s.check("n1"); err != nil {
		t.Error(err)
	}
	for says, change := range map[string]func(*Trust){
		"without host bits": func(x *Trust) { x.Peer = netip.MustParsePrefix("2001:db8:42:2::1/64") },
		"invalid Prefix":    func(x *Trust) { x.Peer = netip.Prefix{} },
		"10.0.0.0/8":        func(x *Trust) { x.Peer = netip.MustParsePrefix("10.0.0.0/8") },
		"fe80::/64":         func(x *Trust) { x.Peer = netip.MustParsePrefix("fe80::/64") },
		"overlap":           func(x *Trust) { x.Peer = netip.MustParsePrefix("2001:db8:42::/48") },
		"the source":        func(x *Trust) { x.Source = netip.MustParseAddr("2001:db8:42:2::1") },
	} {
		s.Trust = good
		change(&s.Trust)
		if err := s.check("n1"); !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

func TestAFilterMatchesAPrefix(t *testing.T) {
	packet := func(a string) []byte {
		b := netip.MustParseAddr(a).As16()
		return append(make([]byte, sourceOffset), b[:]...)
	}
	matches := func(p string, packet []byte) bool {
		for _, k := range within(netip.MustParsePrefix(p), sourceOffset) {
			if binary.BigEndian.Uint32(packet[k.Off:])&k.Mask != k.Val {
				return false
			}
		}
		return true
	}
	for _, c := range []struct {
		prefix, address string
		want            bool
	}{
		{"fe80::/10", "fe80::1", true},
		{"fe80::/10", "febf::1", true},
		{"fe80::/10", "fec0::1", false},
		{"2001:db8:42:1::/64", "2001:db8:42:1::77", true},
		{"2001:db8:42:1::/64", "2001:db8:42:2::77", false},
		{"2001:db8:42:1:8000::/65", "2001:db8:42:1:8000::1", true},
		{"2001:db8:42:1:8000::/65", "2001:db8:42:1:7000::1", false},
		{"2001:db8::1/128", "2001:db8::1", true},
		{"2001:db8::1/128", "2001:db8::2", false},
		{"::/0", "2001:db8::2", true},
	} {
		if got := matches(c.prefix, packet(c.address)); got != c.want {
			t.Errorf("%s in %s: %t", c.address, c.prefix, got)
		}
	}
}
