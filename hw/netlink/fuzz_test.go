package netlink

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// wire gives the payload that the kernel would get for r.
func wire(r Route) []byte {
	req := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, 0)
	encodeRoute(req, 100_000, 77, r)
	return req.Serialize()[unix.NLMSG_HDRLEN:]
}

func routes() []Route {
	p, a := netip.MustParsePrefix, netip.MustParseAddr
	return []Route{
		{Dst: p("::/0"), Src: p("2001:db8::/32"), Link: 3, Via: a("fe80::1"), Metric: 5, MTU: 1300},
		{Dst: p("10.0.0.0/8"), Link: 3, Via: a("fe80::1"), PrefSrc: a("10.1.1.1")},
		{Dst: p("2001:db8::/48"), Kind: Unreachable, Metric: 1 << 31},
		{Dst: p("0.0.0.0/0"), Link: 1<<31 - 1, Via: a("10.0.0.1"), OnLink: true},
	}
}

func TestRouteSurvivesTheWire(t *testing.T) {
	for _, r := range routes() {
		got, err := decodeRoute(wire(r))
		if want := (held{route: r, table: 100_000, protocol: 77}); err != nil || got != want {
			t.Errorf("%v came back as %+v, %v", r, got, err)
		}
	}
}

func TestNormaliseRefusesWhatTheKernelWouldMisread(t *testing.T) {
	p, a := netip.MustParsePrefix, netip.MustParseAddr
	for name, r := range map[string]Route{
		"no destination":       {Link: 1},
		"host bits":            {Dst: p("2001:db8::1/64"), Link: 1},
		"source with IPv4":     {Dst: p("10.0.0.0/8"), Src: p("10.0.0.0/8"), Link: 1},
		"source host bits":     {Dst: p("::/0"), Src: p("2001:db8::1/64"), Link: 1},
		"unicast to nowhere":   {Dst: p("::/0")},
		"unreachable via":      {Dst: p("::/0"), Kind: Unreachable, Via: a("fe80::1")},
		"IPv6 via IPv4":        {Dst: p("::/0"), Link: 1, Via: a("10.0.0.1")},
		"preferred source 4/6": {Dst: p("::/0"), Link: 1, PrefSrc: a("10.0.0.1")},
	} {
		if _, err := r.normalise(); err == nil {
			t.Errorf("%s: %v is accepted", name, r)
		}
	}
}

// FuzzRoute: no message makes the decoder panic, and what it can read and the kernel
// could be sent is read the same again.
func FuzzRoute(f *testing.F) {
	for _, r := range routes() {
		f.Add(wire(r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeRoute(b)
		if err != nil {
			return
		}
		r, err := h.route.normalise()
		if err != nil {
			return
		}
		if again, err := decodeRoute(wire(r)); err != nil || again.route != r {
			t.Errorf("%+v came back as %+v, %v", r, again.route, err)
		}
	})
}

// FuzzAddr: no message makes the decoder panic.
func FuzzAddr(f *testing.F) {
	msg := nl.NewIfAddrmsg(unix.AF_INET6)
	msg.Prefixlen, msg.Index = 64, 3
	attr := nl.NewRtAttr(unix.IFA_ADDRESS, netip.MustParseAddr("2001:db8::1").AsSlice())
	f.Add(append(msg.Serialize(), attr.Serialize()...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := decodeAddr(b); err == nil && !a.Prefix.IsValid() {
			t.Errorf("an address without prefix was accepted: %+v", a)
		}
	})
}
