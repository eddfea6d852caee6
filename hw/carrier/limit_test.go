package carrier

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"re6st/hw/sock"
	"re6st/protocols/fabric"
)

func TestPacketsThatWaitForQUICAreBounded(t *testing.T) {
	for _, together := range []int{1, 8} {
		c := &Conn{quicIn: make(chan *quicBatch, quicQueue)} // nobody takes them
		for range 2 * quicQueue / together {
			c.toQUIC(bytes.Repeat([]byte{0x40}, 2*together-1), 2, &sock.Packet{})
		}
		if len(c.quicIn) != quicQueue/together || c.quicWaiting.Load() != quicQueue || c.dropped.Load() != quicQueue {
			t.Errorf("%d together: %d batches of %d packets wait, %d were dropped", together, len(c.quicIn), c.quicWaiting.Load(), c.dropped.Load())
		}
	}
}

func TestConnectionsOfASourceAreBounded(t *testing.T) {
	var s sources
	now := time.Now()
	from := netip.MustParseAddr("2001:db8::1")
	n := 0
	for s.take(now, from) {
		n++
	}
	if n != MaxSourceConnections {
		t.Errorf("%d at a time", n)
	}
	if !s.take(now, netip.MustParseAddr("2001:db8:0:1::1")) {
		t.Error("another /64 is refused")
	}
	for range n {
		s.release(from)
	}
	more := 0
	for ; s.take(now, from); more++ {
		s.release(from)
	}
	if n+more != SourceBurst {
		t.Errorf("%d at once", n+more)
	}
	if now = now.Add(time.Second); !s.take(now, from) {
		t.Error("none a second later")
	}
}

// However many strangers come, by handshakes of whatever length, this node can dial.
func TestConnectionsThatOthersBeginLeaveRoomToDial(t *testing.T) {
	var s sources
	now, n := time.Now(), 0
	for i := range 4 * MaxConnections {
		if s.take(now, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})) {
			n++
		}
	}
	if n != MaxAccepted || n >= MaxConnections {
		t.Errorf("%d are taken, of %d", n, MaxConnections)
	}
	s.release(netip.MustParseAddr("10.0.0.0"))
	if !s.take(now, netip.MustParseAddr("192.0.2.1")) {
		t.Error("none is taken after one has ended")
	}
}

func TestSourcesAreBounded(t *testing.T) {
	var s sources
	now := time.Now()
	kept := netip.MustParseAddr("192.0.2.1")
	s.take(now, kept)
	for i := range 3 * maxSources {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		s.take(now, a)
		s.release(a)
	}
	if len(s.all) > maxSources || s.all[sourceOf(kept)] == nil {
		t.Errorf("%d are told apart", len(s.all))
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	c := open(t, fabric.AllCarriers)
	c.mu.Lock()
	var fake []*connection
	for len(c.all) < MaxConnections {
		n := c.newConnection(fabric.Path{Carrier: fabric.TLS}, false)
		c.register(n)
		fake = append(fake, n)
	}
	c.mu.Unlock()
	p := sock.Packet{Addr: netip.MustParseAddrPort("[::1]:1"), Carrier: fabric.TLS, Data: datagram(9, 'x')}
	if n, err := c.WriteBatch([]sock.Packet{p}); n != 0 || err != nil {
		t.Errorf("%d sent, %v", n, err)
	}
	if c.accept(c.newConnection(fabric.Path{Carrier: fabric.TLS}, true)) {
		t.Error("one more is taken")
	}
	for _, n := range fake {
		n.end()
	}
}

// Whoever connects and goes again, as often as he likes, costs no memory.
func TestPathsOfThoseWhoAreGoneAreBounded(t *testing.T) {
	c := open(t, fabric.AllCarriers)
	kept := 0
	for i := range 2 * maxGone {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)
		if !c.sources.take(time.Now(), from.Addr()) {
			t.Fatal("refused")
		}
		n := c.newConnection(fabric.Path{Remote: from, Carrier: fabric.TLS}, true)
		if !c.accept(n) {
			t.Fatal("one too many")
		}
		n.end()
		c.mu.Lock()
		kept = max(kept, len(c.gone))
		c.mu.Unlock()
	}
	if kept != maxGone {
		t.Errorf("%d paths are kept in mind", kept)
	}
}

// family counts the contexts that were made of it and have not ended.
type family struct {
	context.Context
	children atomic.Int32
}

func (*family) Value(any) any { return nil }

func (f *family) AfterFunc(func()) func() bool {
	f.children.Add(1)
	return func() bool { f.children.Add(-1); return true }
}

func TestAConnectionOneTooManyLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	f := &family{Context: ctx}
	c := &Conn{ctx: f, all: map[*connection]bool{}}
	for len(c.all) < MaxConnections {
		c.all[new(connection)] = true
	}
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	stranger, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	tcp, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.acceptTLS(tcp)
	if _, err := stranger.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the stranger reads %v", err)
	}
	if n := f.children.Load(); n != 0 || c.sources.all[sourceOf(netip.IPv6Loopback())].open != 0 {
		t.Errorf("%d contexts are left, %+v", n, c.sources.all)
	}
}
