package ktunnel_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"re6st/hw/ktunnel"
	"re6st/hw/netlink"
	"re6st/hw/netns/netnstest"
)

// tapHost runs f on a thread of a namespace where owner n has tunnels.
func tapHost(t *testing.T, f func(*ktunnel.Tunnels, *netlink.Conn)) {
	t.Helper()
	g := netnstest.NewGroup(t)
	ns, err := g.Create("n")
	if err != nil {
		t.Fatal(err)
	}
	err = ns.Do(func() error {
		tunnels, err := ktunnel.Open("n")
		if err != nil {
			return err
		}
		defer tunnels.Close()
		conn, err := netlink.Open()
		if err != nil {
			return err
		}
		defer conn.Close()
		f(tunnels, conn)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestATAPIsThereWholeAndSwept(t *testing.T) {
	tapHost(t, func(tunnels *ktunnel.Tunnels, conn *netlink.Conn) {
		inside := netip.MustParsePrefix("fe80::7/64")
		for range 2 { // the second in place of the first
			if err := tunnels.AddTAP(ktunnel.TAP{Name: "n-o1", LinkLocal: inside.Addr(), MTU: 1434}); err != nil {
				t.Error(err)
				return
			}
		}
		link, err := conn.Link("n-o1")
		if err != nil || link.MTU != 1434 || !link.Up || link.Group != netlink.TunnelGroup || link.Running {
			t.Errorf("%+v, %v", link, err)
		}
		addresses, err := conn.Addresses()
		var have []string
		for _, a := range addresses {
			if a.Link == link.Index {
				have = append(have, a.Prefix.String())
			}
		}
		if err != nil || !slices.Equal(have, []string{inside.String()}) {
			t.Errorf("addresses %q, %v", have, err)
		}
		if swept, err := tunnels.Sweep(); err != nil || !slices.Equal(swept, []string{"n-o1"}) {
			t.Errorf("swept %q, %v", swept, err)
		}
		if _, err := conn.Link("n-o1"); !errors.Is(err, netlink.ErrNoLink) {
			t.Errorf("still there: %v", err)
		}
	})
}

func TestATAPTakesNobodysName(t *testing.T) {
	tapHost(t, func(tunnels *ktunnel.Tunnels, _ *netlink.Conn) {
		if out, err := exec.Command("ip", "tuntap", "add", "n-o1", "mode", "tap").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
			return
		}
		if err := tunnels.AddTAP(ktunnel.TAP{Name: "n-o1", LinkLocal: netip.MustParseAddr("fe80::7"), MTU: 1434}); !errors.Is(err, ktunnel.ErrForeign) {
			t.Error(err)
		}
	})
}

func TestATAPThatCannotBeIsRefused(t *testing.T) {
	tapHost(t, func(tunnels *ktunnel.Tunnels, _ *netlink.Conn) {
		for _, c := range []struct {
			tap  ktunnel.TAP
			says string
		}{
			{ktunnel.TAP{Name: "m-o1", LinkLocal: netip.MustParseAddr("fe80::7"), MTU: 1434}, `begins with "n-"`},
			{ktunnel.TAP{Name: "n-o1", LinkLocal: netip.MustParseAddr("2001:db8::7"), MTU: 1434}, "fe80::/64"},
			{ktunnel.TAP{Name: "n-o1", LinkLocal: netip.MustParseAddr("fe80::7"), MTU: 1279}, "1280 to"},
		} {
			if err := tunnels.AddTAP(c.tap); !errors.Is(err, ktunnel.ErrSpec) || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		}
	})
}
