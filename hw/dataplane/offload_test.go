package dataplane

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"re6st/hw/netns"
	"re6st/hw/netns/netnstest"
)

// TestWhatArrivesIsTheSameWithTheKernelsHelpAndWithout is three nodes in a row, of which
// some have the kernel's help with batches: streams of TCP, datagrams of all sizes, and
// datagrams that their sender has the kernel cut.
func TestWhatArrivesIsTheSameWithTheKernelsHelpAndWithout(t *testing.T) {
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skipf("%v", err)
	}
	for _, help := range [][3]bool{{true, true, true}, {false, false, false}, {true, false, true}, {false, true, true}, {true, true, false}} {
		t.Run(fmt.Sprint(help), func(t *testing.T) { carryAll(t, help, 1) })
	}
	t.Run("several queues", func(t *testing.T) { carryAll(t, [3]bool{true, true, true}, 4) })
	t.Run("several queues, one by one", func(t *testing.T) { carryAll(t, [3]bool{}, 4) })
}

func carryAll(t *testing.T, help [3]bool, queues int) {
	g := netnstest.NewGroup(t)
	one, two, three := must(g.Create("n1")), must(g.Create("n2")), must(g.Create("n3"))
	if err := errors.Join(netns.Veth(one, "up2", two, "up1"), netns.Veth(two, "up3", three, "up2")); err != nil {
		t.Fatal(err)
	}
	a, relay := kernelNode(t, one, 1, queues, help[0], "up2"), kernelNode(t, two, 2, queues, help[1], "up1", "up3")
	b := kernelNode(t, three, 3, queues, help[2], "up2")
	align(a, relay, b)
	meet(a, b)
	withIPv4(a, relay, b)
	run(t, a, relay, b)

	for _, to := range []netip.Addr{host(general, 3), host4(3)} {
		stream(t, one, three, to)
		datagrams(t, one, three, to)
	}
	for _, x := range []*node{a, relay, b} {
		s := x.Stats()
		if len(s.Drops) != 0 || s.Conn.TooBig+s.Conn.OtherErrors+s.Conn.Truncated != 0 {
			t.Errorf("node %d: %+v", x.n, s)
		}
	}
	eventually(t, "all is counted alike", func() bool {
		in, through, out := a.Stats(), relay.Stats(), b.Stats()
		return in.Ingress.Packets+out.Ingress.Packets == through.Relayed.Packets && in.Ingress == out.Egress && out.Ingress == in.Egress
	})
	in := a.Stats()
	if help[0] != (in.Conn.SentBatches > 0) {
		t.Errorf("the ingress has help: %v, and %+v", help[0], in.Conn)
	}
}

// stream has 4 MB cross each way at once.
func stream(t *testing.T, from, to *netns.NS, at netip.Addr) {
	t.Helper()
	var l net.Listener
	if err := to.Do(func() (err error) { l, err = net.Listen("tcp", netip.AddrPortFrom(at, 0).String()); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var near net.Conn
	if err := from.Do(func() (err error) { near, err = net.DialTimeout("tcp", l.Addr().String(), 10*time.Second); return err }); err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	sums := make(chan [32]byte, 4)
	failed := make(chan error, 4)
	for i, c := range []net.Conn{near, far} {
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		go func() {
			data := make([]byte, 4<<20)
			_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(data)
			_, err := c.Write(data)
			sums <- sha256.Sum256(data)
			failed <- errors.Join(err, c.(*net.TCPConn).CloseWrite())
		}()
		go func() {
			h := sha256.New()
			_, err := io.Copy(h, c)
			sums <- [32]byte(h.Sum(nil))
			failed <- err
		}()
	}
	seen := map[[32]byte]int{}
	for range 4 {
		if err := <-failed; err != nil {
			t.Errorf("stream to %s: %v", at, err)
		}
		seen[<-sums]++
	}
	if len(seen) != 2 {
		t.Errorf("stream to %s: what was written and what was read differ", at)
	}
}

// datagrams has one of each size cross, in order, and then batches that the kernel cuts.
func datagrams(t *testing.T, from, to *netns.NS, at netip.Addr) {
	t.Helper()
	var near, far *net.UDPConn
	if err := to.Do(func() (err error) {
		far, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if err := from.Do(func() (err error) { near, err = net.DialUDP("udp", nil, far.LocalAddr().(*net.UDPAddr)); return err }); err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	longest := 1380 - 8 - ipv6HeaderLen
	if at.Is4() {
		longest = 1380 - 8 - ipv4HeaderLen
	}
	data := make([]byte, longest)
	_, _ = rand.NewChaCha8([32]byte{9}).Read(data)
	got := make([]byte, 2000)
	read := func(want []byte) {
		t.Helper()
		_ = far.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := far.Read(got); err != nil || !bytes.Equal(got[:n], want) {
			t.Fatalf("to %s: %d bytes of %d came, %v", at, n, len(want), err)
		}
	}
	const window = 16
	for size := 1; size <= longest; size += window {
		last := min(size+window-1, longest)
		for n := size; n <= last; n++ {
			if _, err := near.Write(data[:n]); err != nil {
				t.Fatal(err)
			}
		}
		for n := size; n <= last; n++ {
			read(data[:n])
		}
	}
	raw, err := near.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ size, all int }{{100, 1000}, {100, 1001}, {longest, len(data) - 1}, {601, len(data)}, {1, 40}} {
		err := errors.New("not tried")
		_ = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, c.size) })
		if err != nil {
			t.Skipf("UDP_SEGMENT: %v", err)
		}
		if _, err := near.Write(data[:c.all]); err != nil {
			t.Fatal(err)
		}
		for at := 0; at < c.all; at += c.size {
			read(data[at:min(at+c.size, c.all)])
		}
	}
}
