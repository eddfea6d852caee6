package tunnel

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"re6st/actors/system"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/peer"
	"re6st/protocols/rib"
	"re6st/protocols/tunnelplan"
)

func TestALinkIsUpAtBothEnds(t *testing.T) {
	pair(t, func(w *world, a, b *testNode) {
		if l := a.link(); l.Role != tunnelplan.Opened || l.Peer != b.id() || l.Remote != b.at {
			t.Errorf("at its opener: %+v", l)
		}
		if l := b.link(); l.Role != tunnelplan.Accepted || l.Peer != a.id() || l.Remote != a.at {
			t.Errorf("at the other end: %+v", l)
		}
		up := took[LinkChanged](a.take())
		if len(up) == 0 || up[0].ID != a.link().ID || up[0].Peer != b.id() {
			t.Errorf("announced as %+v", up)
		}
		w.check(a.plane.SendControl(a.link().ID, fabric.ControlBabel, []byte("hello")))
		time.Sleep(time.Second)
		if b.came() != 1 {
			t.Errorf("%d Babel packets came, want 1", b.came())
		}
	})
}

func TestATunnelShowsTheLossOfItsLink(t *testing.T) {
	pair(t, func(w *world, a, b *testNode) {
		use := map[rib.LinkID]LinkUse{a.link().ID: {Routes: 1}}
		a.ref.Tell(RoutingChanged{ByLink: use})
		loss := func() fabric.Loss {
			m, _ := system.Read[Measured](a.sys, a.link().Actor)
			return m.Loss
		}
		time.Sleep(10 * time.Second)
		if l := loss(); l.Sent == 0 || l.Lost != 0 {
			t.Errorf("of a link that loses nothing: %+v", l)
		}
		w.cut(a, b)
		time.Sleep(300 * time.Millisecond)
		w.heal(a, b)
		time.Sleep(5 * time.Second)
		if l := loss(); l.Lost == 0 {
			t.Errorf("of one that was cut for 300 ms: %+v", l)
		}
	})
}

func TestTwoThatOpenAtOnceHaveOneLink(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		a, b := w.nodes[0], w.nodes[1]
		a.start(limits(10, 10), b)
		b.start(limits(10, 10), a)
		time.Sleep(30 * time.Second)
		if x, y := a.link(), b.link(); x.Role == tunnelplan.Accepted && y.Role == tunnelplan.Accepted {
			t.Error("neither end opened it")
		}
		if n := len(took[LinkDown](a.take())) + len(took[LinkDown](b.take())); n > 0 {
			t.Errorf("%d links went down", n)
		}
	})
}

func TestAFullNodeRefusesAndIsLeftAlone(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		a, b := w.nodes[0], w.nodes[1]
		b.start(limits(0, 0))
		a.start(limits(10, 10), b)
		time.Sleep(700 * time.Millisecond) // a dial that failed would have been repeated
		if len(a.links())+len(b.links()) > 0 || b.spawned() > 0 {
			t.Error("a link was made")
		}
		if n := a.spawned(); n != 1 {
			t.Errorf("it was dialled %d times, want 1", n)
		}
		b.ref.Tell(ParamsChanged{Limits: limits(0, 1)})
		time.Sleep(10 * time.Second)
		a.link()
	})
}

func TestATunnelThatRestartsKeepsItsLinkAndItsPackets(t *testing.T) {
	pair(t, func(w *world, a, b *testNode) {
		link := a.link()
		a.take()
		for i := range 200 {
			if i == 50 {
				w.check(a.sys.Inject(tunnelPath(link), system.InjectPanic))
			}
			w.check(b.plane.SendControl(b.link().ID, fabric.ControlBabel, []byte("x")))
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(30 * time.Second) // old keys open for a while
		if a.came() != 200 {
			t.Errorf("%d of 200 packets came", a.came())
		}
		if now := a.link(); now.ID != link.ID || now.Since != link.Since || len(took[LinkDown](a.take())) > 0 {
			t.Errorf("the link was %+v, and is %+v", link, now)
		}
		if n, m := a.plane.installed(), b.plane.installed(); n != 1 || m != 1 {
			t.Errorf("%d and %d sets of keys are installed, want 1 each", n, m)
		}
	})
}

// The peer that its frames may come from dials too, and is refused.
func TestATunnelThatKeepsFaultingIsClosedAndTriedAgainLater(t *testing.T) {
	pair(t, func(w *world, a, b *testNode) {
		a.take()
		link := a.link()
		for range system.DefaultRestart.Budget + 1 {
			w.check(a.sys.Inject(tunnelPath(link), system.InjectPanic))
			time.Sleep(2 * time.Second)
		}
		if downs := took[LinkDown](a.take()); len(downs) != 1 || downs[0].ID != link.ID {
			t.Errorf("links that went down: %+v, want %d", downs, link.ID)
		}
		quarantined := 0
		for _, e := range a.sys.Events() {
			if e.Kind == system.EventQuarantined && e.Actor == "tunnel" {
				quarantined++
			}
		}
		if quarantined != 1 {
			t.Errorf("%d events of a quarantine", quarantined)
		}
		time.Sleep(tunnelplan.ShunMin - 5*time.Second)
		if n, m := a.plane.installed(), b.plane.installed(); n != 0 || m != 0 || len(a.links()) != 0 {
			t.Errorf("in its quarantine %d and %d keys are installed, and links %+v", n, m, a.links())
		}
		time.Sleep(10 * time.Second)
		if now := a.link(); now.ID == link.ID || !now.Up {
			t.Errorf("after it the link is %+v", now)
		}
	})
}

func TestATunnelThatRestartsStillKnowsThatItIsInUse(t *testing.T) {
	pair(t, func(w *world, a, b *testNode) {
		link := a.link()
		a.ref.Tell(RoutingChanged{ByLink: map[rib.LinkID]LinkUse{link.ID: {Routes: 1, Nodes: 1}}})
		w.check(a.sys.Inject(tunnelPath(link), system.InjectPanic))
		time.Sleep(5 * time.Minute) // of an idle link the probes were a minute apart by now
		w.cut(a, b)
		a.take()
		time.Sleep(2 * time.Second)
		if len(took[LinkDown](a.take())) != 1 {
			t.Error("the silence of the peer was not noticed")
		}
	})
}

// Whoever drives the link has no handshake yet, and none begins for a while.
func TestTheSilenceOfAPeerIsNoticedWhileItsTunnelRestarts(t *testing.T) {
	for _, peerIsSilent := range []bool{true, false} {
		pair(t, func(w *world, a, b *testNode) {
			for _, end := range []*testNode{a, b} {
				link := end.link()
				end.take()
				time.Sleep(fabric.SimultaneousOpen)
				w.check(end.sys.Inject(tunnelPath(link), system.InjectPanic))
				synctest.Wait()
				if peerIsSilent {
					w.cut(a, b)
				}
				time.Sleep(3 * time.Second / 2)
				if downs := took[LinkDown](end.take()); len(downs) > 0 != peerIsSilent {
					t.Errorf("silent %v, and went down: %+v", peerIsSilent, downs)
				}
				w.heal(a, b)
				time.Sleep(30 * time.Second)
			}
		})
	}
}

// The boot id of the peer's new life must not be taken for that of a second node.
func TestAPeerThatRestartsWithTheTunnelGetsANewLink(t *testing.T) {
	pair(t, func(w *world, a, b *testNode) {
		link := a.link()
		w.cut(a, b)
		b.stop()
		b.start(limits(0, 10)) // remembers nobody
		w.check(a.sys.Inject(tunnelPath(link), system.InjectPanic))
		time.Sleep(100 * time.Millisecond)
		w.heal(a, b)
		time.Sleep(30 * time.Second)
		if now := a.link(); now.ID == link.ID {
			t.Errorf("link %d goes on with another life of the peer", now.ID)
		}
		if n := len(took[Duplicate](a.take())) + len(took[Duplicate](b.take())); n > 0 {
			t.Error("taken for two nodes")
		}
	})
}

func TestLinksEndWithTheirManagerWhichKnowsItsPeersAgain(t *testing.T) {
	pair(t, func(w *world, a, b *testNode) {
		newer := ParamsChanged{Params: Document{Number: 5, Signed: []byte("five")}, Limits: limits(0, 10), Pace: fabric.Pace{}}
		a.ref.Tell(newer) // opens nothing any more
		newer.Limits = limits(10, 10)
		b.ref.Tell(newer)
		time.Sleep(time.Second)
		link := b.link()
		b.take()
		w.check(b.sys.Inject("tunnel", system.InjectPanic))
		time.Sleep(10 * time.Second)
		if l := b.link(); l.Role != tunnelplan.Opened || l.ID == link.ID {
			t.Errorf("%+v, want a new link that it opened", l)
		}
		events := b.take()
		if down := took[LinkDown](events); !slices.Contains(down, LinkDown{link.ID}) {
			t.Errorf("link %d went down without a word: %v", link.ID, down)
		}
		if again := took[DocumentReceived](events); len(again) > 0 {
			t.Errorf("parameters that it had come as new ones: %v", again)
		}
	})
}

func TestALinkBeyondTheLimitIsDrainedAtBothEndsThenClosed(t *testing.T) {
	pair(t, func(w *world, a, b *testNode) {
		a.take()
		b.take()
		a.ref.Tell(ParamsChanged{Limits: limits(0, 10)})
		a.ref.Tell(RoutingChanged{ByLink: map[rib.LinkID]LinkUse{a.link().ID: {Routes: 1, Nodes: 1}}})
		nodes := []*testNode{a, b}
		draining := func(n *testNode) bool { return len(n.links()) == 1 && n.link().Draining }
		for waited := time.Duration(0); !draining(a) || !draining(b); waited += 100 * time.Millisecond {
			if waited > 2*time.Minute {
				t.Fatalf("nobody leaves the link: %+v, %+v", a.link(), b.link())
			}
			time.Sleep(100 * time.Millisecond)
		}
		for _, n := range nodes {
			if changed := took[LinkChanged](n.take()); len(changed) == 0 || !changed[len(changed)-1].Draining {
				t.Errorf("node %s was not told to leave the link: %+v", n.id(), changed)
			}
		}
		a.ref.Tell(RoutingChanged{})
		// Closed for a moment: with no route to each other they link again.
		for waited := time.Duration(0); len(a.links())+len(b.links()) > 0; waited += 50 * time.Millisecond {
			if waited > 10*time.Second {
				t.Fatalf("the link is not closed: %+v, %+v", a.links(), b.links())
			}
			time.Sleep(50 * time.Millisecond)
		}
		for _, n := range nodes {
			if down := took[LinkDown](n.take()); len(down) != 1 {
				t.Errorf("node %s: %v, want one link down", n.id(), down)
			}
		}
	})
}

func TestAnEndThatKeepsALinkDoesNotSpeakForTheOther(t *testing.T) {
	var last LinkChanged
	m := &manager{cfg: Config{Emit: func(e Event) { last = e.(LinkChanged) }}}
	s := &tunnelState{draining: true, snap: LinkSnapshot{ID: 1, Up: true}}
	m.tunnels = map[rib.LinkID]*tunnelState{1: s}
	m.drained(s)
	m.parting(parting{1, peer.Draining})
	m.parting(parting{1, peer.Keeping})
	if !last.Draining {
		t.Error("the peer keeps the link, and so this end does not drain it any more")
	}
	s.draining = false
	if m.drained(s); last.Draining {
		t.Error("neither end drains the link, and it still drains")
	}
}

func TestParametersReachAPeerOverALink(t *testing.T) {
	pair(t, func(w *world, a, b *testNode) {
		a.ref.Tell(ParamsChanged{Params: Document{Number: 2, Signed: []byte("two")}, Limits: limits(10, 10), Pace: fabric.Pace{}})
		time.Sleep(time.Second)
		if got := took[DocumentReceived](b.take()); len(got) != 1 || got[0].Number != 2 || string(got[0].Signed) != "two" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestAddressesWhereOthersSeeThisNodeAreBoundedAndNotOfTheMesh(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		a := w.nodes[0]
		a.start(limits(10, 10))
		a.ref.Tell(ObservedAt{netip.AddrPortFrom(network.Addr().Next(), 7326)})
		a.ref.Tell(ObservedAt{netip.MustParseAddrPort("127.0.0.1:7326")})
		a.ref.Tell(ObservedAt{netip.AddrPort{}})
		for i := range 10 {
			a.ref.Tell(ObservedAt{netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 7326)})
		}
		synctest.Wait()
		s, _ := system.Read[Snapshot](a.sys, "tunnel")
		if len(s.Endpoints) != 1+maxObserved || s.Endpoints[1].Addr() != netip.MustParseAddr("203.0.113.9") {
			t.Errorf("reached at %v", s.Endpoints)
		}
	})
}

func TestANodeThatOthersDisownEndsWhereItIsTheNewcomer(t *testing.T) {
	said := func(age time.Duration, linked bool, by ...addr.NodeID) (ends bool) {
		pair(t, func(w *world, a, b *testNode) {
			m := &manager{
				cfg:  Config{Credentials: a.credentials, Emit: func(e Event) { ends = e.(Duplicate).Peer == a.id() }},
				kept: &memory{started: time.Now().Add(-age)}, refusals: map[addr.NodeID]int{},
				tunnels: map[rib.LinkID]*tunnelState{1: {snap: LinkSnapshot{Up: linked}}},
			}
			m.ctx = newContext(t, a.sys)
			for _, id := range by {
				m.disowned(time.Now(), id)
			}
		})
		return ends
	}
	x, y := addr.NodeIDFromUint64(11), addr.NodeIDFromUint64(12)
	for _, c := range []struct {
		name   string
		age    time.Duration
		linked bool
		by     []addr.NodeID
		want   bool
	}{
		{"one word is not enough", 0, false, []addr.NodeID{x}, false},
		{"nobody lets it in", time.Hour, false, []addr.NodeID{x, x}, true},
		{"one member cannot end a node that has links", 0, true, []addr.NodeID{x, x, x, x}, false},
		{"a newcomer that two disown", 0, true, []addr.NodeID{x, y}, true},
		{"an old node that two disown", time.Hour, true, []addr.NodeID{x, y}, false},
	} {
		if got := said(c.age, c.linked, c.by...); got != c.want {
			t.Errorf("%s: ends %v, want %v", c.name, got, c.want)
		}
	}
}

// idle is a handler that does nothing but lend its context.
type idle struct{ lend chan *system.Context[Message] }

func (i idle) Start(ctx *system.Context[Message]) error       { i.lend <- ctx; return nil }
func (i idle) Handle(*system.Context[Message], Message) error { return nil }
func (i idle) Stop(*system.Context[Message])                  {}

func newContext(t *testing.T, sys *system.System) *system.Context[Message] {
	t.Helper()
	lend := make(chan *system.Context[Message], 1)
	if _, err := system.Spawn(sys, "lender", system.Spec[Message]{Kind: "test", New: func() system.Handler[Message] { return idle{lend} }}); err != nil {
		t.Fatal(err)
	}
	return <-lend
}
