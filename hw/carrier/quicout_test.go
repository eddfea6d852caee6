package carrier

import (
	"bytes"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"re6st/hw/sock"
	"re6st/protocols/fabric"
)

// kernel takes packets when it is let.
type kernel struct {
	sock.Conn
	let chan bool
	got [][2]int // datagrams of each call's packets, and bytes
}

func (k *kernel) WriteBatch(packets []sock.Packet) (int, error) {
	<-k.let
	for _, p := range packets {
		k.got = append(k.got, [2]int{p.Datagrams(), len(p.Data)})
	}
	return len(packets), nil
}

func place(host byte) *endpoint {
	return newEndpoint(netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, host}), 1), fabric.Local{})
}

func TestPacketsOfQUICThatWaitGoTogether(t *testing.T) {
	o, k := newQUICOut(), &kernel{let: make(chan bool)}
	a, b := place(1), place(2)
	for _, p := range []struct {
		length int
		to     *endpoint
		first  byte
	}{{90, a, 0x40}, {90, a, 0x40}, {40, a, 0x40}, {40, a, 0x40}, {90, a, 0x40}, {90, b, 0x40}, {100, b, 0x40}, {100, b, 0xc0}, {90, b, 0x40}} {
		o.put(bytes.Repeat([]byte{p.first}, p.length), p.to)
	}
	var done sync.WaitGroup
	done.Go(func() { o.run(k) })
	k.let <- true
	o.close()
	done.Wait()
	// A shorter one is the last of its packet (UDP_SEGMENT); a handshake's goes alone.
	if want := [][2]int{{3, 220}, {1, 40}, {1, 90}, {1, 90}, {1, 100}, {1, 100}, {1, 90}}; !slices.Equal(k.got, want) {
		t.Errorf("the kernel got %v, want %v", k.got, want)
	}
}

func TestQUICWaitsWhereTooManyOfItsPacketsWait(t *testing.T) {
	o, k := newQUICOut(), &kernel{let: make(chan bool)}
	for range quicUnsent {
		o.put([]byte{0x40}, place(1))
	}
	var done sync.WaitGroup
	put := make(chan bool)
	done.Go(func() { put <- o.put([]byte{0x40}, place(1)) })
	for range 100 {
		runtime.Gosched()
	}
	select {
	case <-put:
		t.Fatal("one more than may wait")
	case <-time.After(50 * time.Millisecond):
	}
	done.Go(func() { o.run(k) })
	if k.let <- true; !<-put {
		t.Error("it is not taken once there is room")
	}
	close(k.let)
	o.close()
	done.Wait()
	if o.put([]byte{0x40}, place(1)) {
		t.Error("it is taken where nothing is sent any more")
	}
}

func TestPathsOfQUICKeptInMindAreBounded(t *testing.T) {
	q := quicSocket{endpoints: make(map[fabric.Path]*endpoint)}
	for port := range uint16(3 * maxEndpoints) {
		b := &quicBatch{remote: netip.AddrPortFrom(netip.IPv6Loopback(), port+1)}
		if e := q.endpoint(b); e.Remote != b.remote || q.endpoint(b) != e {
			t.Errorf("port %d: %s", port+1, e)
		}
		if len(q.endpoints) > maxEndpoints {
			t.Fatalf("%d", len(q.endpoints))
		}
	}
}

func TestQUICFindsThatThePathCarriesMore(t *testing.T) {
	a, b := open(t, fabric.AllCarriers), open(t, fabric.AllCarriers)
	_, atB := reader(t, a), reader(t, b)
	const long = 1392
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		write(t, a, at(b, fabric.QUIC), datagram(100, 's')) // what is acknowledged tells QUIC what passed
		write(t, a, at(b, fabric.QUIC), datagram(long, 'l'))
		for more := true; more; {
			select {
			case p := <-atB:
				if len(p.Data) == long || p.Segment == long {
					return
				}
			case <-time.After(20 * time.Millisecond):
				more = false
			}
		}
	}
	t.Errorf("no datagram of %d bytes came", long)
}
