package sock

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"re6st/hw/fault"
	"re6st/hw/netns/netnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, c Config) *UDP {
	t.Helper()
	u, err := Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	return u
}

func read(t *testing.T, u *UDP) Packet {
	t.Helper()
	p := []Packet{{Data: make([]byte, 2000)}, {Data: make([]byte, 2000)}}
	if n, err := u.ReadBatch(p); n != 1 || err != nil {
		t.Fatalf("read %d packets, %v", n, err)
	}
	return p[0]
}

func write(t *testing.T, u *UDP, p Packet) {
	t.Helper()
	if n, err := u.WriteBatch([]Packet{p}); n != 1 || err != nil {
		t.Fatalf("wrote %d packets, %v, %+v", n, err, u.Stats())
	}
}

func TestOnePortServesBothFamiliesAndTellsWhatWasAddressed(t *testing.T) {
	u := open(t, Config{})
	port := u.LocalAddr().Port()
	for _, c := range []struct{ peer, local string }{
		{"127.0.0.1", "127.0.0.1"}, {"127.0.0.1", "127.0.0.77"}, {"::1", "::1"},
	} {
		peer := open(t, Config{Addr: netip.AddrPortFrom(netip.MustParseAddr(c.peer), 0)})
		local := netip.MustParseAddr(c.local)
		before := time.Now()
		write(t, peer, Packet{Data: []byte("ping"), Addr: netip.AddrPortFrom(local, port), TOS: 46<<2 | 2})
		p := read(t, u)
		if string(p.Data) != "ping" || p.Addr != peer.LocalAddr() || p.Local != local || p.TOS != 46<<2|2 {
			t.Errorf("%s: %q from %s to %s, TOS %#x", c.local, p.Data, p.Addr, p.Local, p.TOS)
		}
		if p.At.Before(before) || p.At.After(time.Now()) {
			t.Errorf("%s: received at %s, sent at %s", c.local, p.At, before)
		}
		write(t, u, Packet{Data: []byte("pong"), Addr: p.Addr, Local: p.Local})
		if back := read(t, peer); string(back.Data) != "pong" || back.Addr != netip.AddrPortFrom(local, port) || back.TOS != 0 {
			t.Errorf("%s: the answer %q came from %s, TOS %#x", c.local, back.Data, back.Addr, back.TOS)
		}
	}
}

func TestSourceThatWentAwayIsReplaced(t *testing.T) {
	u, peer := open(t, Config{}), open(t, Config{})
	for _, c := range []struct{ to, gone string }{{"::1", "2001:db8::77"}, {"127.0.0.1", "192.0.2.77"}, {"127.0.0.1", "::1"}} {
		to := netip.AddrPortFrom(netip.MustParseAddr(c.to), peer.LocalAddr().Port())
		write(t, u, Packet{Data: []byte("x"), Addr: to, Local: netip.MustParseAddr(c.gone)})
		if p := read(t, peer); p.Addr.Addr().String() != c.to {
			t.Errorf("from %s", p.Addr)
		}
	}
}

func TestCloseUnblocksTheReader(t *testing.T) {
	u := open(t, Config{})
	done := make(chan error)
	go func() {
		_, err := u.ReadBatch([]Packet{{Data: make([]byte, 10)}})
		done <- err
	}()
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("reader: %v", err)
	}
	if _, err := u.WriteBatch([]Packet{{Data: []byte("x"), Addr: u.LocalAddr()}}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writer: %v", err)
	}
}

func TestTooLongForTheReaderIsDropped(t *testing.T) {
	u, peer := open(t, Config{}), open(t, Config{})
	to := netip.AddrPortFrom(netip.IPv6Loopback(), u.LocalAddr().Port())
	write(t, peer, Packet{Data: make([]byte, 2001), Addr: to})
	write(t, peer, Packet{Data: []byte("fits"), Addr: to})
	if p := read(t, u); string(p.Data) != "fits" || u.Stats().Truncated != 1 || u.Stats().Received != 1 {
		t.Errorf("%q, %+v", p.Data, u.Stats())
	}
}

func TestRefusalsAreCountedAndNotFatal(t *testing.T) {
	g := netnstest.NewGroup(t)
	ns, err := g.Create("sock")
	if err != nil {
		t.Fatal(err)
	}
	var u *UDP
	err = ns.Do(func() (err error) {
		for _, args := range [][]string{
			{"add", "table", "inet", "t"},
			{"add", "chain", "inet", "t", "out", "{ type filter hook output priority 0 ; }"},
			{"add", "rule", "inet", "t", "out", "udp", "dport", "9", "drop"},
		} {
			if out, err := exec.Command("nft", args...).CombinedOutput(); err != nil {
				return errors.New(string(out))
			}
		}
		u, err = Listen(Config{Mark: 7})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	for _, to := range []string{"[::1]:9", "127.0.0.1:9", "[2001:db8::1]:7", "192.0.2.1:7"} {
		if n, err := u.WriteBatch([]Packet{{Data: []byte("x"), Addr: netip.MustParseAddrPort(to)}}); n != 0 || err != nil {
			t.Errorf("%s: %d sent, %v", to, n, err)
		}
	}
	big := Packet{Data: make([]byte, 65500), Addr: netip.AddrPortFrom(netip.IPv6Loopback(), u.LocalAddr().Port())}
	small := big
	small.Data = []byte("x")
	both := []Packet{big, small}
	if n, err := u.WriteBatch(both); n != 1 || err != nil || !both[0].TooBig || both[1].TooBig {
		t.Errorf("%d sent, %v; too big %v, %v", n, err, both[0].TooBig, both[1].TooBig)
	}
	if s := u.Stats(); s.Refused != 2 || s.Unreachable != 2 || s.TooBig != 1 || s.Sent != 1 || s.OtherErrors != 0 || s.LastError == "" {
		t.Errorf("%+v", s)
	}
}

func TestErrorsOfTheMomentAreCountedAndNotFatal(t *testing.T) {
	for _, errno := range []syscall.Errno{unix.ENOBUFS, unix.EAGAIN, unix.ENOMEM, unix.EPERM, unix.EACCES, unix.ENETUNREACH, unix.ENETDOWN} {
		table := fault.New(time.Now)
		u, peer := open(t, Config{Faults: table}), open(t, Config{})
		fail := func(call fault.Call) {
			if err := table.Fail(fault.Rule{Call: call, Errno: errno, Count: quickRetries + 2}); err != nil {
				t.Fatal(err)
			}
		}
		fail(fault.SockSend)
		to := netip.AddrPortFrom(netip.IPv6Loopback(), peer.LocalAddr().Port())
		for range quickRetries + 2 {
			if n, err := u.WriteBatch([]Packet{{Data: []byte("lost"), Addr: to}}); n != 0 || err != nil {
				t.Errorf("send %v: %d, %v", errno, n, err)
			}
		}
		write(t, u, Packet{Data: []byte("sent"), Addr: to})
		if p := read(t, peer); string(p.Data) != "sent" {
			t.Errorf("send %v: %q", errno, p.Data)
		}
		fail(fault.SockReceive)
		write(t, peer, Packet{Data: []byte("received"), Addr: netip.AddrPortFrom(netip.IPv6Loopback(), u.LocalAddr().Port())})
		if p := read(t, u); string(p.Data) != "received" {
			t.Errorf("receive %v: %q", errno, p.Data)
		}
		if s := u.Stats(); s.NoBuffer+s.Refused+s.Unreachable != 2*(quickRetries+2) || s.OtherErrors != 0 {
			t.Errorf("%v: %+v", errno, s)
		}
	}
}

func TestOptionsAreSet(t *testing.T) {
	u := open(t, Config{})
	raw, err := u.conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		for _, c := range []struct{ level, opt, want int }{
			{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE},
			{unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1},
			{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0},
			{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE},
		} {
			if got, err := unix.GetsockoptInt(int(fd), c.level, c.opt); got != c.want || err != nil {
				t.Errorf("option %d of level %d is %d, %v", c.opt, c.level, got, err)
			}
		}
		if os.Geteuid() == 0 { // the kernel doubles it for its own
			if got, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF); got != 2*DefaultBuffer {
				t.Errorf("receive buffer of %d", got)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadAndWriteAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector sync.Pool drops what it is given, at random")
	}
	u, peer := open(t, Config{}), open(t, Config{})
	out := []Packet{{
		Data: make([]byte, 1400), TOS: 2, Local: netip.IPv6Loopback(),
		Addr: netip.AddrPortFrom(netip.IPv6Loopback(), u.LocalAddr().Port()),
	}}
	in := rooms(4, 2000)
	many := out[0]
	many.Segment = 700
	out = append(out, many) // not cut by the kernel
	if n := testing.AllocsPerRun(200, func() {
		if _, err := peer.WriteBatch(out); err != nil {
			t.Fatal(err)
		}
		for left := 3; left > 0; {
			n, err := u.ReadBatch(in)
			if err != nil {
				t.Fatal(err)
			}
			left -= n
		}
	}); n >= 1 { // a pool may lose its entry to the collector
		t.Errorf("%v allocations per packet", n)
	}
}

func FuzzParseOOB(f *testing.F) {
	var oob [oobLen]byte
	f.Add(putOOB(&oob, &Packet{Local: netip.IPv6Loopback(), Addr: netip.MustParseAddrPort("[::1]:1"), TOS: 3}))
	f.Add(putOOB(&oob, &Packet{Local: netip.MustParseAddr("127.0.0.1"), Addr: netip.MustParseAddrPort("127.0.0.1:1"), TOS: 3}))
	f.Fuzz(func(t *testing.T, b []byte) {
		now := time.Now()
		p := Packet{At: now}
		parseOOB(b, &p)
		if p.At.After(now) || p.At.Before(now.Add(-maxClockDelay)) {
			t.Fatalf("received at %s, read at %s", p.At, now)
		}
	})
}
