package node

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"re6st/actors/registry"
	"re6st/actors/system"
	"re6st/actors/tunnel"
	"re6st/hw/clock"
	"re6st/hw/hwtest"
	"re6st/hw/nodedir"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	wire "re6st/protocols/registry"
	"re6st/protocols/tunnelplan"
)

// mesh is a whole network in one process and in virtual time: real nodes but for
// the kernel, whose place hwtest takes. Their registry is dead: they start from
// peers that they remember.
type mesh struct {
	t       *testing.T
	network netip.Prefix
	issuer  *cert.Issuer
	params  *wire.SignedParams
	under   *hwtest.Network
	nodes   []*meshNode
	links   int // that a node opens and accepts; 0: the network's
	dial    registry.Dial
	tune    func(*Options) // nil: as they are
}

type meshNode struct {
	*parts
	tun     *hwtest.TUN
	address netip.Addr
	under   netip.AddrPort
	stop    context.CancelFunc
	ended   chan error
}

func newMesh(t *testing.T, size int) *mesh {
	t.Helper()
	m := &mesh{t: t, network: netip.MustParsePrefix("2001:db8:42::/48"), under: hwtest.NewNetwork(1)}
	m.dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("the registry is dead")
	}
	m.under.SetDelay(time.Millisecond)
	key, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
	m.check(err)
	m.issuer, err = cert.NewAuthority(rand.Reader, key, m.network, time.Now())
	m.check(err)
	m.params, err = wire.SignParams(rand.Reader, m.issuer, wire.DefaultParams(m.issuer.Authority))
	m.check(err)
	for i := range size {
		n := &meshNode{under: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), DefaultPort)}
		n.parts = m.parts(i, t.TempDir())
		m.nodes = append(m.nodes, n)
	}
	t.Cleanup(func() {
		for i := range m.nodes {
			m.stop(i)
		}
		time.Sleep(2 * time.Second) // protoactor counts dead letters for a moment
	})
	return m
}

func (m *mesh) check(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// parts makes the identity and the folder of node i.
func (m *mesh) parts(i int, dir string) *parts {
	key, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
	m.check(err)
	bits, err := addr.ParseCN(fmt.Sprintf("%d/16", i+1))
	m.check(err)
	der, err := m.issuer.IssueNode(rand.Reader, key.Public(), bits, addr.NodeIDFromUint64(uint64(i+1)), time.Now(), 24*time.Hour)
	m.check(err)
	id, err := m.issuer.Verify(der, time.Now())
	m.check(err)
	static, err := ecdh.X25519().GenerateKey(rand.Reader)
	m.check(err)
	member := &registry.Member{
		Authority: m.issuer.Authority, Certificate: der, Identity: id, Key: key, Params: m.params,
		StaticPrivate: [32]byte(static.Bytes()), StaticPublic: [32]byte(static.PublicKey().Bytes()),
	}
	member.Binding, err = cert.SignKey(rand.Reader, key, m.issuer.Fingerprint, member.StaticPublic)
	m.check(err)
	folder, err := nodedir.Open(dir)
	m.check(err)
	return &parts{member: member, dir: folder}
}

// start runs node i, which remembers the nodes of peers and those of its last run.
func (m *mesh) start(i int, peers ...int) {
	m.t.Helper()
	m.prepare(i, peers...)
	m.launch(i)
}

// prepare makes what node i is to run with.
func (m *mesh) prepare(i int, peers ...int) {
	m.t.Helper()
	n := m.nodes[i]
	member := n.member
	conn, err := m.under.Listen(n.under)
	m.check(err)
	n.tun = hwtest.NewTUN("re6st0", DefaultMTU)
	ranges, err := ranges(member)
	m.check(err)
	n.address = ranges[0].Address
	state, err := loadBabel(n.dir)
	m.check(err)
	config, err := ParseConfig(nil)
	m.check(err)
	config.MTU = DefaultMTU
	config.Endpoints, config.ClientCount, config.MaxClients = []netip.AddrPort{n.under}, m.links, m.links
	var boot [8]byte
	_, _ = rand.Read(boot[:])
	n.parts = &parts{
		options: Options{Config: config, Logger: slog.New(slog.DiscardHandler), Version: "test"}, dir: n.dir, wall: clock.NewWall(), member: member,
		credentials: credentials(member, boot), state: state, started: time.Now(), unwatched: true,
		host: &host{tun: n.tun, conn: conn, routes: new(hwtest.Routes), ranges: ranges, undo: func() error { return nil }},
		sys:  system.New(system.Config{}),
		dial: m.dial, settings: settings{config: config},
	}
	n.remembered, err = loadPeers(n.dir)
	m.check(err)
	for _, j := range peers {
		p := m.nodes[j]
		n.remembered = append(n.remembered, tunnelplan.Peer{
			ID: p.member.Identity.ID, Prefix: p.member.Identity.Prefix, Endpoints: []netip.AddrPort{p.under}, Static: p.member.StaticPublic,
		})
	}
	if m.tune != nil {
		m.tune(&n.options)
	}
	n.parameters.Store(member.Params)
}

// launch runs node i as it was prepared.
func (m *mesh) launch(i int) {
	n := m.nodes[i]
	ctx, stop := context.WithCancel(context.Background())
	n.stop, n.ended = stop, make(chan error, 1)
	go func() { n.ended <- n.run(ctx) }()
}

// stop asks node i to end, and waits.
func (m *mesh) stop(i int) {
	m.t.Helper()
	n := m.nodes[i]
	if n.stop == nil {
		return
	}
	n.stop()
	n.stop = nil
	if err := <-n.ended; err != nil {
		m.t.Errorf("node %d: %v", i, err)
	}
}

// line starts all nodes, each of which can talk to its neighbors only.
func (m *mesh) line() {
	for i := range m.nodes {
		for j := range i - 1 {
			m.cut(i, j)
		}
	}
	for i := range m.nodes {
		var peers []int
		for j := range m.nodes {
			if j != i {
				peers = append(peers, j)
			}
		}
		m.start(i, peers...)
	}
}

func (m *mesh) cut(i, j int) {
	a, b := m.nodes[i].under.Addr(), m.nodes[j].under.Addr()
	m.under.Cut(a, b)
	m.under.Cut(b, a)
}

func (m *mesh) heal(i, j int) {
	a, b := m.nodes[i].under.Addr(), m.nodes[j].under.Addr()
	m.under.Heal(a, b)
	m.under.Heal(b, a)
}

// packet is an inner packet from node i to node j with a text in it.
func (m *mesh) packet(i, j int, text string) []byte {
	b := make([]byte, 40, 40+len(text))
	b[0], b[6], b[7] = 0x60, 59, 64 // version, no next header, hop limit
	binary.BigEndian.PutUint16(b[4:], uint16(len(text)))
	from, to := m.nodes[i].address.As16(), m.nodes[j].address.As16()
	copy(b[8:], from[:])
	copy(b[24:], to[:])
	return append(b, text...)
}

// arrives sends a packet from node i to node j and tells whether it comes within
// limit, not sent again.
func (m *mesh) arrives(i, j int, text string, limit time.Duration) bool {
	m.nodes[i].tun.Inject(m.packet(i, j, text))
	deadline := time.After(limit)
	for {
		select {
		case p := <-m.nodes[j].tun.Out():
			if string(p[40:]) == text {
				return true
			}
		case <-deadline:
			return false
		}
	}
}

// whole waits until every ordered pair has got a packet across.
func (m *mesh) whole(limit time.Duration) {
	m.t.Helper()
	start := time.Now()
	for i := range m.nodes {
		for j := range m.nodes {
			for i != j && !m.arrives(i, j, fmt.Sprintf("from %d to %d", i, j), 100*time.Millisecond) {
				if time.Since(start) > limit {
					m.t.Fatalf("after %s no packet gets from node %d to node %d", limit, i, j)
				}
			}
		}
	}
	m.t.Logf("%d nodes: whole after %s", len(m.nodes), time.Since(start))
}

func TestALineOfNodesReachesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 4)
		m.line()
		m.whole(5 * time.Second)
		for _, n := range m.nodes {
			if s := n.status(); s.Reachable != 3 || s.State != "running" {
				t.Errorf("%s: %d nodes reachable, %s", s.Prefix.CN(), s.Reachable, s.State)
			}
			if routes := n.routes(); len(routes) < 7 { // own prefix, 3 locators, 3 prefixes
				t.Errorf("%d routes", len(routes))
			}
		}
	})
}

func TestARelaySeesNeitherPacketNorPlaintext(t *testing.T) {
	const secret = "what only the ends may read"
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 3)
		m.line()
		m.whole(5 * time.Second)
		relay := m.nodes[1]
		for len(relay.tun.Out()) > 0 {
			<-relay.tun.Out()
		}
		before, leaked := relay.plane.Stats(), 0
		m.under.Tap(func(d hwtest.Datagram) {
			if containsText(d.Data, secret) {
				leaked++
			}
		})
		if !m.arrives(0, 2, secret, time.Second) {
			t.Fatal("the packet did not arrive")
		}
		if after := relay.plane.Stats(); after.Relayed.Packets == before.Relayed.Packets {
			t.Error("node 1 relayed nothing: the packet went another way")
		}
		if n := len(relay.tun.Out()); n > 0 || leaked > 0 {
			t.Errorf("%d packets of the ends at the relay's TUN, %d in the clear on the underlay", n, leaked)
		}
	})
}

func containsText(b []byte, text string) bool {
	for i := range len(b) - len(text) + 1 {
		if string(b[i:i+len(text)]) == text {
			return true
		}
	}
	return false
}

func TestASilentLinkIsRoutedAround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 4)
		for i := range m.nodes { // a ring
			m.cut(i, (i+2)%4)
		}
		for i := range m.nodes {
			m.start(i, (i+1)%4, (i+3)%4)
		}
		m.whole(5 * time.Second)
		time.Sleep(10 * time.Second)
		m.cut(0, 1)
		start := time.Now()
		m.whole(2 * time.Second)
		if healed := time.Since(start); healed > 2*time.Second {
			t.Errorf("whole again after %s", healed)
		}
	})
}

// A fault of one actor stays with it: no link goes down, no packet is lost.
func TestAFaultOfOneActorIsNobodyElses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 3)
		m.line()
		m.whole(5 * time.Second)
		time.Sleep(5 * time.Second)
		relay := m.nodes[1]
		since := linksSince(relay)
		for _, actor := range relay.sys.Actors() {
			if actor.Kind == "node" || actor.Kind == "tunnels" { // their children are the links
				continue
			}
			for _, how := range []system.Injection{system.InjectPanic, system.InjectPumpPanic} {
				m.check(relay.sys.Inject(actor.Path, how))
				for i := range 20 {
					if text := fmt.Sprintf("%s %d %d", actor.Path, how, i); !m.arrives(0, 2, text, time.Second) {
						t.Errorf("after a fault of %s packet %d was lost", actor.Path, i)
					}
					time.Sleep(10 * time.Millisecond)
				}
				time.Sleep(time.Minute) // the restart budget
			}
		}
		if now := linksSince(relay); now != since {
			t.Errorf("links are up since %s, before the faults since %s", now, since)
		}
	})
}

// linksSince tells which links are up since when.
func linksSince(n *meshNode) string {
	s, _ := system.Read[tunnel.Snapshot](n.sys, tunnelPath)
	text := ""
	for _, l := range s.Links {
		text += fmt.Sprintf("%d %s %v, ", l.ID, l.Since.UTC().Format(time.TimeOnly), l.Up)
	}
	return text
}

func TestANodeThatRestartsComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 3)
		m.line()
		m.whole(5 * time.Second)
		time.Sleep(2 * time.Second) // peers are stored
		before := m.nodes[1].state
		m.stop(1)
		peers, err := loadPeers(m.nodes[1].dir)
		if err != nil || len(peers) != 2 {
			t.Fatalf("remembers %d peers, %v; want 2", len(peers), err)
		}
		m.start(1)
		m.whole(10 * time.Second)
		if after := m.nodes[1].state; after.RouterID != before.RouterID || after.Seqno() == before.Seqno() {
			t.Errorf("router %s at %d, before %s at %d", after.RouterID, after.Seqno(), before.RouterID, before.Seqno())
		}
	})
}
