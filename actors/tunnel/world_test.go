package tunnel

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flynn/noise"
	"go.uber.org/goleak"

	"re6st/actors/system"
	"re6st/hw/dataplane"
	"re6st/hw/hwtest"
	"re6st/hw/sock"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
	"re6st/protocols/tunnelplan"
	"re6st/tsn/class"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var network = netip.MustParsePrefix("2001:db8:42::/48")

// world is the tunnels of some nodes in virtual time: all is real but for routing,
// kernel and underlay.
type world struct {
	t      *testing.T
	issuer *cert.Issuer
	under  *hwtest.Network
	nodes  []*testNode
}

type testNode struct {
	*world
	credentials *fabric.Credentials
	at          netip.AddrPort
	sys         *system.System
	plane       *spy
	ref         system.Ref[Message]
	stop        func()
	boot        fabric.BootID
	kernel      *fakeKernel // nil: there is none
	gateways    *Gateways   // likewise
	through     *testNode   // the node with which tunnels carry; nil: none
	wanted      Wanted
	rules       tunnelplan.Rules // of its start

	mu     sync.Mutex
	events []Event
	babel  int // packets that came
}

// spy is a packet path that notes which keys are installed.
type spy struct {
	*dataplane.Plane
	mu   sync.Mutex
	keys map[uint32]rib.LinkID
	flow dataplane.Exchanged // what it says to have exchanged
}

// exchange has more been exchanged with a node.
func (s *spy) exchange(with addr.NodeID, packets uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flow.Peer, s.flow.Index = with, 1
	s.flow.Packets += packets
	s.flow.Bytes += 100 * packets
}

func (s *spy) Exchanged() []dataplane.Exchanged {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []dataplane.Exchanged{s.flow}
}

func (s *spy) InstallLink(id rib.LinkID, session *fabric.LinkSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[session.LocalIndex()] = id
	s.Plane.InstallLink(id, session)
}

func (s *spy) RetireLink(index uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, index)
	s.Plane.RetireLink(index)
}

func (s *spy) RemoveLink(id rib.LinkID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for index, of := range s.keys {
		if of == id {
			delete(s.keys, index)
		}
	}
	s.Plane.RemoveLink(id)
}

func (s *spy) installed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keys)
}

// inWorld runs a test with n nodes that are not started yet.
func inWorld(t *testing.T, n int, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, under: hwtest.NewNetwork(1)}
		w.under.SetDelay(time.Millisecond)
		key, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
		w.check(err)
		w.issuer, err = cert.NewAuthority(rand.Reader, key, network, time.Now())
		w.check(err)
		for i := range n {
			w.nodes = append(w.nodes, w.node(i))
		}
		test(w)
		for _, n := range w.nodes {
			n.end()
		}
		time.Sleep(2 * time.Second) // protoactor counts dead letters for a moment
	})
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) node(i int) *testNode {
	key, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
	w.check(err)
	bits, err := addr.ParseCN(fmt.Sprintf("%d/16", i+1))
	w.check(err)
	der, err := w.issuer.IssueNode(rand.Reader, key.Public(), bits, addr.NodeIDFromUint64(uint64(i+1)), time.Now(), 24*time.Hour)
	w.check(err)
	id, err := w.issuer.Verify(der, time.Now())
	w.check(err)
	static, err := ecdh.X25519().GenerateKey(rand.Reader)
	w.check(err)
	public := static.PublicKey().Bytes()
	binding, err := cert.SignKey(rand.Reader, key, w.issuer.Fingerprint, [32]byte(public))
	w.check(err)
	return &testNode{
		world: w, at: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 7326),
		credentials: &fabric.Credentials{
			Authority: w.issuer.Authority, Certificate: der, Identity: id, Binding: binding,
			Static: noise.DHKey{Private: static.Bytes(), Public: public}, Suites: []fabric.Suite{fabric.ChaCha20Poly1305},
		},
	}
}

func (n *testNode) id() addr.NodeID { return n.credentials.Identity.ID }

// limits of a node that opens and accepts so many links.
func limits(opens, accepts int) tunnelplan.Limits {
	return tunnelplan.Limits{ClientCount: opens, MaxClients: accepts}
}

// start runs a node, which remembers others.
func (n *testNode) start(l tunnelplan.Limits, remembers ...*testNode) {
	n.t.Helper()
	c := *n.credentials
	_, _ = rand.Read(c.BootID[:])
	n.boot = c.BootID
	classes, err := class.NewTable([]class.Class{{Name: "general", Range: network}})
	n.check(err)
	conn, err := n.under.Listen(n.at)
	n.check(err)
	var all sock.Conn = conn
	if n.through != nil {
		all = &tunnelConn{conn, n, n.through}
	}
	plane, err := dataplane.New(dataplane.Config{
		Self: n.id(), TUN: hwtest.NewTUN("re6st0", 1380), Conn: all, Classes: classes, Accept: func(addr.NodeID, netip.Addr) bool { return true },
	})
	n.check(err)
	n.plane, n.sys = &spy{Plane: plane, keys: map[uint32]rib.LinkID{}}, system.New(system.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- plane.Run(ctx) }()
	var peers []tunnelplan.Peer
	for _, p := range remembers {
		peers = append(peers, tunnelplan.Peer{
			ID: p.id(), Prefix: p.credentials.Identity.Prefix, Endpoints: []netip.AddrPort{p.at}, Static: [32]byte(p.credentials.Static.Public),
		})
	}
	var kernel *Kernel
	if n.kernel != nil {
		kernel = n.kernel.config()
	}
	n.ref, err = Spawn(n.sys, Config{
		Kernel: kernel, Wanted: n.wanted, Gateways: n.gateways,
		Credentials: &c, Prefix: c.Identity.Prefix, Software: "test", Limits: l, Rules: n.rules, Endpoints: []netip.AddrPort{n.at},
		Networks: []netip.Prefix{network}, Remembered: peers, Documents: []Document{{Number: 1, Signed: []byte("one")}}, Plane: n.plane,
		Babel: func(rib.LinkID, time.Time, []byte) bool { n.mu.Lock(); defer n.mu.Unlock(); n.babel++; return true },
		Store: func([]tunnelplan.Peer) error { return nil },
		Emit:  func(e Event) { n.mu.Lock(); defer n.mu.Unlock(); n.events = append(n.events, e) },
	})
	n.check(err)
	n.stop = func() {
		n.sys.Quit()
		<-n.sys.Done()
		cancel()
		plane.Close()
		<-ended
		n.stop = nil
	}
}

func (n *testNode) end() {
	if n.stop != nil {
		n.stop()
	}
}

// cut makes two nodes lose sight of each other, heal undoes it.
func (w *world) cut(a, b *testNode) {
	w.under.Cut(a.at.Addr(), b.at.Addr())
	w.under.Cut(b.at.Addr(), a.at.Addr())
}

func (w *world) heal(a, b *testNode) {
	w.under.Heal(a.at.Addr(), b.at.Addr())
	w.under.Heal(b.at.Addr(), a.at.Addr())
}

// take is the events since the last time.
func (n *testNode) take() []Event {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	events := n.events
	n.events = nil
	return events
}

// came counts the Babel packets so far.
func (n *testNode) came() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.babel
}

// took gathers those of one type.
func took[E Event](events []Event) (of []E) {
	for _, e := range events {
		if e, ok := e.(E); ok {
			of = append(of, e)
		}
	}
	return of
}

// links are those of the last snapshot that are up.
func (n *testNode) links() (up []LinkSnapshot) {
	synctest.Wait()
	s, _ := system.Read[Snapshot](n.sys, "tunnel")
	for _, l := range s.Links {
		if l.Up {
			up = append(up, l)
		}
	}
	return up
}

// link is the one that is up.
func (n *testNode) link() LinkSnapshot {
	n.t.Helper()
	links := n.links()
	if len(links) != 1 {
		n.t.Fatalf("node %s has %d links, want 1", n.id(), len(links))
	}
	return links[0]
}

// tunnelPath is where the actor of a link is.
func tunnelPath(l LinkSnapshot) string { return fmt.Sprintf("tunnel/%s.%d", l.Peer, l.ID) }

// spawned counts the tunnels that were started.
func (n *testNode) spawned() (count int) {
	for _, e := range n.sys.Events() {
		if e.Kind == system.EventStarted && e.Actor != "tunnel" {
			count++
		}
	}
	return count
}

// pair is two nodes with a link, which the first one opened.
func pair(t *testing.T, test func(w *world, a, b *testNode)) {
	inWorld(t, 2, func(w *world) {
		a, b := w.nodes[0], w.nodes[1]
		b.start(limits(10, 10))
		a.start(limits(10, 10), b)
		time.Sleep(2 * time.Second)
		a.link()
		b.link()
		test(w, a, b)
	})
}
