package sock_test

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"re6st/hw/netns/netnstest"
	"re6st/hw/sock"
)

func TestMulticastTellsWhatItsInterfaceIs(t *testing.T) {
	group := netnstest.NewGroup(t)
	ns, err := group.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{
		"link add eth0 type bridge", "addr add fe80::1/64 dev eth0 nodad", "addr add 192.0.2.1/24 dev eth0", "addr add 192.0.2.7/24 dev eth0", "link set eth0 up",
		"tuntap add mode tun tun0", "addr add fe80::2/64 dev tun0 nodad", "link set tun0 up",
	} {
		if out, err := exec.Command("ip", append([]string{"-n", ns.Name()}, strings.Fields(command)...)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", command, err, out)
		}
	}
	for name, want := range map[string]struct {
		local4 netip.Addr
		direct bool
	}{
		"eth0": {netip.MustParseAddr("192.0.2.1"), false},
		"tun0": {netip.Addr{}, true},
	} {
		var m *sock.Multicast
		err := ns.Do(func() (err error) {
			m, err = sock.ListenMulticast(name, netip.MustParseAddrPort("[ff02::1:6]:6696"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if m.Local4() != want.local4 || m.PointToPoint() != want.direct || !m.Local().IsLinkLocalUnicast() {
			t.Errorf("%s: %s, %s, point-to-point %v; want %+v", name, m.Local(), m.Local4(), m.PointToPoint(), want)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}
