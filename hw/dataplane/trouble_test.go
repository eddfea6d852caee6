package dataplane

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"re6st/hw/fault"
	"re6st/hw/hwtest"
	"re6st/hw/sock"
	"re6st/hw/tun"
)

// faultyConn is a socket whose reads fail on purpose.
type faultyConn struct {
	sock.Conn
	faults *fault.Table
}

func (c *faultyConn) ReadBatch(packets []sock.Packet) (int, error) {
	if err := c.faults.Check(fault.SockReceive); err != nil {
		return 0, err
	}
	return c.Conn.ReadBatch(packets)
}

func newFaultyNode(t *testing.T, net *hwtest.Network, n uint64) *node {
	table := fault.New(time.Now)
	x := newNode(t, net, n)
	x.tuns[0] = tun.WithFaults(x.tun, table)
	x.conns[0] = &faultyConn{x.conn, table}
	return x
}

func (x *node) fails(t *testing.T, call fault.Call, errno syscall.Errno, count uint64, d time.Duration) {
	t.Helper()
	if err := x.conns[0].(*faultyConn).faults.Fail(fault.Rule{Call: call, Errno: errno, Count: count, For: d}); err != nil {
		t.Fatal(err)
	}
}

func TestErrorsOfTheMomentEndNobody(t *testing.T) {
	for _, call := range []fault.Call{fault.TUNRead, fault.SockReceive, fault.TUNWrite} {
		for _, errno := range []syscall.Errno{unix.ENOBUFS, unix.EAGAIN, unix.ENOMEM, unix.EPERM, unix.ENETUNREACH, unix.EIO} {
			synctest.Test(t, func(t *testing.T) {
				net := hwtest.NewNetwork(1)
				a := newFaultyNode(t, net, 1)
				b := newFaultyNode(t, net, 2)
				join(a, b)
				route(a, 2, 2)
				route(b, 1, 1)
				meet(a, b)
				a.fails(t, call, errno, 20, 0)
				b.fails(t, call, errno, 20, 0)
				run(t, a, b)
				if call == fault.TUNWrite { // of these the packets are lost
					for range 20 {
						a.tun.Inject(packet(host(general, 1), host(general, 2), "lost"))
					}
				}
				time.Sleep(time.Second)
				a.tun.Inject(packet(host(general, 1), host(general, 2), "through"))
				time.Sleep(time.Second)
				if got := string((<-b.tun.Out())[ipv6HeaderLen:]); got != "through" {
					t.Errorf("%s %v: got %q", call, errno, got)
				}
				if n := a.Stats().ReadErrors; call != fault.TUNWrite && n != 20 {
					t.Errorf("%s %v: %d errors counted, want 20", call, errno, n)
				}
			})
		}
	}
}

func TestWhatIsGoneForGoodEndsTheRunWithItsReason(t *testing.T) {
	for _, c := range []struct {
		call  fault.Call
		errno syscall.Errno
		after time.Duration
		says  string
	}{
		{fault.TUNRead, unix.EBADFD, 0, "dataplane: TUN mesh: it was deleted by somebody else: tun.read"},
		{fault.TUNRead, unix.EIO, readPatience, "dataplane: TUN mesh: nothing but errors for 5s: tun.read"},
		{fault.SockReceive, unix.EIO, readPatience, "dataplane: the underlay socket: nothing but errors for 5s: sock.receive"},
	} {
		synctest.Test(t, func(t *testing.T) {
			x := newFaultyNode(t, hwtest.NewNetwork(1), 1)
			x.fails(t, c.call, c.errno, 0, time.Minute)
			began := time.Now()
			err := x.Run(t.Context())
			if err == nil || !strings.HasPrefix(err.Error(), c.says) {
				t.Errorf("%s %v: %v; want %q", c.call, c.errno, err, c.says)
			}
			if took := time.Since(began); took < c.after || took > c.after+time.Second {
				t.Errorf("%s %v: ended after %v, want %v", c.call, c.errno, took, c.after)
			}
		})
	}
}

func TestAnEndThatIsWantedIsNoErrorThoughReadsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newFaultyNode(t, hwtest.NewNetwork(1), 1)
		x.fails(t, fault.TUNRead, unix.EIO, 0, time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := x.Run(ctx); err != nil {
			t.Error(err)
		}
	})
}
