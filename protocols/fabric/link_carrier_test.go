package fabric_test

import (
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/fabric"
)

var all = fabric.Reach{Carriers: fabric.AllCarriers, TLSPort: tlsPort}

// carried is a busy pair that has all carriers.
func carried(t *testing.T) (w *world, a, b *site, la, lb *siteLink) {
	w, a, b, la, lb = busy(t)
	la.SetEndpoints([]netip.AddrPort{b.addr})
	lb.SetEndpoints(nil) // a is behind a NAT
	la.SetReach(w.now, all)
	lb.SetReach(w.now, all)
	return w, a, b, la, lb
}

func both(la, lb *siteLink, c fabric.Carrier) func() bool {
	return func() bool { return la.path.Carrier == c && lb.path.Carrier == c }
}

func TestALinkGoesOnByACarrierThatIsNotBlocked(t *testing.T) {
	w, a, b, la, lb := carried(t)
	for _, step := range []struct {
		blocked fabric.CarrierSet
		want    fabric.Carrier
	}{
		{1 << fabric.UDP, fabric.QUIC},
		{1<<fabric.UDP | 1<<fabric.QUIC, fabric.TLS},
		{1<<fabric.UDP | 1<<fabric.TLS, fabric.QUIC},
		{1<<fabric.UDP | 1<<fabric.QUIC, fabric.TLS},
	} {
		w.blocked = step.blocked
		start := w.now
		w.until(3*time.Second, "the link goes by "+step.want.String(), both(la, lb, step.want))
		t.Logf("%s after %s", step.want, w.now.Sub(start))
		w.run(5 * time.Minute) // with new keys
		if !both(la, lb, step.want)() {
			t.Errorf("it left %s for %s and %s", step.want, la.path.Carrier, lb.path.Carrier)
		}
		a.control(la, fabric.ControlBabel, []byte("there"))
		b.control(lb, fabric.ControlBabel, []byte("and back"))
		w.run(time.Second)
		if len(la.got) != 1 || len(lb.got) != 1 {
			t.Errorf("by %s %d and %d frames came", step.want, len(la.got), len(lb.got))
		}
		la.got, lb.got = nil, nil
	}
	alive(t, a, b, la, lb)
	w.blocked = 0
	start := w.now
	w.until(time.Minute, "the link goes by udp again", both(la, lb, fabric.UDP))
	if took := w.now.Sub(start); took > fabric.UpgradeLast+5*time.Second {
		t.Errorf("the return took %s", took)
	}
	w.run(10 * time.Minute)
	alive(t, a, b, la, lb)
	if !both(la, lb, fabric.UDP)() {
		t.Errorf("a goes by %v, b by %v", la.path, lb.path)
	}
}

func TestABetterCarrierIsTakenOnlyAfterSomeAnswers(t *testing.T) {
	w, _, _, la, lb := carried(t)
	w.blocked = 1 << fabric.UDP
	w.until(3*time.Second, "quic", both(la, lb, fabric.QUIC))
	sent := 0
	w.blocked = 0
	w.tap = func(_, _ netip.AddrPort, _ []byte) bool { // one answer at a time comes through
		if w.by != fabric.UDP {
			return false
		}
		sent++
		return sent%4 != 1 && sent%4 != 2
	}
	w.run(5 * time.Minute)
	if sent == 0 || !both(la, lb, fabric.QUIC)() {
		t.Errorf("after %d datagrams by udp, of which half came: %v, %v", sent, la.path, lb.path)
	}
}

func TestADialRacesTheCarriers(t *testing.T) {
	for _, c := range []struct {
		name    string
		blocked fabric.CarrierSet
		reach   fabric.Reach
		want    fabric.Carrier
		within  time.Duration
	}{
		{"nothing blocked", 0, all, fabric.UDP, fabric.RaceStep},
		{"udp blocked", 1 << fabric.UDP, all, fabric.QUIC, 2 * fabric.RaceStep},
		{"udp and quic blocked", 1<<fabric.UDP | 1<<fabric.QUIC, all, fabric.TLS, 3 * fabric.RaceStep},
		{"tls remembered", 1<<fabric.UDP | 1<<fabric.QUIC, fabric.Reach{Carriers: fabric.AllCarriers, TLSPort: tlsPort, First: fabric.TLS}, fabric.TLS, fabric.RaceStep},
		{"tls remembered, not served", 0, fabric.Reach{Carriers: fabric.AllCarriers, First: fabric.TLS}, fabric.UDP, fabric.RaceStep},
		{"tls alone", 0, fabric.Reach{Carriers: 1 << fabric.TLS, TLSPort: tlsPort}, fabric.TLS, fabric.RaceStep},
	} {
		w, a, b := pair(t, 1)
		w.blocked = c.blocked
		l := a.open(b.id(), nil)
		l.SetReach(w.now, c.reach)
		l.Dial(w.now, []netip.AddrPort{b.addr})
		a.drain()
		start := w.now
		w.until(3*time.Second, c.name+": the link is up", l.IsUp)
		if took := w.now.Sub(start); l.path.Carrier != c.want || took > c.within {
			t.Errorf("%s: up by %s after %s", c.name, l.path.Carrier, took)
		}
	}
}

// Nobody learns anything new where the network has one carrier, as before there were others.
func TestUDPAloneIsTriedWhereNothingIsSaid(t *testing.T) {
	w, a, b := pair(t, 1)
	w.blocked = 1 << fabric.UDP
	others := 0
	w.tap = func(_, _ netip.AddrPort, _ []byte) bool { others++; return false }
	l := a.dial(b.id(), nil, b.addr)
	w.run(10 * time.Second)
	if others > 0 || !l.IsDown() {
		t.Errorf("%d datagrams went by others, down: %v", others, l.IsDown())
	}
}
