package hwtest_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"re6st/hw/hwtest"
	"re6st/hw/sock"
	"re6st/hw/tun"
)

var (
	_ tun.Device = (*hwtest.TUN)(nil)
	_ sock.Conn  = (*hwtest.Conn)(nil)
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	a = netip.MustParseAddrPort("[2001:db8::a]:1")
	b = netip.MustParseAddrPort("[2001:db8::b]:1")
)

func pair(t *testing.T) (n *hwtest.Network, ca, cb *hwtest.Conn) {
	t.Helper()
	n = hwtest.NewNetwork(1)
	for at, c := range map[netip.AddrPort]**hwtest.Conn{a: &ca, b: &cb} {
		var err error
		if *c, err = n.Listen(at); err != nil {
			t.Fatal(err)
		}
	}
	return n, ca, cb
}

func send(t *testing.T, c *hwtest.Conn, to netip.AddrPort, data string) {
	t.Helper()
	if n, err := c.WriteBatch([]sock.Packet{{Data: []byte(data), Addr: to, TOS: 3}}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
}

func receive(t *testing.T, c *hwtest.Conn) sock.Packet {
	t.Helper()
	p := []sock.Packet{{Data: make([]byte, 100)}}
	if n, err := c.ReadBatch(p); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	return p[0]
}

func TestNetworkDelaysCutsAndMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, ca, cb := pair(t)
		n.SetDelay(time.Second)
		sent := time.Now()
		send(t, ca, b, "slow")
		if p := receive(t, cb); string(p.Data) != "slow" || p.Addr != a || p.Local != b.Addr() || p.TOS != 3 || p.At.Sub(sent) != time.Second {
			t.Errorf("%+v after %s", p, p.At.Sub(sent))
		}
		n.SetDelay(0)
		n.Cut(a.Addr(), b.Addr())
		send(t, ca, b, "lost")
		send(t, cb, a, "the other way")
		n.Heal(a.Addr(), b.Addr())
		send(t, ca, b, "healed")
		if p := receive(t, cb); string(p.Data) != "healed" {
			t.Errorf("%q", p.Data)
		}
		if p := receive(t, ca); string(p.Data) != "the other way" {
			t.Errorf("%q", p.Data)
		}
		moved := netip.AddrPortFrom(a.Addr(), 2)
		if err := ca.Move(b); err == nil {
			t.Error("moved to an address in use")
		}
		if err := ca.Move(moved); err != nil {
			t.Fatal(err)
		}
		send(t, cb, a, "to where it was")
		send(t, cb, moved, "to where it is")
		if p := receive(t, ca); string(p.Data) != "to where it is" {
			t.Errorf("%q", p.Data)
		}
	})
}

func TestDelayKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, ca, cb := pair(t)
		n.SetDelay(time.Second)
		const count = 100
		for i := range count {
			send(t, ca, b, string(rune('0'+i)))
		}
		n.SetDelay(time.Second / 2)
		send(t, ca, b, "sooner")
		want := "sooner"
		for i := range count + 1 {
			if p := receive(t, cb); string(p.Data) != want {
				t.Errorf("%q in place of %q", p.Data, want)
			}
			want = string(rune('0' + i))
		}
	})
}

func TestLossIsAShare(t *testing.T) {
	n, ca, cb := pair(t)
	n.SetLoss(0.5)
	for range 1000 {
		send(t, ca, b, "x")
	}
	n.SetLoss(0)
	send(t, ca, b, "end")
	got := 0
	for string(receive(t, cb).Data) != "end" {
		got++
	}
	if got < 400 || got > 600 {
		t.Errorf("%d of 1000 arrived", got)
	}
}

func TestCloseUnblocks(t *testing.T) {
	_, ca, cb := pair(t)
	dev := hwtest.NewTUN("mesh0", 1380)
	conn, file := make(chan error), make(chan error)
	go func() {
		_, err := ca.ReadBatch([]sock.Packet{{}})
		conn <- err
	}()
	go func() {
		_, _, err := dev.Read(make([]byte, 10), true)
		file <- err
	}()
	_, _ = ca.Close(), dev.Close()
	if err := <-conn; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if err := <-file; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	send(t, cb, a, "to nobody")
	dev.Inject([]byte("to nobody"))
}

func TestTUNPassesPackets(t *testing.T) {
	dev := hwtest.NewTUN("mesh0", 1380)
	defer dev.Close()
	dev.Inject([]byte("in"))
	buf := make([]byte, 10)
	if n, _, err := dev.Read(buf, true); err != nil || string(buf[:n]) != "in" {
		t.Error(err)
	}
	if _, err := dev.Write([]byte("out")); err != nil || string(<-dev.Out()) != "out" {
		t.Error(err)
	}
}
