package session

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
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
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
	"re6st/tsn/class"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	network  = netip.MustParsePrefix("2001:db8:42::/48")
	locators = netip.MustParsePrefix("fd00:1::/64")
)

// end is one of two nodes with a link, which is made by hand.
type end struct {
	t           *testing.T
	credentials *fabric.Credentials
	at          netip.AddrPort
	address     netip.Addr
	tun         *hwtest.TUN
	plane       *spy
	sys         *system.System
	keys        *Keys
	ref         system.Ref[Message]

	mu    sync.Mutex
	known map[addr.NodeID]bool
}

// spy is a packet path that notes which keys are installed.
type spy struct {
	*dataplane.Plane
	mu   sync.Mutex
	keys map[uint32]*fabric.Session
}

func (s *spy) InstallSession(session *fabric.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[session.LocalIndex()] = session
	s.Plane.InstallSession(session)
}

func (s *spy) RetireSession(index uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, index)
	s.Plane.RetireSession(index)
}

func (s *spy) installed() int {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keys)
}

func (e *end) check(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// ends runs a test with two nodes, a link and no sessions.
func ends(t *testing.T, test func(a, b *end)) {
	synctest.Test(t, func(t *testing.T) {
		under := hwtest.NewNetwork(1)
		under.SetDelay(time.Millisecond)
		key, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
		if err != nil {
			t.Fatal(err)
		}
		issuer, err := cert.NewAuthority(rand.Reader, key, network, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		a, b := newEnd(t, issuer, 1), newEnd(t, issuer, 2)
		stopA, stopB := a.start(under), b.start(under)
		join(a, b)
		test(a, b)
		stopA()
		stopB()
		time.Sleep(2 * time.Second) // protoactor counts dead letters for a moment
	})
}

func newEnd(t *testing.T, issuer *cert.Issuer, i int) *end {
	e := &end{t: t, at: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 7326), known: map[addr.NodeID]bool{}}
	key, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
	e.check(err)
	bits, err := addr.ParseCN(fmt.Sprintf("%d/16", i))
	e.check(err)
	der, err := issuer.IssueNode(rand.Reader, key.Public(), bits, addr.NodeIDFromUint64(uint64(i)), time.Now(), 24*time.Hour)
	e.check(err)
	id, err := issuer.Verify(der, time.Now())
	e.check(err)
	static, err := ecdh.X25519().GenerateKey(rand.Reader)
	e.check(err)
	public := static.PublicKey().Bytes()
	binding, err := cert.SignKey(rand.Reader, key, issuer.Fingerprint, [32]byte(public))
	e.check(err)
	e.address, err = addr.Address(network, bits)
	e.check(err)
	e.credentials = &fabric.Credentials{
		Authority: issuer.Authority, Certificate: der, Identity: id, Binding: binding, BootID: fabric.BootID{byte(i)},
		Static: noise.DHKey{Private: static.Bytes(), Public: public}, Suites: []fabric.Suite{fabric.ChaCha20Poly1305},
	}
	return e
}

func (e *end) id() addr.NodeID { return e.credentials.Identity.ID }

func (e *end) start(under *hwtest.Network) (stop func()) {
	classes, err := class.NewTable([]class.Class{{Name: "general", Range: network}})
	e.check(err)
	conn, err := under.Listen(e.at)
	e.check(err)
	e.tun = hwtest.NewTUN("re6st0", 1380)
	plane, err := dataplane.New(dataplane.Config{
		Self: e.id(), TUN: e.tun, Conn: conn, Classes: classes, Accept: func(peer addr.NodeID, _ netip.Addr) bool { return e.knows(peer) },
	})
	e.check(err)
	e.plane, e.sys = &spy{Plane: plane, keys: map[uint32]*fabric.Session{}}, system.New(system.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- plane.Run(ctx) }()
	e.keys = NewKeys()
	e.spawn()
	return func() {
		e.sys.Quit()
		<-e.sys.Done()
		cancel()
		plane.Close()
		<-ended
	}
}

// spawn starts the actor, or one in place of one that was stopped.
func (e *end) spawn() {
	var err error
	e.ref, err = Spawn(e.sys, Config{
		Credentials: e.credentials, Plane: e.plane, Keys: e.keys,
		Identified: func(id *cert.Identity) { e.mu.Lock(); defer e.mu.Unlock(); e.known[id.ID] = true },
		Forgotten:  func(id addr.NodeID) { e.mu.Lock(); defer e.mu.Unlock(); delete(e.known, id) },
	})
	e.check(err)
}

// lose has a node forget all its keys, as if it had restarted.
func (e *end) lose() {
	e.plane.mu.Lock()
	defer e.plane.mu.Unlock()
	for index := range e.plane.keys {
		e.plane.Plane.RetireSession(index)
	}
}

func (e *end) knows(id addr.NodeID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.known[id]
}

// join makes a link between two nodes, and routes by it.
func join(a, b *end) {
	keys := fabric.Keys{Send: [32]byte{1}, Receive: [32]byte{2}}
	for _, e := range []struct {
		of, peer      *end
		keys          fabric.Keys
		local, remote uint32
	}{{a, b, keys, 1, 2}, {b, a, fabric.Keys{Send: keys.Receive, Receive: keys.Send}, 2, 1}} {
		session, err := fabric.NewLinkSession(fabric.ChaCha20Poly1305, e.keys, e.local, e.remote)
		a.check(err)
		e.of.plane.AddLink(1, e.peer.id(), e.peer.at, func(dataplane.Control) {})
		e.of.plane.InstallLink(1, session)
		e.of.plane.UseLink(1, session)
		table := rib.NewTable(locators)
		for _, p := range []netip.Prefix{netip.PrefixFrom(e.peer.address, 64).Masked(), netip.PrefixFrom(addr.Locator(locators, e.peer.id()), 128)} {
			_, _, err := table.Offer(time.Now(), rib.OriginBabel, rib.Route{Prefix: p, Egress: e.peer.id(), NextHop: rib.NextHop{Link: 1}})
			a.check(err)
		}
		e.of.plane.SetView(table.View())
	}
}

// arrives sends a packet and tells whether it comes.
func arrives(from, to *end, text string) bool {
	p := make([]byte, 40, 40+len(text))
	p[0], p[6], p[7] = 0x60, 59, 64
	binary.BigEndian.PutUint16(p[4:], uint16(len(text)))
	source, destination := from.address.As16(), to.address.As16()
	copy(p[8:], source[:])
	copy(p[24:], destination[:])
	from.tun.Inject(append(p, text...))
	late := time.After(time.Second)
	for {
		select {
		case got := <-to.tun.Out():
			if string(got[40:]) == text {
				return true
			}
		case <-late:
			return false
		}
	}
}

func TestAPacketThatWantsASessionGetsOne(t *testing.T) {
	ends(t, func(a, b *end) {
		if a.plane.installed() > 0 {
			t.Fatal("there are keys that nobody wanted")
		}
		if !arrives(a, b, "there") || !arrives(b, a, "back") {
			t.Fatal("it did not come")
		}
		if s, _ := system.Read[Snapshot](a.sys, "session"); s.Peers != 1 || !a.knows(b.id()) || !b.knows(a.id()) {
			t.Errorf("%+v", s)
		}
	})
}

func TestAnIdleSessionEndsAndIsForgotten(t *testing.T) {
	ends(t, func(a, b *end) {
		if !arrives(a, b, "x") {
			t.Fatal("it did not come")
		}
		time.Sleep(fabric.SessionIdle + 5*time.Second)
		if n := a.plane.installed() + b.plane.installed(); n > 0 || a.knows(b.id()) || b.knows(a.id()) {
			t.Errorf("%d sets of keys are left, or who they were with", n)
		}
		if !arrives(a, b, "again") {
			t.Error("no packet comes any more")
		}
	})
}

// A peer that restarted says by relay error that it does not know our session.
func TestASessionThatThePeerLostIsMadeAnew(t *testing.T) {
	ends(t, func(a, b *end) {
		if !arrives(a, b, "x") {
			t.Fatal("it did not come")
		}
		b.lose()
		if arrives(a, b, "lost") {
			t.Fatal("the peer still has its keys")
		}
		time.Sleep(time.Second)
		if !arrives(a, b, "found") {
			t.Error("no packet comes any more")
		}
	})
}

func TestARestartLosesNoPacketAndNoKeyOutlivesItByMuch(t *testing.T) {
	ends(t, func(a, b *end) {
		if !arrives(a, b, "x") {
			t.Fatal("it did not come")
		}
		if err := a.sys.Inject("session", system.InjectPanic); err != nil {
			t.Fatal(err)
		}
		a.plane.mu.Lock()
		old := make([]uint32, 0, 1)
		for index := range a.plane.keys {
			old = append(old, index)
		}
		a.plane.mu.Unlock()
		for i := range 200 {
			from, to := a, b
			if i%2 == 1 {
				from, to = b, a
			}
			if !arrives(from, to, fmt.Sprint(i)) {
				t.Fatalf("packet %d did not come", i)
			}
			time.Sleep(500 * time.Millisecond)
		}
		a.plane.mu.Lock()
		defer a.plane.mu.Unlock()
		for _, index := range old {
			if a.plane.keys[index] != nil {
				t.Error("keys of the incarnation before are still there")
			}
		}
	})
}

func TestKeysThatNobodyUsesEndAfterARestart(t *testing.T) {
	ends(t, func(a, b *end) {
		if !arrives(a, b, "x") {
			t.Fatal("it did not come")
		}
		if err := a.sys.Inject("session", system.InjectPanic); err != nil {
			t.Fatal(err)
		}
		time.Sleep(handover + 2*reviewEvery)
		if n := a.plane.installed(); n > 0 || a.knows(b.id()) {
			t.Errorf("%d sets of keys are left, or who they were with", n)
		}
	})
}

// The keys that it lost are known to nobody's machine.
func TestAPeerThatLosesItsKeysWhileThisEndRestartsIsHeardAtOnce(t *testing.T) {
	for name, restart := range map[string]func(a *end){
		"the actor restarts": func(a *end) { a.check(a.sys.Inject("session", system.InjectPanic)) },
		"its parent spawns another": func(a *end) {
			a.ref.Stop()
			synctest.Wait()
			a.spawn()
		},
	} {
		ends(t, func(a, b *end) {
			if !arrives(a, b, "x") {
				t.Fatal("it did not come")
			}
			restart(a)
			b.lose()
			if arrives(a, b, "lost") {
				t.Fatal("the peer still has its keys")
			}
			time.Sleep(reviewEvery / 2)
			if !arrives(a, b, "found") {
				t.Errorf("%s: no packet comes any more", name)
			}
		})
	}
}

func TestANetworksLimitsOutliveTheActor(t *testing.T) {
	ends(t, func(a, b *end) {
		const idle = 10 * time.Second
		for _, e := range []*end{a, b} {
			e.ref.Tell(Limited{Limits{Sessions: 100, Idle: idle}})
		}
		for _, text := range []string{"x", "after a restart"} {
			if !arrives(a, b, text) {
				t.Fatal("it did not come")
			}
			time.Sleep(idle + 5*time.Second)
			if n := a.plane.installed() + b.plane.installed(); n > 0 {
				t.Errorf("%s: %d sets of keys are left", text, n)
			}
			a.check(a.sys.Inject("session", system.InjectPanic))
			time.Sleep(time.Second)
		}
	})
}
