package node

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"re6st/hw/sock"
)

func TestQueuesGoByTheProcessors(t *testing.T) {
	for processors, want := range map[int]int{1: 1, 2: 1, 3: 1, 4: 2, 6: 3, 8: 4, 64: 4} {
		if got := queuesFor(processors); got != want {
			t.Errorf("%d processors: %d, want %d", processors, got, want)
		}
	}
}

func TestQueuesAreBounded(t *testing.T) {
	for queues, good := range map[int]bool{-1: false, 0: true, 1: true, MaxQueues: true, MaxQueues + 1: false} {
		if _, err := ParseConfig(fmt.Appendf(nil, "queues = %d", queues)); (err == nil) != good {
			t.Errorf("%d: %v", queues, err)
		}
	}
}

// TestAPortOfSeveralSocketsIsOneNodes has a second node want it.
func TestAPortOfSeveralSocketsIsOneNodes(t *testing.T) {
	mark, port, batches := uint32(0), uint16(0), true
	c := Config{Port: &port, TLSPort: &port, Mark: &mark, Batches: &batches}
	open := func(count int) (*host, error) {
		h := &host{undo: func() error { return nil }}
		return h, h.openSockets(c, count, nil)
	}
	one, err := open(3)
	if err != nil {
		t.Fatal(err)
	}
	if len(one.more) != 2 || one.conn.LocalAddr().Port() == 0 || one.more[1].LocalAddr() != one.conn.LocalAddr() {
		t.Errorf("%v and %d more", one.conn.LocalAddr(), len(one.more))
	}
	port = one.conn.LocalAddr().Port()
	for _, count := range []int{1, 2} {
		if two, err := open(count); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("%d sockets of the same port: %v", count, errors.Join(err, two.close()))
		}
	}
	if err := one.close(); err != nil {
		t.Error(err)
	}
	free, err := sock.Listen(sock.Config{Addr: netip.AddrPortFrom(netip.IPv6Unspecified(), port)})
	if err != nil && !errors.Is(err, os.ErrPermission) {
		t.Fatalf("the port is still had: %v", err)
	}
	if err := free.Close(); err != nil {
		t.Error(err)
	}
}
