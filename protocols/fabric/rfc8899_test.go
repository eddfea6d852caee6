package fabric_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/fabric"
)

// narrow has a world lose what of a link is longer than so many bytes.
func (w *world) narrow(limit int) {
	w.tap = func(_, _ netip.AddrPort, d []byte) bool {
		t, err := fabric.TypeOf(d)
		return len(d) > limit && err == nil && !t.IsHandshake()
	}
}

// flow has a link in use send n full frames every 10 ms for d, of which only the link's keys hear.
func (w *world) flow(l *siteLink, n int, d time.Duration) {
	frame := make([]byte, 1452)
	for end := w.now.Add(d); w.now.Before(end); w.run(10 * time.Millisecond) {
		for range n {
			if err := l.current.StampHop(frame); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// mtuProbes is how many probes of sizes a link sent, and their bytes.
func mtuProbes(events []fabric.Event) (n, bytes int) {
	for _, c := range of[fabric.SendControl](events) {
		if c.Kind == fabric.ControlMTUProbe {
			n, bytes = n+1, bytes+len(c.Body)+fabric.ControlOverhead
		}
	}
	return n, bytes
}

// searched is a pair whose link has found what its path carries, in use at both ends.
func searched(t *testing.T, seed uint64, limit int) (w *world, a, b *site, la, lb *siteLink) {
	t.Helper()
	w, a, b = pair(t, seed)
	w.narrow(limit)
	la = a.dial(b.id(), static(b.credentials), b.addr)
	w.until(3*time.Second, "MTU known at both ends", func() bool {
		lb = b.live(a.id())
		return lb != nil && la.MTU() > 0 && lb.MTU() > 0
	})
	la.SetUse(w.now, true)
	lb.SetUse(w.now, true)
	w.run(time.Second)
	return w, a, b, la, lb
}

// Of most of the usual lengths of packets, exactly what they leave for a datagram.
func TestSection5_3_TheSearchFindsWhatAPathCarries(t *testing.T) {
	for limit, want := range map[int]int{
		700: 548, 1100: 1024, 1180: 1180, 1199: 1180, 1200: 1200, 1240 - 28: 1212, 1280 - 48: 1232, 1280 - 28: 1252, 1300 - 28: 1272,
		1360 - 48: 1312, 1400 - 28: 1372, 1452 - 48: 1404, 1492 - 28: 1464, 1500 - 48: 1452, 1500 - 28: 1472, 1600: 1472,
		9000 - 48: 8952, 9000 - 28: 8972, 65000: 8972,
	} {
		_, _, _, la, lb := searched(t, 90, limit)
		if la.MTU() != want || lb.MTU() != want {
			t.Errorf("of %d bytes the ends found %d and %d, want %d", limit, la.MTU(), lb.MTU(), want)
		}
		if c := of[fabric.MTUChanged](la.events); len(c) != 1 || c[0] != (fabric.MTUChanged{MTU: want}) {
			t.Errorf("of %d bytes told %+v, want only what was found", limit, c)
		}
		if n, bytes := mtuProbes(la.events); n > 45 || bytes > 60_000 && want < 4072 || bytes > 100_000 {
			t.Errorf("of %d bytes: %d probes of %d bytes", limit, n, bytes)
		}
	}
}

func TestSection4_3_ABlackHoleIsFoundUnderTraffic(t *testing.T) {
	for seed := range uint64(20) {
		for limit, want := range map[int]int{1300 - 28: 1272, 1240 - 28: 1212, 1280 - 48: 1232, 1190: 1180} {
			w, _, _, la, lb := searched(t, 91+seed, 1472)
			w.flow(la, 17, 2*time.Second+time.Duration(seed)*11*time.Millisecond)
			fell := w.now
			w.narrow(limit)
			for la.MTU() != want && w.now.Sub(fell) < 5*time.Second {
				w.flow(la, 17, 10*time.Millisecond)
			}
			if d := w.now.Sub(fell); d > 1200*time.Millisecond {
				t.Fatalf("to %d: MTU %d after %v", limit, la.MTU(), d)
			}
			last := of[fabric.MTUChanged](la.events)
			if c := last[len(last)-1]; len(last) != 2 || !c.BlackHole {
				t.Errorf("to %d: told %+v", limit, last)
			}
			if !la.IsUp() || lb.MTU() != 1472 {
				t.Errorf("the end that sends nothing long came to %d", lb.MTU())
			}
		}
	}
}

// Also where the answers to a full frame are few: it is RTOs that send then.
func TestSection4_3_ABlackHoleIsFoundWithFewFrames(t *testing.T) {
	w, _, _, la, _ := searched(t, 92, 1472)
	w.narrow(1272)
	for range 3 {
		w.flow(la, 1, 10*time.Millisecond)
		w.run(490 * time.Millisecond)
	}
	w.run(time.Second)
	if la.MTU() != 1272 {
		t.Errorf("MTU %d", la.MTU())
	}
}

func TestSection4_3_LossIsNoBlackHole(t *testing.T) {
	for _, loss := range []float64{0.1, 0.2, 0.3} {
		for seed := range uint64(4) {
			w, _, _, la, _ := searched(t, 93+seed, 1472)
			w.loss = loss
			w.flow(la, 17, 3*time.Minute)
			if c := of[fabric.MTUChanged](la.events); len(c) != 1 {
				t.Errorf("loss %v, seed %d: told %+v", loss, seed, c)
			}
		}
	}
}

// Where nothing passes at all it is liveness that tells.
func TestSection4_3_SilenceIsNoBlackHole(t *testing.T) {
	w, _, _, la, _ := searched(t, 94, 1472)
	w.flow(la, 17, time.Second)
	w.narrow(0)
	w.flow(la, 17, 600*time.Millisecond)
	w.narrow(1472)
	w.flow(la, 17, 3*time.Second)
	if c := of[fabric.MTUChanged](la.events); len(c) != 1 || !la.IsUp() {
		t.Errorf("up %v, told %+v", la.IsUp(), c)
	}
}

func TestSection5_1_1_LongerSizesAreTriedAgainWhileThereIsTraffic(t *testing.T) {
	w, _, _, la, _ := searched(t, 95, 1272)
	w.narrow(1472)
	w.run(fabric.MTURaiseAfter + time.Minute)
	if la.MTU() != 1272 {
		t.Errorf("MTU %d without traffic", la.MTU())
	}
	w.flow(la, 1, 2*time.Second)
	if la.MTU() != 1472 {
		t.Errorf("MTU %d, want it raised", la.MTU())
	}
	if c := of[fabric.MTUChanged](la.events); len(c) != 2 || c[1].BlackHole {
		t.Errorf("told %+v", c)
	}
}

// QUIC searches at the same time, and may be later: its path is tried again soon, once.
func TestSection5_1_1_ByQUICLongerSizesAreTriedAgainSoon(t *testing.T) {
	w, a, b := pair(t, 95)
	w.narrow(1180)
	la := a.open(b.id(), nil)
	la.SetReach(w.now, fabric.Reach{Carriers: 1 << fabric.QUIC})
	la.Dial(w.now, []netip.AddrPort{b.addr})
	a.drain()
	w.until(3*time.Second, "MTU known", func() bool { return la.MTU() == 1180 })
	la.SetUse(w.now, true)
	w.narrow(1392)
	w.flow(la, 17, fabric.MTURaiseQUIC+2*time.Second)
	if la.MTU() != 1392 {
		t.Errorf("MTU %d, want it raised", la.MTU())
	}
	w.narrow(1472)
	w.flow(la, 17, fabric.MTURaiseAfter/2)
	if la.MTU() != 1392 {
		t.Errorf("MTU %d, want it raised not before %s", la.MTU(), fabric.MTURaiseAfter)
	}
}

func TestQuietLinksProbeNoSizes(t *testing.T) {
	w, _, _, la, lb := searched(t, 96, 1472)
	before := len(la.events) + len(lb.events)
	w.run(time.Hour)
	if len(la.events)+len(lb.events) == before {
		t.Error("no event in an hour")
	}
	for _, l := range []*siteLink{la, lb} {
		if n, _ := mtuProbes(l.events); n > 25 {
			t.Errorf("%d probes", n)
		}
	}
}

func TestSection5_1_1_ConfirmationsCostLittle(t *testing.T) {
	w, _, _, la, _ := searched(t, 97, 1472)
	n := len(la.events)
	w.flow(la, 17, time.Minute)
	_, bytes := mtuProbes(la.events[n:])
	if sent := 60 * 100 * 17 * 1452; bytes == 0 || bytes > sent/200 {
		t.Errorf("%d bytes of probes for %d of frames", bytes, sent)
	}
}

func TestSection4_4_AnInterfaceThatRefusesLowersAtOnce(t *testing.T) {
	w, a, _, la, _ := searched(t, 98, 1472)
	w.narrow(1272)
	la.HandleTooBig(w.now, 1452)
	a.drain()
	if la.MTU() != 1444 {
		t.Errorf("MTU %d, want the longest that is shorter than what was refused", la.MTU())
	}
	la.current.NoteTooBig(1400) // of a frame, as the packet path has it
	la.current.NoteTooBig(1300)
	la.current.NoteTooBig(1400)
	w.run(time.Second)
	if la.MTU() != 1272 {
		t.Errorf("MTU %d", la.MTU())
	}
	if c := of[fabric.MTUChanged](la.events); len(c) != 3 || c[1].BlackHole || c[2].BlackHole {
		t.Errorf("told %+v", c)
	}
}

// A probe that the own interface refuses need not be waited for.
func TestSection4_4_RefusedProbesCostNoTime(t *testing.T) {
	w, a, b := pair(t, 99)
	w.narrow(1452)
	la := a.dial(b.id(), static(b.credentials), b.addr)
	up := time.Time{}
	w.until(time.Second, "MTU known", func() bool {
		for _, c := range of[fabric.SendControl](la.events) {
			if n := len(c.Body) + fabric.ControlOverhead; n > 1452 {
				la.HandleTooBig(w.now, n)
				a.drain()
			}
		}
		if up.IsZero() && la.IsUp() {
			up = w.now
		}
		return la.MTU() > 0
	})
	if d := w.now.Sub(up); la.MTU() != 1452 || d > 150*time.Millisecond {
		t.Errorf("MTU %d after %v", la.MTU(), d)
	}
}

func TestSection5_2_APeerThatKnowsNoProbesLeavesItUnknown(t *testing.T) {
	w, a, b := pair(t, 100)
	b.old = true
	la := a.dial(b.id(), static(b.credentials), b.addr)
	w.run(time.Minute)
	n, _ := mtuProbes(la.events)
	if la.MTU() != 0 || !la.IsUp() || n > 6*fabric.MTUSilentRounds {
		t.Errorf("MTU %d, up %v, %d probes", la.MTU(), la.IsUp(), n)
	}
	w.flow(la, 17, time.Minute)
	if again, _ := mtuProbes(la.events); again != n {
		t.Errorf("%d probes more with traffic", again-n)
	}
	b.old = false
	w.run(fabric.MTURaiseAfter)
	w.flow(la, 17, 5*time.Second)
	if la.MTU() != fabric.MaxPLPMTU {
		t.Errorf("MTU %d once the peer is a new one", la.MTU())
	}
}

// Section 3, item 8: another path is another MTU; the last one is gone on with until it is
// known, for a kernel that was told of a short one remembers that for long.
func TestSection3_AnotherPathIsSearchedAnewAndRemembered(t *testing.T) {
	w, a, _, la, _ := searched(t, 101, 1472)
	home, away := a.addr, endpoint(77)
	w.tap = func(from, to netip.AddrPort, d []byte) bool {
		return len(d) > 1372 && (from == away || to == away) || len(d) > 1472
	}
	move := func(to netip.AddrPort) {
		a.move(to)
		la.SetUplinks(w.now, []fabric.Uplink{{Local: fabric.Local{Addr: to.Addr(), Interface: 0}, Default: true}})
		a.drain()
	}
	move(home)
	w.run(2 * time.Second)
	move(away)
	w.run(2 * time.Second)
	if la.MTU() != 1372 {
		t.Fatalf("MTU %d by the other path", la.MTU())
	}
	n := len(la.events)
	move(home)
	w.run(2 * time.Second)
	if probes, _ := mtuProbes(la.events[n:]); la.MTU() != 1472 || probes > 6 {
		t.Errorf("back: MTU %d by %d probes, want it remembered", la.MTU(), probes)
	}
	for i := range uint16(2 * fabric.MaxMTUPaths) {
		move(endpoint(200 + i))
		w.run(time.Second)
	}
	n = len(la.events)
	move(home)
	w.run(2 * time.Second)
	if probes, _ := mtuProbes(la.events[n:]); la.MTU() != 1472 || probes <= 2 {
		t.Errorf("after many others: MTU %d by %d probes, want a search", la.MTU(), probes)
	}
}

func TestSection5_3_2_SizesAreThoseOfUsualPaths(t *testing.T) {
	var got []int
	for size := fabric.MaxPLPMTU + 1; size > fabric.MinPLPMTU; size = got[len(got)-1] {
		got = append(got, fabric.PLPMTUBelow(size))
	}
	for _, outer := range []int{1280, 1300, 1360, 1400, 1420, 1452, 1500, 9000} {
		if !slices.Contains(got, outer-48) || !slices.Contains(got, outer-28) && outer != 1452 && outer != 1300 && outer != 1360 {
			t.Errorf("no size for packets of %d bytes", outer)
		}
	}
	if fabric.PLPMTUBelow(1) != fabric.MinPLPMTU || fabric.PLPMTUBelow(1272) != 1252 || fabric.PLPMTUBelow(1273) != 1272 {
		t.Error("the size below another is wrong")
	}
}
