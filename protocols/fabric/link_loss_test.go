package fabric_test

import (
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/fabric"
)

// deafFor has b hear nothing for d, and returns how many of l's probes came to it then.
func deafFor(w *world, b *site, l *siteLink, d time.Duration) (lost int) {
	from := w.now
	b.deaf = true
	w.run(d)
	b.deaf = false
	for _, at := range probesOf(l) {
		if arrived := at + w.delay; arrived > from.Sub(epoch) && arrived <= w.now.Sub(epoch) {
			lost++
		}
	}
	return lost
}

func TestTheLossOfALinkIsThatOfItsProbes(t *testing.T) {
	w, _, b, la, _ := joined(t, 40)
	if l := la.Loss(epoch); l.Lost != 0 {
		t.Errorf("at the beginning: %+v", l)
	}
	la.SetUse(w.now, true)
	w.run(20 * time.Second)
	if l := la.Loss(w.now); l.Lost != 0 || l.Sent < 50 {
		t.Fatalf("nothing was lost: %+v", l)
	}
	want := deafFor(w, b, la, 450*time.Millisecond)
	w.run(3 * time.Second)
	if l := la.Loss(w.now); l.Lost != want || want == 0 {
		t.Errorf("%d probes came to a deaf peer, and %+v", want, l)
	}
	w.run(fabric.LossWindow)
	if l := la.Loss(w.now); l.Lost != 0 || l.Sent < 100 {
		t.Errorf("after %v: %+v", fabric.LossWindow, l)
	}
}

func TestAProbeThatMayStillBeAnsweredIsNotLost(t *testing.T) {
	w, _, _, la, _ := joined(t, 41)
	w.delay = 300 * time.Millisecond
	la.SetUse(w.now, true)
	for range 100 {
		w.run(70 * time.Millisecond)
		if l := la.Loss(w.now); l.Lost != 0 {
			t.Fatalf("at %s: %+v", w.now.Sub(epoch), l)
		}
	}
	if l := la.Loss(w.now); l.Sent == 0 {
		t.Error("no probe was counted")
	}
}

func TestTheLossIsThatOfThePathInUse(t *testing.T) {
	w, a, b, la, lb := busy(t, endpoint(8))
	w.run(10 * time.Second)
	w.tap = func(from, to netip.AddrPort, _ []byte) bool { return from == a.addr || to == a.addr }
	w.until(2*time.Second, "a sends by the other path", func() bool { return la.Path().Local.Addr == endpoint(8).Addr() })
	w.run(10 * time.Second)
	alive(t, a, b, la, lb)
	if l := la.Loss(w.now); l.Lost != 0 || l.Sent == 0 || l.Sent > 80 {
		t.Errorf("10 s after it moved: %+v", l)
	}
}
