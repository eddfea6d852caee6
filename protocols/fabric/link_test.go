package fabric_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
)

func TestLinkComesUp(t *testing.T) {
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprintf("static key known %v", known), func(t *testing.T) {
			w, a, b := pair(t, 1)
			var key *[32]byte
			if known {
				key = static(b.credentials)
			}
			l := a.dial(b.id(), key, b.addr)
			w.run(time.Second)
			m := b.live(a.id())
			if !l.IsUp() || m == nil || !m.IsUp() {
				t.Fatal("not up")
			}
			up, pu := of[fabric.Up](l.events), of[fabric.Up](m.events)
			if len(up) != 1 || len(pu) != 1 {
				t.Fatalf("%d and %d Ups", len(up), len(pu))
			}
			if up[0].Peer.ID != b.id() || up[0].BootID != b.credentials.BootID || up[0].Static != *static(b.credentials) ||
				up[0].Remote != b.addr || !up[0].Initiator || up[0].RTT != 20*time.Millisecond {
				t.Errorf("initiator: %+v", up[0])
			}
			if pu[0].Peer.ID != a.id() || pu[0].BootID != a.credentials.BootID || pu[0].Static != *static(a.credentials) ||
				pu[0].Remote != a.addr || pu[0].Initiator || pu[0].RTT != 20*time.Millisecond {
				t.Errorf("responder: %+v", pu[0])
			}
			a.control(l, fabric.ControlBabel, []byte("there"))
			b.control(m, fabric.ControlBabel, []byte("and back"))
			w.run(5 * time.Second)
			if len(m.got) != 1 || string(m.got[0]) != "there" || len(l.got) != 1 || string(l.got[0]) != "and back" {
				t.Errorf("got %q and %q", m.got, l.got)
			}
			a.quiet()
			b.quiet()
		})
	}
}

func TestRunsRepeatForASeed(t *testing.T) {
	trace := func() (s string) {
		w, a, b := pair(t, 3)
		w.loss, w.duplicate, w.spread = 0.2, 0.1, 30*time.Millisecond
		w.tap = func(from, to netip.AddrPort, d []byte) bool {
			s += fmt.Sprintf("%s %s %s %x\n", w.now.Sub(epoch), from, to, d)
			return false
		}
		a.dial(b.id(), nil, b.addr)
		w.run(10 * time.Second)
		return s
	}
	if trace() != trace() {
		t.Error("two runs from one seed differ")
	}
}

func TestLinkComesUpWithThirtyPercentLoss(t *testing.T) {
	for seed := range uint64(60) {
		w, a, b := pair(t, seed)
		w.loss, w.duplicate, w.spread = 0.3, 0.1, 40*time.Millisecond
		var key *[32]byte
		if seed%2 == 0 {
			key = static(b.credentials)
		}
		bothUp := func() bool {
			l, m := a.live(b.id()), b.live(a.id())
			if l == nil { // as the manager of a link that went down would
				a.dial(b.id(), key, b.addr)
			}
			return l != nil && m != nil && l.IsUp() && m.IsUp()
		}
		w.until(20*time.Second, "both ends up", bothUp)
		w.loss = 0
		w.run(time.Second)
		w.until(5*time.Second, "both ends up", bothUp)
		w.run(21 * time.Second)
		l, m := a.live(b.id()), b.live(a.id())
		a.control(l, fabric.ControlBabel, []byte("x"))
		b.control(m, fabric.ControlBabel, []byte("y"))
		w.run(time.Second)
		if len(m.got) != 1 || len(l.got) != 1 {
			t.Errorf("seed %d: up, but frames do not pass", seed)
		}
		a.quiet()
		b.quiet()
	}
}

func TestUnknownStaticKeyFallsBackFromIKToXX(t *testing.T) {
	w, a, b := pair(t, 5)
	var patterns []byte
	w.tap = func(from, _ netip.AddrPort, d []byte) bool {
		if from == a.addr && d[0] == fabric.FirstByte(fabric.TypeInitiation) && d[1] != 0 {
			patterns = append(patterns, d[1])
		}
		return false
	}
	l := a.dial(b.id(), static(newCredentials(t, newIssuer(t, edKey(1)), edKey(12), 2, 99)), b.addr)
	w.run(3 * time.Second)
	if !l.IsUp() || string(patterns) != "\x02\x02\x01" {
		t.Errorf("up %v; patterns %v, want IK twice, then XX", l.IsUp(), patterns)
	}
}

func TestOneOfSeveralEndpointsAnswers(t *testing.T) {
	w, a, b := pair(t, 6)
	sent := map[netip.AddrPort]int{}
	w.tap = func(_, to netip.AddrPort, _ []byte) bool { sent[to]++; return false }
	var endpoints []netip.AddrPort
	for i := range uint16(fabric.MaxEndpoints - 1) {
		endpoints = append(endpoints, endpoint(100+i))
	}
	endpoints = append(endpoints, b.addr, endpoint(200))
	l := a.dial(b.id(), nil, endpoints...)
	w.run(time.Second)
	if !l.IsUp() || l.Remote() != b.addr {
		t.Errorf("up %v by %s", l.IsUp(), l.Remote())
	}
	if sent[endpoint(200)] != 0 {
		t.Error("more endpoints than MaxEndpoints were tried")
	}
	if got := len(of[fabric.Down](l.events)); got != 0 {
		t.Errorf("%d Downs", got)
	}
}

func TestNobodyAnswers(t *testing.T) {
	w, a, b := pair(t, 7)
	b.deaf = true
	l := a.dial(b.id(), nil, b.addr)
	w.run(fabric.DialTimeout + time.Millisecond)
	if down := of[fabric.Down](l.events); len(down) != 1 || down[0] != (fabric.Down{Reason: fabric.CloseNoAnswer}) {
		t.Errorf("%v", down)
	}
	// 0, 250, 750, 1250 ms, ... and up to a quarter more each time
	n := len(of[fabric.Send](l.events))
	if n < 9 || n > 11 {
		t.Errorf("%d requests in 5 s, want 9 to 11", n)
	}
	a.quiet()
	w.run(time.Minute)
	if len(of[fabric.Send](l.events)) != n {
		t.Error("a link that is down sends on")
	}
}

// However long the way was cut for.
func TestADialSucceedsSoonAfterTheWayIsWhole(t *testing.T) {
	for cut := 100 * time.Millisecond; cut < fabric.DialTimeout-700*time.Millisecond; cut += 100 * time.Millisecond {
		w, a, b := pair(t, 7)
		b.deaf = true
		l := a.dial(b.id(), nil, b.addr)
		w.run(cut)
		b.deaf = false
		w.run(700 * time.Millisecond)
		if !l.IsUp() {
			t.Errorf("not up 700 ms after a cut of %v", cut)
		}
	}
}

func TestSimultaneousOpenConvergesToOneSession(t *testing.T) {
	for seed := range uint64(40) {
		w, a, b := pair(t, seed)
		w.spread = time.Duration(seed) * time.Millisecond
		var key *[32]byte
		if seed%2 == 0 {
			key = static(b.credentials)
		}
		la, lb := a.open(b.id(), key), b.open(a.id(), static(a.credentials))
		la.Dial(w.now, []netip.AddrPort{b.addr})
		w.run(time.Duration(seed%7) * 5 * time.Millisecond)
		lb.Dial(w.now, []netip.AddrPort{a.addr})
		a.drain()
		b.drain()
		w.run(11 * time.Second)
		if !la.IsUp() || !lb.IsUp() || len(a.links) != 1 || len(b.links) != 1 {
			t.Fatalf("seed %d: links %d and %d", seed, len(a.links), len(b.links))
		}
		if la.current.LocalIndex() != lb.current.RemoteIndex() || la.current.RemoteIndex() != lb.current.LocalIndex() {
			t.Errorf("seed %d: the ends use different sessions", seed)
		}
		if len(of[fabric.Up](la.events)) != 1 || len(of[fabric.Up](lb.events)) != 1 {
			t.Errorf("seed %d: more than one Up", seed)
		}
		if n := len(of[fabric.Use](la.events)) + len(of[fabric.Use](lb.events)); n > 4 {
			t.Errorf("seed %d: %d changes of the session in use: they flap", seed, n)
		}
		a.quiet()
		b.quiet()
		if len(a.sessions) != 1 || len(b.sessions) != 1 {
			t.Errorf("seed %d: %d and %d sessions are left", seed, len(a.sessions), len(b.sessions))
		}
	}
}

func TestSimultaneousRekeyIsDecidedByTheNodeID(t *testing.T) {
	w, a, b, la, lb := joined(t, 8)
	// Both ends rekey at once where the keys' initiator was late by RekeyGrace.
	first := la.current
	cut := true
	w.tap = func(from, _ netip.AddrPort, d []byte) bool {
		return cut && from == a.addr && d[0] == fabric.FirstByte(fabric.TypeInitiation)
	}
	w.run(fabric.RekeyAfter + fabric.RekeyGrace - time.Second)
	cut = false
	w.run(20 * time.Second)
	if la.current == first || la.current.LocalIndex() != lb.current.RemoteIndex() {
		t.Error("no common new session")
	}
	w.run(fabric.Overlap)
	a.quiet()
	b.quiet()
}

func TestRekeyLosesNoFrame(t *testing.T) {
	for seed := range uint64(5) {
		w, a, b, la, lb := joined(t, seed)
		w.spread = 30 * time.Millisecond // frames overtake the response
		sent := 0
		for w.now.Sub(epoch) < 3*fabric.RekeyAfter {
			if rest := w.now.Sub(epoch) % fabric.RekeyAfter; rest > 10*time.Second && rest < 115*time.Second {
				w.run(20 * time.Second)
				continue
			}
			a.control(la, fabric.ControlBabel, []byte{1})
			b.control(lb, fabric.ControlBabel, []byte{2})
			sent++
			w.run(3 * time.Millisecond)
		}
		w.run(time.Second)
		if len(lb.got) != sent || len(la.got) != sent {
			t.Errorf("%d sent, %d and %d came", sent, len(lb.got), len(la.got))
		}
		uses := of[fabric.Use](la.events)
		if len(uses) != 4 {
			t.Errorf("%d sessions in %s, want 4", len(uses), w.now.Sub(epoch))
		}
		a.quiet()
		b.quiet()
	}
}

func TestResponderRekeysWhereTheInitiatorDoesNot(t *testing.T) {
	w, a, _, la, lb := joined(t, 9)
	w.tap = func(from, _ netip.AddrPort, d []byte) bool {
		return from == a.addr && d[0] == fabric.FirstByte(fabric.TypeInitiation)
	}
	first := la.current
	w.run(fabric.RekeyAfter + fabric.RekeyGrace/2)
	if la.current != first {
		t.Fatal("rekeyed although nothing passed")
	}
	w.run(fabric.RekeyGrace)
	if la.current == first || la.current.LocalIndex() != lb.current.RemoteIndex() {
		t.Error("the responder did not take over")
	}
}

func TestKeysThatCannotBeReplacedEnd(t *testing.T) {
	w, _, _, la, lb := joined(t, 10)
	w.tap = func(_, _ netip.AddrPort, d []byte) bool { return d[0] == fabric.FirstByte(fabric.TypeInitiation) }
	w.run(fabric.KeyLifetime - time.Second)
	if !la.IsUp() || !lb.IsUp() {
		t.Fatal("down although frames pass")
	}
	w.run(3 * time.Second)
	if down := of[fabric.Down](la.events); len(down) != 1 || down[0].Reason != fabric.CloseStale || !lb.IsDown() {
		t.Errorf("%v", down)
	}
}

func TestCookieIsUsedAgain(t *testing.T) {
	w, a, b := pair(t, 12)
	requests := 0
	w.tap = func(_, to netip.AddrPort, d []byte) bool {
		if to == b.addr && d[0] == fabric.FirstByte(fabric.TypeInitiation) && d[1] == 0 {
			requests++
		}
		return false
	}
	l := a.dial(b.id(), static(b.credentials), b.addr)
	w.run(time.Second)
	l.Rekey(w.now)
	a.drain()
	w.run(time.Second)
	if n := len(of[fabric.Use](l.events)); n != 2 || requests != 1 {
		t.Errorf("%d handshakes with %d requests for a cookie, want 2 with 1", n, requests)
	}
}

func TestCookiesTakenInOneDialAreFew(t *testing.T) {
	w, a, b := pair(t, 59)
	var calls [][]byte
	w.tap = func(_, _ netip.AddrPort, d []byte) bool {
		calls = append(calls, d)
		return true
	}
	l := a.dial(b.id(), nil, b.addr)
	for i := 0; i < len(calls) && i < 100; i++ { // each call is answered at once, by another cookie
		l.HandleHandshake(w.now, fabric.Path{Remote: b.addr}, fabric.RetryFor(a.credentials, calls[i], byte(1+i)))
		a.drain()
	}
	if len(calls) != 1+fabric.MaxRetries {
		t.Errorf("%d calls, want one and %d that cookies drew", len(calls), fabric.MaxRetries)
	}
}

func TestRestartedPeerReplacesItself(t *testing.T) {
	for _, quiet := range []bool{true, false} {
		w, a, b, la, _ := joined(t, 13)
		w.run(30 * time.Second)
		la.SetUse(w.now, !quiet)
		w.run(time.Second)
		again := newCredentials(t, newIssuer(t, edKey(1)), edKey(12), 2, 77)
		c := w.site(2, again) // takes the address from b, which says nothing
		start := w.now
		c.dial(a.id(), static(a.credentials), a.addr)
		w.until(3*time.Second, "link with the restarted node", func() bool {
			l := a.live(b.id())
			return l != nil && l.IsUp() && l.BootID() == again.BootID
		})
		t.Logf("in use %v: after %s", !quiet, w.now.Sub(start))
		if down := of[fabric.Down](la.events); len(down) != 1 || down[0].Reason != fabric.CloseSilence {
			t.Errorf("old link: %v", down)
		}
		if n := len(of[fabric.Duplicate](a.events)); n != 0 {
			t.Errorf("%d nodes were called duplicates", n)
		}
		w.run(10 * time.Second)
		if l := c.live(a.id()); l == nil || !l.IsUp() {
			t.Error("the restarted node has no link")
		}
	}
}

func TestSecondLiveNodeWithOneCertificateIsRefused(t *testing.T) {
	for _, known := range []bool{true, false} {
		w, a, b, la, _ := joined(t, 14)
		w.run(30 * time.Second)
		twin := w.site(3, newCredentials(t, newIssuer(t, edKey(1)), edKey(12), 2, 78))
		var key *[32]byte
		if known {
			key = static(a.credentials)
		}
		l := twin.dial(a.id(), key, a.addr)
		w.run(5 * time.Second)
		if down := of[fabric.Down](l.events); len(down) != 1 || down[0] != (fabric.Down{Reason: fabric.CloseDuplicate, Remote: true}) {
			t.Errorf("known %v: the newcomer heard %v", known, down)
		}
		d := of[fabric.Duplicate](a.events)
		if len(d) == 0 || d[0].Peer != b.id() || d[0].BootID != twin.credentials.BootID || d[0].From != twin.addr {
			t.Errorf("known %v: %v", known, d)
		}
		if !la.IsUp() || len(of[fabric.Retire](la.events)) != 0 {
			t.Error("the first one's link suffered")
		}
		twin.quiet()
	}
}

func TestOwnCertificateElsewhereIsSeen(t *testing.T) {
	w, a, _ := pair(t, 15)
	twin := w.site(3, newCredentials(t, newIssuer(t, edKey(1)), edKey(11), 1, 79))
	twin.dial(a.id(), static(a.credentials), a.addr)
	w.run(time.Second)
	if d := of[fabric.Duplicate](a.events); len(d) == 0 || d[0].Peer != a.id() || d[0].From != twin.addr {
		t.Errorf("called: %v", d)
	}
	l := a.dial(addr.NodeIDFromUint64(9), nil, twin.addr)
	w.run(6 * time.Second)
	if d := of[fabric.Duplicate](l.events); len(d) == 0 || d[0].Peer != a.id() || d[0].From != twin.addr {
		t.Errorf("calling: %v", d)
	}
	// Its own address among the endpoints is no other node.
	l = a.dial(addr.NodeIDFromUint64(9), nil, a.addr)
	w.run(6 * time.Second)
	if down := of[fabric.Down](l.events); len(of[fabric.Duplicate](l.events)) != 0 || len(down) != 1 || down[0].Reason != fabric.CloseUnverified {
		t.Errorf("calling itself: %v", down)
	}
}

func TestAnotherNodeAtTheAddressIsNotTaken(t *testing.T) {
	w, a, b := pair(t, 16)
	l := a.dial(addr.NodeIDFromUint64(9), nil, b.addr)
	w.run(6 * time.Second)
	down := of[fabric.Down](l.events)
	if len(down) != 1 || down[0].Reason != fabric.CloseUnverified || drops(l.Drops(), "peer") == 0 {
		t.Errorf("%v", down)
	}
	if m := b.live(a.id()); m != nil && m.IsUp() {
		t.Error("the other end has a link")
	}
}

func TestCloseTellsTheReason(t *testing.T) {
	w, a, b, la, lb := joined(t, 17)
	la.Close(fabric.CloseIdle)
	a.drain()
	w.run(time.Second)
	if down := of[fabric.Down](la.events); len(down) != 1 || down[0] != (fabric.Down{Reason: fabric.CloseIdle}) {
		t.Errorf("%v", down)
	}
	if down := of[fabric.Down](lb.events); len(down) != 1 || down[0] != (fabric.Down{Reason: fabric.CloseIdle, Remote: true}) {
		t.Errorf("%v", down)
	}
	la.Close(fabric.CloseShutdown)
	la.SetUse(w.now, true)
	la.Dial(w.now, []netip.AddrPort{b.addr})
	la.HandleControl(w.now, fabric.ControlFrame{At: w.now, Index: 1, Kind: fabric.ControlProbe, Body: make([]byte, 8)})
	la.Drain(func(e fabric.Event) { t.Errorf("after Down: %T", e) })
	if _, ok := la.NextTimeout(); ok {
		t.Error("a timeout after Down")
	}
	if len(a.sessions)+len(b.sessions) != 0 {
		t.Error("sessions are left")
	}
}

func TestAnswerOfARivalIsToldWhenThePeerLives(t *testing.T) {
	for _, lives := range []bool{true, false} {
		w, a, b, la, _ := joined(t, 27)
		twin := w.site(2, newCredentials(t, newIssuer(t, edKey(1)), edKey(12), 2, 78))
		// The handshakes reach the other node, the frames only the first one.
		w.sites[b.addr] = b
		w.tap = func(from, to netip.AddrPort, d []byte) bool {
			kind, _ := fabric.TypeOf(d)
			switch {
			case kind.IsHandshake() && to == b.addr:
				twin.handle(from, d)
				return true
			case to == b.addr && !lives:
				return true
			}
			return false
		}
		la.Rekey(w.now)
		a.drain()
		w.run(4 * time.Second)
		d, down := of[fabric.Duplicate](la.events), of[fabric.Down](la.events)
		switch {
		case lives && (len(d) != 1 || d[0].BootID != twin.credentials.BootID || len(down) != 0):
			t.Errorf("the peer lives: %v, %v", d, down)
		case !lives && (len(d) != 0 || len(down) != 1 || down[0].Reason != fabric.CloseSilence):
			t.Errorf("the peer restarted: %v, %v", d, down)
		}
	}
}

func TestFramesDoNotEndAHandshakeForNewKeys(t *testing.T) {
	w, a, _, la, _ := joined(t, 28)
	la.SetUse(w.now, true)
	w.delay = 150 * time.Millisecond // probes are answered while the handshake is on its way
	w.run(2 * time.Second)
	w.run(fabric.RekeyAfter - w.now.Sub(epoch) + 2*time.Second)
	a.drain()
	if n := len(of[fabric.Use](la.events)); n != 2 {
		t.Errorf("%d sessions, want 2", n)
	}
}

func TestCancelEndsADialAndNothingElse(t *testing.T) {
	w, a, b := pair(t, 61)
	l := a.dial(b.id(), nil, b.addr)
	l.Cancel()
	a.drain()
	if d := of[fabric.Down](l.events); len(d) != 1 || d[0].Reason != fabric.CloseIdle || d[0].Remote {
		t.Errorf("down by %v, want its own idleness", d)
	}
	w.run(time.Second)
	a.quiet()

	// The peer's own dial goes on, be it that far or further.
	for step := range 8 {
		w, a, b := pair(t, 62)
		theirs := b.dial(a.id(), static(a.credentials), a.addr)
		ours := a.dial(b.id(), static(b.credentials), b.addr)
		w.run(time.Duration(step) * 5 * time.Millisecond)
		taken := len(of[fabric.Install](ours.events)) > 0
		ours.Cancel()
		a.drain()
		w.run(10 * time.Second)
		if taken && (!ours.IsUp() || !theirs.IsUp()) {
			t.Errorf("canceled after %d ms: a link that was rising fell", 5*step)
		}
		a.quiet()
		b.quiet()
	}
}
