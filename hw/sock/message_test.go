package sock

import (
	"errors"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"re6st/hw/netns"
	"re6st/hw/netns/netnstest"
)

// spaces are two namespaces that a veth joins, with fe80::a and fe80::b at its ends.
func newSpaces(t *testing.T) (spaces [2]*netns.NS, links [2]string, addresses [2]netip.Addr) {
	t.Helper()
	group := netnstest.NewGroup(t)
	var err error
	for i, name := range []string{"a", "b"} {
		if spaces[i], err = group.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	links = [2]string{"to-b", "to-a"}
	addresses = [2]netip.Addr{netip.MustParseAddr("fe80::a"), netip.MustParseAddr("fe80::b")}
	join(t, spaces, links, addresses)
	return spaces, links, addresses
}

func join(t *testing.T, spaces [2]*netns.NS, links [2]string, addresses [2]netip.Addr) {
	t.Helper()
	if err := netns.Veth(spaces[0], links[0], spaces[1], links[1]); err != nil {
		t.Fatal(err)
	}
	for i, ns := range spaces {
		runIP(t, "-n", ns.Name(), "addr", "add", addresses[i].String()+"/64", "dev", links[i], "nodad")
	}
}

func runIP(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v: %s", args, err, out)
	}
}

func TestALinkLocalAddressHasTheNameOfItsInterface(t *testing.T) {
	spaces, links, addresses := newSpaces(t)
	var ends [2]*UDP
	for i, ns := range spaces {
		if err := ns.Do(func() error { ends[i] = open(t, Config{}); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	port := func(i int) uint16 { return ends[i].LocalAddr().Port() }
	to := netip.AddrPortFrom(addresses[1].WithZone(links[0]), port(1))
	for i := range 4 { // there and back, to where it came from
		from, at := i%2, 1-i%2
		if err := spaces[from].Do(func() error { write(t, ends[from], Packet{Data: []byte("x"), Addr: to}); return nil }); err != nil {
			t.Fatal(err)
		}
		if err := spaces[at].Do(func() error { to = read(t, ends[at]).Addr; return nil }); err != nil {
			t.Fatal(err)
		}
		if want := netip.AddrPortFrom(addresses[from].WithZone(links[at]), port(from)); to != want {
			t.Fatalf("it came from %s, want %s", to, want)
		}
	}
}

func TestAnAddressOfNoneOfTheSocketsFamiliesIsCounted(t *testing.T) {
	four, six := open(t, Config{Addr: netip.MustParseAddrPort("127.0.0.1:0")}), open(t, Config{Addr: netip.MustParseAddrPort("[::1]:0")})
	for name, c := range map[string]struct {
		from *UDP
		to   string
	}{
		"IPv6 by a socket of IPv4": {four, "[::1]:9"},
		"IPv4 by a socket of IPv6": {six, "127.0.0.1:9"},
	} {
		before := c.from.Stats()
		n, err := c.from.WriteBatch([]Packet{{Data: []byte("x"), Addr: netip.MustParseAddrPort(c.to)}})
		after := c.from.Stats()
		if n != 0 || err != nil || after.OtherErrors+after.Unreachable+after.Refused != before.OtherErrors+before.Unreachable+before.Refused+1 {
			t.Errorf("%s: %d, %v, %+v", name, n, err, after)
		}
	}
}

func TestTheErrorOfASocketNamesTheCall(t *testing.T) {
	u := open(t, Config{})
	if n, err := u.WriteBatch([]Packet{{Data: make([]byte, 65000), Addr: netip.MustParseAddrPort("[::1]:9"), Local: netip.MustParseAddr("::1")}}); n != 1 || err != nil {
		t.Errorf("the largest: %d, %v", n, err)
	}
	if n, err := u.WriteBatch([]Packet{{Data: make([]byte, 70000), Addr: netip.MustParseAddrPort("[::1]:9")}}); n != 0 || err != nil {
		t.Errorf("too long: %d, %v", n, err)
	}
	if s := u.Stats(); s.TooBig != 1 || s.LastError != "sendmsg: message too long" {
		t.Errorf("%+v", s)
	}
	if err := (&message{err: unix.EPERM}).result("sendmsg", nil); !errors.Is(err, unix.EPERM) {
		t.Error(err)
	}
}

func TestAnInterfaceThatIsMadeAgainIsFound(t *testing.T) {
	spaces, links, addresses := newSpaces(t)
	var ends [2]*UDP
	for i, ns := range spaces {
		if err := ns.Do(func() error { ends[i] = open(t, Config{}); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	send := func() (n int) {
		to := netip.AddrPortFrom(addresses[1].WithZone(links[0]), ends[1].LocalAddr().Port())
		err := spaces[0].Do(func() (err error) {
			n, err = ends[0].WriteBatch([]Packet{{Data: []byte("x"), Addr: to}})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if send() != 1 {
		t.Fatal("it was not sent")
	}
	runIP(t, "-n", spaces[0].Name(), "link", "del", links[0])
	join(t, spaces, links, addresses) // of the same names, with other indices
	for deadline := time.Now().Add(time.Minute); send() != 1; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not sent: %+v", ends[0].Stats())
		}
	}
}

// TestAddressesOfSeveralSendersAreRemembered has more link-local senders by turns than there
// is room for, then the names grow old.
func TestAddressesOfSeveralSendersAreRemembered(t *testing.T) {
	z := &zones{until: time.Now().Add(time.Hour), names: map[int]string{7: "old"}}
	heard := func(sender byte) netip.AddrPort {
		m := &message{name: unix.RawSockaddrInet6{
			Family: unix.AF_INET6, Port: 9, Addr: [16]byte{0xfe, 0x80, 15: sender}, Scope_id: 7,
		}}
		return m.from(z, time.Now())
	}
	for round := range 3 {
		for sender := range byte(lastZoned + 2) {
			if a := heard(sender).Addr(); a.As16()[15] != sender || a.Zone() != "old" {
				t.Fatalf("round %d: %d is %s", round, sender, a)
			}
		}
	}
	before := z.last
	for range 3 { // two that are remembered, by turns
		heard(lastZoned)
		heard(lastZoned + 1)
	}
	if z.last != before {
		t.Errorf("those who are remembered displaced others")
	}
	z.until = time.Now().Add(-time.Second)
	for sender := range byte(lastZoned + 2) {
		if a := heard(sender).Addr(); a.Zone() == "old" {
			t.Errorf("%s has a name that is no longer believed", a)
		}
	}
}
