//go:build kernel

package ktunnel_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"re6st/hw/ktunnel"
	"re6st/hw/netns"
	"re6st/hw/netns/netnstest"
	"re6st/protocols/addr"
	agreement "re6st/protocols/ktunnel"
)

// doomedEnv names the namespace in which the test program makes a tunnel and is killed.
const doomedEnv = "RE6ST_TEST_DOOMED"

const underlayMTU = 1500

func TestMain(m *testing.M) {
	if ns := os.Getenv(doomedEnv); ns != "" {
		beDoomed(ns)
	}
	goleak.VerifyTestMain(m)
}

// end is one of two hosts that a veth pair joins.
type end struct {
	t       *testing.T
	ns      *netns.NS
	tunnels *ktunnel.Tunnels
	key     *ecdh.PrivateKey
}

// twoEnds have 192.0.2.1 and .2, 2001:db8::1 and ::2, and an owner each, n1 and n2.
func twoEnds(t *testing.T) (a, b *end) {
	t.Helper()
	g := netnstest.NewGroup(t)
	var err error
	ends := [2]*end{}
	for i := range ends {
		e := &end{t: t}
		if e.ns, err = g.Create(fmt.Sprintf("n%d", i+1)); err != nil {
			t.Fatal(err)
		}
		if e.tunnels, err = ktunnel.OpenAt(e.ns.Fd(), fmt.Sprintf("n%d", i+1)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.tunnels.Close)
		if e.key, err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
		ends[i] = e
	}
	a, b = ends[0], ends[1]
	if err := netns.Veth(a.ns, "eth0", b.ns, "eth0"); err != nil {
		t.Fatal(err)
	}
	for i, e := range ends {
		e.ip("address", "add", fmt.Sprintf("192.0.2.%d/24", i+1), "dev", "eth0")
		e.ip("address", "add", fmt.Sprintf("2001:db8::%d/64", i+1), "dev", "eth0", "nodad")
	}
	return a, b
}

func (e *end) run(name string, args ...string) (string, error) {
	var out []byte
	err := e.ns.Do(func() (err error) { out, err = exec.Command(name, args...).CombinedOutput(); return })
	return strings.TrimSpace(string(out)), err
}

// ip runs iproute2 inside: a second opinion on what the kernel holds.
func (e *end) ip(args ...string) string {
	e.t.Helper()
	out, err := e.run("ip", args...)
	if err != nil {
		e.t.Fatalf("ip %v: %v: %s", args, err, out)
	}
	return out
}

// links are the names of all links.
func (e *end) links() string {
	e.t.Helper()
	var names []string
	for line := range strings.Lines(e.ip("-brief", "link")) {
		names = append(names, strings.Fields(line)[0])
	}
	return strings.Join(names, " ")
}

// sort is a kind by an outer family.
type sort struct {
	kind ktunnel.Kind
	ipv6 bool
}

var sorts = []sort{
	{ktunnel.GRE, false},
	{ktunnel.GRE, true},
	{ktunnel.FOU, false},
	{ktunnel.FOU, true},
	{ktunnel.WireGuard, false},
	{ktunnel.WireGuard, true},
}

func (s sort) String() string {
	return fmt.Sprintf("%v-%d", s.kind, map[bool]int{false: 4, true: 6}[s.ipv6])
}

// specs are the two ends of a tunnel named n1-NAME and n2-NAME.
func (s sort) specs(a, b *end, name string) (ours, theirs ktunnel.Spec) {
	x, y := netip.MustParseAddrPort("192.0.2.1:5001"), netip.MustParseAddrPort("192.0.2.2:5002")
	if s.ipv6 {
		x, y = netip.MustParseAddrPort("[2001:db8::1]:5001"), netip.MustParseAddrPort("[2001:db8::2]:5002")
	}
	ours = ktunnel.Spec{Kind: s.kind, Key: 0xfedc0001, MTU: s.kind.MTU(underlayMTU, s.ipv6), Preshared: [32]byte{1: 1}}
	theirs = ours
	ours.Name, ours.Local, ours.Remote, ours.LinkLocal = "n1-"+name, x, y, netip.MustParseAddr("fe80::1")
	theirs.Name, theirs.Local, theirs.Remote, theirs.LinkLocal = "n2-"+name, y, x, netip.MustParseAddr("fe80::2")
	ours.Private, ours.Peer = [32]byte(a.key.Bytes()), [32]byte(b.key.PublicKey().Bytes())
	theirs.Private, theirs.Peer = [32]byte(b.key.Bytes()), [32]byte(a.key.PublicKey().Bytes())
	return ours, theirs
}

func (e *end) add(s ktunnel.Spec) {
	e.t.Helper()
	if err := e.tunnels.Add(s); err != nil {
		e.t.Fatal(err)
	}
}

// reaches tells whether a packet of size bytes gets through s, and its echo back.
func (e *end) reaches(s ktunnel.Spec, size int) (string, bool) {
	const headers = 40 + 8 // IPv6, ICMPv6
	to := "fe80::2%" + s.Name
	out, err := e.run("ping", "-6", "-c", "1", "-w", "20", "-M", "do", "-s", strconv.Itoa(size-headers), to)
	return out, err == nil
}

// fragments counts those that the host made, both families.
func (e *end) fragments() int {
	e.t.Helper()
	six, err := e.run("cat", "/proc/self/net/snmp6")
	if err != nil {
		e.t.Fatal(six, err)
	}
	count := 0
	for line := range strings.Lines(six) {
		if f := strings.Fields(line); f[0] == "Ip6FragCreates" {
			n, _ := strconv.Atoi(f[1])
			count += n
		}
	}
	four, err := e.run("nstat", "-asz", "IpFragCreates")
	if err != nil {
		e.t.Fatal(four, err)
	}
	f := strings.Fields(four[strings.Index(four, "IpFragCreates"):])
	n, _ := strconv.Atoi(f[1])
	return count + n
}

// each runs a test over a fresh pair of hosts for each sort of tunnel.
func each(t *testing.T, f func(t *testing.T, s sort, a, b *end)) {
	for _, s := range sorts {
		t.Run(s.String(), func(t *testing.T) {
			a, b := twoEnds(t)
			f(t, s, a, b)
		})
	}
}

func TestKernelFullPacketsPassWithoutFragments(t *testing.T) {
	each(t, func(t *testing.T, s sort, a, b *end) {
		ours, theirs := s.specs(a, b, "t")
		a.add(ours)
		b.add(theirs)
		if out, ok := a.reaches(ours, 100); !ok {
			t.Fatal(out, a.ip("-d", "-s", "link"), a.ip("address"), b.ip("-d", "-s", "link"))
		}
		if out, ok := a.reaches(ours, ours.MTU); !ok {
			t.Error(out)
		}
		if out, err := a.run("ping", "-6", "-c", "1", "-w", "20", "ff02::1%"+ours.Name); err != nil {
			t.Error("multicast, as Babel's Hellos are:", out)
		}
		if n := a.fragments() + b.fragments(); n != 0 {
			t.Errorf("%d fragments of outer packets", n)
		}
		link := a.ip("-d", "link", "show", ours.Name)
		if !strings.Contains(link, "MULTICAST") || !strings.Contains(link, "group 7327") {
			t.Error(link)
		}
		if addresses := a.ip("-6", "-o", "address", "show", ours.Name); strings.Count(addresses, "inet6") != 1 || !strings.Contains(addresses, "fe80::1/64") {
			t.Error(addresses)
		}
	})
}

// The MTU is the greatest: one byte more on both links, and there are fragments or losses.
func TestKernelAGreaterMTUDoesNotFit(t *testing.T) {
	each(t, func(t *testing.T, s sort, a, b *end) {
		ours, theirs := s.specs(a, b, "t")
		const more = 16 // WireGuard's block
		ours.MTU += more
		theirs.MTU += more
		a.add(ours)
		b.add(theirs)
		if out, ok := a.reaches(ours, 100); !ok {
			t.Fatal(out)
		}
		const headers = 40 + 8
		_, err := a.run("ping", "-6", "-c", "1", "-w", "2", "-M", "do", "-s", strconv.Itoa(ours.MTU-headers), "fe80::2%"+ours.Name)
		if n := a.fragments() + b.fragments(); err == nil && n == 0 {
			t.Errorf("packets of %d bytes pass in one piece", ours.MTU)
		}
	})
}

func TestKernelARemovedTunnelLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, s sort, a, b *end) {
		ours, theirs := s.specs(a, b, "t")
		b.add(theirs)
		a.add(ours)
		if err := a.tunnels.Remove(ours.Name); err != nil {
			t.Fatal(err)
		}
		before := a.links() // with gre0 and its like, which come with the kernel's modules
		a.add(ours)
		a.add(ours) // in place of what is there
		if out, ok := a.reaches(ours, ours.MTU); !ok {
			t.Error(out)
		}
		if err := errors.Join(a.tunnels.Remove(ours.Name), a.tunnels.Remove(ours.Name)); err != nil {
			t.Fatal(err)
		}
		if after := a.links(); after != before {
			t.Errorf("links before: %s, and after: %s", before, after)
		}
		if out := a.ip("fou", "show") + a.ip("-6", "fou", "show"); out != "" {
			t.Error("ports that stay:", out)
		}
	})
}

// beDoomed makes a tunnel, and hands over its name to whoever kills it.
func beDoomed(name string) {
	ns, err := netns.Open(name)
	if err != nil {
		panic(err)
	}
	tunnels, err := ktunnel.OpenAt(ns.Fd(), "n1")
	if err != nil {
		panic(err)
	}
	for i, s := range sorts {
		key, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		spec, _ := s.specs(&end{key: key}, &end{key: key}, s.String())
		spec.Local = netip.AddrPortFrom(spec.Local.Addr(), uint16(6000+i))
		spec.Key += uint32(i)
		if err := tunnels.Add(spec); err != nil {
			panic(err)
		}
	}
	fmt.Println("ready")
	select {}
}

func TestKernelAfterAKillOnlyOursAreSwept(t *testing.T) {
	a, b := twoEnds(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), doomedEnv+"="+a.ns.Name())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, len("ready"))
	_, err = out.Read(ready)
	if err := errors.Join(err, cmd.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed

	other, err := ktunnel.OpenAt(a.ns.Fd(), "n1-x")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	theirs, _ := sort{ktunnel.GRE, false}.specs(a, b, "x-t") // in our name's place, and not ours
	theirs.Key = 99
	if err := other.Add(theirs); err != nil {
		t.Fatal(err)
	}
	a.ip("link", "add", "n1-foreign", "type", "gre", "local", "192.0.2.1", "remote", "192.0.2.2", "key", "98")
	a.ip("link", "add", "n1-half", "group", "7327", "type", "gre", "local", "192.0.2.1", "remote", "192.0.2.2", "key", "97") // killed before it was marked
	a.ip("fou", "add", "port", "7000", "ipproto", "47")

	swept, err := a.tunnels.Sweep("n1-gre-4")
	if want := []string{"n1-fou-4", "n1-fou-6", "n1-gre-6", "n1-half", "n1-wireguard-4", "n1-wireguard-6"}; err != nil || !slices.Equal(swept, want) {
		t.Errorf("swept %v, %v, want %v", swept, err, want)
	}
	if left, err := a.tunnels.List(); err != nil || !slices.Equal(left, []string{"n1-gre-4"}) {
		t.Error("left:", left, err)
	}
	if out := a.ip("fou", "show") + a.ip("-6", "fou", "show"); !strings.Contains(out, "port 7000") || strings.Contains(out, "port 600") {
		t.Error("ports:", out)
	}
	ours, far := sort{ktunnel.FOU, true}.specs(a, b, "fou-6")
	a.add(ours)
	b.add(far)
	if out, ok := a.reaches(ours, ours.MTU); !ok {
		t.Error("made again:", out)
	}
	for _, name := range []string{"n1-foreign", "n1-x-t", "eth0"} {
		if err := a.tunnels.Remove(name); !errors.Is(err, ktunnel.ErrForeign) {
			t.Error(name, err)
		}
		a.ip("link", "show", name)
	}
	ours.Name = "n1-foreign"
	if err := a.tunnels.Add(ours); !errors.Is(err, ktunnel.ErrForeign) {
		t.Error(err)
	}
}

func TestKernelWhatCannotBeMadeLeavesNothing(t *testing.T) {
	a, b := twoEnds(t)
	// Its port is taken: the link is there by then.
	a.ip("fou", "add", "port", "5001", "ipproto", "47")
	ours, _ := sort{ktunnel.FOU, false}.specs(a, b, "t")
	if err := a.tunnels.Add(ours); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Error(err)
	}
	if list, err := a.tunnels.List(); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
	// Another link has these addresses and this key, by another name.
	one, _ := sort{ktunnel.GRE, false}.specs(a, b, "1")
	two, _ := sort{ktunnel.GRE, false}.specs(a, b, "2")
	a.add(one)
	if err := a.tunnels.Add(two); err == nil || !strings.Contains(err.Error(), "another link has these addresses") {
		t.Error(err)
	}
	if list, err := a.tunnels.List(); err != nil || !slices.Equal(list, []string{"n1-1"}) {
		t.Error(list, err)
	}
}

// agreed has two nodes offer one kind, and returns what each makes of the Agreement.
func agreed(t *testing.T, a, b *end, kind agreement.Kind) (specs [2]ktunnel.Spec) {
	t.Helper()
	ids := [2]addr.NodeID{addr.NodeIDFromUint64(11), addr.NodeIDFromUint64(12)}
	machines := [2]*agreement.Machine{
		agreement.New(agreement.Config{Self: ids[0], Peer: ids[1], Nonce: 1}), agreement.New(agreement.Config{Self: ids[1], Peer: ids[0], Nonce: 2}),
	}
	for i, m := range machines {
		m.HandleOwn(agreement.Offer{
			Kinds: []agreement.Kind{kind}, Address: netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", i+1)), FOUPort: 5001, WireGuardPort: 5002,
			PublicKey: [32]byte([]*end{a, b}[i].key.PublicKey().Bytes()), MTU: underlayMTU,
		})
	}
	for range 2 { // once to say, once to agree
		for i, m := range machines {
			m.Drain(func(e agreement.Event) {
				switch e := e.(type) {
				case agreement.Say:
					if err := machines[1-i].HandleMessage(e.Body); err != nil {
						t.Fatal(err)
					}
				case agreement.Agreed:
					g := e.Agreement
					specs[i] = ktunnel.Spec{
						Name: fmt.Sprintf("n%d-t", i+1), Kind: g.Kind, Local: g.Local, Remote: g.Remote, Key: g.Key, Peer: g.PeerKey,
						Private: [32]byte([]*end{a, b}[i].key.Bytes()), LinkLocal: g.Inside, MTU: g.MTU(),
					}
				case agreement.Ended:
					t.Fatal("no agreement")
				}
			})
		}
	}
	return specs
}

// babeld speaks on a tunnel until the test ends.
func (e *end) babeld(link, prefix string) {
	e.t.Helper()
	dir := e.t.TempDir()
	e.ip("address", "add", prefix, "dev", "lo")
	if err := e.ns.Sysctl("net/ipv6/conf/all/forwarding", "1"); err != nil {
		e.t.Fatal(err)
	}
	var cmd *exec.Cmd
	err := e.ns.Do(func() error {
		cmd = exec.Command("babeld", "-I", filepath.Join(dir, "pid"), "-S", filepath.Join(dir, "state"), "-h", "1", "-H", "1",
			"-C", "redistribute local ip 2001:db8:b::/48", "-C", "redistribute local deny", link)
		return cmd.Start()
	})
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
}

func TestKernelBabelRunsOnWhatTwoNodesAgreedOn(t *testing.T) {
	if _, err := exec.LookPath("babeld"); err != nil {
		t.Skip("no babeld; install it with: apt-get install babeld")
	}
	for _, kind := range []agreement.Kind{agreement.GRE, agreement.FOU, agreement.WireGuard} {
		t.Run(kind.String(), func(t *testing.T) {
			a, b := twoEnds(t)
			specs := agreed(t, a, b, kind)
			a.add(specs[0])
			b.add(specs[1])
			a.babeld(specs[0].Name, "2001:db8:b:1::1/128")
			b.babeld(specs[1].Name, "2001:db8:b:2::1/128")
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
				out, err := a.run("ping", "-6", "-c", "1", "-w", "1", "-I", "2001:db8:b:1::1", "2001:db8:b:2::1")
				if err == nil {
					return
				}
				if time.Now().After(deadline) {
					t.Fatal(out, a.ip("-6", "route"), b.ip("-6", "route"), a.ip("-s", "link"))
				}
			}
		})
	}
}
