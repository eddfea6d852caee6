package node

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"re6st/actors/monitor"
	"re6st/hw/sock"
	"re6st/protocols/fabric"
)

// A node whose port of TLS is another program's runs on, and says so; so does one that drops a
// carrier at its operator's wish.
func TestWhatKeepsLinksFromACarrierIsAProblem(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := Config{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	*c.Mark, *c.TLSPort = 0, uint16(l.Addr().(*net.TCPAddr).Port)
	udp, err := sock.Listen(sock.Config{Addr: netip.MustParseAddrPort("[::1]:0")})
	if err != nil {
		t.Fatal(err)
	}
	n := &parts{host: &host{}}
	if err := n.host.openCarriers(c, udp); err != nil {
		t.Fatal(err)
	}
	defer n.host.conn.Close()
	if carriers, port := n.host.served(); carriers != fabric.AllCarriers || port != 0 {
		t.Errorf("serves %b, TLS at %d", carriers, port)
	}
	problems := func() string {
		var s monitor.Status
		n.carrierStatus(&s)
		return strings.Join(s.Problems, "\n")
	}
	if got := problems(); !strings.Contains(got, "links by tls are only dialled") || !strings.Contains(got, "address already in use") {
		t.Error(got)
	}
	for _, step := range []struct {
		name string
		off  bool
		want []string
	}{{"udp", false, []string{"udp"}}, {"tls", false, []string{"udp", "tls"}}, {"udp", true, []string{"tls"}}, {"tls", true, nil}} {
		got, err := n.blockCarrier(step.name, step.off)
		if err != nil || !slices.Equal(got, step.want) {
			t.Errorf("%+v: %v, %v", step, got, err)
		}
		if said := strings.Contains(problems(), "re6st debug block: "+strings.Join(step.want, ", ")); said != (len(step.want) > 0) {
			t.Errorf("%+v: %s", step, problems())
		}
	}
	if _, err := n.blockCarrier("sctp", false); err == nil {
		t.Error("sctp is blocked")
	}
	if _, err := (&parts{host: &host{}}).blockCarrier("udp", false); err == nil {
		t.Error("a node without carriers blocks one")
	}
}

func TestCarriersAreThoseOfTheConfiguration(t *testing.T) {
	for text, want := range map[string]fabric.CarrierSet{
		"": fabric.AllCarriers, `carriers = ["udp"]`: 1 << fabric.UDP, `carriers = ["tls", "quic"]`: 1<<fabric.TLS | 1<<fabric.QUIC,
	} {
		if c, err := ParseConfig([]byte(text)); err != nil || c.carriers() != want {
			t.Errorf("%q: %b, %v", text, c.carriers(), err)
		}
	}
}
