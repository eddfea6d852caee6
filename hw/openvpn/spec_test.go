package openvpn

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"re6st/protocols/ktunnel"
)

// block is a PEM block that nobody reads.
func block(kind string) []byte {
	return []byte("-----BEGIN " + kind + "-----\nAAAA\n-----END " + kind + "-----\n")
}

func sound() Spec {
	return Spec{
		Device: "n1-a", Kind: ktunnel.OpenVPNUDP, Local: netip.MustParseAddrPort("192.0.2.1:5000"), Peer: "5/16",
		CA: block("CERTIFICATE"), Certificate: block("CERTIFICATE"), Key: block("PRIVATE KEY"), MTU: 1400,
	}
}

func TestASoundSpecIsTaken(t *testing.T) {
	s := sound()
	if err := s.check(); err != nil {
		t.Error(err)
	}
	s.Local, s.Remote, s.Kind, s.Peer = netip.AddrPort{}, netip.MustParseAddrPort("[2001:db8::1]:443"), ktunnel.OpenVPNTCP, ""
	if err := s.check(); err != nil {
		t.Error(err)
	}
}

func TestASpecThatMakesNoTunnelIsRefused(t *testing.T) {
	for _, c := range []struct {
		change func(*Spec)
		says   string
	}{
		{func(s *Spec) { s.Device = "" }, "1 to 15 bytes"},
		{func(s *Spec) { s.Device = "sixteen-bytes-00" }, "1 to 15 bytes"},
		{func(s *Spec) { s.Device = "a\nup /bin/sh" }, "1 to 15 bytes"},
		{func(s *Spec) { s.Kind = ktunnel.GRE }, "none of openvpn-udp"},
		{func(s *Spec) { s.Remote = s.Local }, "one end waits"},
		{func(s *Spec) { s.Local = netip.AddrPort{} }, "one end waits"},
		{func(s *Spec) { s.Local = netip.MustParseAddrPort("192.0.2.1:0") }, "no unicast address with a port"},
		{func(s *Spec) { s.Local = netip.MustParseAddrPort("[fe80::1%eth0]:5000") }, "without a zone"},
		{func(s *Spec) { s.Peer = "5/16\nup /bin/sh" }, "common name"},
		{func(s *Spec) { s.Peer = `5/16" name` }, "common name"},
		{func(s *Spec) { s.MTU = 1279 }, "1280 to 1500"},
		{func(s *Spec) { s.MTU = 1501 }, "1280 to 1500"},
		{func(s *Spec) { s.CA = nil }, "CA is not one block"},
		{func(s *Spec) { s.Key = append(block("PRIVATE KEY"), "</key>\nup /bin/sh\n"...) }, "key is not one block"},
		{func(s *Spec) { s.Certificate = append([]byte("</cert>\nup /bin/sh\n"), block("CERTIFICATE")...) }, "certificate is not one block"},
	} {
		s := sound()
		c.change(&s)
		if err := s.check(); !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
}

func TestTheFolderOfTheSocketIsQuoted(t *testing.T) {
	s := sound()
	text := string(s.config(`/run/a "b" \c/n1-a.sock`))
	if want := `management "/run/a \"b\" \\c/n1-a.sock" unix`; !strings.Contains(text, want+"\n") {
		t.Errorf("%s\nwithout %s", text, want)
	}
}

func TestEachEndHasItsRole(t *testing.T) {
	lines := func(s Spec) string { return "\n" + string(s.config("/run/m")) }
	s := sound()
	s.Mark = 77
	for _, want := range []string{"mode server", "proto udp4", "local 192.0.2.1", "port 5000", "mtu-disc yes", "mark 77", "verify-x509-name 5/16 name"} {
		if got := lines(s); !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("%s\nwithout %q", got, want)
		}
	}
	s.Kind = ktunnel.OpenVPNTCP
	if got := lines(s); !strings.Contains(got, "\nproto tcp4-server\n") || strings.Contains(got, "mtu-disc") {
		t.Error(got)
	}
	s.Local, s.Remote = netip.AddrPort{}, netip.MustParseAddrPort("[2001:db8::1]:443")
	if got := lines(s); !strings.Contains(got, "\nproto tcp6-client\n") || !strings.Contains(got, "\nremote 2001:db8::1 443\n") || strings.Contains(got, "server") {
		t.Error(got)
	}
}

func TestNoKeyIsShown(t *testing.T) {
	s := sound()
	s.Key = bytes.ReplaceAll(s.Key, []byte("AAAA"), []byte("c2VjcmV0"))
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	s.Device = ""
	for _, text := range []string{s.String(), s.check().Error(), fmt.Sprint(&s)} {
		if strings.Contains(text, "c2VjcmV0") {
			t.Error(text)
		}
	}
}
