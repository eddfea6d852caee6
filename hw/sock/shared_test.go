package sock

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"re6st/hw/netns/netnstest"
)

func openShared(t *testing.T, c Config, count int) []*UDP {
	t.Helper()
	all, err := ListenShared(c, count)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, u := range all {
			_ = u.Close()
		}
	})
	return all
}

func TestSocketsOfAPortAreBounded(t *testing.T) {
	for _, count := range []int{-1, 0, MaxShared + 1} {
		if _, err := ListenShared(Config{}, count); !errors.Is(err, ErrShared) {
			t.Errorf("%d sockets: %v", count, err)
		}
	}
	if all := openShared(t, Config{}, MaxShared); len(all) != MaxShared {
		t.Errorf("%d sockets", len(all))
	}
}

// TestWhatOneSendsComesByOneSocket has many send to a port of four sockets, and be answered
// by another socket than they were heard by.
func TestWhatOneSendsComesByOneSocket(t *testing.T) {
	const senders, each = 64, 10
	all := openShared(t, Config{Batches: true}, 4)
	port := all[0].LocalAddr().Port()
	type heard struct {
		socket int
		from   netip.AddrPort
		local  netip.Addr
		text   string
	}
	came := make(chan heard, senders*each)
	done := make(chan struct{})
	for i, u := range all {
		if u.LocalAddr() != all[0].LocalAddr() {
			t.Fatalf("socket %d has %s, the first %s", i, u.LocalAddr(), all[0].LocalAddr())
		}
		go func() {
			defer func() { done <- struct{}{} }()
			for in := rooms(4, ReadRoom); ; {
				n, err := u.ReadBatch(in)
				if err != nil {
					return
				}
				for _, p := range in[:n] {
					for rest := p.Data; len(rest) > 0; { // those of one sender may have been joined
						size := len(rest)
						if p.Segment > 0 {
							size = min(size, p.Segment)
						}
						came <- heard{i, p.Addr, p.Local, string(rest[:size])}
						rest = rest[size:]
					}
				}
			}
		}()
	}
	peers := map[netip.AddrPort]*UDP{}
	for i := range senders {
		host := []string{"127.0.0.1", "::1"}[i%2]
		p := open(t, Config{Addr: netip.AddrPortFrom(netip.MustParseAddr(host), 0)})
		peers[p.LocalAddr()] = p
		for k := range each {
			write(t, p, Packet{Data: fmt.Append(nil, k), Addr: netip.AddrPortFrom(netip.MustParseAddr(host), port)})
		}
	}
	socket, next, used := map[netip.AddrPort]int{}, map[netip.AddrPort]int{}, map[int]bool{}
	for range senders * each {
		var h heard
		select {
		case h = <-came:
		case <-time.After(20 * time.Second):
			t.Fatal("some did not come")
		}
		if first, ok := socket[h.from]; ok && first != h.socket {
			t.Errorf("%s comes by sockets %d and %d", h.from, first, h.socket)
		}
		if socket[h.from], used[h.socket] = h.socket, true; h.text != fmt.Sprint(next[h.from]) {
			t.Errorf("%s sent %q in place of %d", h.from, h.text, next[h.from])
		}
		if next[h.from]++; next[h.from] < each {
			continue
		}
		write(t, all[(h.socket+1)%len(all)], Packet{Data: []byte("answer"), Addr: h.from, Local: h.local})
		if p := read(t, peers[h.from]); p.Addr != netip.AddrPortFrom(h.local, port) {
			t.Errorf("the answer came from %s", p.Addr)
		}
	}
	if len(used) != len(all) {
		t.Errorf("%d sockets of %d were used", len(used), len(all))
	}
	var sum Stats
	for _, u := range all {
		sum = sum.Plus(u.Stats())
	}
	if sum.Received != senders*each || sum.Sent != senders {
		t.Errorf("%+v", sum)
	}
	for _, u := range all {
		_ = u.Close()
		<-done
	}
}

func TestAPortThatIsHadIsRefusedHoweverManySocketsItHas(t *testing.T) {
	for _, first := range []int{1, 2} {
		for _, second := range []int{1, 2} {
			all := openShared(t, Config{}, first)
			// On every address, and on one.
			for _, at := range []netip.Addr{netip.IPv6Unspecified(), netip.IPv6Loopback(), netip.MustParseAddr("127.0.0.1")} {
				c := Config{Addr: netip.AddrPortFrom(at, all[0].LocalAddr().Port())}
				if _, err := ListenShared(c, second); !errors.Is(err, unix.EADDRINUSE) {
					t.Errorf("%d sockets at %s of a port of %d: %v", second, c.Addr, first, err)
				}
			}
		}
	}
}

// TestAnotherUserDoesNotShareThePort asks to share it, as a program would that means to
// hear what is for this one.
func TestAnotherUserDoesNotShareThePort(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("to be another user needs root")
	}
	g := netnstest.NewGroup(t)
	ns, err := g.Create("sock")
	if err != nil {
		t.Fatal(err)
	}
	const nobody, none = 65534, ^uintptr(0)
	err = ns.Do(func() error {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		all, err := ListenShared(Config{}, 2)
		if err != nil {
			return err
		}
		defer all[0].Close()
		defer all[1].Close()
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, none, nobody, none); errno != 0 { // this thread alone
			return errno
		}
		other, err := ListenShared(Config{Addr: all[0].LocalAddr(), shared: true}, 1)
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, none, 0, none); errno != 0 {
			return errno
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("%d sockets, %v", len(other), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestASharedPortIsFreeAgainAfterItsSockets(t *testing.T) {
	all := openShared(t, Config{}, 3)
	at := all[0].LocalAddr()
	for _, u := range all {
		if err := u.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := u.ReadBatch(rooms(1, 10)); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
	openShared(t, Config{Addr: at}, 2)
}
