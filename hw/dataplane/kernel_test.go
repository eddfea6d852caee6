package dataplane

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"re6st/hw/netns"
	"re6st/hw/netns/netnstest"
	"re6st/hw/sock"
	"re6st/hw/tun"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
	"re6st/tsn/class"
)

// TestKernelToKernel is two Planes with real TUNs and real sockets in two network
// namespaces, and the kernels' own ping between them.
func TestKernelToKernel(t *testing.T) {
	for _, need := range []string{"/dev/net/tun", "/usr/bin/ping"} {
		if _, err := os.Stat(need); err != nil {
			t.Skipf("%v", err)
		}
	}
	g := netnstest.NewGroup(t)
	one, two := must(g.Create("n1")), must(g.Create("n2"))
	if err := netns.Veth(one, "up2", two, "up1"); err != nil {
		t.Fatal(err)
	}
	a, b := kernelNode(t, one, 1, 1, true, "up2"), kernelNode(t, two, 2, 1, true, "up1")
	join(a, b)
	meet(a, b)
	route(a, 2, 2)
	route(b, 1, 1)
	withIPv4(a, b)
	run(t, a, b)

	ping := func(args ...string) (string, error) {
		var out []byte
		err := one.Do(func() (err error) {
			out, err = exec.Command("ping", append([]string{"-n", "-W", "5"}, args...)...).CombinedOutput()
			return err
		})
		return string(out), err
	}
	for _, size := range []string{"8", "1332"} { // a whole MTU of 1380
		if out, err := ping("-c", "3", "-i", "0.02", "-M", "do", "-s", size, host(general, 2).String()); err != nil {
			t.Errorf("%s bytes: %v\n%s\n%+v\n%+v", size, err, out, a.Stats(), b.Stats())
		}
	}
	for _, size := range []string{"8", "1352", "4000"} { // the last the kernel cuts to pieces
		if out, err := ping("-c", "3", "-i", "0.02", "-s", size, host4(2).String()); err != nil {
			t.Errorf("%s bytes of IPv4: %v\n%s\n%+v\n%+v", size, err, out, a.Stats(), b.Stats())
		}
	}
	if s := a.Stats(); s.Conn.TooBig+s.Conn.OtherErrors != 0 || len(s.Drops) != 0 {
		t.Errorf("%+v", s)
	}
	if out, err := ping("-c", "1", host(general, 9).String()); err == nil || !strings.Contains(out, "No route") {
		t.Errorf("a node without a route: %v\n%s", err, out)
	}
	if out, err := ping("-c", "1", host4(9).String()); err == nil || !strings.Contains(out, "Unreachable") {
		t.Errorf("a node without a route of IPv4: %v\n%s", err, out)
	}
	a.SetLinkMTU(2, ipv6MinMTU+fabric.Overhead)
	if out, err := ping("-c", "2", "-i", "0.02", "-M", "do", "-s", "1332", host(general, 2).String()); err == nil || !strings.Contains(out, "1280") {
		t.Errorf("a narrow link: %v\n%s", err, out)
	}
	if out, err := ping("-c", "1", "-s", "1332", host(general, 2).String()); err != nil {
		t.Errorf("the kernel knows the path's MTU now, and fragments: %v\n%s", err, out)
	}
	if out, err := ping("-c", "2", "-i", "0.02", "-M", "do", "-s", "1352", host4(2).String()); err == nil || !strings.Contains(out, "mtu") {
		t.Errorf("a narrow link for IPv4: %v\n%s", err, out)
	}
	if out, err := ping("-c", "1", "-M", "dont", "-s", "1352", host4(2).String()); err != nil {
		t.Errorf("a narrow link for IPv4 that may be fragmented: %v\n%s", err, out)
	}
}

// kernelNode is node n in a namespace, with so many queues and sockets, addresses and routes, an
// interface to each neighbor (up2 leads to node 2), and the kernel's help with batches or not.
func kernelNode(t *testing.T, ns *netns.NS, n uint64, queues int, offload bool, up ...string) *node {
	t.Helper()
	x := &node{n: n, id: nodeID(n), at: endpoint(n), table: rib.NewTable(locators), control: make(chan Control, 100)}
	err := ns.Do(func() error {
		devices, err := tun.OpenQueues(tun.Config{Name: "mesh", Plain: !offload, Segments: Together(tun.DefaultMTU)}, queues)
		if err != nil {
			return err
		}
		commands := []string{
			fmt.Sprintf("-6 addr add %s/128 dev mesh nodad", host(general, n)),
			fmt.Sprintf("-6 route add %s dev mesh", general.Range),
			fmt.Sprintf("addr add %s/32 dev mesh", host4(byte(n))),
			fmt.Sprintf("route add %s dev mesh", range4),
		}
		for _, dev := range up {
			commands = append(commands, fmt.Sprintf("-6 addr add %s/128 dev %s nodad", endpoint(n).Addr(), dev))
			for peer := range uint64(4) { // an interface has the number of the node behind it
				if dev == fmt.Sprintf("up%d", peer) && peer != n {
					commands = append(commands, fmt.Sprintf("-6 route add %s/128 dev %s", endpoint(peer).Addr(), dev))
				}
			}
		}
		for _, c := range commands {
			if out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput(); err != nil {
				return fmt.Errorf("ip %s: %w: %s", c, err, out)
			}
		}
		sockets, err := sock.ListenShared(sock.Config{Addr: netip.AddrPortFrom(netip.IPv6Unspecified(), endpoint(n).Port()), Mark: 1, Batches: offload}, queues)
		if err != nil {
			return err
		}
		var more []sock.Conn
		for _, u := range sockets[1:] {
			more = append(more, u)
		}
		classes := must(class.NewTable([]class.Class{general, safety}))
		x.Plane, err = New(Config{
			Self: x.id, TUN: devices[0], MoreTUNs: devices[1:], Conn: sockets[0], MoreConns: more, Classes: classes, Address: host(general, n),
			Accept: func(peer addr.NodeID, src netip.Addr) bool {
				if src.Is4() {
					return peer == nodeID(uint64(src.As4()[2]))
				}
				return peer == nodeID(uint64(src.As16()[7]))
			},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return x
}
