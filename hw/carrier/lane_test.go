package carrier

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"re6st/hw/sock"
	"re6st/protocols/fabric"
)

// TestQUICComesBySeveralSockets has a port of four sockets: which of them hears a peer is the
// kernel's choice, for QUIC's packets too.
func TestQUICComesBySeveralSockets(t *testing.T) {
	const peers = 16
	sockets, err := sock.ListenShared(sock.Config{Addr: netip.MustParseAddrPort("[::1]:0"), Batches: true}, 4)
	if err != nil {
		t.Fatal(err)
	}
	config := Config{UDP: sockets[0], Carriers: fabric.AllCarriers}
	for _, u := range sockets[1:] {
		config.More = append(config.More, u)
	}
	server, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	lanes := append([]sock.Conn{server}, server.Lanes()...)
	var readers sync.WaitGroup
	for _, c := range lanes { // each answers what it hears
		readers.Go(func() {
			for p := []sock.Packet{{Data: make([]byte, sock.ReadRoom)}}; ; {
				n, err := c.ReadBatch(p)
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err != nil || n != 1 {
					t.Errorf("read %d, %v", n, err)
					return
				}
				if _, err := c.WriteBatch(p); err != nil {
					t.Error(err)
				}
			}
		})
	}
	defer readers.Wait()
	defer server.Close()
	for i := range peers {
		peer := open(t, fabric.AllCarriers)
		got := reader(t, peer)
		for _, by := range []fabric.Carrier{fabric.UDP, fabric.QUIC} {
			want := datagram(1000, byte(i))
			if p := reach(t, peer, at(server, by), want, got); p.Carrier != by || p.Addr != server.LocalAddr() || string(p.Data) != string(want) {
				t.Errorf("peer %d, %s: %d bytes from %s by %s", i, by, len(p.Data), p.Addr, p.Carrier)
			}
		}
	}
	heard := 0
	for _, c := range lanes {
		if c.LocalAddr() != server.LocalAddr() {
			t.Errorf("a lane has %s, the others %s", c.LocalAddr(), server.LocalAddr())
		}
		if c.Stats().Received > 0 {
			heard++
		}
	}
	if heard < 2 {
		t.Errorf("all came by %d socket", heard)
	}
}

// TestALaneClosesAll closes any one of the lanes.
func TestALaneClosesAll(t *testing.T) {
	for i := range 3 {
		sockets, err := sock.ListenShared(sock.Config{Addr: netip.MustParseAddrPort("[::1]:0")}, 3)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Open(Config{UDP: sockets[0], More: []sock.Conn{sockets[1], sockets[2]}, Carriers: fabric.AllCarriers})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 3)
		all := append([]sock.Conn{c}, c.Lanes()...)
		for _, l := range all {
			go func() {
				_, err := l.ReadBatch([]sock.Packet{{Data: make([]byte, 100)}})
				done <- err
			}()
		}
		if err := all[i].Close(); err != nil {
			t.Error(err)
		}
		for range all {
			select {
			case err := <-done:
				if !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
			case <-time.After(patience):
				t.Fatal("a reader goes on")
			}
		}
	}
}
