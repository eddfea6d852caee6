package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"re6st/actors/monitor"
	"re6st/hw/netns"
)

// patience is how long a test waits for what must come: the machine may be busy, and where a
// dial by both ends came to nothing, the next is half a minute off (tunnelplan.MetMin).
const patience = 90 * time.Second

// mesh is a running `re6st lab up`, of this very build.
type mesh struct {
	ID    string     `json:"id"`
	Nodes []meshNode `json:"nodes"`
}

type meshNode struct {
	Name      string                `json:"name"`
	Netns     string                `json:"netns"`
	Addresses map[string]netip.Addr `json:"addresses"`
	Socket    string                `json:"socket"`
	NAT       *struct {
		Netns   string     `json:"netns"`
		Outside netip.Addr `json:"outside"`
	} `json:"nat"`
}

// meshUp makes a lab, whole, until the test ends.
func meshUp(t *testing.T, args ...string) *mesh {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the lab makes network namespaces: run it as root")
	}
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("the lab needs nft, of the Debian package nftables")
	}
	path, err := exec.LookPath("re6st") // testscript's: this binary under that name
	if err != nil {
		t.Fatal(err)
	}
	logs := t.TempDir()
	cmd := exec.Command(path, append([]string{"lab", "up", "--logs", logs, "--timeout", "3m"}, args...)...)
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dir, rest := "", make(chan error, 1)
	t.Cleanup(func() {
		if t.Failed() {
			showLogs(t, logs)
		}
		err := cmd.Process.Signal(syscall.SIGINT)
		if err := errors.Join(err, <-rest, cmd.Wait()); err != nil {
			t.Errorf("lab up: %v", err)
		}
	})
	lines, log := bufio.NewScanner(said), ""
	for lines.Scan() && !strings.Contains(lines.Text(), " is up; ") {
		log += lines.Text() + "\n"
		if at := strings.LastIndex(lines.Text(), ", /"); dir == "" && at > 0 {
			dir = lines.Text()[at+2:]
		}
	}
	go func() {
		_, err := io.Copy(io.Discard, said)
		rest <- err
	}()
	text, err := os.ReadFile(filepath.Join(dir, "lab.json"))
	if err != nil {
		t.Fatalf("%v; the lab said: %s", err, log)
	}
	m := &mesh{}
	if err := json.Unmarshal(text, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// showLogs shows what the nodes said, without stacks.
func showLogs(t *testing.T, logs string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(logs, "n*.log"))
	if err != nil {
		t.Error(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		var b strings.Builder
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " stack=")
			b.WriteString(line + "\n")
		}
		t.Logf("%s:\n%s", filepath.Base(file), b.String())
	}
}

func (m *mesh) address(i int) netip.Addr { return m.Nodes[i].Addresses["general"] }

// inside runs f in the namespace of a node. Sockets made there stay there.
func (m *mesh) inside(t *testing.T, i int, f func() error) {
	t.Helper()
	ns, err := netns.Open(m.Nodes[i].Netns)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if err := ns.Do(f); err != nil {
		t.Fatal(err)
	}
}

// listen opens a UDP socket at a node's address in the mesh.
func (m *mesh) listen(t *testing.T, i int) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	m.inside(t, i, func() (err error) {
		conn, err = net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(m.address(i), 0)))
		return err
	})
	t.Cleanup(func() { conn.Close() })
	return conn
}

func port(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// capture collects what an interface of a node sends and receives.
type capture struct {
	fd     int
	frames [][]byte
}

// capture opens a packet socket (packet(7)); with SOCK_DGRAM a frame begins with its IP header.
func (m *mesh) capture(t *testing.T, i int, device string) *capture {
	t.Helper()
	c := &capture{fd: -1}
	m.inside(t, i, func() error {
		all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xff})
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		c.fd = fd
		ifi, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifi.Index})
	})
	t.Cleanup(func() { unix.Close(c.fd) })
	return c
}

// read takes what has come so far.
func (c *capture) read(t *testing.T) {
	t.Helper()
	buffer := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(c.fd, buffer, 0)
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		c.frames = append(c.frames, bytes.Clone(buffer[:n]))
	}
}

func (c *capture) count(match func([]byte) bool) (n int) {
	for _, f := range c.frames {
		if match(f) {
			n++
		}
	}
	return n
}

// between matches IPv6 packets from one address to the other, or back.
func between(a, b netip.Addr) func([]byte) bool {
	return func(p []byte) bool {
		if len(p) < 40 || p[0]>>4 != 6 {
			return false
		}
		from, to := netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
		return from == a && to == b || from == b && to == a
	}
}

// exchange sends one packet with a marked payload until it has come.
func exchange(t *testing.T, from, to *net.UDPConn, payload []byte) {
	t.Helper()
	buffer := make([]byte, 2048)
	for range int(patience / (200 * time.Millisecond)) {
		if _, err := from.WriteToUDPAddrPort(payload, port(to)); err != nil {
			t.Fatal(err)
		}
		if err := to.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := to.Read(buffer); err == nil && bytes.Equal(buffer[:n], payload) {
			return
		}
	}
	t.Fatalf("nothing came from %v to %v in %v", port(from), port(to), patience)
}

func TestARelaySeesNothingButCiphertext(t *testing.T) {
	m := meshUp(t, "--nodes", "3", "--topology", "line")
	const left, relay, right = 0, 1, 2
	const packets = 50
	tun, veth := m.capture(t, relay, "re6st0"), m.capture(t, relay, "eth0")
	a, b, c := m.listen(t, left), m.listen(t, relay), m.listen(t, right)
	mark := []byte("re6st " + rand.Text() + rand.Text())
	marked := func(p []byte) bool { return bytes.Contains(p, mark[6:]) }
	payload := bytes.Repeat(mark, 10)

	for range packets {
		exchange(t, a, c, payload)
		exchange(t, c, a, payload)
	}
	tun.read(t)
	veth.read(t)
	ends := between(m.address(left), m.address(right))
	if n := tun.count(ends); n != 0 {
		t.Errorf("%d packets between the ends went through the relay's TUN", n)
	}
	if n := tun.count(marked) + veth.count(marked) + veth.count(ends); n != 0 {
		t.Errorf("the relay saw %d packets of the ends in the clear", n)
	}
	large := func(p []byte) bool { return len(p) > len(payload) }
	if n := veth.count(large); n < 4*packets { // each in and out again
		t.Errorf("%d packets went by the relay that could have been the %d of the ends", n, 2*packets)
	}

	// What is for the relay itself shows that the captures see what there is to see.
	exchange(t, a, b, payload)
	tun.read(t)
	veth.read(t)
	if tun.count(marked) == 0 || veth.count(marked) != 0 {
		t.Errorf("a packet for the relay was seen %d times on its TUN and %d times on its wire, in the clear", tun.count(marked), veth.count(marked))
	}
}

// lastPings is how long the last of a pinger's packets may be on their way.
const lastPings = 5 * time.Second

// pinger sends a packet each 10 ms, or so, and counts those that come.
type pinger struct {
	what           string
	sent, received atomic.Int64
	stop           chan struct{}
	sending        chan error
}

func (m *mesh) ping(t *testing.T, from, to int) *pinger {
	t.Helper()
	return m.pingEvery(t, 10*time.Millisecond, from, to)
}

func (m *mesh) pingEvery(t *testing.T, interval time.Duration, from, to int) *pinger {
	t.Helper()
	a, b := m.listen(t, from), m.listen(t, to)
	exchange(t, a, b, []byte("hello")) // from here on there is a session
	p := &pinger{what: m.Nodes[from].Name + " -> " + m.Nodes[to].Name, stop: make(chan struct{}), sending: make(chan error, 1)}
	if err := b.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	go func() {
		buffer := make([]byte, 64)
		for {
			n, err := b.Read(buffer)
			if err != nil {
				return
			}
			if string(buffer[:n]) == "ping" {
				p.received.Add(1)
			}
		}
	}()
	go func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			if _, err := a.WriteToUDPAddrPort([]byte("ping"), port(b)); err != nil {
				p.sending <- err
				return
			}
			p.sent.Add(1)
			select {
			case <-ticker.C:
			case <-p.stop:
				p.sending <- nil
				return
			}
		}
	}()
	return p
}

// more waits until so many pings more have been sent.
func (p *pinger) more(t *testing.T, n int64) {
	t.Helper()
	for goal := p.sent.Load() + n; p.sent.Load() < goal; {
		select {
		case err := <-p.sending:
			t.Fatalf("%s: %v", p.what, err)
		case <-time.After(time.Millisecond):
		}
	}
}

// end stops the sending and returns how many were lost.
func (p *pinger) end(t *testing.T) int64 {
	t.Helper()
	close(p.stop)
	if err := <-p.sending; err != nil {
		t.Errorf("%s: %v", p.what, err)
	}
	for deadline := time.Now().Add(lastPings); p.received.Load() < p.sent.Load() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	lost := p.sent.Load() - p.received.Load()
	t.Logf("%s: %d of %d pings lost", p.what, lost, p.sent.Load())
	return lost
}

// actors asks a node for its actors, by path.
func (m *mesh) actors(t *testing.T, i int) map[string]monitor.Actor {
	t.Helper()
	var answer monitor.Actors
	if err := monitor.NewClient(m.Nodes[i].Socket).Get(t.Context(), "actors", &answer); err != nil {
		t.Fatal(err)
	}
	all := map[string]monitor.Actor{}
	for _, a := range answer.Actors {
		all[a.Path] = a
	}
	return all
}

// tunnels asks a node for its links, by the node at their other end.
func (m *mesh) tunnels(t *testing.T, i int) map[string]monitor.Tunnel {
	t.Helper()
	var answer monitor.Tunnels
	if err := monitor.NewClient(m.Nodes[i].Socket).Get(t.Context(), "tunnels", &answer); err != nil {
		t.Fatal(err)
	}
	all := map[string]monitor.Tunnel{}
	for _, tunnel := range answer.Tunnels {
		all[tunnel.Node.String()] = tunnel
	}
	return all
}

func (m *mesh) id(t *testing.T, i int) string {
	t.Helper()
	var status monitor.Status
	if err := monitor.NewClient(m.Nodes[i].Socket).Get(t.Context(), "status", &status); err != nil {
		t.Fatal(err)
	}
	return status.Node.String()
}

// fault has an actor fail and returns how long it took to run again, as the caller
// sees it.
func (m *mesh) fault(t *testing.T, i int, actor, how string) time.Duration {
	t.Helper()
	before := m.actors(t, i)[actor]
	began := time.Now()
	var answer monitor.FaultAnswer
	request := monitor.FaultRequest{Actor: actor, How: how}
	if err := monitor.NewClient(m.Nodes[i].Socket).Post(t.Context(), "debug/fault", request, &answer); err != nil {
		t.Fatal(err)
	}
	for time.Since(began) < patience {
		if now := m.actors(t, i)[actor]; now.State == "running" && now.Restarts > before.Restarts {
			if now.Restarts != before.Restarts+1 {
				t.Errorf("one fault of %s made %d restarts", actor, now.Restarts-before.Restarts)
			}
			return time.Since(began)
		}
	}
	t.Fatalf("%s does not run again: %+v", actor, m.actors(t, i)[actor])
	return 0
}

func TestAFaultRestartsOneActorAndNobodyElse(t *testing.T) {
	m := meshUp(t, "--nodes", "6", "--topology", "star")
	const hub = 0
	tunnels := m.tunnels(t, hub)
	links := map[string]monitor.Tunnel{}
	for _, i := range []int{4, 5} { // that nothing is done to
		links[m.id(t, i)] = tunnels[m.id(t, i)]
	}
	before := m.actors(t, hub)
	there, back, over := m.ping(t, 4, 5), m.ping(t, 5, hub), m.ping(t, 1, 5)
	faulted := map[string]bool{}
	for i, how := range []string{"panic", "error", "pump"} {
		link := tunnels[m.id(t, 1+i)]
		name := fmt.Sprintf("/%v.%d", link.Node, link.Link)
		for _, parent := range []string{"node/tunnel", "node/router"} {
			if how == "pump" && parent == "node/router" {
				continue // a neighbor has none
			}
			there.more(t, 20)
			took := m.fault(t, hub, parent+name, how)
			t.Logf("%-5s in %s%s: running again after %.1f ms", how, parent, name, took.Seconds()*1000)
			faulted[parent+name] = true
		}
	}
	there.more(t, 50)
	if lost := there.end(t) + back.end(t); lost != 0 {
		t.Errorf("%d pings were lost on links that nothing was done to", lost)
	}
	over.end(t) // over a link whose tunnel and neighbor were faulted
	for id, was := range links {
		if is := m.tunnels(t, hub)[id]; was.State != "up" || is.State != "up" || !is.Since.Equal(was.Since) {
			t.Errorf("the link to %s was %s since %v, and is %s since %v", id, was.State, was.Since, is.State, is.Since)
		}
	}
	for path, was := range before {
		if is := m.actors(t, hub)[path]; !faulted[path] && (is.Restarts != was.Restarts || !is.Since.Equal(was.Since)) {
			t.Errorf("%s was not faulted, and restarted: %+v", path, is)
		}
	}
}
