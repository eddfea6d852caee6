package netcheck_test

import (
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"re6st/actors/netcheck"
	"re6st/hw/netns"
	"re6st/hw/netns/netnstest"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/fabric"
	"re6st/protocols/nat"
	protocol "re6st/protocols/netcheck"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what must come, on a machine that is busy.
const patience = time.Minute

// site is this machine and two nodes, with a router between. The nodes answer as nodes do.
//
//	self 192.168.1.2, fd00:1::2 --- router --- 10.0.0.2, fd00:2::2 nodes (ports 7326 and 7327)
type site struct {
	t                   *testing.T
	self, router, nodes *netns.NS
	ca                  [32]byte
}

var (
	one  = netip.MustParseAddrPort("10.0.0.2:7326")
	two  = netip.MustParseAddrPort("10.0.0.2:7327")
	six  = netip.MustParseAddrPort("[fd00:2::2]:7326")
	none = netip.MustParseAddrPort("10.0.0.2:9") // nobody listens there
)

func newSite(t *testing.T) *site {
	t.Helper()
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the test needs %s, of the Debian packages iproute2 and nftables", tool)
		}
	}
	group := netnstest.NewGroup(t)
	var err error
	s := &site{t: t}
	for name, ns := range map[string]**netns.NS{"self": &s.self, "router": &s.router, "nodes": &s.nodes} {
		if *ns, err = group.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	s.check(netns.Veth(s.self, "eth0", s.router, "in"))
	s.check(netns.Veth(s.router, "out", s.nodes, "eth0"))
	s.do(s.router, "ip addr add 192.168.1.1/24 dev in; ip addr add fd00:1::1/64 dev in; ip addr add 10.0.0.1/24 dev out; ip addr add fd00:2::1/64 dev out; ip link set in up; ip link set out up")
	s.check(s.router.Sysctl("net/ipv4/ip_forward", "1"))
	s.check(s.router.Sysctl("net/ipv6/conf/all/forwarding", "1"))
	s.do(s.self, "ip addr add 192.168.1.2/24 dev eth0; ip addr add fd00:1::2/64 dev eth0; ip link set eth0 up; ip route add default via 192.168.1.1; ip -6 route add default via fd00:1::1")
	s.do(s.nodes, "ip addr add 10.0.0.2/24 dev eth0; ip addr add fd00:2::2/64 dev eth0; ip link set eth0 up; ip route add default via 10.0.0.1; ip -6 route add default via fd00:2::1")
	s.serve()
	return s
}

func (s *site) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// do runs commands of a shell in a namespace.
func (s *site) do(ns *netns.NS, script string) {
	s.t.Helper()
	out, err := exec.Command("ip", "netns", "exec", ns.Name(), "sh", "-e", "-c", script).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// nft gives a namespace a rule set.
func (s *site) nft(ns *netns.NS, rules string) {
	s.t.Helper()
	s.do(ns, "nft -f - <<'EOF'\n"+rules+"\nEOF\n")
}

// serve has the nodes answer.
func (s *site) serve() {
	key, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
	s.check(err)
	ca, err := cert.NewAuthority(rand.Reader, key, netip.MustParsePrefix("2001:db8:42::/48"), time.Now())
	s.check(err)
	s.ca = ca.Fingerprint
	for _, port := range []int{7326, 7327} {
		var conn *net.UDPConn
		s.check(s.nodes.Do(func() (err error) {
			conn, err = net.ListenUDP("udp", &net.UDPAddr{Port: port})
			return err
		}))
		acceptor := fabric.NewAcceptor(fabric.AcceptorConfig{
			Credentials: &fabric.Credentials{Authority: ca.Authority, Identity: &cert.Identity{ID: addr.NodeIDFromUint64(1)}},
			Rand:        rand.Reader, NewIndex: func() uint32 { return 1 },
		})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for buffer := make([]byte, 2048); ; {
				n, from, err := conn.ReadFromUDPAddrPort(buffer)
				if err != nil {
					return
				}
				from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
				acceptor.HandleDatagram(time.Now(), fabric.Path{Remote: from}, buffer[:n])
				acceptor.Drain(func(e fabric.Event) {
					if _, err := conn.WriteToUDPAddrPort(e.(fabric.Send).Datagram, from); err != nil {
						s.t.Log(err)
					}
				})
			}
		}()
		s.t.Cleanup(func() { conn.Close(); <-ended })
	}
}

// ask examines from this machine.
func (s *site) ask(at ...netip.AddrPort) (peers []protocol.Peer, found protocol.NAT) {
	s.t.Helper()
	var asked []protocol.Peer
	for _, a := range at {
		asked = append(asked, protocol.Peer{Address: a})
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	s.check(s.self.Do(func() (err error) {
		peers, found, err = netcheck.Peers(ctx, netcheck.PeerConfig{Fingerprint: s.ca, Peers: asked})
		return err
	}))
	return peers, found
}

func TestInAnOpenNetworkAllAnswerInFullSize(t *testing.T) {
	s := newSite(t)
	peers, found := s.ask(one, two, six)
	for _, p := range peers {
		if !p.Answered || p.RTT == 0 || p.Largest != 1500 || p.TooBig != 0 || !p.Seen.IsValid() {
			t.Errorf("%+v", p)
		}
	}
	if found.Kind != nat.None {
		t.Errorf("behind %s, seen at %v", found.Kind, found.Seen)
	}
	s.check(s.self.Do(func() error {
		four, v6, err := netcheck.Addresses()
		if !slices.Equal(four.Addresses, []netip.Addr{netip.MustParseAddr("192.168.1.2")}) || !slices.Equal(four.Default, []string{"eth0"}) ||
			!slices.Equal(v6.Addresses, []netip.Addr{netip.MustParseAddr("fd00:1::2")}) || !slices.Equal(v6.Default, []string{"eth0"}) {
			t.Errorf("addresses: %+v, %+v", four, v6)
		}
		return err
	}))
	s.check(s.self.Do(func() error {
		four, _, err := netcheck.Addresses(netip.MustParsePrefix("192.168.1.0/24"))
		if len(four.Addresses)+len(four.Default) > 0 {
			t.Errorf("those of the mesh count: %+v", four)
		}
		return err
	}))
}

func TestUDPThatIsDroppedIsSilence(t *testing.T) {
	s := newSite(t)
	s.nft(s.router, "table inet f { chain c { type filter hook forward priority 0; meta l4proto udp drop; }; }")
	if peers, _ := s.ask(one, six); peers[0].Answered || peers[1].Answered || peers[0].Refusal != "" || peers[1].Refusal != "" {
		t.Errorf("%+v", peers)
	}
}

func TestWhatICMPSaysOfUDPIsTold(t *testing.T) {
	s := newSite(t)
	if peers, _ := s.ask(none, one); peers[0].Refusal != string(protocol.NobodyThere) || !peers[1].Answered {
		t.Errorf("nobody listens: %+v", peers)
	}
	s.nft(s.router, "table inet f { chain c { type filter hook forward priority 0; meta l4proto udp reject with icmpx type admin-prohibited; }; }")
	for _, p := range func() []protocol.Peer { p, _ := s.ask(one, six); return p }() {
		if p.Answered || p.Refusal != string(protocol.Filtered) {
			t.Errorf("prohibited: %+v", p)
		}
	}
}

func TestThisMachinesOwnFirewallIsNamed(t *testing.T) {
	s := newSite(t)
	s.nft(s.self, "table inet f { chain c { type filter hook output priority 0; meta l4proto udp drop; }; }")
	for _, p := range func() []protocol.Peer { p, _ := s.ask(one, six); return p }() {
		if p.Answered || p.Refusal != string(protocol.FilteredHere) {
			t.Errorf("%+v", p)
		}
	}
}

func TestWithoutIPv6ThereIsNoRoute(t *testing.T) {
	s := newSite(t)
	s.do(s.self, "ip -6 route del default; ip -6 addr flush dev eth0 scope global")
	peers, _ := s.ask(one, six)
	if !peers[0].Answered || peers[1].Answered || peers[1].Refusal != string(protocol.NoRoute) {
		t.Errorf("%+v", peers)
	}
	s.check(s.self.Do(func() error {
		_, v6, err := netcheck.Addresses()
		if len(v6.Addresses)+len(v6.Default) > 0 {
			t.Errorf("%+v", v6)
		}
		return err
	}))
}

func TestTheNarrowestLinkIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		narrow func(*site)
		told   int
	}{
		"a router that tells": {func(s *site) { s.do(s.router, "ip link set out mtu 1300"); s.do(s.nodes, "ip link set eth0 mtu 1300") }, 1300},
		"a black hole": {func(s *site) {
			s.do(s.router, "ip link set out mtu 1300")
			s.do(s.nodes, "ip link set eth0 mtu 1300")
			s.nft(s.router, "table inet f { chain c { type filter hook output priority 0; icmp type destination-unreachable drop; icmpv6 type packet-too-big drop; }; }")
		}, 0},
		"this machine's interface": {func(s *site) { s.do(s.self, "ip link set eth0 mtu 1300") }, 1300},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			c.narrow(s)
			for _, p := range func() []protocol.Peer { p, _ := s.ask(one, six); return p }() {
				if p.Largest > 1300 || p.Largest < 1297 || p.TooBig == 0 || p.TooBig > 1304 || p.Told != c.told {
					t.Errorf("%+v", p)
				}
			}
		})
	}
}

func TestTheNATIsToldByWhereNodesSeeThisMachine(t *testing.T) {
	for kind, rule := range map[nat.Kind]string{nat.PortRestricted: "masquerade", nat.Random: "masquerade fully-random"} {
		t.Run(kind.String(), func(t *testing.T) {
			s := newSite(t)
			s.nft(s.router, `table ip n { chain c { type nat hook postrouting priority srcnat; oifname "out" `+rule+"; }; }")
			_, found := s.ask(one, two)
			if found.Kind != kind {
				t.Errorf("%s, seen at %v", found.Kind, found.Seen)
			}
			for _, at := range found.Seen {
				if !strings.HasPrefix(at.String(), "10.0.0.1:") {
					t.Errorf("seen at %s", at)
				}
			}
		})
	}
}

func TestAnAnswerIsAwaitedNoLongerThanTheCallerWants(t *testing.T) {
	s := newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.check(s.self.Do(func() error {
		if _, _, err := netcheck.Peers(ctx, netcheck.PeerConfig{Fingerprint: s.ca, Peers: []protocol.Peer{{Address: none}}}); err == nil {
			t.Error("no error, though the caller had gone")
		}
		return nil
	}))
}
