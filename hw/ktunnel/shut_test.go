package ktunnel_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"re6st/hw/ktunnel"
	"re6st/hw/netlink"
	"re6st/protocols/checksum"
)

// openTAP takes the frames of a TAP, which it makes where it is not there.
func openTAP(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}

// datagram is an Ethernet frame with a UDP datagram for 02:00:00:00:00:01.
func datagram(from, to, text string) []byte {
	udp := append([]byte{0x10, 0, 0x10, 0, 0, byte(8 + len(text)), 0, 0}, text...)
	return frame([6]byte{2, 0, 0, 0, 0, 1}, from, to, unix.IPPROTO_UDP, 64, udp, 6)
}

// advertisement is one of a default router (RFC 4861 section 4.2).
func advertisement(from string) []byte {
	const lifetime = 1800 // seconds
	body := []byte{134, 0, 0, 0, 64, 0, lifetime >> 8, lifetime & 0xff, 0, 0, 0, 0, 0, 0, 0, 0}
	return frame([6]byte{0x33, 0x33, 0, 0, 0, 1}, from, "ff02::1", unix.IPPROTO_ICMPV6, 255, body, 2)
}

// frame is an Ethernet frame with a packet of IPv6, in whose body the checksum goes to a place.
func frame(mac [6]byte, from, to string, protocol, hopLimit byte, body []byte, at int) []byte {
	source, destination := netip.MustParseAddr(from).As16(), netip.MustParseAddr(to).As16()
	addresses := append(source[:], destination[:]...)
	sum := checksum.Of(uint64(len(body))+uint64(protocol), append(bytes.Clone(addresses), body...))
	body[at], body[at+1] = byte(sum>>8), byte(sum)
	frame := append(mac[:], 2, 0, 0, 0, 0, 9, 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(body)), protocol, hopLimit)
	return append(append(frame, addresses...), body...)
}

// ip runs iproute2 in the namespace of the thread.
func ip(args ...string) (string, error) {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return string(out), nil
}

// Whoever sends into a tunnel, as by GRE all can who know its ends, is no node of the mesh: what
// he sends must not come to others as if this node had sent it.
func TestNothingThatComesByATunnelIsPassedOn(t *testing.T) {
	tapHost(t, func(tunnels *ktunnel.Tunnels, conn *netlink.Conn) {
		if err := tunnels.AddTAP(ktunnel.TAP{Name: "n-o1", LinkLocal: netip.MustParseAddr("fe80::7"), MTU: 1434}); err != nil {
			t.Error(err)
			return
		}
		if err := passOn("n-o1"); err != nil {
			t.Error(err)
		}
		for _, family := range []string{"-4", "-6"} {
			if rules, err := ip(family, "rule"); err != nil || strings.Count(rules, "iif n-o1 blackhole") != 1 {
				t.Errorf("%v, ip %s rule: %s", err, family, rules)
			}
		}
		if err := tunnels.Remove("n-o1"); err != nil {
			t.Error(err)
		}
		for _, family := range []string{"-4", "-6"} {
			if rules, err := ip(family, "rule"); err != nil || strings.Contains(rules, "n-o1") {
				t.Errorf("%v, a rule is left: %s", err, rules)
			}
		}
	})
}

// passOn sends a datagram by a TAP that is there, and one by another, which shows that this
// host passes such on. It fails where the first goes on too.
func passOn(tap string) error {
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0); err != nil {
		return err
	}
	files := map[string]*os.File{}
	for _, name := range []string{tap, "lan", "out"} {
		file, err := openTAP(name)
		if err != nil {
			return err
		}
		defer file.Close()
		files[name] = file
		if _, err := ip("link", "set", name, "address", "02:00:00:00:00:01", "up"); err != nil {
			return err
		}
	}
	for _, args := range []string{"address add 2001:db8:2::1/64 dev out nodad", "neighbor add 2001:db8:2::2 lladdr 02:00:00:00:00:02 dev out"} {
		if _, err := ip(strings.Fields(args)...); err != nil {
			return err
		}
	}
	for _, way := range []string{tap, "lan"} {
		if _, err := files[way].Write(datagram("2001:db8:1::9", "2001:db8:2::2", "by "+way)); err != nil {
			return err
		}
	}
	out, frame := files["out"], make([]byte, 2000)
	if err := out.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	for {
		n, err := out.Read(frame)
		switch {
		case err != nil:
			return fmt.Errorf("nothing is passed on: %w", err)
		case bytes.Contains(frame[:n], []byte("by "+tap)):
			return errors.New("it was passed on")
		case bytes.Contains(frame[:n], []byte("by lan")):
			return nil
		}
	}
}

func TestRulesOfTunnelsThatAreGoneAreSwept(t *testing.T) {
	tapHost(t, func(tunnels *ktunnel.Tunnels, conn *netlink.Conn) {
		for _, name := range []string{"n-1", "n-2", "nn-1"} {
			if err := errors.Join(conn.Shut(name), conn.Shut(name)); err != nil {
				t.Error(err)
			}
		}
		if _, err := tunnels.Sweep("n-2"); err != nil {
			t.Error(err)
		}
		for _, family := range []string{"-4", "-6"} {
			rules, err := ip(family, "rule")
			if err != nil || strings.Contains(rules, "iif n-1 ") || !strings.Contains(rules, "iif n-2 ") || !strings.Contains(rules, "iif nn-1 ") {
				t.Errorf("%v: %s", err, rules)
			}
		}
	})
}

// A host whose interfaces believe router advertisements though it forwards has new ones do so too.
func TestNobodyBecomesADefaultRouterByATunnel(t *testing.T) {
	tapHost(t, func(tunnels *ktunnel.Tunnels, conn *netlink.Conn) {
		for key, value := range map[string]string{"all/forwarding": "1", "default/accept_ra": "2"} {
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+key, []byte(value), 0); err != nil {
				t.Error(err)
			}
		}
		if err := tunnels.AddTAP(ktunnel.TAP{Name: "n-o1", LinkLocal: netip.MustParseAddr("fe80::7"), MTU: 1434}); err != nil {
			t.Error(err)
			return
		}
		var taps []*os.File
		for _, name := range []string{"n-o1", "lan"} { // the second shows that the kernel takes such
			tap, err := openTAP(name)
			if err != nil {
				t.Error(err)
				return
			}
			defer tap.Close()
			taps = append(taps, tap)
			if _, err := ip("link", "set", name, "up"); err != nil {
				t.Error(err)
			}
			if name == "lan" {
				_, err = ip("address", "add", "fe80::8/64", "dev", "lan", "nodad")
			}
			if err != nil {
				t.Error(err)
			}
		}
		routes := ""
		for deadline := time.Now().Add(time.Minute); !strings.Contains(routes, "dev lan") && time.Now().Before(deadline); {
			var err error
			for _, tap := range taps { // again: a link hears all nodes only once its carrier is noticed
				_, e := tap.Write(advertisement("fe80::9"))
				err = errors.Join(err, e)
			}
			if err != nil {
				t.Error(err)
				return
			}
			if routes, err = ip("-6", "route", "show", "default"); err != nil {
				t.Error(err)
				return
			}
		}
		if !strings.Contains(routes, "dev lan") || strings.Contains(routes, "n-o1") {
			t.Errorf("default routes: %q", routes)
		}
	})
}
