package dataplane

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"re6st/hw/hwtest"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
	"re6st/tsn/class"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	locators = netip.MustParsePrefix("fd12:3456:789a:bcde::/64")
	general  = class.Class{ID: class.General, Name: "general", Range: netip.MustParsePrefix("2001:db8:42::/48"), DSCP: 8}
	safety   = class.Class{ID: 3, Name: "safety", Range: netip.MustParsePrefix("2001:db8:45::/48"), DSCP: 46}
)

// node is one Plane with a TUN and a socket in memory. Its number is in all its
// names.
type node struct {
	*Plane
	n       uint64
	id      addr.NodeID
	tun     *hwtest.TUN
	conn    *hwtest.Conn
	at      netip.AddrPort
	table   *rib.Table
	control chan Control // bodies are copies
	nobody  bool         // refuse all inner sources
}

func nodeID(n uint64) addr.NodeID { return addr.NodeIDFromUint64(n) }

// host is the address ::1 of node n in a class's range.
func host(c class.Class, n uint64) netip.Addr {
	b := c.Range.Addr().As16()
	b[7], b[15] = byte(n), 1
	return netip.AddrFrom16(b)
}

func prefix(c class.Class, n uint64) netip.Prefix { return netip.PrefixFrom(host(c, n), 64).Masked() }

func endpoint(n uint64) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0xfd, 15: byte(n)}), 1)
}

// newNode makes a node that accepts from each peer what has the peer's number in it.
func newNode(t testing.TB, net *hwtest.Network, n uint64) *node {
	t.Helper()
	classes, err := class.NewTable([]class.Class{general, safety})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Listen(endpoint(n))
	if err != nil {
		t.Fatal(err)
	}
	x := &node{
		n: n, id: nodeID(n), tun: hwtest.NewTUN("mesh", 1380), conn: conn, at: endpoint(n),
		table: rib.NewTable(locators), control: make(chan Control, 100),
	}
	x.Plane, err = New(Config{
		Self: x.id, TUN: x.tun, Conn: conn, Classes: classes, Address: host(general, n),
		Accept: func(peer addr.NodeID, src netip.Addr) bool {
			b := src.As16()
			if src.Is4() {
				return !x.nobody && peer == nodeID(uint64(b[14]))
			}
			return !x.nobody && peer == nodeID(uint64(b[7]))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}

// run moves packets until the test ends.
func run(t testing.TB, nodes ...*node) {
	t.Helper()
	for _, x := range nodes {
		done := make(chan error, 1)
		go func() { done <- x.Run(t.Context()) }()
		t.Cleanup(func() {
			x.Close()
			if err := <-done; err != nil {
				t.Errorf("node %d: %v", x.n, err)
			}
		})
	}
}

var pairs struct {
	sync.Mutex
	n byte
}

// newKeys are roots that no other pair of the test has.
func newKeys() (a, b fabric.Keys) {
	pairs.Lock()
	defer pairs.Unlock()
	pairs.n++
	a = fabric.Keys{Send: [32]byte{pairs.n, 1}, Receive: [32]byte{pairs.n, 2}}
	return a, fabric.Keys{Send: a.Receive, Receive: a.Send}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// join makes a link between two nodes; each has the other's number as link id.
func join(x, y *node) {
	kx, ky := newKeys()
	ix, iy := x.NewIndex(), y.NewIndex()
	sx := must(fabric.NewLinkSession(fabric.AESGCM, kx, ix, iy))
	sy := must(fabric.NewLinkSession(fabric.AESGCM, ky, iy, ix))
	for _, e := range []struct {
		from, to *node
		s        *fabric.LinkSession
	}{{x, y, sx}, {y, x, sy}} {
		id := rib.LinkID(e.to.n)
		e.from.AddLink(id, e.to.id, e.to.at, func(c Control) {
			c.Body = append([]byte(nil), c.Body...)
			e.from.control <- c
		})
		e.from.InstallLink(id, e.s)
		e.from.UseLink(id, e.s)
	}
}

// newPair are the sessions of two nodes, not installed.
func newPair(x, y *node) (sx, sy *fabric.Session) {
	kx, ky := newKeys()
	ix, iy := x.NewIndex(), y.NewIndex()
	return must(fabric.NewSession(fabric.AESGCM, kx, ix, iy, x.id, y.id)), must(fabric.NewSession(fabric.AESGCM, ky, iy, ix, y.id, x.id))
}

// meet gives two nodes a session.
func meet(x, y *node) {
	sx, sy := newPair(x, y)
	x.InstallSession(sx)
	y.InstallSession(sy)
	x.UseSession(sx)
	y.UseSession(sy)
}

// route sends x's packets and frames for node n by the link to node via.
func route(x *node, n, via uint64) {
	r := rib.Route{Egress: nodeID(n), NextHop: rib.NextHop{Link: rib.LinkID(via)}}
	for _, p := range []netip.Prefix{prefix(general, n), prefix(safety, n), netip.PrefixFrom(addr.Locator(locators, nodeID(n)), 128)} {
		r.Prefix = p
		if _, _, err := x.table.Offer(time.Now(), rib.OriginBabel, r); err != nil {
			panic(err)
		}
	}
	x.SetView(x.table.View())
}

// line is three nodes, 1 - 2 - 3, with routes and without sessions.
func line(t testing.TB, net *hwtest.Network) (a, relay, b *node) {
	t.Helper()
	a, relay, b = newNode(t, net, 1), newNode(t, net, 2), newNode(t, net, 3)
	align(a, relay, b)
	return a, relay, b
}

// align makes a line of the nodes 1, 2 and 3.
func align(a, relay, b *node) {
	join(a, relay)
	join(relay, b)
	route(a, 3, 2)
	route(a, 2, 2)
	route(relay, 1, 1)
	route(relay, 3, 3)
	route(b, 1, 2)
	route(b, 2, 2)
}

// metLine is a line of nodes of which the first and the last have a session.
func metLine(t testing.TB) (a, relay, b *node) {
	t.Helper()
	a, relay, b = line(t, hwtest.NewNetwork(1))
	meet(a, b)
	return a, relay, b
}

// packet is an inner packet with a payload, which may be anything.
func packet(src, dst netip.Addr, payload string) []byte {
	b := make([]byte, ipv6HeaderLen, ipv6HeaderLen+len(payload))
	b[0], b[6], b[7] = 6<<4, 17, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	s, d := src.As16(), dst.As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
	return append(b, payload...)
}

// out waits for a packet that a node gives its kernel.
func out(t testing.TB, x *node) []byte {
	t.Helper()
	select {
	case p := <-x.tun.Out():
		return p
	case <-time.After(time.Minute):
		t.Fatalf("node %d gave its kernel nothing; %+v", x.n, x.Stats())
		return nil
	}
}

// comes sends a packet until it comes out at another node: one that is cut to pieces is lost
// where the machine stands still for as long as a reassembly may take.
func comes(t testing.TB, from, to *node, p []byte) []byte {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		from.tun.Inject(p)
		select {
		case got := <-to.tun.Out():
			return got
		case <-time.After(2 * fabric.ReassemblyTimeout):
		}
	}
	t.Fatalf("node %d gave its kernel nothing; %+v", to.n, to.Stats())
	return nil
}

// eventually waits for a counter, which moves after what can be seen outside.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// dropped waits until a node counted exactly n drops for a reason.
func dropped(t testing.TB, x *node, r Reason, n uint64) {
	t.Helper()
	eventually(t, r.String(), func() bool { return x.drops[r].Load() == n })
}
