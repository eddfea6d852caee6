package openvpn

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	kernel "re6st/hw/ktunnel"
	"re6st/hw/netns"
	"re6st/hw/netns/netnstest"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/ktunnel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is what anything here may take on a busy machine.
const patience = 60 * time.Second

var kinds = []ktunnel.Kind{ktunnel.OpenVPNUDP, ktunnel.OpenVPNTCP}

// world is two hosts that a veth pair joins, 192.0.2.1 and .2, 2001:db8::1 and ::2, and a CA.
type world struct {
	t    *testing.T
	ca   *cert.Issuer
	ends [2]*end
}

// end is one of the two.
type end struct {
	w       *world
	number  int
	ns      *netns.NS
	tunnels *kernel.Tunnels
	spec    Spec // but for who waits
	tap     netip.Addr
}

func newWorld(t *testing.T, keys cert.KeyType) *world {
	t.Helper()
	if _, err := Find(""); err != nil {
		t.Skip(err)
	}
	g := netnstest.NewGroup(t)
	var err error
	w := &world{t: t, ca: authority(t, keys)}
	for i := range w.ends {
		e := &end{w: w, number: i + 1, tap: netip.MustParseAddr(fmt.Sprintf("fe80::%d", i+1))}
		if e.ns, err = g.Create(fmt.Sprintf("n%d", i+1)); err != nil {
			t.Fatal(err)
		}
		if e.tunnels, err = kernel.OpenAt(e.ns.Fd(), "n"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.tunnels.Close)
		e.spec = Spec{Device: "n-o1", CA: cert.EncodeCertificate(w.ca.Certificate.Raw), Peer: name(2 - i), NS: e.ns, Folder: t.TempDir()}
		e.spec.Certificate, e.spec.Key = issue(t, w.ca, keys, i+1)
		w.ends[i] = e
	}
	if err := netns.Veth(w.ends[0].ns, "eth0", w.ends[1].ns, "eth0"); err != nil {
		t.Fatal(err)
	}
	for i, e := range w.ends {
		e.run("ip", "address", "add", fmt.Sprintf("192.0.2.%d/24", i+1), "dev", "eth0")
		e.run("ip", "address", "add", fmt.Sprintf("2001:db8::%d/64", i+1), "dev", "eth0", "nodad")
	}
	return w
}

func authority(t *testing.T, keys cert.KeyType) *cert.Issuer {
	t.Helper()
	key, err := cert.GenerateKey(rand.Reader, keys)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := cert.NewAuthority(rand.Reader, key, netip.MustParsePrefix("2001:db8:42::/48"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func prefix(number int) addr.Bits {
	bits, err := addr.ParseCN(fmt.Sprintf("%d/16", number))
	if err != nil {
		panic(err)
	}
	return bits
}

func name(number int) string { return prefix(number).CN() }

// issue makes a node's certificate and key, as PEM.
func issue(t *testing.T, ca *cert.Issuer, keys cert.KeyType, number int) (certificate, key []byte) {
	t.Helper()
	private, err := cert.GenerateKey(rand.Reader, keys)
	if err != nil {
		t.Fatal(err)
	}
	der, err := ca.IssueNode(rand.Reader, private.Public(), prefix(number), addr.NodeID{byte(number)}, time.Now(), 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if key, err = cert.EncodeKey(private); err != nil {
		t.Fatal(err)
	}
	return cert.EncodeCertificate(der), key
}

// try runs a program inside.
func (e *end) try(program string, args ...string) (string, error) {
	var out []byte
	err := e.ns.Do(func() (err error) { out, err = exec.Command(program, args...).CombinedOutput(); return })
	return strings.TrimSpace(string(out)), err
}

func (e *end) run(program string, args ...string) string {
	e.w.t.Helper()
	out, err := e.try(program, args...)
	if err != nil {
		e.w.t.Fatalf("%s %v: %v: %s", program, args, err, out)
	}
	return out
}

// outer is an end's address by a family.
func (e *end) outer(ipv6 bool) netip.AddrPort {
	if ipv6 {
		return netip.MustParseAddrPort(fmt.Sprintf("[2001:db8::%d]:5000", e.number))
	}
	return netip.MustParseAddrPort(fmt.Sprintf("192.0.2.%d:5000", e.number))
}

// prepare has the first end wait for the second, and makes their TAPs.
func (w *world) prepare(kind ktunnel.Kind, ipv6 bool) {
	w.t.Helper()
	for i, e := range w.ends {
		s := &e.spec
		s.Kind, s.MTU = kind, kind.MTU(1500, ipv6)
		s.Local, s.Remote = netip.AddrPort{}, netip.AddrPort{}
		if i == 0 {
			s.Local = e.outer(ipv6)
		} else {
			s.Remote = w.ends[0].outer(ipv6)
		}
		err := e.ns.Do(func() error { return e.tunnels.AddTAP(kernel.TAP{Name: s.Device, LinkLocal: e.tap, MTU: s.MTU}) })
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// life is one Run.
type life struct {
	t      *testing.T
	cancel context.CancelFunc
	done   chan error

	mu     sync.Mutex
	events []Event
	log    []string
}

func start(t *testing.T, s Spec) *life {
	t.Helper()
	l := &life{t: t, done: make(chan error, 1)}
	s.Log = func(line string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.log = append(l.log, line)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go func() {
		l.done <- Run(ctx, s, func(e Event) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.events = append(l.events, e)
		})
	}()
	t.Cleanup(func() { l.stop() })
	return l
}

// stop ends it, once.
func (l *life) stop() {
	l.t.Helper()
	l.cancel()
	select {
	case err := <-l.done:
		l.done <- err
	case <-time.After(patience):
		l.t.Error("Run does not return")
	}
}

// ended is the error of a Run that ends by itself.
func (l *life) ended() error {
	l.t.Helper()
	select {
	case err := <-l.done:
		l.done <- err
		return err
	case <-time.After(patience):
		l.t.Fatal("the child lives on")
		return nil
	}
}

func (l *life) all() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// awaits waits for an event that is fine, and returns it.
func awaits[E Event](l *life, fine func(E) bool) E {
	l.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		ended := len(l.done) > 0 // after which no event comes
		for _, e := range l.all() {
			if e, ok := e.(E); ok && fine(e) {
				return e
			}
		}
		if ended {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var none E
	l.t.Fatalf("no such %T among %+v\n%s", none, l.events, strings.Join(l.log, "\n"))
	return none
}

func some[E Event](E) bool { return true }

// join runs both ends until they are connected.
func (w *world) join() (waits, dials *life) {
	w.t.Helper()
	waits = start(w.t, w.ends[0].spec)
	awaits(waits, some[Waiting])
	dials = start(w.t, w.ends[1].spec)
	awaits(dials, some[Connected])
	awaits(waits, some[Connected])
	return waits, dials
}

// ping sends a packet of size bytes, not to be a fragment, through the tunnel, and waits for
// some seconds.
func (e *end) ping(size, seconds int) (string, error) {
	peer := e.w.ends[2-e.number]
	return e.try("ping", "-M", "do", "-c", "1", "-w", strconv.Itoa(seconds), "-s", strconv.Itoa(size-48), peer.tap.String()+"%"+e.spec.Device)
}

// fragments are how many packets were cut here, of both families.
func (e *end) fragments() (n int) {
	e.w.t.Helper()
	for _, line := range strings.Split(e.run("cat", "/proc/net/snmp6"), "\n") {
		if f := strings.Fields(line); f[0] == "Ip6FragCreates" {
			n += number(e.w.t, f[1])
		}
	}
	var names []string
	for _, line := range strings.Split(e.run("cat", "/proc/net/snmp"), "\n") {
		f := strings.Fields(line)
		if f[0] != "Ip:" {
			continue
		}
		if i := slices.Index(names, "FragCreates"); i > 0 {
			n += number(e.w.t, f[i])
		}
		names = f
	}
	return n
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFullFramesGoThroughWithEachSortOfKey(t *testing.T) {
	for _, keys := range []cert.KeyType{cert.ECDSA, cert.RSA, cert.Ed25519} {
		t.Run(string(keys), func(t *testing.T) {
			w := newWorld(t, keys)
			for _, kind := range kinds {
				for _, ipv6 := range []bool{false, true} {
					w.prepare(kind, ipv6)
					waits, dials := w.join()
					for _, e := range w.ends {
						if out, err := e.ping(e.spec.MTU, 10); err != nil {
							t.Errorf("%v, IPv6 %t, a packet of %d bytes from n%d: %v: %s", kind, ipv6, e.spec.MTU, e.number, err, out)
						}
						if e.number == 2 {
							continue
						}
						if out, err := e.ping(e.spec.MTU+1, 1); err == nil || !strings.Contains(out, "too long") {
							t.Errorf("%v, IPv6 %t: a packet longer than the MTU: %v: %s", kind, ipv6, err, out)
						}
					}
					for _, e := range w.ends {
						if n := e.fragments(); n > 0 {
							t.Errorf("%v, IPv6 %t: n%d has cut %d packets", kind, ipv6, e.number, n)
						}
					}
					c := awaits(waits, some[Connected])
					if c.Name != name(2) || c.Address.Addr() != w.ends[1].outer(ipv6).Addr() || c.Serial == "" {
						t.Errorf("%v, IPv6 %t: connected with %+v", kind, ipv6, c)
					}
					dials.stop()
					waits.stop()
				}
			}
		})
	}
}

// One byte more on the TAP, and a packet would be more than the underlay takes.
func TestTheMTUOfUDPIsExact(t *testing.T) {
	w := newWorld(t, cert.ECDSA)
	w.prepare(ktunnel.OpenVPNUDP, false)
	w.join()
	for _, e := range w.ends {
		e.run("ip", "link", "set", e.spec.Device, "mtu", strconv.Itoa(e.spec.MTU+1))
	}
	if out, err := w.ends[0].ping(w.ends[0].spec.MTU, 10); err != nil {
		t.Errorf("a packet of the MTU: %v: %s", err, out)
	}
	if _, err := w.ends[0].ping(w.ends[0].spec.MTU+1, 2); err == nil {
		t.Error("one byte more goes through too")
	}
}

func TestAChildThatIsKilledLeavesItsWordsAndTheTAP(t *testing.T) {
	for _, kind := range kinds {
		w := newWorld(t, cert.ECDSA)
		w.prepare(kind, false)
		waits, dials := w.join()
		w.ends[1].kill()
		if err := dials.ended(); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "status 137") {
			t.Errorf("%v: the end that dials: %v", kind, err)
		}
		again := start(t, w.ends[1].spec)
		awaits(again, some[Connected])
		if out, err := w.ends[0].ping(1280, 10); err != nil {
			t.Errorf("%v, by another child that dials: %v: %s", kind, err, out)
		}
		w.ends[0].kill()
		if err := waits.ended(); !errors.Is(err, ErrEnded) {
			t.Errorf("%v: the end that waits: %v", kind, err)
		}
		if kind == ktunnel.OpenVPNTCP { // by UDP nobody says so
			if err := again.ended(); !errors.Is(err, ErrEnded) {
				t.Errorf("the end that dials has nobody: %v", err)
			}
		}
		for _, e := range w.ends {
			e.run("ip", "link", "show", e.spec.Device)
		}
	}
}

// kill kills the child inside.
func (e *end) kill() {
	e.w.t.Helper()
	for _, pid := range e.children() {
		p, err := os.FindProcess(pid)
		if err == nil {
			err = p.Kill()
		}
		if err != nil {
			e.w.t.Fatal(err)
		}
	}
}

// children are the processes in the namespace.
func (e *end) children() (pids []int) {
	e.w.t.Helper()
	for _, pid := range strings.Fields(e.run("ip", "netns", "pids", e.ns.Name())) {
		line, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
		if err == nil && strings.HasSuffix(string(line), "\x00--config\x00stdin\x00") {
			pids = append(pids, number(e.w.t, pid))
		}
	}
	return pids
}

func TestWhoIsNotThePeerIsKeptOut(t *testing.T) {
	w := newWorld(t, cert.ECDSA)
	w.prepare(ktunnel.OpenVPNUDP, false)
	waits := start(t, w.ends[0].spec)
	awaits(waits, some[Waiting])

	another := w.ends[1].spec
	another.Certificate, another.Key = issue(t, w.ca, cert.ECDSA, 3)
	stranger := w.ends[1].spec
	stranger.Certificate, stranger.Key = issue(t, authority(t, cert.ECDSA), cert.ECDSA, 2)
	mistaken := w.ends[1].spec
	mistaken.Peer = name(7)
	lives := map[string]*life{}
	for what, s := range map[string]Spec{
		"another node of the network": another, "a node of another network's CA": stranger, "one that looks for somebody else": mistaken,
	} {
		s.Folder = t.TempDir()
		lives[what] = start(t, s)
	}
	for what, l := range lives {
		if err := l.ended(); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "TLS") {
			t.Errorf("%s: %v", what, err)
		}
		if events := l.all(); len(events) > 0 {
			t.Errorf("%s: %+v", what, events)
		}
	}
	for _, e := range waits.all() {
		if _, ok := e.(Waiting); !ok {
			t.Errorf("%+v", e)
		}
	}
}

func TestARevokedOneIsKeptOut(t *testing.T) {
	w := newWorld(t, cert.ECDSA)
	w.prepare(ktunnel.OpenVPNTCP, false)
	revoked := errors.New("revoked")
	s := w.ends[0].spec
	s.Admit = func(Client) error { return revoked }
	waits := start(t, s)
	awaits(waits, some[Waiting])
	dials := start(t, w.ends[1].spec)
	if err := dials.ended(); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "AUTH_FAILED") {
		t.Error(err)
	}
	awaits(waits, func(r Refused) bool { return r.Name == name(2) && errors.Is(r.Reason, revoked) })
}

// revoked is a list of the network's with an end's certificate and so many others.
func (w *world) revoked(e *end, others int) []byte {
	w.t.Helper()
	der, _ := pem.Decode(e.spec.Certificate)
	own, err := x509.ParseCertificate(der.Bytes)
	if err != nil {
		w.t.Fatal(err)
	}
	entries := []cert.Revocation{{Serial: own.SerialNumber, Node: addr.NodeID{byte(e.number)}, Time: time.Now(), Reason: cert.Superseded}}
	for i := range others {
		entries = append(entries, cert.Revocation{Serial: big.NewInt(int64(i) + 1), Node: addr.NodeID{9}, Time: time.Now(), Reason: cert.KeyCompromise})
	}
	list, err := w.ca.SignRevocations(rand.Reader, 1, entries, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return cert.EncodeRevocations(list)
}

func TestTheEndThatDialsRefusesARevokedCertificate(t *testing.T) {
	w := newWorld(t, cert.ECDSA)
	w.prepare(ktunnel.OpenVPNTCP, false)
	waits := start(t, w.ends[0].spec)
	awaits(waits, some[Waiting])
	s := w.ends[1].spec
	s.Revocations = w.revoked(w.ends[0], 0)
	dials := start(t, s)
	if err := dials.ended(); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "certificate revoked") {
		t.Error(err)
	}
	if events := dials.all(); len(events) > 0 {
		t.Errorf("%+v", events)
	}

	s.Revocations = w.revoked(w.ends[1], 2000) // more than a pipe holds
	if len(s.Revocations) <= 64<<10 {
		t.Fatalf("a list of %d bytes tries nothing", len(s.Revocations))
	}
	awaits(start(t, s), some[Connected])
}

func TestASilentStrangerKeepsNobodyOut(t *testing.T) {
	w := newWorld(t, cert.ECDSA)
	w.prepare(ktunnel.OpenVPNTCP, false)
	waits := start(t, w.ends[0].spec)
	awaits(waits, some[Waiting])
	for range maxPending { // all there may be: some have to go for the peer
		var conn net.Conn
		err := w.ends[1].ns.Do(func() (err error) { conn, err = net.Dial("tcp", w.ends[0].outer(false).String()); return })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
	for end := time.Now().Add(patience); ; {
		dials := start(t, w.ends[1].spec)
		for len(dials.all()) == 0 && len(dials.done) == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		if len(dials.all()) > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal(dials.ended())
		}
	}
}

func TestKeysAreInNoFileAndNoArgument(t *testing.T) {
	w := newWorld(t, cert.ECDSA)
	w.prepare(ktunnel.OpenVPNUDP, false)
	waits, _ := w.join()
	e := w.ends[0]
	children := e.children()
	if len(children) != 1 {
		t.Fatalf("children %v", children)
	}
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(children[0]), "cmdline"))
	if err != nil || !strings.HasSuffix(string(line), "\x00--config\x00stdin\x00") {
		t.Errorf("command line %q, %v", line, err)
	}
	files, err := os.ReadDir(e.spec.Folder)
	if err != nil || len(files) != 1 || files[0].Type() != os.ModeSocket {
		t.Fatalf("%v, %v", files, err)
	}
	if info, err := files[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(children[0]), "status"))
	if err != nil || strings.Contains(string(status), "\nUid:\t0\t") {
		t.Errorf("the child is root: %v", err)
	}
	waits.stop()
	if files, err := os.ReadDir(e.spec.Folder); err != nil || len(files) > 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	if children := e.children(); len(children) > 0 {
		t.Errorf("left behind: %v", children)
	}
}

func TestAMissingProgramIsTold(t *testing.T) {
	s := sound()
	s.Program, s.Folder = "/nonexistent/openvpn", t.TempDir()
	if err := Run(t.Context(), s, nil); !errors.Is(err, ErrMissing) {
		t.Error(err)
	}
}

func TestAProgramThatIsNotOpenVPNIsTold(t *testing.T) {
	s := sound()
	s.Program, s.Folder = "/bin/cat", t.TempDir() // knows no --config
	if err := Run(t.Context(), s, func(Event) {}); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "status 1: ") {
		t.Error(err)
	}
}
