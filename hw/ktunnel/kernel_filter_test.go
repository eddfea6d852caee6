//go:build kernel

package ktunnel_test

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"testing"
	"time"

	"re6st/hw/doctor"
	"re6st/hw/ktunnel"
	"re6st/hw/netlink"
)

// linkPort is the UDP port to which tunnels lead.
const linkPort = 4096

// hears waits for what somebody says, and fails where it heard something else before.
func hears(c net.PacketConn, want string) error {
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	said := make([]byte, 2000)
	n, _, err := c.ReadFrom(said)
	if err == nil && string(said[:n]) != want {
		err = fmt.Errorf("it hears %q, want %q", said[:n], want)
	}
	return err
}

// What else comes by a tunnel, as anybody can send into GRE, reaches nobody on this machine.
func TestKernelATunnelTakesTheLinksDatagramsAlone(t *testing.T) {
	each(t, func(t *testing.T, s sort, a, b *end) {
		ours, theirs := s.specs(a, b, "t")
		ours.Port, theirs.Port = linkPort, linkPort
		a.add(ours)
		b.add(theirs)
		listen := func(e *end, link string, host, port int) (c *net.UDPConn) {
			t.Helper()
			err := e.ns.Do(func() (err error) {
				c, err = net.ListenUDP("udp6", &net.UDPAddr{IP: net.ParseIP(fmt.Sprintf("fe80::%d", host)), Zone: link, Port: port})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
		own, other, from := listen(b, theirs.Name, 2, linkPort), listen(b, theirs.Name, 2, linkPort+1), listen(a, ours.Name, 1, linkPort)
		for _, port := range []int{linkPort + 1, linkPort} {
			if _, err := from.WriteToUDP([]byte("hello"), &net.UDPAddr{IP: net.ParseIP("fe80::2"), Zone: ours.Name, Port: port}); err != nil {
				t.Fatal(err)
			}
		}
		if err := hears(own, "hello"); err != nil {
			t.Fatal("the link's own: ", err, b.ip("-s", "link"))
		}
		if _, err := own.WriteToUDP([]byte("answer"), &net.UDPAddr{IP: net.ParseIP("fe80::1"), Zone: theirs.Name, Port: linkPort}); err != nil {
			t.Fatal(err)
		}
		if err := hears(from, "answer"); err != nil {
			t.Fatal("the way back: ", err, a.ip("-s", "link"))
		}
		if err := other.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil { // it would have come before
			t.Fatal(err)
		}
		if n, _, err := other.ReadFrom(make([]byte, 100)); err == nil {
			t.Errorf("another port of this host hears %d bytes", n)
		}
		before := b.echoes()
		if out, err := a.run("ping", "-6", "-c", "1", "-w", "1", "fe80::2%"+ours.Name); err == nil || b.echoes() != before {
			t.Error("an echo came: ", out)
		}
	})
}

func TestKernelATAPTakesTheLinksDatagramsAlone(t *testing.T) {
	if out, err := exec.Command("modprobe", "tun").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	tapHost(t, func(tunnels *ktunnel.Tunnels, _ *netlink.Conn) {
		tap := ktunnel.TAP{Name: "n-o1", LinkLocal: netip.MustParseAddr("fe80::7"), MTU: 1434, Port: linkPort}
		if err := tunnels.AddTAP(tap); err != nil {
			t.Error(err)
			return
		}
		if _, err := ip("link", "set", "n-o1", "address", "02:00:00:00:00:01"); err != nil {
			t.Error(err)
			return
		}
		frames, err := openTAP("n-o1")
		if err != nil {
			t.Error(err)
			return
		}
		defer frames.Close()
		socket, err := net.ListenUDP("udp6", &net.UDPAddr{Port: linkPort})
		if err != nil {
			t.Error(err)
			return
		}
		defer socket.Close()
		for _, from := range []string{"2001:db8::9", "fe80::9"} {
			if _, err := frames.Write(datagram(from, "fe80::7", "from "+from)); err != nil {
				t.Error(err)
			}
		}
		if err := hears(socket, "from fe80::9"); err != nil {
			t.Error(err)
		}
	})
}

// A whole kernel has all that tunnels take.
func TestKernelDoctorFindsWhatTunnelsTake(t *testing.T) {
	found := 0
	for _, f := range doctor.Examine(doctor.Patient{Dir: t.TempDir()}) {
		if !slices.Contains([]string{"gre", "ip6gre", "fou", "fou6", "wireguard", "tunnel filters"}, f.Name) {
			continue
		}
		if found++; f.Grade != doctor.OK {
			t.Errorf("%+v", f)
		}
	}
	if found != 6 {
		t.Errorf("%d findings, want 6", found)
	}
}
