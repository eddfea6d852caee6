package lab

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"re6st/hw/netns"
)

func TestNATsAreReadAndWritten(t *testing.T) {
	var n NATs
	for _, text := range []string{"n10=random,n2=port-restricted", " n1=igd"} {
		if err := n.Set(text); err != nil {
			t.Fatal(err)
		}
	}
	if want := "n1=igd,n2=port-restricted,n10=random"; n.String() != want {
		t.Errorf("got %s, want %s", &n, want)
	}
}

func TestABadNATIsNamedWithWhatToDo(t *testing.T) {
	for text, want := range map[string]string{
		"n1":                "names no node and kind; write: --nat",
		"registry=random":   `"registry" is no name of a node; write: --nat`,
		"n1=cone":           `"cone" is no kind of NAT, but one of [port-restricted random igd] is; write: --nat`,
		"n1=random,n1=igd":  "n1 is behind one NAT already; write: --nat",
		"n1=random,n02=igd": `"n02" is no name of a node`,
	} {
		var n NATs
		if err := n.Set(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	for topology, want := range map[Topology]string{LAN: "no NAT can be", Full: "a NAT for n9, and the lab has n1 to n4"} {
		if err := (NATs{"n9": RandomPorts}).check(topology, 4); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", topology, err, want)
		}
	}
}

func TestAScenarioSaysWhoIsBehindANAT(t *testing.T) {
	s, err := ParseScenario("f", strings.NewReader("network full 4\nnat random n1 n2\nnat igd n3\nkill n4"), 0)
	if err != nil || s.Access.NATs.String() != "n1=random,n2=random,n3=igd" || len(s.Steps) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	for text, want := range map[string]string{
		"nat random":                "f:1: a nat has a kind and nodes; write, before all steps: nat",
		"nat open n1":               `f:1: "open" is no kind of NAT`,
		"kill n1\nnat random n1":    "f:2: a nat has",
		"nat random n1\nnat igd n1": "f:2: n1 is behind one NAT already; write",
	} {
		if _, err := ParseScenario("f", strings.NewReader(text), 4); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// natted is an underlay of three nodes, of which two are behind NATs.
func natted(t *testing.T, kind NATKind) *underlay {
	t.Helper()
	needRoot(t)
	if _, err := netns.Sweep(testFolder); err != nil {
		t.Fatal(err)
	}
	group, err := netns.NewGroup(testFolder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := group.Close(); err != nil {
			t.Error(err)
		}
	})
	u, err := newUnderlay(t.Context(), group, Full, mustEdges(t, Full, 3, 1), nodeNames(3), Access{NATs: NATs{"n1": kind, "n2": kind}})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// natPort is the port that the nodes of the test have.
const natPort = 7326

// listen opens a member's socket.
func (u *underlay) listen(t *testing.T, name string) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	err := u.members[name].Do(func() (err error) {
		conn, err = net.ListenUDP("udp4", &net.UDPAddr{Port: natPort})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func send(t *testing.T, from *net.UDPConn, to netip.AddrPort) {
	t.Helper()
	if _, err := from.WriteToUDPAddrPort([]byte("x"), to); err != nil {
		t.Fatal(err)
	}
}

// came is where the next packet comes from, which must come.
func came(t *testing.T, at *net.UDPConn) netip.AddrPort {
	t.Helper()
	return cameWithin(t, at, patience)
}

// cameWithin is where the next packet comes from; not valid: none comes.
func cameWithin(t *testing.T, at *net.UDPConn, limit time.Duration) netip.AddrPort {
	t.Helper()
	if err := at.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	_, from, err := at.ReadFromUDPAddrPort(make([]byte, 16))
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

func TestAPortRestrictedNATKeepsThePortAndLetsInWhomTheNodeSentTo(t *testing.T) {
	u := natted(t, PortRestricted)
	one, two, three := u.listen(t, "n1"), u.listen(t, "n2"), u.listen(t, "n3")
	at := func(name string) netip.AddrPort { return netip.AddrPortFrom(u.nats[name].outside, natPort) }
	public := netip.AddrPortFrom(u.places["n3"].addr4.Addr(), natPort)

	send(t, one, public)
	if from := came(t, three); from != at("n1") {
		t.Errorf("n3 sees n1 at %v, want %v", from, at("n1"))
	}
	send(t, three, at("n1"))
	if from := came(t, one); from != public {
		t.Errorf("n3's answer comes from %v, want %v", from, public)
	}
	send(t, three, at("n2"))
	if from := cameWithin(t, two, time.Second); from.IsValid() {
		t.Errorf("%v came in to n2, which sent nothing", from)
	}
	// A packet that was kept out must not cost n2 its port.
	send(t, one, at("n2"))
	if from := cameWithin(t, two, time.Second); from.IsValid() {
		t.Errorf("%v came in to n2, which sent nothing", from)
	}
	send(t, two, at("n1"))
	if from := came(t, one); from != at("n2") {
		t.Errorf("n1 sees n2 at %v, want %v: it had sent there", from, at("n2"))
	}
}

func TestARandomNATHasAnotherPortForEachPeer(t *testing.T) {
	u := natted(t, RandomPorts)
	one, three, registry := u.listen(t, "n1"), u.listen(t, "n3"), u.listen(t, registryName)
	send(t, one, netip.AddrPortFrom(u.places["n3"].addr4.Addr(), natPort))
	send(t, one, netip.AddrPortFrom(u.places[registryName].addr4.Addr(), natPort))
	a, b := came(t, three), came(t, registry)
	if a.Addr() != u.nats["n1"].outside || b.Addr() != a.Addr() || a.Port() == b.Port() {
		t.Errorf("n1 is seen at %v and %v, want two ports of %v", a, b, u.nats["n1"].outside)
	}
}
