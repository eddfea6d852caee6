package ktunnel

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	vnl "github.com/vishvananda/netlink"
)

// fits does what cls_u32 does with a packet that begins with its header.
func (a admitted) fits(packet []byte) bool {
	return !slices.ContainsFunc(a, func(k vnl.TcU32Key) bool {
		at := int(k.Off)
		return at+4 > len(packet) || binary.BigEndian.Uint32(packet[at:])&k.Mask != k.Val
	})
}

// ipv6 is a packet of a protocol whose payload begins with four bytes.
func ipv6(from, to string, next byte, payload ...byte) []byte {
	source, destination := netip.MustParseAddr(from).As16(), netip.MustParseAddr(to).As16()
	packet := append([]byte{0x60, 0, 0, 0, 0, 8, next, 64}, source[:]...)
	return append(append(append(packet, destination[:]...), payload...), 0, 0, 0, 0)
}

func TestATunnelTakesItsOwnDatagramsAlone(t *testing.T) {
	const udp, tcp, icmp = 17, 6, 58
	port, solicits, advertises, echo := []byte{9, 9, 1, 2}, []byte{135, 0, 0, 0}, []byte{136, 0, 0, 0}, []byte{128, 0, 0, 0}
	trust := Trust{Own: netip.MustParsePrefix("2001:db8:1::/64"), Peer: netip.MustParsePrefix("2001:db8:2::/64")}
	for _, c := range []struct {
		what               string
		packet             []byte
		plain, trusted, by bool // a tunnel, one that is trusted, a TAP takes it
	}{
		{"its own", ipv6("fe80::1", "fe80::2", udp, port...), true, true, true},
		{"another port", ipv6("fe80::1", "fe80::2", udp, 9, 9, 1, 3), false, false, false},
		{"another protocol", ipv6("fe80::1", "fe80::2", tcp, port...), false, false, false},
		{"for a group", ipv6("fe80::1", "ff02::1", udp, port...), false, false, false},
		{"from elsewhere", ipv6("2001:db8::1", "fe80::2", udp, port...), false, false, false},
		{"for elsewhere", ipv6("fe80::1", "2001:db8:1::2", udp, port...), false, false, false},
		{"of the two nodes", ipv6("2001:db8:2::1", "2001:db8:1::1", tcp, port...), false, true, false},
		{"for another", ipv6("2001:db8:2::1", "2001:db8:3::1", tcp, port...), false, false, false},
		{"a question for a neighbor", ipv6("fe80::1", "ff02::1:ff00:2", icmp, solicits...), false, false, true},
		{"its answer", ipv6("fe80::1", "fe80::2", icmp, advertises...), false, false, true},
		{"an answer from elsewhere", ipv6("2001:db8::1", "fe80::2", icmp, advertises...), false, false, false},
		{"an echo", ipv6("fe80::1", "fe80::2", icmp, echo...), false, false, false},
	} {
		takes := func(all []admitted) bool {
			return slices.ContainsFunc(all, func(a admitted) bool { return a.fits(c.packet) })
		}
		plain, trusted := Spec{Port: 0x102}, Spec{Port: 0x102, Trust: trust}
		for kind, x := range map[string][2]bool{
			"a tunnel":         {takes(plain.admitted()), c.plain},
			"a trusted tunnel": {takes(trusted.admitted()), c.trusted},
			"a TAP":            {takes(append(neighbors(), datagrams(0x102))), c.by},
		} {
			if x[0] != x[1] {
				t.Errorf("%s: %s takes it: %t", c.what, kind, x[0])
			}
		}
	}
}

func TestWhatIsFiltered(t *testing.T) {
	trust := Trust{Own: netip.MustParsePrefix("2001:db8:1::/64")}
	for _, c := range []struct {
		spec Spec
		want bool
	}{
		{Spec{Kind: GRE}, false},
		{Spec{Kind: GRE, Port: 1}, true},
		{Spec{Kind: GRE, Port: 1, Unfiltered: true}, false},
		{Spec{Kind: GRE, Port: 1, Unfiltered: true, Trust: trust}, true},
		{Spec{Kind: WireGuard, Port: 1, Trust: trust}, true},
		{Spec{Kind: WireGuard, Port: 1, Unfiltered: true, Trust: trust}, false},
	} {
		if got := c.spec.filtered(); got != c.want {
			t.Errorf("%+v: %t", c.spec, got)
		}
	}
}

// What the kernel sends by itself on an interface that comes up, reports of its groups (RFC 3810),
// would begin handshakes at both ends at once, and where those cross neither has keys for 5 s.
func TestWireGuardBeginsNoHandshakeForTheKernelsOwn(t *testing.T) {
	reports, peer := netip.MustParseAddr("ff02::16"), netip.MustParseAddr("fe80::2")
	for _, s := range []Spec{{Port: 1}, {Port: 1, Unfiltered: true}, {Trust: Trust{Peer: netip.MustParsePrefix("2001:db8::/64")}}} {
		leads := func(a netip.Addr) bool {
			return slices.ContainsFunc(s.allowed(), func(p netip.Prefix) bool { return p.Contains(a) })
		}
		if leads(reports) || !leads(peer) {
			t.Errorf("%+v leads to %v", s, s.allowed())
		}
	}
}
