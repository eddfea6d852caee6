package dataplane

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"re6st/hw/hwtest"
	"re6st/hw/netns"
	"re6st/hw/netns/netnstest"
)

// TestEachQueueGoesByItsOwnSocket has a relay and an egress with three queues of the TUN and two
// sockets, which the test tells apart by their addresses.
func TestEachQueueGoesByItsOwnSocket(t *testing.T) {
	network := hwtest.NewNetwork(1)
	a, relay, b := line(t, network)
	second := netip.AddrPortFrom(endpoint(1).Addr(), 2)
	more, err := network.Listen(second)
	if err != nil {
		t.Fatal(err)
	}
	queues := []*hwtest.TUN{a.tun, hwtest.NewTUN("mesh", 1380), hwtest.NewTUN("mesh", 1380)}
	for _, q := range queues[1:] {
		a.tuns = append(a.tuns, q)
	}
	a.conns = append(a.conns, more)
	if tuns, conns := a.Queues(); tuns != 3 || conns != 2 {
		t.Fatalf("%d queues, %d sockets", tuns, conns)
	}
	meet(a, b)
	from := make(chan netip.AddrPort, 10)
	network.Tap(func(d hwtest.Datagram) {
		if d.To == endpoint(2) && d.From.Addr() == endpoint(1).Addr() {
			from <- d.From
		}
	})
	run(t, a, relay, b)
	for i, want := range []netip.AddrPort{endpoint(1), second, endpoint(1)} {
		queues[i].Inject(packet(host(general, 1), host(general, 3), "there"))
		out(t, b)
		if got := <-from; got != want {
			t.Errorf("queue %d sends by %s, want %s", i, got, want)
		}
	}
	// What comes by a socket goes up the queue of its number.
	relay.AddLink(1, a.id, second, func(Control) {})
	b.tun.Inject(packet(host(general, 3), host(general, 1), "back"))
	select {
	case <-queues[1].Out():
	case <-time.After(10 * time.Second):
		t.Errorf("nothing came by the second queue: %+v", a.Stats())
	}
	// A packet is seen a moment before it is counted.
	eventually(t, "each packet is counted once", func() bool {
		s := a.Stats()
		return s.Ingress.Packets == 3 && s.Egress.Packets == 1 && s.Conn.Sent == 3 && s.Conn.Received == 1
	})
}

// TestOneQueueThatFailsEndsAll deletes what one of the readers has.
func TestOneQueueThatFailsEndsAll(t *testing.T) {
	x := newNode(t, hwtest.NewNetwork(1), 1)
	second := hwtest.NewTUN("mesh", 1380)
	x.tuns = append(x.tuns, second)
	done := make(chan error, 1)
	go func() { done <- x.Run(t.Context()) }()
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the others go on")
	}
}

// TestFlowsKeepTheirOrder has many flows cross three nodes of four queues each, with answers
// that come by other queues than those flows went by.
func TestFlowsKeepTheirOrder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("TUNs and network namespaces need root")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skipf("%v", err)
	}
	const flows, each = 16, 400
	onOneProcessor(t)
	g := netnstest.NewGroup(t)
	one, two, three := must(g.Create("n1")), must(g.Create("n2")), must(g.Create("n3"))
	if err := errors.Join(netns.Veth(one, "up2", two, "up1"), netns.Veth(two, "up3", three, "up2")); err != nil {
		t.Fatal(err)
	}
	a, relay, b := kernelNode(t, one, 1, 4, true, "up2"), kernelNode(t, two, 2, 4, true, "up1", "up3"), kernelNode(t, three, 3, 4, true, "up2")
	align(a, relay, b)
	meet(a, b)
	run(t, a, relay, b)

	sink := listenIn(t, three, netip.AddrPortFrom(host(general, 3), 9))
	var senders []*net.UDPConn
	for range flows {
		senders = append(senders, listenIn(t, one, netip.AddrPortFrom(host(general, 1), 0)))
	}
	var sending sync.WaitGroup
	var enough atomic.Bool
	defer sending.Wait()
	defer enough.Store(true)
	sending.Go(func() {
		for i := uint32(0); !enough.Load(); i++ {
			for _, s := range senders {
				b := binary.BigEndian.AppendUint32(nil, i)
				if _, err := s.WriteToUDPAddrPort(b, netip.AddrPortFrom(host(general, 3), 9)); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(100 * time.Microsecond) // what is lost is not out of order
		}
	})
	next := map[netip.AddrPort]uint32{}
	whole := 0
	for buf := make([]byte, 100); whole < flows; {
		if err := sink.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, from, err := sink.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.Fatalf("%v; of %d flows %d are whole\n%+v\n%+v\n%+v", err, flows, whole, a.Stats(), relay.Stats(), b.Stats())
		}
		i := binary.BigEndian.Uint32(buf)
		if i < next[from] {
			t.Errorf("%s: %d came behind %d", from, i, next[from]-1)
		}
		if next[from] < each && i+1 >= each {
			whole++
		}
		next[from] = i + 1
		if i%8 == 0 {
			if _, err := sink.WriteToUDPAddrPort(buf[:4], from); err != nil {
				t.Fatal(err)
			}
		}
	}
	used := 0
	for _, c := range a.conns {
		if c.Stats().Sent > 0 {
			used++
		}
	}
	if used < 2 {
		t.Errorf("%d flows went by %d of %d queues", flows, used, len(a.conns))
	}
}

// onOneProcessor keeps all threads on the processor of one until the test ends: a packet that a
// thread sends waits in a queue of its processor's in veth, and one that it sends after it has
// moved to another may overtake it there.
func onOneProcessor(t *testing.T) {
	t.Helper()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	keepThreads(t, &one)
	t.Cleanup(func() { keepThreads(t, &all) })
}

// keepThreads has all threads run on those processors, and those that they start.
func keepThreads(t *testing.T, on *unix.CPUSet) {
	t.Helper()
	kept := map[string]bool{}
	for before := -1; before < len(kept); { // one that is about to be started has its parent's
		before = len(kept)
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err == nil && !kept[thread.Name()] {
				err = unix.SchedSetaffinity(id, on)
			}
			if err != nil && !errors.Is(err, unix.ESRCH) {
				t.Fatal(err)
			}
			kept[thread.Name()] = true
		}
	}
}

// listenIn opens a socket of UDP in a namespace.
func listenIn(t *testing.T, ns *netns.NS, at netip.AddrPort) (c *net.UDPConn) {
	t.Helper()
	err := ns.Do(func() (err error) {
		c, err = net.ListenUDP("udp6", net.UDPAddrFromAddrPort(at))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
