package fabric_test

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/fabric"
)

// probesOf is when a link sent its probes.
func probesOf(l *siteLink) (at []time.Duration) {
	for i, e := range l.events {
		if c, ok := e.(fabric.SendControl); ok && c.Kind == fabric.ControlProbe {
			at = append(at, l.times[i].Sub(epoch))
		}
	}
	return at
}

func silenceOf(t *testing.T, l *siteLink) time.Time {
	t.Helper()
	for i, e := range l.events {
		if d, ok := e.(fabric.Down); ok {
			if d.Reason != fabric.CloseSilence || d.Remote {
				t.Fatalf("down by %+v", d)
			}
			return l.times[i]
		}
	}
	t.Fatal("not down")
	return time.Time{}
}

func TestSilenceInUseIsNoticedIn700Milliseconds(t *testing.T) {
	for ms := range 20 { // wherever in the interval the peer dies
		w, _, b, la, _ := joined(t, 20)
		la.SetUse(w.now, true)
		w.run(10*time.Second + time.Duration(ms)*11*time.Millisecond)
		b.deaf = true
		died := w.now.Add(w.delay) // its last frame may still be on its way
		w.run(2 * time.Second)
		if d := silenceOf(t, la).Sub(died); d > 700*time.Millisecond {
			t.Errorf("noticed after %s", d)
		}
	}
}

// bothInUse has both ends of a link in use for d, with frames that take delay, or a tenth
// more. It returns how many probes each end sent.
func bothInUse(t *testing.T, seed uint64, delay, d time.Duration) (w *world, la, lb *siteLink, by [2]int) {
	t.Helper()
	w, _, _, la, lb = joined(t, seed)
	w.delay, w.spread = delay, delay/10
	w.run(5 * time.Second) // for the round trip of that way to be known
	la.SetUse(w.now, true)
	lb.SetUse(w.now, true)
	before := [2]int{len(probesOf(la)), len(probesOf(lb))}
	w.run(d)
	return w, la, lb, [2]int{len(probesOf(la)) - before[0], len(probesOf(lb)) - before[1]}
}

func TestTheEndsOfALinkInUseProbeByTurns(t *testing.T) {
	const d = time.Minute
	alone := int(d / fabric.ProbeInterval) // of one end
	for _, delay := range []time.Duration{100 * time.Microsecond, 5 * time.Millisecond, 40 * time.Millisecond} {
		_, _, _, by := bothInUse(t, 30, delay, d)
		if both := by[0] + by[1]; both > alone*5/4 {
			t.Errorf("%v: %d and %d probes, where one end alone sends %d", delay, by[0], by[1], alone)
		}
		for _, n := range by {
			if n < alone*2/5 {
				t.Errorf("%v: one end sent %d probes, want %d at least, which measure the round trip", delay, n, alone*2/5)
			}
		}
	}
}

func TestALongWayLeavesNoTimeForTurns(t *testing.T) {
	const d = time.Minute
	_, _, _, by := bothInUse(t, 31, 80*time.Millisecond, d)
	for _, n := range by {
		if least := int(d/fabric.ProbeInterval) * 9 / 10; n < least {
			t.Errorf("one end sent %d probes, want %d", n, least)
		}
	}
}

func TestBothEndsOfALinkInUseNoticeSilenceIn700Milliseconds(t *testing.T) {
	for ms := range 20 { // wherever in the turns
		w, la, lb, _ := bothInUse(t, 32, 10*time.Millisecond, 10*time.Second+time.Duration(ms)*23*time.Millisecond)
		died := w.now.Add(w.delay + w.spread) // the last frames are on their way until then
		w.loss = 1
		w.run(2 * time.Second)
		for _, l := range []*siteLink{la, lb} {
			if d := silenceOf(t, l).Sub(died); d > 700*time.Millisecond {
				t.Errorf("%d: noticed after %s", ms, d)
			}
		}
	}
}

func TestATimerThatComesLateIsNotThePeersSilence(t *testing.T) {
	for _, inUse := range []bool{true, false} {
		for ms := range 40 { // wherever in the interval
			w, a, b, la, lb := joined(t, 27)
			la.SetUse(w.now, inUse)
			lb.SetUse(w.now, inUse)
			w.run(10*time.Second + time.Duration(ms)*11*time.Millisecond)
			for range 5 {
				w.starve(2*time.Second, a, b)
				w.run(time.Second)
			}
			if !la.IsUp() || !lb.IsUp() {
				t.Fatalf("in use %v, %d ms: given up for this node's own lateness", inUse, 11*ms)
			}
		}
	}
}

func TestAProbeMoreIsSentWhereATimerComesLateInASilence(t *testing.T) {
	w, a, b, la, _ := joined(t, 27)
	la.SetUse(w.now, true)
	w.run(10 * time.Second)
	b.deaf = true
	w.run(450 * time.Millisecond) // some probes are lost, too few to give up
	if !la.IsUp() {
		t.Fatal("given up too soon")
	}
	b.deaf = false
	w.starve(2*time.Second, a)
	w.run(time.Second)
	if !la.IsUp() {
		t.Error("given up for this node's own lateness")
	}
}

func TestANodeThatIsAlwaysLateNoticesADeadPeer(t *testing.T) {
	const late = 300 * time.Millisecond
	w, a, b, la, _ := joined(t, 28)
	la.SetUse(w.now, true)
	w.run(10 * time.Second)
	b.deaf = true
	died := w.now
	for range 20 {
		w.starve(late, a)
	}
	// What a node that is on time needs, and a probe and its lateness for each reprieve.
	most := 700*time.Millisecond + (fabric.MaxReprieves+1)*(fabric.ProbeInterval+2*late)
	if d := silenceOf(t, la).Sub(died); d > most {
		t.Errorf("noticed after %s, want %s at most", d, most)
	}
}

func TestSilenceOfAnIdleLinkIsNoticedAfterItsInterval(t *testing.T) {
	w, _, b, la, _ := joined(t, 21)
	w.run(10 * time.Minute)
	b.deaf = true
	died := w.now
	w.run(2 * time.Minute)
	if d := silenceOf(t, la).Sub(died); d > fabric.IdleProbeLast+700*time.Millisecond {
		t.Errorf("noticed after %s", d)
	}
}

func TestIdleProbesGrowApart(t *testing.T) {
	w, a, b := pair(t, 22)
	la := a.dial(b.id(), static(b.credentials), b.addr)
	w.run(100 * time.Second)
	var gaps []time.Duration
	at := probesOf(la)
	for i := range at[1:] {
		gaps = append(gaps, (at[i+1] - at[i]).Round(100*time.Millisecond))
	}
	// b probes as often, and what it sends shows that it lives: only the growth matters
	if len(gaps) < 5 || !slices.IsSorted(gaps[1:]) || gaps[len(gaps)-1] < 20*time.Second {
		t.Errorf("probes are %v apart", gaps)
	}
	la.SetUse(w.now, true)
	a.drain()
	before := len(probesOf(la))
	w.run(2 * time.Second)
	if n := len(probesOf(la)) - before; n < 9 || n > 11 {
		t.Errorf("%d probes in 2 s in use, want 10", n)
	}
	la.SetUse(w.now, false)
	before = len(probesOf(la))
	w.run(20 * time.Second)
	if n := len(probesOf(la)) - before; n > 7 {
		t.Errorf("%d probes in 20 s, idle again", n)
	}
}

func TestAnyFrameShowsLife(t *testing.T) {
	w, a, b, la, lb := joined(t, 23)
	la.SetUse(w.now, true)
	probe := func(from, _ netip.AddrPort, d []byte) bool {
		return from == b.addr && len(d) == fabric.ControlOverhead+fabric.ProbeLen // probes and their answers
	}
	w.run(time.Second)
	w.tap = probe
	for range 100 {
		b.control(lb, fabric.ControlKeepAlive, bytes.Repeat([]byte{0}, 20))
		w.run(150 * time.Millisecond)
	}
	if !la.IsUp() {
		t.Error("down although control frames came")
	}
	// Data frames are opened by the data plane: the link sees the session's counter.
	data := make([]byte, fabric.Overhead)
	for range 100 {
		fabric.HopHeader{HopLimit: 1, Egress: a.id(), Ingress: b.id()}.Put(data)
		if err := lb.current.StampHop(data); err != nil {
			t.Fatal(err)
		}
		if _, err := la.current.CheckHop(data); err != nil {
			t.Fatal(err)
		}
		w.run(150 * time.Millisecond)
	}
	if !la.IsUp() {
		t.Error("down although data frames came")
	}
	died := w.now
	w.run(2 * time.Second)
	if d := silenceOf(t, la).Sub(died); d > 700*time.Millisecond {
		t.Errorf("noticed after %s", d)
	}
}

func TestALongWayIsNotSilence(t *testing.T) {
	for _, inUse := range []bool{true, false} {
		w, a, b := pair(t, 24)
		w.delay = 400 * time.Millisecond // by a satellite and back: 800 ms
		la := a.dial(b.id(), static(b.credentials), b.addr)
		w.run(5 * time.Second)
		la.SetUse(w.now, inUse)
		w.run(5 * time.Minute)
		if !la.IsUp() {
			t.Errorf("in use %v: %v", inUse, of[fabric.Down](la.events))
		}
		b.deaf = true
		w.run(62 * time.Second)
		silenceOf(t, la)
	}
}

func TestRoundTripIsMeasuredAndChangesAreTold(t *testing.T) {
	w, _, _, la, _ := joined(t, 34)
	la.SetUse(w.now, true)
	w.run(30 * time.Second)
	if s, m := la.RTT(); s != 20*time.Millisecond || m != 20*time.Millisecond {
		t.Fatalf("smoothed %s, minimum %s, want 20 ms", s, m)
	}
	if c := of[fabric.RTTChanged](la.events); len(c) != 0 {
		t.Errorf("told %v without a change", c)
	}
	w.spread = 900 * time.Microsecond // below the step
	w.run(30 * time.Second)
	if c := of[fabric.RTTChanged](la.events); len(c) != 0 {
		t.Errorf("told %v for less than a millisecond", c)
	}
	w.delay, w.spread = 30*time.Millisecond, 0
	w.run(fabric.RTTWindow - time.Second)
	if c := of[fabric.RTTChanged](la.events); len(c) != 0 {
		t.Errorf("told %v while the window has the old way", c)
	}
	w.run(2 * time.Second)
	c := of[fabric.RTTChanged](la.events)
	if len(c) != 1 || c[0].Minimum != 60*time.Millisecond || c[0].Smoothed < 55*time.Millisecond {
		t.Errorf("told %v, want one with 60 ms", c)
	}
	w.delay = 5 * time.Millisecond // a shorter way is told at once
	w.run(time.Second)
	if c := of[fabric.RTTChanged](la.events); len(c) != 2 || c[1].Minimum != 10*time.Millisecond {
		t.Errorf("told %v, want a second with 10 ms", c)
	}
}

func TestVerifyAsksAtOnce(t *testing.T) {
	w, a, _, la, _ := joined(t, 26)
	w.run(5 * time.Minute)
	n := len(of[fabric.Verified](la.events))
	la.Verify(w.now)
	a.drain()
	w.run(30 * time.Millisecond)
	if len(of[fabric.Verified](la.events)) != n+1 {
		t.Error("not verified after a round trip")
	}
}

// A NAT forgets what is silent for longer than the idle probes are apart by default.
func TestIdleProbesAreNoFartherApartThanANATRemembers(t *testing.T) {
	const most = 20 * time.Second
	w, _, _, la, _ := joined(t, 29)
	w.run(10 * time.Minute)
	limited := w.now
	la.LimitIdle(w.now, most)
	w.run(10 * time.Minute)
	last := limited
	for i, e := range la.events {
		if c, ok := e.(fabric.SendControl); ok && c.Kind == fabric.ControlProbe && la.times[i].After(limited) {
			if d := la.times[i].Sub(last); d > most+time.Second { // from an answer on
				t.Errorf("probes %s apart", d)
			}
			last = la.times[i]
		}
	}
	if w.now.Sub(last) > most+time.Second {
		t.Errorf("the last probe was %s ago", w.now.Sub(last))
	}
	la.LimitIdle(w.now, 0)
	w.run(10 * time.Minute)
	probes := probesOf(la)
	if d := probes[len(probes)-1] - probes[len(probes)-2]; d < fabric.IdleProbeLast/2 {
		t.Errorf("without the limit probes are %s apart", d)
	}
}

// What a link costs where every byte is paid for: the network's parameters set the pace.
func TestASlowPaceSpendsLittle(t *testing.T) {
	const hour = time.Hour
	spent := func(pace fabric.Pace, inUse bool) (bytes int) {
		w, a, b, la, lb := joined(t, 33)
		for _, l := range []*siteLink{la, lb} {
			l.SetPace(w.now, pace)
			l.SetUse(w.now, inUse)
		}
		a.drain()
		b.drain()
		w.run(time.Minute)
		from := [2]int{len(la.events), len(lb.events)}
		w.run(hour)
		for i, l := range []*siteLink{la, lb} {
			for _, e := range l.events[from[i]:] {
				if c, ok := e.(fabric.SendControl); ok {
					bytes += fabric.ControlOverhead + len(c.Body) + 20 + 8 // IPv4 and UDP
				}
			}
		}
		if !la.IsUp() || !lb.IsUp() {
			t.Errorf("%+v, in use %v: the link is down", pace, inUse)
		}
		return bytes
	}
	usual := spent(fabric.Pace{}, true)
	slow := spent(fabric.Pace{InUse: 10 * time.Second, IdleFirst: time.Minute, IdleLast: 10 * time.Minute}, true)
	idle := spent(fabric.Pace{}, false)
	t.Logf("an hour, both ends: in use %d bytes, in use at a slow pace %d, idle %d", usual, slow, idle)
	if slow > usual/40 || idle > usual/100 {
		t.Errorf("in use %d bytes, in use at a fiftieth of the pace %d, idle %d", usual, slow, idle)
	}
}
