package node

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"re6st/actors/monitor"
	"re6st/hw/dataplane"
	"re6st/hw/hwtest"
	"re6st/hw/netlink"
	"re6st/hw/netns"
	"re6st/protocols/addr"
	wire "re6st/protocols/registry"
	"re6st/protocols/tunnelplan"
)

// newIPv4LAN is a network with IPv4, and a node n3 that reaches the others by n2 alone:
//
//	n3 under0 ---- under1 n2 under0 ---- under0 n1 veth0 ---- veth0 other
func newIPv4LAN(t *testing.T) (l *lan, n3 *netns.NS) {
	t.Helper()
	l = newLAN(t)
	l.params = func(p *wire.Params) { p.IPv4 = netip.MustParsePrefix("10.42.0.0/16") }
	n3, err := l.group.Create("n3")
	l.check(err)
	l.check(netns.Veth(l.n2, "under1", n3, "under0"))
	l.ip(l.n2, "addr add 198.51.100.2/24 dev under1")
	l.ip(n3, "addr add 198.51.100.3/24 dev under0")
	return l, n3
}

// at is node i as another may remember it.
func at(i int, endpoint string) tunnelplan.Peer {
	return tunnelplan.Peer{ID: addr.NodeIDFromUint64(uint64(i)), Endpoints: []netip.AddrPort{netip.MustParseAddrPort(endpoint)}}
}

func TestIPv4GoesOverARelay(t *testing.T) {
	const one, three, theirs, foreign = "10.42.1.1", "10.42.3.1", "192.168.77.1", "203.0.113.0/24"
	l, n3 := newIPv4LAN(t)
	l.check(l.n1.Sysctl("net/ipv4/ip_forward", "0"))
	l.check(l.other.Sysctl("net/ipv4/ip_forward", "1"))
	l.ip(l.other, "addr add "+theirs+"/24 dev lan0")
	l.start(l.other, "", "babeld", "-I", filepath.Join(t.TempDir(), "pid"), "-S", filepath.Join(t.TempDir(), "state"), "-c", "/dev/null",
		"-C", "interface veth0 type wired hello-interval 1 update-interval 4 v4-via-v6 true", "-C", "redistribute local ip 192.168.77.0/24 allow",
		"-C", "redistribute local deny", "veth0")
	l.ip(n3, "route add "+foreign+" dev lo proto static")
	stop1 := l.node(l.n1, 1, "trusted = [\"veth0\"]\n")
	l.node(l.n2, 2, "", at(1, "192.0.2.1:7326"))
	stop3 := l.node(n3, 3, "", at(2, "198.51.100.2:7326"))

	l.eventually("n1 answers n3", func() bool { return l.answers(n3, one, "1") })
	for _, size := range []string{"8", "1352", "6000"} { // of 1380 bytes, and of several fragments
		l.ping(n3, "-c", "3", "-i", "0.2", "-w", "10", "-s", size, one)
	}
	l.ping(n3, "-c", "2", "-i", "0.2", "-w", "10", "-M", "do", "-s", "1352", one)
	l.ping(l.n1, "-c", "2", "-i", "0.2", "-w", "10", three)
	l.transfer(n3, l.n1, one)

	t.Run("a LAN behind babeld", func(t *testing.T) {
		l.eventually("n3 has its route", func() bool {
			return strings.Contains(l.ip(n3, "-4 -N route show 192.168.77.0/24")+l.ip(n3, "-4 -N route show "+theirs), "dev re6st0 proto 206")
		})
		l.eventually("it answers", func() bool { return l.answers(n3, theirs, "1") })
		l.ping(n3, "-c", "3", "-i", "0.2", "-w", "10", theirs)
		l.ping(l.other, "-c", "3", "-i", "0.2", "-w", "10", "-I", theirs, three)
		if got := l.ip(l.other, "-4 -N route show 10.42.3.0/24"); !strings.Contains(got, "via inet6 "+l.linkLocal(l.n1, "veth0")) {
			t.Errorf("babeld's route to n3: %q", got)
		}
	})
	t.Run("nothing is left", func(t *testing.T) {
		l.check(stop3())
		l.check(stop1())
		for _, ns := range []*netns.NS{l.n1, n3} {
			if got := l.ip(ns, "-4 route show proto 206") + l.ip(ns, "-4 -N route show dev under0 scope global"); strings.TrimSpace(got) != "" {
				t.Errorf("routes: %s", got)
			}
			if got := l.ip(ns, "-4 addr show"); strings.Contains(got, "10.42.") {
				t.Errorf("addresses: %s", got)
			}
		}
		if got := l.ip(n3, "-4 -N route show "+foreign); !strings.Contains(got, "dev lo") {
			t.Errorf("the administrator's route is gone: %q", got)
		}
		if got := l.setting(l.n1, "net/ipv4/ip_forward"); got != "0" {
			t.Errorf("ip_forward is %s", got)
		}
	})
}

// transfer sends some megabytes by TCP over IPv4, whole segments.
func (l *lan) transfer(from, to *netns.NS, address string) {
	l.t.Helper()
	const size = 4 << 20
	var server net.Listener
	l.check(to.Do(func() (err error) { server, err = net.Listen("tcp4", address+":0"); return err }))
	defer server.Close()
	got := make(chan int64, 1)
	go func() {
		conn, err := server.Accept()
		if err != nil {
			got <- -1
			return
		}
		defer conn.Close()
		n, _ := io.Copy(io.Discard, conn)
		got <- n
	}()
	var client net.Conn
	l.check(from.Do(func() (err error) {
		client, err = net.DialTimeout("tcp4", server.Addr().String(), patience)
		return err
	}))
	l.check(client.SetDeadline(time.Now().Add(patience)))
	_, err := io.CopyN(client, rand.Reader, size)
	l.check(err)
	l.check(client.Close())
	if n := <-got; n != size {
		l.t.Errorf("%d bytes of %d came", n, size)
	}
}

func TestASubnetOfIPv4BehindANode(t *testing.T) {
	const router, guest, three = "10.42.1.129", "10.42.1.130", "10.42.3.1"
	l, n3 := newIPv4LAN(t)
	l.check(l.n1.Sysctl("net/ipv4/ip_forward", "0"))
	stop := l.node(l.n1, 1, "subnets = [{ interface = \"veth0\", part = \"10.42.1.128/25\" }]\n")
	l.node(l.n2, 2, "", at(1, "192.0.2.1:7326"))
	l.node(n3, 3, "", at(2, "198.51.100.2:7326"))
	l.ip(l.other, "addr add "+guest+"/25 dev veth0")
	l.ip(l.other, "route add default via "+router)
	l.eventually("the guest is reached", func() bool { return l.answers(n3, guest, "1") })
	l.ping(n3, "-c", "3", "-i", "0.2", "-w", "10", guest)
	l.ping(l.other, "-c", "3", "-i", "0.2", "-w", "10", three)
	l.transfer(l.other, n3, three)
	l.check(stop())
	if got := l.ip(l.n1, "-4 addr show dev veth0"); strings.Contains(got, router) {
		t.Errorf("left behind: %s", got)
	}
	if got := l.setting(l.n1, "net/ipv4/ip_forward"); got != "0" {
		t.Errorf("ip_forward is %s", got)
	}
}

// share is the IPv4 of node i of a mesh.
func (m *mesh) share(i int) netip.Prefix {
	return addr.Share(netip.MustParsePrefix("10.42.0.0/16"), 24, uint32(i+1))
}

// giveShares has the certificates of all nodes give them shares.
func (m *mesh) giveShares() {
	for i, n := range m.nodes {
		id := n.member.Identity
		der, err := m.issuer.IssueNodeIPv4(rand.Reader, n.member.Key.Public(), id.Prefix, id.ID, m.share(i), time.Now(), 24*time.Hour)
		m.check(err)
		n.member.Certificate = der
		n.member.Identity, err = m.issuer.Verify(der, time.Now())
		m.check(err)
	}
}

// paramsIPv4 is another version of the parameters, with that range of IPv4.
func (m *mesh) paramsIPv4(number uint64, rng string) *wire.SignedParams {
	next, err := m.params.With(wire.Setting{Key: "ipv4", Value: rng})
	m.check(err)
	next.Number = number
	signed, err := wire.SignParams(rand.Reader, m.issuer, next)
	m.check(err)
	return signed
}

// packet4 is an inner packet of IPv4, of a protocol that nobody knows.
func packet4(src, dst netip.Addr, text string) []byte {
	b := make([]byte, 20, 20+len(text))
	b[0], b[8], b[9] = 0x45, 64, 253
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(text)))
	s, d := src.As4(), dst.As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	return append(b, text...)
}

// arrives4 is arrives for IPv4.
func (m *mesh) arrives4(i, j int, src netip.Addr, limit time.Duration) bool {
	want := packet4(src, addr.ShareAddress(m.share(j)), "IPv4")
	m.nodes[i].tun.Inject(want)
	deadline := time.After(limit)
	for {
		select {
		case p := <-m.nodes[j].tun.Out():
			if bytes.Equal(p, want) {
				return true
			}
		case <-deadline:
			return false
		}
	}
}

func TestIPv4ComesAndGoesWhileNodesRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 3)
		m.giveShares()
		m.line()
		m.whole(5 * time.Second)
		own := func(i int) netip.Addr { return addr.ShareAddress(m.share(i)) }
		none := func(when string) {
			t.Helper()
			for i, n := range m.nodes {
				if s := n.status(); s.IPv4 != nil {
					t.Errorf("%s: node %d says %+v", when, i, s.IPv4)
				}
				for _, r := range n.view.Load().Routes() {
					if r.Prefix.Addr().Is4() && !r.Unreachable {
						t.Errorf("%s: node %d has a route to %s", when, i, r.Prefix)
					}
				}
				for _, r := range n.host.routes.(*hwtest.Routes).Held() {
					if r.Dst.Addr().Is4() && r.Kind == netlink.Unicast {
						t.Errorf("%s: node %d has the route %v in its kernel", when, i, r)
					}
				}
			}
			if m.arrives4(1, 2, own(1), time.Second) {
				t.Errorf("%s: a packet crosses the mesh", when)
			}
		}
		none("before")

		m.hears(0, func(n *parts) { n.parameters.Store(m.paramsIPv4(2, "10.42.0.0/16")) })
		time.Sleep(10 * time.Second)
		for i := range m.nodes {
			for j := range m.nodes {
				if i != j && !m.arrives4(i, j, own(i), time.Second) {
					t.Errorf("no packet from %d to %d", i, j)
				}
			}
			s := m.nodes[i].status()
			if s.IPv4 == nil || s.IPv4.Share != m.share(i) || s.IPv4.Address != own(i) || len(s.Notices) > 0 {
				t.Errorf("node %d says %+v, notes %q", i, s.IPv4, s.Notices)
			}
		}
		if m.arrives4(0, 2, own(1), time.Second) {
			t.Error("another node's source is taken")
		}
		if n := m.nodes[2].plane.Stats().Drops[dataplane.DropSpoofed]; n != 1 {
			t.Errorf("%d packets of another's source", n)
		}
		for _, c := range m.nodes[2].claims() {
			if !slices.ContainsFunc(c.Prefixes, func(p monitor.ClaimedPrefix) bool { return p.Prefix.Addr().Is4() }) || len(c.Refused) > 0 {
				t.Errorf("claim %+v", c)
			}
		}

		m.hears(0, func(n *parts) { n.parameters.Store(m.paramsIPv4(3, "")) })
		time.Sleep(10 * time.Second)
		none("after")
	})
}

// TestAnotherRangeOfIPv4WantsACertificate: one is asked for, once.
func TestAnotherRangeOfIPv4WantsACertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &parts{}
		m := newMesh(t, 1)
		m.giveShares()
		n.identity.start(m.nodes[0].member)
		for _, c := range []struct {
			rng   string
			lacks bool
		}{{"", false}, {"10.42.0.0/16", false}, {"172.16.0.0/12", true}} {
			n.parameters.Store(m.paramsIPv4(2, c.rng))
			if got := n.lacksIPv4(); got != c.lacks || n.wantedIPv4().share.IsValid() != (c.rng == "10.42.0.0/16") {
				t.Errorf("%q: %v, share %s", c.rng, got, n.wantedIPv4().share)
			}
		}
		n.identity.change(func(i *identity) { i.asked = rangeOf(n.parameters.Load().Params) })
		if n.lacksIPv4() {
			t.Error("it asks on though the registry has none left")
		}
	})
}
