package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"re6st/actors/system"
	kernel "re6st/hw/ktunnel"
	"re6st/hw/openvpn"
	"re6st/protocols/addr"
	"re6st/protocols/ktunnel"
)

// stage is an openvpnTunnel in virtual time whose TAPs and children are not real.
type stage struct {
	t     *testing.T
	ref   system.Ref[childMessage]
	sys   *system.System
	taps  map[string]int // indices
	next  int
	lives chan *childLife
	fails error // what a child ends with at once

	mu     sync.Mutex
	heard  []tunnelMessage
	serial string // of the node's certificate
}

// childLife is one run of a child.
type childLife struct {
	spec   openvpn.Spec
	report func(openvpn.Event)
	stop   context.Context
	end    chan error
}

// ear is the link.
type ear struct{ s *stage }

func (e ear) Start(*system.Context[tunnelMessage]) error { return nil }
func (e ear) Stop(*system.Context[tunnelMessage])        {}
func (e ear) Handle(_ *system.Context[tunnelMessage], m tunnelMessage) error {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	e.s.heard = append(e.s.heard, m)
	return nil
}

func (s *stage) AddTAP(tap kernel.TAP) error {
	s.next++
	s.taps[tap.Name] = s.next
	return nil
}

func (s *stage) Index(name string) (int, error) { return s.taps[name], nil }
func (s *stage) Remove(name string) error       { delete(s.taps, name); return nil }
func (s *stage) Close()                         {}

func (s *stage) run(stop context.Context, spec openvpn.Spec, report func(openvpn.Event)) error {
	if s.fails != nil {
		return s.fails
	}
	l := &childLife{spec, report, stop, make(chan error, 1)}
	s.lives <- l
	select {
	case err := <-l.end:
		return err
	case <-stop.Done():
		return nil
	}
}

func onStage(t *testing.T, fails error, test func(s *stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, taps: map[string]int{}, lives: make(chan *childLife, 16), fails: fails, serial: "one", sys: system.New(system.Config{})}
		link, err := system.Spawn(s.sys, "link", system.Spec[tunnelMessage]{Kind: "test", New: func() system.Handler[tunnelMessage] { return ear{s} }})
		if err != nil {
			t.Fatal(err)
		}
		cfg := &OpenVPN{
			Open: func() (TAPs, error) { return s, nil }, Run: s.run, Folder: "/run/x",
			Identity: func() (ca, certificate, key []byte, err error) {
				s.mu.Lock()
				defer s.mu.Unlock()
				return nil, []byte(s.serial), nil, nil
			},
			Admit: func(peer addr.NodeID, serial string) error { return fmt.Errorf("%s of %s", serial, peer) },
		}
		wanted, made := new(childSpec), &Kernel{Owner: "re206", Made: new(atomic.Uint32)}
		s.ref, err = system.Spawn(s.sys, "openvpn", system.Spec[childMessage]{Kind: "openvpn", New: func() system.Handler[childMessage] {
			return &openvpnTunnel{kernel: made, cfg: cfg, peer: addr.NodeIDFromUint64(7), link: link, wanted: wanted}
		}})
		if err != nil {
			t.Fatal(err)
		}
		test(s)
		s.sys.Quit()
		<-s.sys.Done()
		if len(s.taps) > 0 {
			t.Errorf("left behind: %v", s.taps)
		}
		time.Sleep(2 * time.Second) // protoactor counts dead letters for a second
	})
}

// tell sends a message and waits until nobody has anything to do.
func (s *stage) tell(m childMessage) {
	s.ref.Tell(m)
	synctest.Wait()
}

// life is the child that was started; nil where none was.
func (s *stage) life() *childLife {
	synctest.Wait()
	select {
	case l := <-s.lives:
		return l
	default:
		return nil
	}
}

// hears are the messages to the link since the last call.
func (s *stage) hears(want ...tunnelMessage) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.heard, want) {
		s.t.Errorf("the link heard %+v, want %+v", s.heard, want)
	}
	s.heard = nil
}

// a tunnel that waits.
func aChild(kind ktunnel.Kind) makeChild {
	return makeChild{childSpec{
		kind: kind, local: netip.MustParseAddrPort("192.0.2.1:5000"), peer: "5/16",
		inside: netip.MustParseAddr("fe80::1"), mtu: 1434, mark: 7,
	}}
}

func TestAChildThatConnectedGivesItsPath(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.tell(aChild(ktunnel.OpenVPNUDP))
		l := s.life()
		if l == nil || l.spec.Device != "re206-o1" || l.spec.Peer != "5/16" || l.spec.MTU != 1434 || l.spec.Mark != 7 || string(l.spec.Certificate) != "one" {
			t.Fatalf("%+v", l)
		}
		if err := l.spec.Admit(openvpn.Client{Serial: "ab"}); err == nil || err.Error() != "ab of "+addr.NodeIDFromUint64(7).String() {
			t.Errorf("admitted by %v", err)
		}
		s.hears()
		l.report(openvpn.Waiting{})
		s.hears()
		l.report(openvpn.Connected{})
		l.report(openvpn.Connected{}) // again, before the first one ends
		made := tunnelMade{"re206-o1", ktunnel.OpenVPNUDP, 1}
		s.hears(made, made)
		l.report(openvpn.Disconnected{})
		s.hears()
		l.report(openvpn.Disconnected{})
		s.hears(tunnelGone{ktunnel.OpenVPNUDP})
	})
}

func TestAChildThatEndedIsStartedAgainLaterAndLater(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.tell(aChild(ktunnel.OpenVPNTCP))
		l, wait := s.life(), childFirst
		for range 10 {
			l.end <- openvpn.ErrEnded
			s.hears(tunnelGone{ktunnel.OpenVPNTCP})
			time.Sleep(wait - time.Millisecond)
			if again := s.life(); again != nil {
				t.Fatalf("before %v", wait)
			}
			time.Sleep(time.Millisecond)
			if l = s.life(); l == nil {
				t.Fatalf("not after %v", wait)
			}
			wait = min(2*wait, childLast)
		}
		if s.next != 1 {
			t.Errorf("%d TAPs; the one stays", s.next)
		}
		l.report(openvpn.Connected{})
		synctest.Wait()
		l.end <- openvpn.ErrEnded
		time.Sleep(childFirst)
		if s.life() == nil {
			t.Error("one that connected does not begin anew")
		}
	})
}

func TestWithoutTheProgramTheKindLacks(t *testing.T) {
	onStage(t, openvpn.ErrMissing, func(s *stage) {
		s.tell(aChild(ktunnel.OpenVPNTCP))
		s.hears(tunnelGone{ktunnel.OpenVPNTCP}, tunnelLacks{ktunnel.OpenVPNTCP})
		time.Sleep(time.Hour)
		s.hears()
		if len(s.taps) > 0 {
			t.Errorf("left behind: %v", s.taps)
		}
	})
}

func TestAnotherTunnelTakesTheChildsPlace(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.tell(aChild(ktunnel.OpenVPNTCP))
		first := s.life()
		s.tell(aChild(ktunnel.OpenVPNTCP))
		if s.life() != nil || first.stop.Err() != nil {
			t.Error("the same again is another")
		}
		s.tell(aChild(ktunnel.OpenVPNUDP))
		second := s.life()
		if first.stop.Err() == nil || second == nil || second.spec.Kind != ktunnel.OpenVPNUDP {
			t.Fatalf("the first lives on, or the second is %+v", second)
		}
		s.tell(removeChild{})
		if second.stop.Err() == nil || len(s.taps) > 0 {
			t.Errorf("it lives on, with %v", s.taps)
		}
	})
}

func TestARenewedCertificateIsShown(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.tell(aChild(ktunnel.OpenVPNTCP))
		first := s.life()
		s.mu.Lock()
		s.serial = "two"
		s.mu.Unlock()
		s.tell(renewChild{})
		second := s.life()
		if first.stop.Err() == nil || second == nil || string(second.spec.Certificate) != "two" {
			t.Errorf("%+v", second)
		}
	})
}

func TestATAPThatSomebodyRemovedIsMadeAgain(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.tell(aChild(ktunnel.OpenVPNTCP))
		l := s.life()
		delete(s.taps, "re206-o1")
		l.end <- errors.New("the TAP is gone")
		time.Sleep(childFirst)
		if l = s.life(); l == nil || s.taps["re206-o2"] != 2 {
			t.Fatalf("%+v, %v", l, s.taps)
		}
		l.report(openvpn.Connected{})
		s.hears(tunnelGone{ktunnel.OpenVPNTCP}, tunnelMade{"re206-o2", ktunnel.OpenVPNTCP, 2})
	})
}
