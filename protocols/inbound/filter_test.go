package inbound_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/inbound"
)

const (
	tcp, udp, esp, icmp = 6, 17, 50, 58
	syn, ack, fin, rst  = 0x02, 0x10, 0x01, 0x04
)

var (
	us   = netip.MustParseAddr("2001:db8:42:1::1")
	peer = netip.MustParseAddr("2001:db8:42:2::1")
)

// packet is an IPv6 packet of that protocol.
func packet(src, dst netip.Addr, proto byte, payload ...byte) []byte {
	b := make([]byte, 40, 40+len(payload))
	b[0], b[6], b[7] = 0x60, proto, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	s, d := src.As16(), dst.As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
	return append(b, payload...)
}

// ports are the first bytes of TCP, UDP and the like; flags are TCP's.
func ports(from, to uint16, flags ...byte) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	for _, f := range flags {
		b[13] |= f
	}
	return b
}

func echo(typ byte, id uint16) []byte { return []byte{typ, 0, 0, 0, byte(id >> 8), byte(id), 0, 1} }

// behind puts an extension header before a payload.
func behind(header []byte, proto byte, payload ...byte) []byte {
	header[0] = proto
	return append(header, payload...)
}

// fragment is the header of a fragment at an offset in units of 8 bytes.
func fragment(id uint32, at uint16, more bool) []byte {
	b := make([]byte, 8)
	binary.BigEndian.PutUint16(b[2:], at<<3)
	if more {
		b[3] |= 1
	}
	binary.BigEndian.PutUint32(b[4:], id)
	return b
}

func filter(t testing.TB, p inbound.Policy, rules ...string) *inbound.Filter {
	t.Helper()
	var list []inbound.Rule
	for _, text := range rules {
		var r inbound.Rule
		if err := r.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	f, err := inbound.New(p, list, maphash.MakeSeed())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestOnlyAnswersAreLetIn(t *testing.T) {
	about := packet(us, peer, udp, ports(5000, 53)...)
	for name, c := range map[string]struct {
		sent []byte
		came []byte
		want inbound.Verdict
	}{
		"UDP":                             {packet(us, peer, udp, ports(5000, 53)...), packet(peer, us, udp, ports(53, 5000)...), inbound.Admitted},
		"UDP to another port":             {packet(us, peer, udp, ports(5000, 53)...), packet(peer, us, udp, ports(53, 5001)...), inbound.NotEstablished},
		"UDP from another port":           {packet(us, peer, udp, ports(5000, 53)...), packet(peer, us, udp, ports(54, 5000)...), inbound.NotEstablished},
		"UDP from another host":           {packet(us, peer, udp, ports(5000, 53)...), packet(netip.MustParseAddr("2001:db8:42:2::2"), us, udp, ports(53, 5000)...), inbound.NotEstablished},
		"TCP for UDP":                     {packet(us, peer, udp, ports(5000, 53)...), packet(peer, us, tcp, ports(53, 5000)...), inbound.NotEstablished},
		"TCP":                             {packet(us, peer, tcp, ports(5000, 22, syn)...), packet(peer, us, tcp, ports(22, 5000, syn, ack)...), inbound.Admitted},
		"a connection to us":              {packet(us, peer, tcp, ports(5000, 22, syn)...), packet(peer, us, tcp, ports(5000, 22, syn)...), inbound.NotEstablished},
		"an echo":                         {packet(us, peer, icmp, echo(128, 7)...), packet(peer, us, icmp, echo(129, 7)...), inbound.Admitted},
		"an echo of another":              {packet(us, peer, icmp, echo(128, 7)...), packet(peer, us, icmp, echo(129, 8)...), inbound.NotEstablished},
		"an echo request":                 {packet(us, peer, icmp, echo(128, 7)...), packet(peer, us, icmp, echo(128, 7)...), inbound.NotEstablished},
		"our reply begins nothing":        {packet(us, peer, icmp, echo(129, 7)...), packet(peer, us, icmp, echo(129, 7)...), inbound.NotEstablished},
		"no ports":                        {packet(us, peer, esp, 1, 2, 3, 4), packet(peer, us, esp, 4, 3, 2, 1), inbound.Admitted},
		"nothing was sent":                {nil, packet(peer, us, udp, ports(53, 5000)...), inbound.NotEstablished},
		"an error about it":               {about, packet(peer, us, icmp, append([]byte{2, 0, 0, 0, 0, 0, 5, 0}, about...)...), inbound.Admitted},
		"by a router":                     {about, packet(netip.MustParseAddr("2001:db8:9::1"), us, icmp, append([]byte{3, 0, 0, 0, 0, 0, 0, 0}, about[:44]...)...), inbound.Admitted},
		"an error about nothing":          {nil, packet(peer, us, icmp, append([]byte{1, 0, 0, 0, 0, 0, 0, 0}, about...)...), inbound.NotEstablished},
		"an error that quotes too little": {about, packet(peer, us, icmp, append([]byte{1, 0, 0, 0, 0, 0, 0, 0}, about[:20]...)...), inbound.NotEstablished},
		"behind extension headers": {
			packet(us, peer, 0, behind(make([]byte, 8), 60, behind(make([]byte, 8), udp, ports(5000, 53)...)...)...),
			packet(peer, us, 43, behind(make([]byte, 8), udp, ports(53, 5000)...)...), inbound.Admitted,
		},
		"headers without end": {about, packet(peer, us, 60, 60, 255, 0, 0), inbound.Unreadable},
		"half a header":       {about, packet(peer, us, udp, 0, 53), inbound.Unreadable},
		"not IP":              {about, []byte{0x55, 0, 0, 20}, inbound.Unreadable},
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

func TestFlowsEndInTheirTime(t *testing.T) {
	const start = time.Hour
	open := func(proto byte, flags ...byte) []byte { return packet(us, peer, proto, ports(5000, 53, flags...)...) }
	back := func(proto byte, flags ...byte) []byte { return packet(peer, us, proto, ports(53, 5000, flags...)...) }
	for name, c := range map[string]struct {
		open   []byte
		middle [][]byte // that come at once
		last   []byte
		keeps  time.Duration
	}{
		"UDP":            {open(udp), nil, back(udp), inbound.AnsweredOther},
		"TCP unanswered": {open(tcp, syn), nil, back(tcp, syn, ack), inbound.Unanswered},
		"TCP":            {open(tcp, syn), [][]byte{back(tcp, syn, ack)}, back(tcp, ack), inbound.AnsweredTCP},
		"TCP that ends":  {open(tcp, syn), [][]byte{back(tcp, syn, ack), back(tcp, fin, ack), back(tcp, ack)}, back(tcp, ack), inbound.Unanswered},
		"TCP refused":    {open(tcp, syn), [][]byte{back(tcp, rst)}, back(tcp, ack), inbound.Unanswered},
		"an echo":        {packet(us, peer, icmp, echo(128, 7)...), nil, packet(peer, us, icmp, echo(129, 7)...), inbound.AnsweredICMP},
	} {
		for _, late := range []bool{false, true} {
			f := filter(t, inbound.Established)
			f.Sent(start, c.open)
			for _, p := range c.middle {
				if f.Admit(start, p) != inbound.Admitted {
					t.Errorf("%s: refused at once", name)
				}
			}
			at, want := start+c.keeps-time.Second, inbound.Admitted
			if late {
				at, want = start+c.keeps, inbound.NotEstablished
			}
			if got := f.Admit(at, c.last); got != want {
				t.Errorf("%s, %s after: %d, want %d", name, at-start, got, want)
			}
		}
	}
	f := filter(t, inbound.Established)
	for at := start; at < 2*start; at += time.Minute { // either end keeps it
		f.Sent(at, open(udp))
		if f.Admit(at+inbound.AnsweredOther-time.Second, back(udp)) != inbound.Admitted {
			t.Fatal("a flow in use was dropped")
		}
	}
}

func TestAnotherConnectionOfTheSamePortsBeginsAnew(t *testing.T) {
	f := filter(t, inbound.Established)
	f.Sent(0, packet(us, peer, tcp, ports(5000, 22, syn)...))
	f.Admit(0, packet(peer, us, tcp, ports(22, 5000, fin, ack)...))
	f.Sent(time.Second, packet(us, peer, tcp, ports(5000, 22, syn)...))
	f.Admit(time.Second, packet(peer, us, tcp, ports(22, 5000, syn, ack)...))
	if got := f.Admit(time.Hour, packet(peer, us, tcp, ports(22, 5000, ack)...)); got != inbound.Admitted {
		t.Errorf("an hour later: %d", got)
	}
}

func TestFragmentsFollowTheFirst(t *testing.T) {
	f := filter(t, inbound.Established)
	f.Sent(0, packet(us, peer, udp, ports(5000, 53)...))
	first := packet(peer, us, 44, behind(fragment(9, 0, true), udp, ports(53, 5000)...)...)
	second := packet(peer, us, 44, behind(fragment(9, 3, false), udp, 1, 2, 3)...)
	other := packet(peer, us, 44, behind(fragment(10, 3, false), udp, 1, 2, 3)...)
	for i, c := range []struct {
		at     time.Duration
		packet []byte
		want   inbound.Verdict
	}{
		{0, second, inbound.NotEstablished},
		{0, first, inbound.Admitted},
		{time.Second, second, inbound.Admitted},
		{time.Second, other, inbound.NotEstablished},
		{inbound.Fragments, second, inbound.NotEstablished},
	} {
		if got := f.Admit(c.at, c.packet); got != c.want {
			t.Errorf("%d: %d, want %d", i, got, c.want)
		}
	}
}

func TestAListLetsInWhatItSays(t *testing.T) {
	f := filter(t, inbound.List, "2001:db8:42::/48 tcp 22", "2001:db8:42:2::1 udp 5000-5010", "2001:db8:43::/48", "::/0 icmp")
	elsewhere := netip.MustParseAddr("2001:db8:44::1")
	for _, c := range []struct {
		came []byte
		want inbound.Verdict
	}{
		{packet(peer, us, tcp, ports(9, 22)...), inbound.Admitted},
		{packet(peer, us, tcp, ports(9, 23)...), inbound.NotListed},
		{packet(peer, us, udp, ports(9, 22)...), inbound.NotListed},
		{packet(peer, us, udp, ports(9, 5000)...), inbound.Admitted},
		{packet(peer, us, udp, ports(9, 5010)...), inbound.Admitted},
		{packet(peer, us, udp, ports(9, 5011)...), inbound.NotListed},
		{packet(netip.MustParseAddr("2001:db8:42:2::2"), us, udp, ports(9, 5000)...), inbound.NotListed},
		{packet(netip.MustParseAddr("2001:db8:43:9::1"), us, esp, 1, 2, 3, 4), inbound.Admitted},
		{packet(elsewhere, us, icmp, echo(128, 1)...), inbound.Admitted},
		{packet(elsewhere, us, tcp, ports(9, 22)...), inbound.NotListed},
	} {
		if got := f.Admit(0, c.came); got != c.want {
			t.Errorf("% x: %d, want %d", c.came[8:], got, c.want)
		}
	}
	f.Sent(0, packet(us, elsewhere, tcp, ports(5000, 80, syn)...))
	if got := f.Admit(0, packet(elsewhere, us, tcp, ports(80, 5000, syn, ack)...)); got != inbound.Admitted {
		t.Errorf("an answer: %d", got)
	}
}

func TestAnotherPolicyKnowsTheFlows(t *testing.T) {
	answer, listed := packet(peer, us, udp, ports(53, 5000)...), packet(peer, us, tcp, ports(9, 22, syn)...)
	f := filter(t, inbound.Established)
	f.Sent(0, packet(us, peer, udp, ports(5000, 53)...))
	for _, c := range []struct {
		policy inbound.Policy
		rules  []inbound.Rule
		listed inbound.Verdict
	}{
		{inbound.List, []inbound.Rule{{Source: netip.MustParsePrefix("::/0"), Low: 22, High: 22}}, inbound.Admitted},
		{inbound.Established, nil, inbound.NotEstablished},
	} {
		next, err := f.Change(c.policy, c.rules, maphash.MakeSeed())
		if err != nil {
			t.Fatal(err)
		}
		if got := next.Admit(0, answer); got != inbound.Admitted {
			t.Errorf("%s: an answer: %d", c.policy, got)
		}
		if got := next.Admit(0, listed); got != c.listed {
			t.Errorf("%s: a connection to us: %d, want %d", c.policy, got, c.listed)
		}
		f = next
	}
	if _, err := f.Change(inbound.All, make([]inbound.Rule, 1), maphash.MakeSeed()); !errors.Is(err, inbound.ErrPolicy) {
		t.Errorf("a list without its policy: %v", err)
	}
	if next, err := (*inbound.Filter)(nil).Change(inbound.Established, nil, maphash.MakeSeed()); err != nil || next.Admit(0, answer) != inbound.NotEstablished {
		t.Errorf("of none: %v", err)
	}
}

func TestAllLetsAllIn(t *testing.T) {
	for name, f := range map[string]*inbound.Filter{"none": nil, "all": filter(t, inbound.All)} {
		f.Sent(0, packet(us, peer, udp, ports(1, 2)...))
		if got := f.Admit(0, packet(peer, us, tcp, ports(9, 22)...)); got != inbound.Admitted {
			t.Errorf("%s: %d", name, got)
		}
	}
}

// TestMoreFlowsThanPlaces: the newest are kept, and an old one in use.
func TestMoreFlowsThanPlaces(t *testing.T) {
	f := filter(t, inbound.Established)
	to := func(i int) netip.Addr {
		a := peer.As16()
		binary.BigEndian.PutUint32(a[12:], uint32(i))
		return netip.AddrFrom16(a)
	}
	const flows = 4 * inbound.MaxFlows
	for i := range flows {
		f.Sent(time.Duration(i)*time.Millisecond, packet(us, to(i), udp, ports(5000, 53)...))
	}
	at, kept := flows*time.Millisecond, 0
	for i := flows - inbound.MaxFlows/8; i < flows; i++ {
		if f.Admit(at, packet(to(i), us, udp, ports(53, 5000)...)) == inbound.Admitted {
			kept++
		}
	}
	if least := inbound.MaxFlows / 8 * 99 / 100; kept < least {
		t.Errorf("%d of the newest %d flows are known, want %d", kept, inbound.MaxFlows/8, least)
	}
	if f.Admit(at, packet(to(0), us, udp, ports(53, 5000)...)) == inbound.Admitted {
		t.Error("the oldest flow is still known")
	}
}

func TestRulesAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]string{
		"2001:db8:42::/48": "2001:db8:42::/48", "2001:db8::1": "2001:db8::1/128", "::/0 icmp": "::/0 icmp",
		"2001:db8::1/48 tcp 22": "2001:db8::/48 tcp 22", "::/0 udp 5000-5010": "::/0 udp 5000-5010", "::/0  sctp": "::/0 sctp",
		"10.42.0.0/16 tcp 22": "10.42.0.0/16 tcp 22", "10.42.1.1": "10.42.1.1/32",
	} {
		var r inbound.Rule
		if err := r.UnmarshalText([]byte(text)); err != nil || r.String() != want {
			t.Errorf("%q is read as %q, %v", text, r, err)
		}
	}
	for _, text := range []string{
		"", "::ffff:10.0.0.0/104", "fe80::1%eth0", "nonsense", "::/0 gre", "::/0 tcp 0", "::/0 tcp 9-8", "::/0 tcp 70000", "::/0 icmp 8", "::/0 tcp 1 2",
	} {
		var r inbound.Rule
		if err := r.UnmarshalText([]byte(text)); !errors.Is(err, inbound.ErrPolicy) {
			t.Errorf("%q: %v, want ErrPolicy", text, err)
		}
	}
	var p inbound.Policy
	if err := p.UnmarshalText([]byte("established")); err != nil || p != inbound.Established || fmt.Sprint(p) != "established" {
		t.Errorf("%v, %v", p, err)
	}
	if err := p.UnmarshalText([]byte("some")); !errors.Is(err, inbound.ErrPolicy) {
		t.Errorf("%v, want ErrPolicy", err)
	}
}

func TestBadPoliciesAreRefused(t *testing.T) {
	if _, err := inbound.New(inbound.List, make([]inbound.Rule, inbound.MaxRules+1), maphash.MakeSeed()); !errors.Is(err, inbound.ErrPolicy) {
		t.Errorf("too many rules: %v", err)
	}
	if _, err := inbound.New(inbound.Established, make([]inbound.Rule, 1), maphash.MakeSeed()); !errors.Is(err, inbound.ErrPolicy) {
		t.Errorf("rules without a list: %v", err)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	f := filter(t, inbound.List, "2001:db8:99::/48 tcp 22")
	out, in := packet(us, peer, tcp, ports(5000, 22, syn)...), packet(peer, us, tcp, ports(22, 5000, ack)...)
	refused := packet(peer, us, tcp, ports(9, 22, syn)...)
	if n := testing.AllocsPerRun(100, func() { f.Sent(0, out); f.Admit(0, in); f.Admit(0, refused) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSent(b *testing.B) {
	f, p := filter(b, inbound.Established), packet(us, peer, tcp, ports(5000, 22, ack)...)
	b.ReportAllocs()
	for b.Loop() {
		f.Sent(0, p)
	}
}

func BenchmarkAdmit(b *testing.B) {
	f := filter(b, inbound.Established)
	f.Sent(0, packet(us, peer, tcp, ports(5000, 22, ack)...))
	p := packet(peer, us, tcp, ports(22, 5000, ack)...)
	b.ReportAllocs()
	for b.Loop() {
		f.Admit(0, p)
	}
}

func BenchmarkRefuse(b *testing.B) {
	f := filter(b, inbound.Established)
	p := packet(peer, us, tcp, ports(22, 5000, ack)...)
	b.ReportAllocs()
	for b.Loop() {
		f.Admit(0, p)
	}
}

func FuzzFilter(f *testing.F) {
	about := packet(us, peer, udp, ports(5000, 53)...)
	about4 := packet4(us4, peer4, udp, ports(5000, 53)...)
	f.Add(about4)
	f.Add(packet4(peer4, us4, icmp4, append([]byte{3, 4, 0, 0, 0, 0, 5, 0}, about4...)...))
	f.Add(fragment4(packet4(peer4, us4, udp, ports(53, 5000)...), 9, 0, true))
	f.Add(about)
	f.Add(packet(peer, us, icmp, append([]byte{2, 0, 0, 0, 0, 0, 5, 0}, about...)...))
	f.Add(packet(peer, us, 44, behind(fragment(9, 0, true), 60, behind(make([]byte, 8), udp, ports(53, 5000)...)...)...))
	f.Add(packet(peer, us, 51, behind(make([]byte, 12), tcp, ports(53, 5000)...)...))
	// What is not sent is not answered, whatever it is.
	f.Fuzz(func(t *testing.T, b []byte) {
		x := filter(t, inbound.Established)
		if x.Admit(0, b) == inbound.Admitted {
			t.Errorf("% x was let in", b)
		}
		x.Sent(0, b)
		x.Admit(0, b)
	})
}
