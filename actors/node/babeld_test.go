package node

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"re6st/actors/monitor"
	"re6st/hw/netns"
	"re6st/hw/netns/netnstest"
	"re6st/hw/nodedir"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	wire "re6st/protocols/registry"
	"re6st/protocols/tunnelplan"
)

// patience is how long a test waits for what must come: the machine may be busy.
const patience = 2 * time.Minute

// nodeEnv makes this test binary a node with that folder.
const nodeEnv = "NODE_TEST_DIR"

// readyFile says what came of a question to the node as soon as it said that it is ready.
const readyFile = "ready"

// beNode runs a node until SIGTERM, and ends the process.
func beNode(dir string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	read := func() (Config, error) { return ReadConfig(filepath.Join(dir, "node.toml")) }
	config, err := read()
	if err == nil {
		logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
		ready := func() {
			var s monitor.Status
			err := monitor.NewClient(monitor.SocketIn(dir)).Get(ctx, "status", &s)
			_ = os.WriteFile(filepath.Join(dir, readyFile), fmt.Append(nil, err), 0o600)
		}
		err = Run(ctx, Options{Dir: dir, Config: config, ReadConfig: read, Logger: logger, Version: "test", Ready: ready})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// lan is two nodes, n1 and n2, with an underlay between them, and babeld on a
// trusted interface of n1:
//
//	n2 under0 ---- under0 n1 veth0 ---- veth0 babeld lan0 fd99:1::1/64
type lan struct {
	t             *testing.T
	group         *netns.Group
	issuer        *cert.Issuer
	params        func(*wire.Params) // nil: they are as they are by default
	n1, n2, other *netns.NS
}

func newLAN(t *testing.T) *lan {
	t.Helper()
	if _, err := exec.LookPath("babeld"); err != nil {
		t.Skip("needs babeld: ", err)
	}
	group := netnstest.NewGroup(t)
	var err error
	l := &lan{t: t, group: group}
	for name, ns := range map[string]**netns.NS{"n1": &l.n1, "n2": &l.n2, "other": &l.other} {
		*ns, err = group.Create(name)
		l.check(err)
	}
	l.check(netns.Veth(l.n1, "under0", l.n2, "under0"))
	l.check(netns.Veth(l.n1, "veth0", l.other, "veth0"))
	l.check(netns.Veth(l.other, "lan0", l.other, "lan1"))
	l.ip(l.n1, "addr add 192.0.2.1/24 dev under0")
	l.ip(l.n2, "addr add 192.0.2.2/24 dev under0")
	l.ip(l.other, "addr add fd99:1::1/64 dev lan0")
	l.check(l.other.Sysctl("net/ipv6/conf/all/forwarding", "1"))
	l.issuer = newIssuer(t)
	return l
}

// newIssuer makes a CA.
func newIssuer(t *testing.T) *cert.Issuer {
	t.Helper()
	key, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := cert.NewAuthority(rand.Reader, key, netip.MustParsePrefix("2001:db8:42::/48"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return issuer
}

func (l *lan) check(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// ip runs iproute2 in a namespace.
func (l *lan) ip(ns *netns.NS, command string) string {
	l.t.Helper()
	out, err := exec.Command("ip", append([]string{"-n", ns.Name()}, strings.Fields(command)...)...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("ip %s: %v: %s", command, err, out)
	}
	return string(out)
}

// start runs a program in a namespace; stop asks it to end and tells how it did.
func (l *lan) start(ns *netns.NS, env string, args ...string) (stop func() error) {
	l.t.Helper()
	stop, _ = l.startKillable(ns, env, args...)
	return stop
}

// startKillable is start, with a kill that does not ask.
func (l *lan) startKillable(ns *netns.NS, env string, args ...string) (stop func() error, kill func()) {
	l.t.Helper()
	cmd := exec.Command("ip", append([]string{"netns", "exec", ns.Name()}, args...)...)
	var out bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env), &out, &out
	l.check(cmd.Start())
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		_ = cmd.Process.Signal(syscall.SIGTERM) // ip became the program
		err := cmd.Wait()
		if l.t.Failed() || err != nil {
			l.t.Logf("%s: %v\n%s", args, err, &out)
		}
		return err
	}
	l.t.Cleanup(func() { _ = stop() })
	return stop, func() {
		stopped = true
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// node makes the folder of node i and runs it.
func (l *lan) node(ns *netns.NS, i int, config string, peers ...tunnelplan.Peer) (stop func() error) {
	l.t.Helper()
	return l.runs(ns, l.folder(i, config, peers...))
}

// runs runs the node of a folder.
func (l *lan) runs(ns *netns.NS, dir string) (stop func() error) {
	l.t.Helper()
	return l.start(ns, nodeEnv+"="+dir, os.Args[0])
}

// folder makes that of node i.
func (l *lan) folder(i int, config string, peers ...tunnelplan.Peer) string {
	l.t.Helper()
	dir, err := nodedir.Open(l.t.TempDir())
	l.check(err)
	key, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
	l.check(err)
	bits, err := addr.ParseCN(fmt.Sprintf("%d/16", i))
	l.check(err)
	p := wire.DefaultParams(l.issuer.Authority)
	if l.params != nil {
		l.params(&p)
	}
	var share netip.Prefix
	if p.IPv4.IsValid() {
		share = addr.Share(p.IPv4, p.IPv4Share, uint32(i))
	}
	der, err := l.issuer.IssueNodeIPv4(rand.Reader, key.Public(), bits, addr.NodeIDFromUint64(uint64(i)), share, time.Now(), 24*time.Hour)
	l.check(err)
	static, err := ecdh.X25519().GenerateKey(rand.Reader)
	l.check(err)
	private, err := x509.MarshalPKCS8PrivateKey(static)
	l.check(err)
	binding, err := cert.SignKey(rand.Reader, key, l.issuer.Fingerprint, [32]byte(static.PublicKey().Bytes()))
	l.check(err)
	keyText, err := cert.EncodeKey(key)
	l.check(err)
	params, err := wire.SignParams(rand.Reader, l.issuer, p)
	l.check(err)
	staticText := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		pem.EncodeToMemory(&pem.Block{Type: "RE6ST KEY BINDING", Bytes: binding})...)
	for name, content := range map[string][]byte{
		"ca.crt": cert.EncodeCertificate(l.issuer.Certificate.Raw), "node.crt": cert.EncodeCertificate(der), "node.key": keyText,
		"static.key": staticText, "registry": []byte("127.0.0.1:1 " + hex.EncodeToString(l.issuer.Fingerprint[:]) + "\n"),
		"params": params.Bytes, "node.toml": []byte(config),
	} {
		l.check(dir.Write(name, content, nodedir.Private))
	}
	l.check(storePeers(dir, peers))
	return dir.Path("")
}

// babeld runs Debian's on the trusted LAN, for a prefix of its own.
func (l *lan) babeld(prefix string) (stop func() error) {
	l.t.Helper()
	return l.start(l.other, "", "babeld", "-I", filepath.Join(l.t.TempDir(), "pid"), "-S", filepath.Join(l.t.TempDir(), "state"), "-c", "/dev/null",
		"-C", "interface veth0 type wired hello-interval 1 update-interval 4", "-C", "redistribute proto 2 ip "+prefix+" allow", "veth0")
}

// routes are those of a namespace to a prefix, as iproute2 shows them.
func (l *lan) routes(ns *netns.NS, prefix string) string {
	l.t.Helper()
	return l.ip(ns, "-6 -N route show "+prefix)
}

// gone waits until there is no route to prefix at all.
func (l *lan) gone(ns *netns.NS, prefix string) {
	l.t.Helper()
	l.eventually(ns.Name()+" has no route to "+prefix, func() bool { return l.routes(ns, prefix) == "" })
}

// until waits for what a route to prefix is to look like; empty: none by a neighbor.
func (l *lan) until(ns *netns.NS, prefix string, words ...string) {
	l.t.Helper()
	l.within(patience, ns, prefix, words...)
}

func (l *lan) within(limit time.Duration, ns *netns.NS, prefix string, words ...string) {
	l.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		got := l.routes(ns, prefix)
		if matches(got, words) {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%s has %q to %s, want %q", ns.Name(), got, prefix, words)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func matches(got string, words []string) bool {
	if len(words) == 0 {
		return !strings.Contains(got, "via")
	}
	for _, w := range words {
		if !strings.Contains(got, w) {
			return false
		}
	}
	return true
}

// linkLocal is the address that a neighbor on an interface shows.
func (l *lan) linkLocal(ns *netns.NS, dev string) string {
	for _, word := range strings.Fields(l.ip(ns, "-6 addr show dev "+dev+" scope link")) {
		if strings.HasPrefix(word, "fe80:") {
			return strings.TrimSuffix(word, "/64")
		}
	}
	l.t.Fatalf("no link-local address on %s", dev)
	return ""
}

func TestBabeldOnATrustedInterface(t *testing.T) {
	const theirs, ours, foreign, leftover = "fd99:1::/64", "2001:db8:42:1::/64", "fd55::/64", "fd66::/64"
	l := newLAN(t)
	l.babeld(theirs)
	l.ip(l.n1, "route add "+foreign+" dev lo proto static")
	l.ip(l.n1, "route add "+leftover+" dev lo proto 206")
	stop := l.node(l.n1, 1, "trusted = [\"veth0\"]\nport = 7326\n")
	l.node(l.n2, 2, "port = 7326\n", tunnelplan.Peer{
		ID: addr.NodeIDFromUint64(1), Endpoints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7326")},
	})

	l.until(l.n1, theirs, "via "+l.linkLocal(l.other, "veth0"), "dev veth0", "proto 206")
	l.until(l.other, ours, "via "+l.linkLocal(l.n1, "veth0"), "dev veth0")
	l.gone(l.n1, leftover) // a crashed run's
	t.Run("the other node reaches it through the fabric", func(t *testing.T) {
		l.until(l.n2, theirs, "dev re6st0", "proto 206")
		l.until(l.other, "2001:db8:42:2::/64", "dev veth0")
		l.ping(l.n2, "-c", "20", "-i", "0.2", "-w", "10", "fd99:1::1")
	})

	if err := stop(); err != nil {
		t.Errorf("the node ended with %v", err)
	}
	// Of a neighbor that is only silent babeld keeps the routes for longer.
	l.within(8*time.Second, l.other, ours)
	if got := l.ip(l.n1, "-6 route show proto 206"); got != "" {
		t.Errorf("routes are left: %s", got)
	}
	if got := l.routes(l.n1, foreign); !strings.Contains(got, "dev lo") {
		t.Errorf("the administrator's route is gone: %q", got)
	}
}

func TestIPv4RouteOfBabeldHasAnIPv6NextHop(t *testing.T) {
	const theirs = "10.99.0.1"
	l := newLAN(t)
	l.ip(l.other, "addr add "+theirs+"/32 dev lan0")
	l.start(l.other, "", "babeld", "-I", filepath.Join(t.TempDir(), "pid"), "-S", filepath.Join(t.TempDir(), "state"), "-c", "/dev/null",
		"-C", "interface veth0 type wired hello-interval 1 update-interval 4 v4-via-v6 true", "-C", "redistribute local ip 10.99.0.0/16 allow",
		"-C", "redistribute local deny", "veth0")
	stop := l.node(l.n1, 1, "trusted = [\"veth0\"]\nport = 7326\n")
	want := "via inet6 " + l.linkLocal(l.other, "veth0") + " dev veth0 proto 206"
	deadline := time.Now().Add(patience)
	for got := ""; !strings.Contains(got, want); time.Sleep(50 * time.Millisecond) {
		if got = l.ip(l.n1, "-4 -N route show "+theirs); time.Now().After(deadline) {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("the node ended with %v", err)
	}
	if got := l.ip(l.n1, "-4 -N route show "+theirs); got != "" {
		t.Errorf("left behind: %s", got)
	}
}

func TestRoundTripOfAConfiguredInterfaceIsMeasured(t *testing.T) {
	const secret = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2"
	for name, c := range map[string]struct {
		trusted, key string // of the node's configuration
		babeld       []string
		with         string // which key babeld has there
	}{
		"in the clear": {trusted: `trusted = ["veth0"]`},
		"by a key": { // a time that were stamped behind the MAC would break it
			key: `key = [{ id = "k1", type = "hmac-sha256", value = "` + secret + `" }]`, babeld: []string{"-C", "key id k1 type hmac-sha256 value " + secret}, with: " key k1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLAN(t)
			socket := filepath.Join(t.TempDir(), "babeld")
			args := append([]string{"babeld", "-I", filepath.Join(t.TempDir(), "pid"), "-S", filepath.Join(t.TempDir(), "state"), "-c", "/dev/null"}, c.babeld...)
			l.start(l.other, "", append(args, "-C", "local-path "+socket, "-C", "interface veth0 type tunnel hello-interval 1 update-interval 4"+c.with,
				"-C", "redistribute deny", "veth0")...)
			l.node(l.n1, 1, c.trusted+"\nport = 7326\n[[babel_interface]]\nname = \"veth0\"\ntype = \"tunnel\"\nhello_interval_ms = 500\n"+c.key)
			measured := regexp.MustCompile(`add neighbour .* rtt [0-9.]+ rttcost`)
			deadline := time.Now().Add(patience)
			for got := ""; !measured.MatchString(got); time.Sleep(50 * time.Millisecond) {
				if got = saidBy(socket); time.Now().After(deadline) {
					t.Fatalf("babeld knows no round trip: %s", got)
				}
			}
		})
	}
}

// saidBy is what the babeld with this socket knows; "" while it is not there.
func saidBy(socket string) string {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("dump\nquit\n"))
	answer, _ := io.ReadAll(conn)
	return string(answer)
}
