package carrier

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"re6st/hw/sock"
	"re6st/protocols/fabric"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 60 * time.Second

// open opens a Conn on the loopback, with TLS on a free port.
func open(t testing.TB, carriers fabric.CarrierSet) *Conn {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		udp, err := sock.Listen(sock.Config{Addr: netip.MustParseAddrPort("[::1]:0"), Batches: true})
		if err != nil {
			t.Fatal(err)
		}
		c, err := Open(Config{UDP: udp, Carriers: carriers, TLSPort: freePort(t)})
		if err != nil {
			t.Fatal(err)
		}
		if c.TLSRefused() == nil {
			t.Cleanup(func() { _ = c.Close() })
			return c
		}
		_ = c.Close() // another program was quicker to take the port
		if time.Now().After(deadline) {
			t.Fatal(c.TLSRefused())
		}
	}
}

func freePort(t testing.TB) uint16 {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// reader hands on what a Conn reads.
func reader(t testing.TB, c *Conn) <-chan sock.Packet {
	got := make(chan sock.Packet, 10000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			p := []sock.Packet{{Data: make([]byte, sock.ReadRoom)}}
			n, err := c.ReadBatch(p)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil || n != 1 {
				t.Errorf("read %d, %v", n, err)
				return
			}
			got <- p[0]
		}
	}()
	t.Cleanup(func() {
		_ = c.Close()
		<-done
	})
	return got
}

// at is the path to a Conn by a carrier.
func at(c *Conn, by fabric.Carrier) sock.Packet {
	p := sock.Packet{Addr: c.LocalAddr(), Carrier: by}
	if by == fabric.TLS {
		p.Addr = netip.AddrPortFrom(p.Addr.Addr(), c.TLSPort())
	}
	return p
}

func datagram(length int, fill byte) []byte {
	d := bytes.Repeat([]byte{fill}, length)
	d[0] = fabric.FirstByte(fabric.TypeData)
	return d
}

func next(t testing.TB, got <-chan sock.Packet) sock.Packet {
	t.Helper()
	select {
	case p := <-got:
		return p
	case <-time.After(patience):
		t.Fatal("nothing came")
		return sock.Packet{}
	}
}

func write(t testing.TB, c *Conn, p sock.Packet, data []byte) {
	t.Helper()
	p.Data = data
	if _, err := c.WriteBatch([]sock.Packet{p}); err != nil {
		t.Fatal(err)
	}
}

// reach sends a datagram until it comes, as a link's probes do: on a busy machine a dial may
// take too long.
func reach(t testing.TB, c *Conn, to sock.Packet, data []byte, got <-chan sock.Packet) sock.Packet {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		write(t, c, to, data)
		select {
		case p := <-got:
			return p
		case <-time.After(2 * DialTimeout):
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing came")
		}
	}
}

func TestDatagramsGoThereAndBackByEachCarrier(t *testing.T) {
	a, b := open(t, fabric.AllCarriers), open(t, fabric.AllCarriers)
	atA, atB := reader(t, a), reader(t, b)
	for by := range fabric.Carrier(fabric.Carriers) {
		for _, length := range []int{1, 65, 1190, 1300, 9000} {
			if by == fabric.QUIC && length > 1190 {
				continue
			}
			there := datagram(length, 'a')
			p := reach(t, a, at(b, by), there, atB)
			if !bytes.Equal(p.Data, there) || p.Carrier != by || p.Local != netip.IPv6Loopback() || p.Interface == 0 {
				t.Fatalf("%s: %d bytes came by %s to %s on %d", by, len(p.Data), p.Carrier, p.Local, p.Interface)
			}
			back := datagram(length, 'b')
			write(t, b, sock.Packet{Addr: p.Addr, Local: p.Local, Interface: p.Interface, Carrier: p.Carrier}, back)
			q := next(t, atA)
			if !bytes.Equal(q.Data, back) || q.Carrier != by || q.Addr != at(b, by).Addr || q.Local != netip.IPv6Loopback() || q.Interface == 0 {
				t.Fatalf("%s: back: %d bytes came by %s from %s to %s on %d", by, len(q.Data), q.Carrier, q.Addr, q.Local, q.Interface)
			}
		}
		if want := min(1, int(by)); a.Connections(by) != want || b.Connections(by) != want {
			t.Errorf("%s: %d and %d connections", by, a.Connections(by), b.Connections(by))
		}
	}
}

func TestABatchIsCarriedByEachCarrier(t *testing.T) {
	a, b := open(t, fabric.AllCarriers), open(t, fabric.AllCarriers)
	atA, atB := reader(t, a), reader(t, b)
	for by := range fabric.Carrier(fabric.Carriers) {
		// Has the connection come up, and shows that it is alive.
		first := reach(t, a, at(b, by), datagram(100, 'x'), atB)
		write(t, b, sock.Packet{Addr: first.Addr, Local: first.Local, Carrier: by}, datagram(100, 'y'))
		next(t, atA)
		p := at(b, by)
		p.Segment = 1000
		var all []byte
		for i := range 20 {
			all = append(all, datagram(1000, byte(i))...)
		}
		all = append(all, datagram(77, 'z')...)
		write(t, a, p, all)
		var got []byte
		for len(got) < len(all) {
			got = append(got, next(t, atB).Data...)
		}
		if !bytes.Equal(got, all) {
			t.Errorf("%s: another batch came", by)
		}
	}
}

func TestQUICAndOursShareOneRead(t *testing.T) {
	c := open(t, fabric.AllCarriers)
	ours, theirs := datagram(50, 'o'), bytes.Repeat([]byte{0x40}, 50)
	p := []sock.Packet{{Data: bytes.Join([][]byte{ours, theirs, ours, theirs[:20]}, nil), Segment: 50, Addr: netip.MustParseAddrPort("[::1]:9")}}
	if n := c.sift(p); n != 1 || !bytes.Equal(p[0].Data, append(bytes.Clone(ours), ours...)) {
		t.Errorf("%d packets, of %d bytes", n, len(p[0].Data))
	}
	p = []sock.Packet{{Data: bytes.Clone(theirs)}, {Data: bytes.Clone(ours)}}
	if n := c.sift(p); n != 1 || !bytes.Equal(p[0].Data, ours) {
		t.Errorf("%d packets, the first %x", n, p[0].Data)
	}
}

func TestAFewDatagramsWaitForAConnection(t *testing.T) {
	a, b := open(t, fabric.AllCarriers), open(t, fabric.AllCarriers)
	_, atB := reader(t, a), reader(t, b)
	for range 3 * MaxDialling {
		write(t, a, at(b, fabric.TLS), datagram(100, 'w'))
	}
	next(t, atB)
	black := sock.Packet{Addr: netip.MustParseAddrPort("[2001:db8::1]:443"), Carrier: fabric.TLS}
	n := a.newConnection(fabric.Path{Remote: black.Addr, Carrier: fabric.TLS}, false)
	for i := range 2 * MaxDialling {
		if ok := n.put(datagram(1, 0), 1) == 1; ok != (i < MaxDialling) {
			t.Errorf("datagram %d: %v", i, ok)
		}
	}
	n.cancel()
}

func TestWhatIsBlockedDoesNotPass(t *testing.T) {
	a, b := open(t, fabric.AllCarriers), open(t, fabric.AllCarriers)
	_, atB := reader(t, a), reader(t, b)
	for by := range fabric.Carrier(fabric.Carriers) {
		other := (by + 1) % fabric.Carrier(fabric.Carriers)
		pass := func(blocked string) {
			t.Helper()
			if p := reach(t, a, at(b, other), datagram(20, 'o'), atB); p.Carrier != other || len(p.Data) != 20 {
				t.Errorf("%s is blocked %s; %d bytes came by %s", by, blocked, len(p.Data), p.Carrier)
			}
		}
		reach(t, a, at(b, by), datagram(100, 'x'), atB)
		a.Block(1 << by)
		write(t, a, at(b, by), datagram(10, 'b'))
		pass("at the sender")
		a.Block(0)
		if by == fabric.QUIC { // of which a packet may come at any time
			continue
		}
		b.Block(1 << by)
		before := b.stopped.Load()
		write(t, a, at(b, by), datagram(11, 'b'))
		for deadline := time.Now().Add(patience); b.stopped.Load() == before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s is not stopped", by)
			}
		}
		pass("at the receiver")
		b.Block(0)
	}
}

func TestAConnectionThatEndedIsDialledAnew(t *testing.T) {
	a := open(t, fabric.AllCarriers)
	reader(t, a)
	for _, by := range []fabric.Carrier{fabric.QUIC, fabric.TLS} {
		b := open(t, fabric.AllCarriers)
		atB := reader(t, b)
		for range 2 {
			for sent := time.Now(); ; { // as a link's probes do
				write(t, a, at(b, by), datagram(100, 'x'))
				select {
				case <-atB:
				case <-time.After(100 * time.Millisecond):
					if time.Since(sent) < patience {
						continue
					}
					t.Fatalf("%s: nothing came", by)
				}
				break
			}
			b.mu.Lock()
			for n := range b.all {
				n.cancel()
			}
			b.mu.Unlock()
		}
		_ = b.Close()
	}
}

// A peer whose port is only for what it has dialled is not called back.
func TestWhoDialledIsNotDialled(t *testing.T) {
	a, b := open(t, fabric.AllCarriers), open(t, fabric.AllCarriers)
	_, atB := reader(t, a), reader(t, b)
	p := reach(t, a, at(b, fabric.TLS), datagram(100, 'x'), atB)
	_ = a.Close()
	for deadline := time.Now().Add(patience); b.Connections(fabric.TLS) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("b keeps a connection that was closed")
		}
	}
	back := sock.Packet{Addr: p.Addr, Carrier: fabric.TLS, Data: datagram(9, 'b')}
	if n, err := b.WriteBatch([]sock.Packet{back}); n != 0 || err != nil || b.Connections(fabric.TLS) != 0 {
		t.Errorf("%d sent, %v, %d connections", n, err, b.Connections(fabric.TLS))
	}
}

func TestATLSPortThatIsTakenIsToldAndTheRestGoesOn(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	udp, err := sock.Listen(sock.Config{Addr: netip.MustParseAddrPort("[::1]:0")})
	if err != nil {
		t.Fatal(err)
	}
	a, err := Open(Config{UDP: udp, Carriers: fabric.AllCarriers, TLSPort: uint16(l.Addr().(*net.TCPAddr).Port)})
	if err != nil {
		t.Fatal(err)
	}
	reader(t, a)
	if a.TLSPort() != 0 || a.TLSRefused() == nil || !strings.Contains(a.TLSRefused().Error(), "address already in use") {
		t.Errorf("port %d, %v", a.TLSPort(), a.TLSRefused())
	}
	b := open(t, fabric.AllCarriers)
	atB := reader(t, b)
	reach(t, a, at(b, fabric.TLS), datagram(100, 'x'), atB)
}

// A peer whose port is closed says so at once: it is not dialled with each packet of a link.
func TestADialThatFailedIsNotRepeatedAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	calls := make(chan struct{}, 100)
	go func() {
		for {
			tcp, err := l.Accept()
			if err != nil {
				close(calls)
				return
			}
			tcp.Close()
			calls <- struct{}{}
		}
	}()
	c := open(t, fabric.AllCarriers)
	path := fabric.Path{Remote: l.Addr().(*net.TCPAddr).AddrPort(), Carrier: fabric.TLS}
	k := key{path.Carrier, path.Remote, path.Local.Addr}
	dials := 0
	for round := 0; round < 2; round++ {
		began := time.Now()
		n := c.connectionFor(path)
		if n == nil {
			t.Fatalf("round %d: it is not dialled", round)
		}
		dials++
		for deadline := time.Now().Add(patience); c.Connections(fabric.TLS) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the dial does not fail")
			}
		}
		c.mu.Lock()
		_, kept := c.failed[k]
		if kept { // as if the clock stood still
			c.failed[k] = time.Now().Add(time.Hour)
		}
		c.mu.Unlock()
		if !kept && time.Since(began) >= RedialAfter { // it may be forgotten by now
			round--
			continue
		}
		if c.connectionFor(path) != nil {
			t.Fatalf("round %d: it is dialled anew at once", round)
		}
		c.mu.Lock()
		c.failed[k] = time.Now().Add(-RedialAfter)
		c.mu.Unlock()
	}
	l.Close()
	n := 0
	for range calls {
		n++
	}
	if n > dials {
		t.Errorf("%d calls by %d dials", n, dials)
	}
}

func TestAnIdleConnectionIsClosed(t *testing.T) {
	a, b := open(t, fabric.AllCarriers), open(t, fabric.AllCarriers)
	_, atB := reader(t, a), reader(t, b)
	for _, by := range []fabric.Carrier{fabric.QUIC, fabric.TLS} {
		reach(t, a, at(b, by), datagram(100, 'x'), atB)
		a.sweep(time.Now().Add(IdleFirst / 2))
		if a.Connections(by) != 1 {
			t.Errorf("%s: %d connections before it is idle", by, a.Connections(by))
		}
		a.sweep(time.Now().Add(IdleAfter))
		for deadline := time.Now().Add(patience); a.Connections(by)+b.Connections(by) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d and %d connections are left", by, a.Connections(by), b.Connections(by))
			}
		}
	}
}

// Probes of an idle link come ever farther apart, by doubling, and must keep its connection.
func TestAConnectionOfLittleUseIsClosedSoon(t *testing.T) {
	a := open(t, fabric.AllCarriers)
	for _, c := range []struct {
		used, idle time.Duration
		ends       bool
	}{
		{time.Second, IdleFirst - time.Second, false},
		{time.Second, IdleFirst, true},
		{20 * time.Second, 39 * time.Second, false},
		{20 * time.Second, 40 * time.Second, true},
		{time.Hour, IdleAfter - time.Second, false},
		{time.Hour, IdleAfter, true},
	} {
		n := a.newConnection(fabric.Path{Remote: netip.MustParseAddrPort("192.0.2.1:1"), Carrier: fabric.TLS}, false)
		a.mu.Lock()
		a.register(n)
		a.mu.Unlock()
		n.touched.Store(int64(c.used))
		a.sweep(n.began.Add(c.used + c.idle))
		if ended := n.ctx.Err() != nil; ended != c.ends {
			t.Errorf("of use for %v, idle for %v: closed: %v", c.used, c.idle, ended)
		}
		n.end()
	}
}

// A link that does not read anything.
type stuck struct{ closed chan struct{} }

func (s *stuck) send([]*batch) error  { <-s.closed; return net.ErrClosed }
func (s *stuck) receive(*batch) error { <-s.closed; return net.ErrClosed }
func (s *stuck) close() {
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
}

func TestAStreamThatDoesNotMoveBlocksNobody(t *testing.T) {
	c := open(t, fabric.AllCarriers)
	to := netip.MustParseAddrPort("192.0.2.1:443")
	n := c.newConnection(fabric.Path{Remote: to, Carrier: fabric.TLS}, false)
	n.link = &stuck{make(chan struct{})}
	n.asked.Store(int64(time.Hour)) // it is not stalled yet, however long this takes
	c.mu.Lock()
	c.register(n, key{fabric.TLS, to, netip.Addr{}})
	c.mu.Unlock()
	c.running.Go(func() {
		defer n.end()
		n.serve(n.link)
	})
	sent := 0
	for range 2 * MaxQueued {
		k, err := c.WriteBatch([]sock.Packet{{Addr: to, Carrier: fabric.TLS, Data: datagram(9, 's')}})
		if err != nil {
			t.Fatal(err)
		}
		sent += k
	}
	if sent != MaxQueued || c.Stats().NoBuffer != MaxQueued {
		t.Errorf("%d are under way; %+v", sent, c.Stats())
	}
	n.asked.Store(1) // long ago
	c.mu.Lock()
	n.began = n.began.Add(-2 * StallAfter)
	c.mu.Unlock()
	if !n.stalled() {
		t.Error("it is not taken for dead")
	}
}

func TestAReaderThatIsBusyIsNotDrowned(t *testing.T) {
	a, b := open(t, fabric.AllCarriers), open(t, fabric.AllCarriers)
	for _, by := range []fabric.Carrier{fabric.TLS} {
		for deadline := time.Now().Add(patience); len(b.arrived) < MaxArrived; time.Sleep(time.Millisecond) {
			for range 64 {
				write(t, a, at(b, by), datagram(100, 'x'))
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d arrived", by, len(b.arrived))
			}
		}
	}
	atB := reader(t, b)
	next(t, atB)
}

func TestOrdinaryClientsSeeOrdinaryTLS(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	c := open(t, fabric.AllCarriers)
	reader(t, c)
	cmd := exec.Command("openssl", "s_client", "-brief", "-alpn", "http/1.1", "-connect", at(c, fabric.TLS).Addr.String())
	cmd.Stdin = strings.NewReader("GET / HTTP/1.1\r\n\r\n")
	out, _ := cmd.CombinedOutput()
	for _, want := range []string{"CONNECTION ESTABLISHED", "Protocol version: TLSv1.3"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("openssl does not say %q:\n%s", want, out)
		}
	}
}

func TestAStrangerLearnsNothing(t *testing.T) {
	c := open(t, fabric.AllCarriers)
	reader(t, c)
	for _, say := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\x05\x51zzzz", "\x00\x00"} {
		conn := dialStranger(t, c)
		if _, err := conn.Write([]byte(say)); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 100)); n != 0 || err == nil {
			t.Errorf("%q is answered with %d bytes", say, n)
		}
		conn.Close()
	}
	conn := dialStranger(t, c)
	defer conn.Close()
	c.sweep(time.Now().Add(FirstWithin))
	if n, err := conn.Read(make([]byte, 100)); n != 0 || err == nil {
		t.Errorf("silence is answered with %d bytes, %v", n, err)
	}
}

// What has the form of a datagram of ours may be a stranger's all the same: he gets no answer.
func TestAConnectionOfWhichNothingIsAnsweredIsClosed(t *testing.T) {
	c := open(t, fabric.AllCarriers)
	got := reader(t, c)
	for _, answered := range []bool{false, true} {
		conn := dialStranger(t, c)
		defer conn.Close()
		if _, err := conn.Write(appendFrame(nil, datagram(100, 'x'))); err != nil {
			t.Fatal(err)
		}
		p := next(t, got)
		if answered {
			write(t, c, sock.Packet{Addr: p.Addr, Local: p.Local, Interface: p.Interface, Carrier: p.Carrier}, datagram(10, 'y'))
			if _, err := io.ReadFull(conn, make([]byte, lengthLen+10)); err != nil {
				t.Fatal(err)
			}
		}
		c.mu.Lock()
		n := c.open[key{p.Carrier, p.Addr, p.Local}]
		c.mu.Unlock()
		c.sweep(n.began.Add(FirstWithin - 1))
		if n.ctx.Err() != nil {
			t.Errorf("answered: %v; closed early", answered)
		}
		c.sweep(n.began.Add(FirstWithin))
		if closed := n.ctx.Err() != nil; closed == answered {
			t.Errorf("answered: %v; closed: %v", answered, closed)
		}
	}
}

func TestUDPAmongCarriersAllocatesNothing(t *testing.T) {
	a, b := open(t, fabric.AllCarriers), open(t, fabric.AllCarriers)
	p := at(b, fabric.UDP)
	p.Data = datagram(1400, 'x')
	out, in := []sock.Packet{p}, []sock.Packet{{Data: make([]byte, sock.ReadRoom)}}
	if n := testing.AllocsPerRun(200, func() {
		if _, err := a.WriteBatch(out); err != nil {
			t.Fatal(err)
		}
		if _, err := b.ReadBatch(in); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 { // a pool may lose its entry to the collector
		t.Errorf("%v allocations per packet", n)
	}
}
