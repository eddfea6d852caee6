package fabric_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/fabric"
)

// fabricWorld carries transit messages between the Sessions of nodes.
type fabricWorld struct {
	t     testing.TB
	now   time.Time
	delay time.Duration
	nodes []*ending
	queue []transit
	tap   func(from, to addr.NodeID, payload []byte) (drop bool)
}

type transit struct {
	at       time.Time
	from, to addr.NodeID
	payload  []byte
}

// ending is an ingress and egress: what a driver of Sessions does.
type ending struct {
	*fabric.Sessions
	w         *fabricWorld
	c         *fabric.Credentials
	index     uint32
	installed map[uint32]*fabric.Session
	used      map[addr.NodeID]*fabric.Session
	events    []fabric.Event
	admit     fabric.CloseReason
	deaf      bool
}

func (w *fabricWorld) ending(c *fabric.Credentials, known func(addr.NodeID) ([32]byte, bool)) *ending {
	e := &ending{w: w, c: c, installed: map[uint32]*fabric.Session{}, used: map[addr.NodeID]*fabric.Session{}}
	e.index = uint32(len(w.nodes)+1) << 16
	e.Sessions = fabric.NewSessions(fabric.SessionsConfig{
		Credentials: c, Rand: random(binary.BigEndian.Uint64(c.BootID[:])), Static: known,
		NewIndex: func() uint32 { e.index++; return e.index },
		Admit:    func(*cert.Identity) fabric.CloseReason { return e.admit },
	})
	w.nodes = append(w.nodes, e)
	return e
}

func (e *ending) id() addr.NodeID { return e.c.Identity.ID }

func (e *ending) drain() {
	e.Drain(func(ev fabric.Event) {
		e.events = append(e.events, ev)
		switch ev := ev.(type) {
		case fabric.SendTransit:
			if e.w.tap == nil || !e.w.tap(e.id(), ev.Egress, slices.Clone(ev.Payload)) {
				e.w.queue = append(e.w.queue, transit{e.w.now.Add(e.w.delay), e.id(), ev.Egress, ev.Payload})
			}
		case fabric.InstallSession:
			e.installed[ev.Session.LocalIndex()] = ev.Session
		case fabric.UseSession:
			e.used[ev.Session.Peer()] = ev.Session
		case fabric.RetireSession:
			if s := e.installed[ev.Index]; s != nil && e.used[s.Peer()] == s {
				delete(e.used, s.Peer())
			}
			delete(e.installed, ev.Index)
		}
	})
}

func (w *fabricWorld) run(d time.Duration) {
	w.t.Helper()
	for end, steps := w.now.Add(d), 0; ; steps++ {
		next := end
		for _, e := range w.nodes {
			if t, ok := e.NextTimeout(); ok && !e.deaf && t.Before(next) {
				next = t
			}
		}
		if len(w.queue) > 0 && w.queue[0].at.Before(next) {
			next = w.queue[0].at
		}
		if !next.Before(end) {
			w.now = end
			return
		}
		if steps > 1e6 {
			w.t.Fatal("a machine wants to be called again and again")
		}
		w.now = maxTime(w.now, next)
		for len(w.queue) > 0 && !w.queue[0].at.After(w.now) {
			m := w.queue[0]
			w.queue = w.queue[1:]
			for _, e := range w.nodes {
				if e.id() == m.to && !e.deaf {
					e.HandleTransit(w.now, m.from, m.payload)
					e.drain()
				}
			}
		}
		for _, e := range w.nodes {
			if !e.deaf {
				e.HandleTimeout(w.now)
				e.drain()
			}
		}
	}
}

func (e *ending) want(id addr.NodeID) {
	e.Want(e.w.now, id)
	e.drain()
}

// packet goes from e to the other end; false where that has no session for it.
func (e *ending) packet(o *ending) bool {
	s := e.used[o.id()]
	if s == nil {
		return false
	}
	frame := make([]byte, fabric.HopHeaderLen)
	fabric.HopHeader{HopLimit: 1, Egress: o.id(), Ingress: e.id()}.Put(frame)
	frame, err := s.Seal(frame, 0, []byte("packet"))
	if err != nil {
		e.w.t.Fatal(err)
	}
	in := o.installed[binary.BigEndian.Uint32(frame[fabric.HopHeaderLen:])]
	if in == nil {
		return false
	}
	inner, err := in.Open(frame)
	if err != nil || string(inner) != "packet" {
		return false
	}
	o.HandleConfirmed(e.w.now, in.LocalIndex())
	o.drain()
	return true
}

func endings(t testing.TB, known bool) (w *fabricWorld, a, b *ending) {
	w = &fabricWorld{t: t, now: epoch, delay: 10 * time.Millisecond}
	ca := newIssuer(t, edKey(1))
	ca1, ca2 := newCredentials(t, ca, edKey(11), 1, 11), newCredentials(t, ca, edKey(12), 2, 12)
	a = w.ending(ca1, func(id addr.NodeID) ([32]byte, bool) { return *static(ca2), known && id == ca2.Identity.ID })
	b = w.ending(ca2, nil)
	return w, a, b
}

func TestSessionCarriesPacketsBothWays(t *testing.T) {
	for _, known := range []bool{true, false} {
		w, a, b := endings(t, known)
		a.want(b.id())
		w.run(time.Second)
		if !b.packet(a) || !a.packet(b) { // the responder may be the first

			t.Fatalf("known %v: packets do not pass", known)
		}
		w.run(10 * time.Second)
		if len(a.installed) != 1 || len(b.installed) != 1 || a.Len() != 1 || b.Len() != 1 {
			t.Errorf("%d and %d sessions", len(a.installed), len(b.installed))
		}
		a.want(b.id())
		if n := len(of[fabric.InstallSession](a.events)); n != 1 {
			t.Errorf("%d handshakes", n)
		}
	}
}

func TestSessionHandshakeIsBoundToBothNodes(t *testing.T) {
	w, a, b := endings(t, true)
	third := w.ending(newCredentials(t, newIssuer(t, edKey(1)), edKey(13), 3, 13), nil)
	// A relay brings a's messages under another name, and to another node.
	w.tap = func(from, to addr.NodeID, m []byte) bool {
		if from == a.id() && to == b.id() {
			b.HandleTransit(w.now, third.id(), m)
			third.HandleTransit(w.now, a.id(), m)
			b.drain()
			third.drain()
			return true
		}
		return false
	}
	a.want(b.id())
	w.run(6 * time.Second)
	if len(of[fabric.InstallSession](b.events))+len(of[fabric.InstallSession](third.events)) != 0 {
		t.Error("a session under another name")
	}
	if f := of[fabric.SessionFailed](a.events); len(f) != 1 || f[0].Reason != fabric.CloseNoAnswer || f[0].Egress != b.id() {
		t.Errorf("%v", f)
	}
}

func TestIngressMustBeTheCertificates(t *testing.T) {
	w, a, b := endings(t, false)
	liar := newCredentials(t, newIssuer(t, edKey(1)), edKey(13), 3, 13)
	liar.Identity = a.c.Identity // says it is a, with the certificate of node 3
	c := w.ending(liar, nil)
	a.deaf = true
	w.nodes = []*ending{c, b}
	c.want(b.id())
	w.run(3 * time.Second)
	if len(of[fabric.InstallSession](b.events)) != 0 || drops(b.Drops(), "peer") == 0 {
		t.Errorf("node 3 has a session as node 1")
	}
}

func TestSessionIdleForTwoMinutesEnds(t *testing.T) {
	w, a, b := endings(t, true)
	a.want(b.id())
	w.run(time.Second)
	a.packet(b)
	for range 20 {
		w.run(fabric.SessionIdle - 10*time.Second)
		if !a.packet(b) || !b.packet(a) {
			t.Fatal("a session in use ended")
		}
	}
	w.run(fabric.SessionIdle + 2*time.Second)
	if a.Len()+b.Len()+len(a.installed)+len(b.installed) != 0 {
		t.Errorf("%d and %d sessions stay", len(a.installed), len(b.installed))
	}
	if _, ok := a.NextTimeout(); ok {
		t.Error("something is still to be done")
	}
}

func TestANetworkMayHaveFewerSessionsAndEndThemSooner(t *testing.T) {
	w, a, b := endings(t, true)
	a.want(b.id())
	w.run(time.Second)
	for i := range uint64(30) {
		w.now = w.now.Add(time.Millisecond)
		a.Want(w.now, addr.NodeIDFromUint64(100+i))
	}
	a.SetLimits(20, 10*time.Second)
	if a.drain(); a.Len() != 20 || len(a.installed) != 0 {
		t.Errorf("%d peers, and %d sessions of which the one was the least recent", a.Len(), len(a.installed))
	}
	a.Want(w.now, addr.NodeIDFromUint64(200))
	if a.drain(); a.Len() != 20 {
		t.Errorf("%d peers", a.Len())
	}
	w, a, b = endings(t, true)
	a.want(b.id())
	w.run(time.Second)
	a.SetLimits(2*fabric.MaxSessions, 10*time.Second)
	if a.packet(b); len(a.installed) != 1 {
		t.Fatal("no session")
	}
	w.run(12 * time.Second)
	if a.Len()+len(a.installed) != 0 || b.Len() != 1 {
		t.Errorf("idle for 12 s: %d sessions of 10 s, %d of two minutes", len(a.installed), len(b.installed))
	}
}

func TestSessionRekeyLosesNoPacket(t *testing.T) {
	w, a, b := endings(t, true)
	a.want(b.id())
	w.run(time.Second)
	for w.now.Sub(epoch) < 5*fabric.RekeyAfter {
		if !a.packet(b) || !b.packet(a) {
			t.Fatalf("lost after %s", w.now.Sub(epoch))
		}
		w.run(3 * time.Millisecond * 33)
	}
	if n := len(of[fabric.UseSession](a.events)); n < 5 {
		t.Errorf("%d sessions in %s", n, w.now.Sub(epoch))
	}
	if len(a.installed) > 2 || len(b.installed) > 2 {
		t.Error("old sessions stay")
	}
}

func TestSimultaneousSessionsConverge(t *testing.T) {
	for ms := range 30 {
		w, a, b := endings(t, true)
		a.want(b.id())
		w.run(time.Duration(ms) * 2 * time.Millisecond)
		b.want(a.id())
		for range 100 {
			w.run(10 * time.Millisecond)
			a.packet(b)
			b.packet(a)
		}
		for range 14 { // also past the first rekeying
			if x, y := a.used[b.id()], b.used[a.id()]; x == nil || y == nil || x.LocalIndex() != y.RemoteIndex() {
				t.Fatalf("after %d ms: different sessions", 2*ms)
			}
			w.run(10 * time.Second)
			a.packet(b)
		}
		if len(a.installed) != 1 || len(b.installed) != 1 {
			t.Errorf("after %d ms: %d and %d sessions", 2*ms, len(a.installed), len(b.installed))
		}
	}
}

func TestRestartedEgressIsFoundByOneHandshakePerHint(t *testing.T) {
	w, a, b := endings(t, true)
	a.want(b.id())
	w.run(time.Second)
	a.packet(b)
	w.nodes = w.nodes[:1]
	again := w.ending(newCredentials(t, newIssuer(t, edKey(1)), edKey(12), 2, 99), nil)
	if a.packet(again) {
		t.Fatal("the restarted node opens old packets")
	}
	sent := len(of[fabric.SendTransit](a.events))
	for range 100 {
		a.HandleUnknownSession(w.now, b.id())
		a.drain()
	}
	if n := len(of[fabric.SendTransit](a.events)) - sent; n != 1 {
		t.Errorf("100 hints made %d messages", n)
	}
	if a.used[b.id()] == nil {
		t.Error("the old session went on a hint")
	}
	w.run(3 * time.Second)
	if !a.packet(again) || len(a.installed) != 1 {
		t.Errorf("no session with the restarted node, %d installed", len(a.installed))
	}
}

func TestFalseHintsCostOneHandshakeAnInterval(t *testing.T) {
	w, a, b := endings(t, true)
	a.want(b.id())
	w.run(time.Second)
	a.packet(b)
	before := len(of[fabric.UseSession](a.events))
	for range 300 {
		a.HandleUnknownSession(w.now, b.id())
		a.drain()
		w.run(100 * time.Millisecond)
		if !a.packet(b) || !b.packet(a) {
			t.Fatal("a packet was lost")
		}
	}
	if n := len(of[fabric.UseSession](a.events)) - before; n > 7 {
		t.Errorf("%d handshakes in 30 s of hints", n)
	}
}

func TestRefusedSessionRests(t *testing.T) {
	for _, known := range []bool{true, false} {
		w, a, b := endings(t, known)
		b.admit = fabric.CloseRevoked
		for range 100 {
			a.want(b.id())
			w.run(100 * time.Millisecond)
		}
		f := of[fabric.SessionFailed](a.events)
		if len(f) < 3 || len(f) > 5 || f[0].Reason != fabric.CloseRevoked || f[0].RetryAfter != time.Second || f[1].RetryAfter != 2*time.Second {
			t.Errorf("known %v: %v", known, f)
		}
		if len(b.installed) != 0 {
			t.Error("the refused peer has a session")
		}
	}
}

func TestRevokedPeerIsClosed(t *testing.T) {
	w, a, b := endings(t, true)
	a.want(b.id())
	w.run(time.Second)
	a.packet(b)
	a.Close(b.id())
	a.drain()
	if a.Len() != 0 || len(a.installed) != 0 || a.used[b.id()] != nil {
		t.Error("something stays")
	}
}

func TestLeastRecentSessionMakesRoom(t *testing.T) {
	w, a, b := endings(t, true)
	a.want(b.id())
	w.run(time.Second)
	for i := range uint64(fabric.MaxSessions + 50) {
		w.now = w.now.Add(time.Millisecond)
		a.Want(w.now, addr.NodeIDFromUint64(100+i))
		a.Drain(func(fabric.Event) {})
	}
	if a.Len() != fabric.MaxSessions {
		t.Errorf("%d peers, want %d", a.Len(), fabric.MaxSessions)
	}
	// b was the first to go
	before := len(of[fabric.SendTransit](a.events))
	w.run(40 * time.Second)
	a.want(b.id())
	if len(of[fabric.SendTransit](a.events)) == before {
		t.Error("the least recent one is still there")
	}
}

func TestOneWayTrafficOutlivesALostConfirm(t *testing.T) {
	for _, lose := range []bool{false, true} {
		w, a, b := endings(t, true)
		a.want(b.id())
		w.run(time.Second)
		w.tap = func(_, _ addr.NodeID, m []byte) bool {
			return lose && m[0] == fabric.FirstByte(fabric.TypeFinal)
		}
		for w.now.Sub(epoch) < 5*fabric.RekeyAfter { // a has the keys' initiative and says nothing
			if !b.packet(a) {
				t.Fatalf("confirm lost %v: lost after %s", lose, w.now.Sub(epoch))
			}
			w.run(200 * time.Millisecond)
		}
	}
}

func TestForgedConfirmIsNothing(t *testing.T) {
	w, a, b := endings(t, true)
	w.tap = func(from, _ addr.NodeID, m []byte) bool {
		if m[0] != fabric.FirstByte(fabric.TypeFinal) {
			return false
		}
		for i := 8; i < len(m); i++ {
			forged := slices.Clone(m)
			forged[i] ^= 1
			b.HandleTransit(w.now, from, forged)
		}
		b.HandleTransit(w.now, addr.NodeIDFromUint64(9), m)
		b.drain()
		return true
	}
	a.want(b.id())
	w.run(time.Second)
	if len(b.installed) != 1 || len(b.used) != 0 {
		t.Errorf("%d sessions, %d in use", len(b.installed), len(b.used))
	}
}

func TestSessionsBeingMadeAreBounded(t *testing.T) {
	w, a, _ := endings(t, true)
	for i := range uint64(fabric.MaxSessionDials + 9) {
		a.Want(w.now, addr.NodeIDFromUint64(100+i))
	}
	begun, refused := map[addr.NodeID]bool{}, 0
	a.Drain(func(e fabric.Event) {
		switch e := e.(type) {
		case fabric.SendTransit:
			begun[e.Egress] = true
		case fabric.SessionFailed:
			refused++
		default:
		}
	})
	if len(begun) != fabric.MaxSessionDials || refused != 9 {
		t.Errorf("%d handshakes begun, %d refused; want %d and 9", len(begun), refused, fabric.MaxSessionDials)
	}
}
