package nat_test

import (
	"net/netip"
	"testing"

	"re6st/protocols/addr"
	"re6st/protocols/nat"
)

func TestTheKindIsToldFromWhatPeersSee(t *testing.T) {
	const own = "192.168.1.2:7326"
	for _, c := range []struct {
		name string
		seen []string // by peers of their own
		want nat.Kind
	}{
		{"nobody has seen it", nil, nat.Unknown},
		{"seen where it is", []string{own, own}, nat.None},
		{"seen where it is, as IPv6 writes it", []string{"[::ffff:192.168.1.2]:7326"}, nat.None},
		{"only IPv6 was seen", []string{"[2001:db8::1]:7326"}, nat.Unknown},
		{"its port is kept", []string{"203.0.113.1:7326"}, nat.PortRestricted},
		{"another port, to one peer", []string{"203.0.113.1:40000"}, nat.Unknown},
		{"another port, the same to two", []string{"203.0.113.1:40000", "203.0.113.1:40000"}, nat.PortRestricted},
		{"another port to another peer", []string{"203.0.113.1:40000", "203.0.113.1:40001"}, nat.Random},
		{"a peer on the LAN, and one beyond", []string{own, "203.0.113.1:7326"}, nat.PortRestricted},
		{"two uplinks that keep the port", []string{"203.0.113.1:7326", "198.51.100.1:7326"}, nat.PortRestricted},
	} {
		var w nat.Watch
		w.HandleOwn([]netip.AddrPort{netip.MustParseAddrPort("[2001:db8::9]:7326"), netip.MustParseAddrPort(own)})
		for i, at := range c.seen {
			w.HandleSeen(addr.NodeIDFromUint64(uint64(i+1)), netip.MustParseAddrPort(at))
		}
		if got := w.Kind(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestAPeerThatIsGoneHasNoSay(t *testing.T) {
	var w nat.Watch
	one, two := addr.NodeIDFromUint64(1), addr.NodeIDFromUint64(2)
	w.HandleOwn([]netip.AddrPort{netip.MustParseAddrPort("192.168.1.2:7326")})
	w.HandleSeen(one, netip.MustParseAddrPort("203.0.113.1:40000"))
	w.HandleSeen(two, netip.MustParseAddrPort("203.0.113.1:7326"))
	if w.HandleGone(one); w.Kind() != nat.PortRestricted {
		t.Errorf("%s by the word of who is gone", w.Kind())
	}
	if w.HandleSeen(two, netip.MustParseAddrPort("192.168.1.2:7326")); w.Kind() != nat.None {
		t.Errorf("%s by the word that a peer took back", w.Kind())
	}
}

func TestHowManyPeersCountIsBounded(t *testing.T) {
	var w nat.Watch
	for i := range 2 * nat.MaxSeen {
		port := uint16(7326)
		if i >= nat.MaxSeen {
			port++
		}
		w.HandleSeen(addr.NodeIDFromUint64(uint64(i+1)), netip.AddrPortFrom(netip.MustParseAddr("203.0.113.1"), port))
	}
	if w.Kind() != nat.PortRestricted {
		t.Errorf("%s: more than %d count", w.Kind(), nat.MaxSeen)
	}
}

func TestWhatIsInTheWay(t *testing.T) {
	kinds := []nat.Kind{nat.Unknown, nat.None, nat.PortRestricted, nat.Random}
	want := map[[2]nat.Kind]nat.Obstacle{
		{nat.Random, nat.Random}:         nat.BothRandom,
		{nat.Random, nat.PortRestricted}: nat.RandomToNAT,
		{nat.PortRestricted, nat.Random}: nat.RandomToNAT,
	}
	for _, a := range kinds {
		for _, b := range kinds {
			if got := nat.Between(a, b); got != want[[2]nat.Kind{a, b}] {
				t.Errorf("between %s and %s: %q", a, b, got)
			}
		}
	}
}
