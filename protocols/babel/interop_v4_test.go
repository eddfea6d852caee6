//go:build linux

package babel_test

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

func TestInteropBabeldRoutesIPv4OverIPv6(t *testing.T) {
	a, b := lab(t)
	ip(t, "-n", a, "link", "set", "lo", "up")
	ip(t, "-n", a, "addr", "add", "10.88.0.1/32", "dev", "lo")
	ip(t, "-n", b, "addr", "add", "10.77.0.1/32", "dev", "lo")
	s := openSpeaker(t, a)
	s.speak(babel.Interface{Multicast: true})
	ours := rib.Key{Prefix: netip.MustParsePrefix("10.88.0.0/24")}
	theirs := rib.Key{Prefix: netip.MustParsePrefix("10.77.0.1/32")}
	if err := s.router.Originate(time.Now(), ours, 0); err != nil {
		t.Fatal(err)
	}
	stop := babeld(t, b, "interface yx type wired hello-interval 1 update-interval 4 v4-via-v6 true",
		"redistribute local ip 10.77.0.0/16 allow", "redistribute local deny")
	kernel := func() string { return ip(t, "-n", b, "route", "show", "proto", "babel") }

	s.until("IPv4 route of babeld here, by IPv6", func() bool { return s.hasRoute(theirs) })
	s.until("IPv4 route of ours there, by IPv6", func() bool {
		return strings.Contains(kernel(), "10.88.0.0/24 via inet6 "+s.local.String())
	})
	// What a driver programs, of what the Router says.
	r, _ := s.table.View().Get(theirs)
	ip(t, "-n", a, "route", "add", r.Prefix.String(), "via", "inet6", r.NextHop.Gateway.String(), "dev", "xy", "src", "10.88.0.1")
	if out, err := exec.Command("ip", "netns", "exec", a, "ping", "-4", "-n", "-c", "3", "-i", "0.2", "-w", "10", "10.77.0.1").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	s.router.Withdraw(time.Now(), ours)
	s.until("end of our route there", func() bool { return !strings.Contains(kernel(), "10.88.0.0/24 via") })
	stop()
	s.until("end of their route here", func() bool { return !s.hasRoute(theirs) })
}

func TestInteropBabeldUnicast(t *testing.T) {
	a, b := lab(t)
	s := openSpeaker(t, a)
	s.cost = babel.LinkCost{Type: babel.Tunnel}
	s.speak(babel.Interface{Multicast: true, Unicast: true})
	ours := rib.Key{Prefix: netip.MustParsePrefix("fd88:0:0:1::/64")}
	if err := s.router.Originate(time.Now(), ours, 0); err != nil {
		t.Fatal(err)
	}
	socket := t.TempDir() + "/babeld"
	babeld(t, b, "local-path "+socket, "interface yx type tunnel unicast true hello-interval 1 update-interval 4",
		"redistribute local ip fd77::/16 allow", "redistribute local deny")
	theirs := rib.Key{Prefix: netip.MustParsePrefix("fd77::1/128")}
	s.until("route of babeld here", func() bool { return s.hasRoute(theirs) })
	s.until("route of ours there", func() bool {
		return strings.Contains(ip(t, "-n", b, "-6", "route", "show", "proto", "babel"), "fd88:0:0:1::/64 via "+s.local.String())
	})
	s.until("our unicast Hellos there", func() bool {
		reach := neighborOf(t, socket)["ureach"]
		return reach != "" && reach != "0000"
	})
	s.until("round trip here and there", func() bool {
		for _, n := range s.neighbors {
			return n.Status().RTT > 0 && millis(neighborOf(t, socket), "rtt") > 0
		}
		return false
	})
}
