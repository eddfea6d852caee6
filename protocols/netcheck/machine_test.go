package netcheck_test

import (
	"crypto/rand"
	"errors"
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/fabric"
	"re6st/protocols/netcheck"
)

var (
	start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	self  = netip.MustParseAddrPort("192.0.2.1:7326")
	one   = netip.MustParseAddrPort("192.0.2.2:7326")
	six   = netip.MustParseAddrPort("[2001:db8::2]:7326")
)

// way is what is between this node and a target, which is a real responder.
type way struct {
	delay  time.Duration // there and back
	mtu    int           // of the narrowest link; 0: none
	tells  bool          // a router tells of what is too big
	lies   int           // and says this; 0: the truth
	silent bool
	drops  int // every so many datagrams; 0: none
	refuse netcheck.Refusal
	nat    netip.AddrPort // not valid: none
}

// world is in virtual time.
type world struct {
	t        *testing.T
	now      time.Time
	acceptor *fabric.Acceptor
	ca       [32]byte
	ways     map[netip.AddrPort]*way
	sent     int
}

func newWorld(t *testing.T, ways map[netip.AddrPort]*way) *world {
	key, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := cert.NewAuthority(rand.Reader, key, netip.MustParsePrefix("2001:db8:42::/48"), start)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, now: start, ca: ca.Fingerprint, ways: ways}
	w.acceptor = fabric.NewAcceptor(fabric.AcceptorConfig{
		Credentials: &fabric.Credentials{Authority: ca.Authority, Identity: &cert.Identity{ID: addr.NodeIDFromUint64(1)}},
		Rand:        rand.Reader, NewIndex: func() uint32 { return 1 },
	})
	return w
}

type arrival struct {
	at       time.Time
	datagram []byte
	tooBig   int
	to       netip.AddrPort
}

// run examines to the end.
func (w *world) run(c netcheck.Config) []netcheck.Result {
	w.t.Helper()
	c.Fingerprint = w.ca
	m := netcheck.New(w.now, c)
	var queue []arrival
	add := func(a arrival) {
		i := len(queue)
		for i > 0 && queue[i-1].at.After(a.at) {
			i--
		}
		queue = append(queue[:i], append([]arrival{a}, queue[i:]...)...)
	}
	for range 10000 {
		m.Drain(func(e netcheck.Event) {
			s := e.(netcheck.Send)
			w.sent++
			p := w.ways[s.To]
			if p.refuse != "" {
				m.HandleRefused(s.To, p.refuse)
			}
			headers := 28
			if s.To.Addr().Is6() {
				headers = 48
			}
			if p.mtu > 0 && headers+len(s.Datagram) > p.mtu {
				told := p.mtu
				if p.lies > 0 {
					told = p.lies
				}
				if p.tells {
					add(arrival{at: w.now.Add(p.delay), to: s.To, tooBig: told})
				}
				return
			}
			if p.silent || p.drops > 0 && w.sent%p.drops == 0 {
				return
			}
			from := self
			if p.nat.IsValid() {
				from = p.nat
			}
			w.acceptor.HandleDatagram(w.now, fabric.Path{Remote: from}, s.Datagram)
			w.acceptor.Drain(func(e fabric.Event) {
				add(arrival{at: w.now.Add(p.delay), datagram: e.(fabric.Send).Datagram})
			})
		})
		next, ok := m.NextTimeout()
		if !ok {
			return m.Results()
		}
		if len(queue) > 0 && !queue[0].at.After(next) {
			a := queue[0]
			queue = queue[1:]
			w.now = a.at
			if a.tooBig > 0 {
				m.HandleTooBig(w.now, a.to, a.tooBig)
			} else {
				m.HandleDatagram(w.now, a.datagram)
			}
			continue
		}
		w.now = next
		m.HandleTimeout(w.now)
	}
	w.t.Fatal("it does not end")
	return nil
}

func TestATargetThatAnswersTellsWhereItSeesUs(t *testing.T) {
	outside := netip.MustParseAddrPort("203.0.113.9:40000")
	w := newWorld(t, map[netip.AddrPort]*way{one: {delay: 20 * time.Millisecond, nat: outside}, six: {delay: 70 * time.Millisecond}})
	got := w.run(netcheck.Config{Targets: []netip.AddrPort{one, six}})
	want := []netcheck.Result{
		{Target: one, Answered: true, RTT: 20 * time.Millisecond, Seen: outside},
		{Target: six, Answered: true, RTT: 70 * time.Millisecond, Seen: self},
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
	if w.sent != 2 {
		t.Errorf("%d questions", w.sent)
	}
}

func TestASilentTargetIsAskedAFewTimes(t *testing.T) {
	w := newWorld(t, map[netip.AddrPort]*way{one: {silent: true}})
	got := w.run(netcheck.Config{Targets: []netip.AddrPort{one}, Sizes: true})
	if got[0] != (netcheck.Result{Target: one}) || w.sent != netcheck.Tries {
		t.Errorf("%+v after %d questions", got[0], w.sent)
	}
}

func TestALostDatagramIsNotSilence(t *testing.T) {
	w := newWorld(t, map[netip.AddrPort]*way{one: {drops: 2, delay: time.Millisecond}})
	w.sent = 1 // the first is lost
	if got := w.run(netcheck.Config{Targets: []netip.AddrPort{one}}); !got[0].Answered {
		t.Errorf("%+v", got[0])
	}
}

func TestTheLargestPacketIsFound(t *testing.T) {
	for _, c := range []struct {
		name                        string
		to                          netip.AddrPort
		way                         way
		least, most, tooBig, toldBy int // tooBig is at most this
	}{
		{"all pass", one, way{}, 1500, 1500, 0, 0},
		{"a router tells", one, way{mtu: 1420, tells: true}, 1420, 1420, 1421, 1420},
		{"a black hole", one, way{mtu: 1300}, 1297, 1300, 1304, 0},
		{"the same over IPv6", six, way{mtu: 1300}, 1297, 1300, 1304, 0},
		{"a black hole that loses some", one, way{mtu: 1300, drops: 5}, 1290, 1300, 1304, 0},
		{"one byte less than all", one, way{mtu: 1499}, 1496, 1499, 1500, 0},
		{"nothing of use", one, way{mtu: 800}, 0, 0, 1200, 0},
		{"a router that says too much", one, way{mtu: 1300, tells: true, lies: 1450}, 1297, 1300, 1304, 1450},
		{"a router that says too little", one, way{mtu: 1400, tells: true, lies: 1250}, 1250, 1250, 1251, 1250},
		{"a router that says nothing of use", one, way{mtu: 1400, tells: true, lies: 68}, 1397, 1400, 1404, 68},
	} {
		c.way.delay = 10 * time.Millisecond
		w := newWorld(t, map[netip.AddrPort]*way{c.to: &c.way})
		got := w.run(netcheck.Config{Targets: []netip.AddrPort{c.to}, Sizes: true})[0]
		if got.Largest < c.least || got.Largest > c.most || got.TooBig > c.tooBig || (got.TooBig == 0) != (c.tooBig == 0) || got.Told != c.toldBy {
			t.Errorf("%s: %+v", c.name, got)
		}
		if w.sent > 40 {
			t.Errorf("%s: %d questions", c.name, w.sent)
		}
	}
}

func TestWhatTheKernelSaysIsTold(t *testing.T) {
	w := newWorld(t, map[netip.AddrPort]*way{one: {silent: true, refuse: netcheck.NobodyThere}, six: {refuse: netcheck.Filtered}})
	got := w.run(netcheck.Config{Targets: []netip.AddrPort{one, six}})
	if got[0].Answered || got[0].Refusal != netcheck.NobodyThere {
		t.Errorf("%+v", got[0])
	}
	if !got[1].Answered || got[1].Refusal != netcheck.NotRefused {
		t.Errorf("who answers in spite of it: %+v", got[1])
	}
}

func TestHowManyAreAskedIsBounded(t *testing.T) {
	ways := map[netip.AddrPort]*way{}
	var all []netip.AddrPort
	for i := range netcheck.MaxTargets + 5 {
		to := netip.AddrPortFrom(one.Addr(), uint16(1000+i))
		ways[to], all = &way{}, append(all, to)
	}
	w := newWorld(t, ways)
	if got := w.run(netcheck.Config{Targets: all}); len(got) != netcheck.MaxTargets || w.sent != netcheck.MaxTargets {
		t.Errorf("%d results, %d questions", len(got), w.sent)
	}
}

// FuzzMachine: whatever comes back, the machine ends, and asks no more than it may.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{0x14, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, uint16(1300))
	f.Add([]byte(nil), uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, mtu uint16) {
		now, sent := start, 0
		m := netcheck.New(now, netcheck.Config{Targets: []netip.AddrPort{one, six}, Sizes: true})
		for range 500 {
			m.Drain(func(e netcheck.Event) {
				sent++
				m.HandleTooBig(now, e.(netcheck.Send).To, int(mtu))
			})
			m.HandleDatagram(now, b)
			next, ok := m.NextTimeout()
			if !ok {
				break
			}
			if next.Before(now) {
				t.Fatal(errors.New("a timeout in the past"))
			}
			now = next
			m.HandleTimeout(now)
		}
		if _, ok := m.NextTimeout(); ok || sent > 2*netcheck.Tries*12 {
			t.Fatalf("%d questions, and it goes on: %v", sent, ok)
		}
	})
}
