package inbound_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/inbound"
)

const icmp4 = 1

var (
	us4   = netip.MustParseAddr("10.42.1.1")
	peer4 = netip.MustParseAddr("10.42.2.1")
)

// packet4 is an IPv4 packet of that protocol.
func packet4(src, dst netip.Addr, proto byte, payload ...byte) []byte {
	b := make([]byte, 20, 20+len(payload))
	b[0], b[8], b[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	s, d := src.As4(), dst.As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	return append(b, payload...)
}

// fragment4 makes a packet a fragment at an offset in units of 8 bytes.
func fragment4(b []byte, id, at uint16, more bool) []byte {
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], at)
	if more {
		b[6] |= 0x20
	}
	return b
}

// withOptions puts a header's options before the payload.
func withOptions(b []byte) []byte {
	b = slices.Insert(slices.Clone(b), 20, 1, 1, 1, 0)
	b[0] = 0x46
	return b
}

func TestOnlyAnswersAreLetInOfIPv4(t *testing.T) {
	about := packet4(us4, peer4, udp, ports(5000, 53)...)
	back := packet4(peer4, us4, udp, ports(53, 5000)...)
	ping := packet4(us4, peer4, icmp4, echo(8, 7)...)
	failed := func(typ byte, quoted []byte) []byte {
		return packet4(netip.MustParseAddr("192.0.0.8"), us4, icmp4, append([]byte{typ, 4, 0, 0, 0, 0, 5, 0}, quoted...)...)
	}
	for name, c := range map[string]struct {
		sent []byte
		came []byte
		want inbound.Verdict
	}{
		"UDP":                         {about, back, inbound.Admitted},
		"UDP to another port":         {about, packet4(peer4, us4, udp, ports(53, 5001)...), inbound.NotEstablished},
		"UDP from another host":       {about, packet4(netip.MustParseAddr("10.42.2.2"), us4, udp, ports(53, 5000)...), inbound.NotEstablished},
		"TCP":                         {packet4(us4, peer4, tcp, ports(5000, 22, syn)...), packet4(peer4, us4, tcp, ports(22, 5000, syn, ack)...), inbound.Admitted},
		"a connection to us":          {packet4(us4, peer4, tcp, ports(5000, 22, syn)...), packet4(peer4, us4, tcp, ports(5000, 22, syn)...), inbound.NotEstablished},
		"an echo":                     {ping, packet4(peer4, us4, icmp4, echo(0, 7)...), inbound.Admitted},
		"an echo of another":          {ping, packet4(peer4, us4, icmp4, echo(0, 8)...), inbound.NotEstablished},
		"an echo request":             {ping, packet4(peer4, us4, icmp4, echo(8, 7)...), inbound.NotEstablished},
		"ICMPv6 in it":                {ping, packet4(peer4, us4, icmp, echo(129, 7)...), inbound.NotEstablished},
		"ICMP of ICMPv6's number":     {ping, packet4(peer4, us4, icmp4, echo(129, 7)...), inbound.NotEstablished},
		"an error about it":           {about, failed(3, about), inbound.Admitted},
		"time exceeded":               {about, failed(11, about[:28]), inbound.Admitted},
		"a redirect":                  {about, failed(5, about), inbound.NotEstablished},
		"an error about nothing":      {nil, failed(3, about), inbound.NotEstablished},
		"behind options":              {withOptions(about), withOptions(back), inbound.Admitted},
		"options that are not there":  {about, append([]byte{0x4f}, back[1:]...), inbound.Unreadable},
		"a header that is too short":  {about, append([]byte{0x44}, back[1:]...), inbound.Unreadable},
		"half a header":               {about, back[:23], inbound.Unreadable},
		"IPv6 for IPv4":               {about, packet(peer, us, udp, ports(53, 5000)...), inbound.NotEstablished},
		"a first fragment":            {about, fragment4(packet4(peer4, us4, udp, ports(53, 5000)...), 9, 0, true), inbound.Admitted},
		"a later fragment of nothing": {about, fragment4(packet4(peer4, us4, udp, ports(53, 5000)...), 9, 8, false), inbound.NotEstablished},
	} {
		f := filter(t, inbound.Established)
		if c.sent != nil {
			f.Sent(time.Second, c.sent)
		}
		if got := f.Admit(2*time.Second, c.came); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// TestFragmentsOfIPv4FollowTheirFirst: of an answer, and of no other packet.
func TestFragmentsOfIPv4FollowTheirFirst(t *testing.T) {
	f := filter(t, inbound.Established)
	f.Sent(0, packet4(us4, peer4, udp, ports(5000, 53)...))
	piece := func(id, at uint16, more bool) inbound.Verdict {
		return f.Admit(0, fragment4(packet4(peer4, us4, udp, ports(53, 5000)...), id, at, more))
	}
	if got := piece(9, 0, true); got != inbound.Admitted {
		t.Fatalf("the first: %d", got)
	}
	if got := piece(9, 8, false); got != inbound.Admitted {
		t.Errorf("the last: %d", got)
	}
	if got := piece(10, 8, false); got != inbound.NotEstablished {
		t.Errorf("one of another packet: %d", got)
	}
}

func TestRulesAreForTheirFamily(t *testing.T) {
	f := filter(t, inbound.List, "10.42.0.0/16 tcp 22", "10.42.2.0/24 icmp", "::/0 udp")
	for name, c := range map[string]struct {
		came []byte
		want inbound.Verdict
	}{
		"TCP that is listed": {packet4(peer4, us4, tcp, ports(5000, 22, syn)...), inbound.Admitted},
		"another port":       {packet4(peer4, us4, tcp, ports(5000, 23, syn)...), inbound.NotListed},
		"from elsewhere":     {packet4(netip.MustParseAddr("10.43.0.1"), us4, tcp, ports(5000, 22, syn)...), inbound.NotListed},
		"an echo":            {packet4(peer4, us4, icmp4, echo(8, 1)...), inbound.Admitted},
		"ICMPv6 in IPv4":     {packet4(peer4, us4, icmp, echo(128, 1)...), inbound.NotListed},
		"a rule of IPv6":     {packet4(peer4, us4, udp, ports(1, 2)...), inbound.NotListed},
	} {
		if got := f.Admit(0, c.came); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
