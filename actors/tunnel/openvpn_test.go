package tunnel

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"math/big"
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
	"re6st/protocols/cert"
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
	open  bool  // the kernel has no filters

	mu     sync.Mutex
	heard  []tunnelMessage
	serial string // of the node's certificate
	list   *cert.RevocationList
}

// stagePeer is the node at the other end.
var stagePeer = addr.NodeIDFromUint64(7)

// revoke brings a list of serial numbers.
func (s *stage) revoke(entries ...cert.Revocation) {
	s.t.Helper()
	key, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
	if err != nil {
		s.t.Fatal(err)
	}
	ca, err := cert.NewAuthority(rand.Reader, key, netip.MustParsePrefix("2001:db8:42::/48"), time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	list, err := ca.SignRevocations(rand.Reader, 1, entries, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.list = list
	s.mu.Unlock()
	s.tell(judgeChild{})
}

// entry is one of such a list.
func entry(serial int64, node addr.NodeID, why cert.Reason) cert.Revocation {
	return cert.Revocation{Serial: big.NewInt(serial), Node: node, Time: time.Now(), Reason: why}
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
	if s.open == (tap.Port != 0 && !tap.Unfiltered) {
		return kernel.ErrUnfiltered
	}
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
			Revocations: func() *cert.RevocationList {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.list
			},
		}
		wanted, made := new(childSpec), &Kernel{Owner: "re206", Port: 4000, Made: new(atomic.Uint32)}
		s.ref, err = system.Spawn(s.sys, "openvpn", system.Spec[childMessage]{Kind: "openvpn", New: func() system.Handler[childMessage] {
			return &openvpnTunnel{kernel: made, cfg: cfg, peer: stagePeer, link: link, wanted: wanted}
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
		time.Sleep(2 * time.Second) // protoactor counts dead letters for a moment
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
		s.revoke(entry(0xab, stagePeer, cert.Superseded))
		for serial, want := range map[string]error{"ab": errCertificateRevoked, "ac": nil, "": errCertificateRevoked} {
			if err := l.spec.Admit(openvpn.Client{Serial: serial}); !errors.Is(err, want) {
				t.Errorf("serial number %q: %v, want %v", serial, err, want)
			}
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

func TestWhereAKernelHasNoFiltersTheTAPIsMadeAllTheSame(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.open = true
		s.tell(aChild(ktunnel.OpenVPNTCP))
		if l := s.life(); l == nil || len(s.taps) != 1 {
			t.Errorf("%+v, %v", l, s.taps)
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

// dialled is a tunnel whose other end waits.
func dialled(kind ktunnel.Kind) makeChild {
	m := aChild(kind)
	m.local, m.remote = netip.AddrPort{}, netip.MustParseAddrPort("192.0.2.2:5000")
	return m
}

func TestNeitherEndGoesOnWithARevokedPeer(t *testing.T) {
	for what, made := range map[string]makeChild{"the end that waits": aChild(ktunnel.OpenVPNTCP), "the end that dials": dialled(ktunnel.OpenVPNTCP)} {
		onStage(t, nil, func(s *stage) {
			s.tell(made)
			l := s.life()
			l.report(openvpn.Connected{Client: openvpn.Client{Serial: "ab"}})
			s.hears(tunnelMade{"re206-o1", ktunnel.OpenVPNTCP, 1})
			s.revoke(entry(1, addr.NodeIDFromUint64(8), cert.KeyCompromise))
			if l.stop.Err() != nil {
				t.Errorf("%s ends for another's sake", what)
			}
			s.revoke(entry(1, stagePeer, cert.KeyCompromise))
			if l.stop.Err() == nil {
				t.Errorf("%s goes on", what)
			}
			time.Sleep(time.Hour)
			if s.life() != nil {
				t.Errorf("%s begins anew", what)
			}
		})
	}
}

func TestTheEndThatWaitsLeavesWhoCameByARevokedCertificate(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.tell(aChild(ktunnel.OpenVPNUDP))
		l := s.life()
		l.report(openvpn.Connected{Client: openvpn.Client{Serial: "ab"}})
		l.report(openvpn.Connected{Client: openvpn.Client{Serial: "ac"}})
		l.report(openvpn.Disconnected{Client: openvpn.Client{Serial: "ab"}})
		s.revoke(entry(0xab, stagePeer, cert.Superseded)) // which is gone
		if l.stop.Err() != nil {
			t.Fatal("it leaves who came by another")
		}
		s.revoke(entry(0xac, stagePeer, cert.Superseded))
		if again := s.life(); l.stop.Err() == nil || again == nil {
			t.Errorf("it goes on, or waits no more: %+v", again)
		}
	})
}

// Only its child sees by which certificate the other end came.
func TestTheEndThatDialsBeginsAnewWithAListThatNamesThePeer(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.tell(dialled(ktunnel.OpenVPNUDP))
		l := s.life()
		if l.spec.Revocations != nil {
			t.Errorf("there is no list, and it has %s", l.spec.Revocations)
		}
		s.revoke(entry(1, addr.NodeIDFromUint64(8), cert.KeyCompromise))
		if l.stop.Err() != nil {
			t.Fatal("it ends for another's sake")
		}
		s.revoke(entry(1, stagePeer, cert.Superseded))
		again := s.life()
		if l.stop.Err() == nil || again == nil || !bytes.Equal(again.spec.Revocations, cert.EncodeRevocations(s.list)) {
			t.Fatalf("it goes on, or is %+v", again)
		}
		s.revoke(entry(1, stagePeer, cert.Superseded)) // no news
		if again.stop.Err() != nil {
			t.Error("it ends without a reason")
		}
	})
}
