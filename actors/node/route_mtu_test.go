package node

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"re6st/actors/monitor"
	"re6st/hw/netns"
	"re6st/hw/netns/netnstest"
	"re6st/protocols/fabric"
)

// Where the way carries less than the TUN, Packet Too Big into the TUN is all that the kernel
// needs: it keeps the MTU of that destination, for sockets too that ask for no path MTU discovery
// and hear of no error (IPV6_PMTUDISC_DONT). Those that heed no path MTU whatsoever, by
// IPV6_PMTUDISC_PROBE and above, take the interface's in the place of a route's.
func TestTheKernelLearnsTheMTUOfADestination(t *testing.T) {
	group := netnstest.NewGroup(t)
	var err error
	l := &lan{t: t, group: group, issuer: newIssuer(t)}
	for name, ns := range map[string]**netns.NS{"n1": &l.n1, "n2": &l.n2} {
		*ns, err = group.Create(name)
		l.check(err)
	}
	l.check(netns.Veth(l.n1, "under0", l.n2, "under0"))
	for i, ns := range []*netns.NS{l.n1, l.n2} {
		l.ip(ns, fmt.Sprintf("addr add 192.0.2.%d/24 dev under0", i+1))
		l.ip(ns, "link set under0 mtu 1420")
	}
	l.node(l.n2, 2, "lan = false\n")
	dir := l.folder(1, "lan = false\n", at(2, "192.0.2.2:7326"))
	l.runs(l.n1, dir)

	const two = "2001:db8:42:2::1"
	l.eventually("the link's MTU is known", func() bool {
		var answer monitor.Tunnels
		err := monitor.NewClient(monitor.SocketIn(dir)).Get(t.Context(), "tunnels", &answer)
		return err == nil && len(answer.Tunnels) == 1 && answer.Tunnels[0].MTU == 1420-28
	})
	l.eventually("n2 answers", func() bool { return l.answers(l.n1, two, "1") })
	if got := l.ip(l.n1, "-6 route get "+two); strings.Contains(got, " mtu ") {
		t.Fatalf("an MTU before anything was too long: %s", got)
	}
	in, out := l.careless(l.n2, two), l.careless(l.n1, "2001:db8:42:1::1")
	to := in.LocalAddr().(*net.UDPAddr)
	payload := make([]byte, 1380-48) // of the TUN's MTU
	whole := make([]byte, len(payload)+1)
	l.eventually("one arrives", func() bool {
		_, err := out.WriteToUDP(payload, to)
		l.check(err)
		l.check(in.SetReadDeadline(time.Now().Add(100 * time.Millisecond)))
		n, _ := in.Read(whole)
		return n == len(payload)
	})
	want := fmt.Sprintf("mtu %d ", 1420-28-fabric.Overhead)
	if got := l.ip(l.n1, "-6 route get "+two); !strings.Contains(got, want) {
		t.Errorf("the kernel has no %q: %s", want, got)
	}
}

// careless is a UDP socket at an address of the mesh that asks for no path MTU discovery.
func (l *lan) careless(ns *netns.NS, address string) *net.UDPConn {
	l.t.Helper()
	var conn *net.UDPConn
	l.check(ns.Do(func() (err error) {
		conn, err = net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), 0)))
		return err
	}))
	l.t.Cleanup(func() { conn.Close() })
	raw, err := conn.SyscallConn()
	l.check(err)
	var failed error
	l.check(raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT)
	}))
	l.check(failed)
	return conn
}
