//go:build linux

package babel_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

var updateCapture = flag.Bool("update", false, "write what babeld sent to testdata/babeld.hex")

// speaker is a Router with a real socket: the driver of one multicast
// interface, as small as can be.
type speaker struct {
	t         *testing.T
	conn      *ipv6.PacketConn
	ifi       *net.Interface
	local     netip.Addr
	router    *babel.Router
	neighbors map[netip.Addr]*babel.Neighbor
	table     *rib.Table
	capture   [][]byte
	cost      babel.LinkCost
	delay     time.Duration // of what it sends
	late      []late
	cut       bool                       // nothing comes or goes
	badTLVs   int                        // that the peer may send
	alter     func(packet []byte) []byte // of what it sends; it may return nil to lose it
	heard     func(babel.TLV)            // nil: nobody wants to know
	mac       *babel.Authenticator       // nil: whoever is there is believed
	refused   map[babel.MACReason]int
	record    func(from, to netip.Addr, packet []byte) // of all that is sent and received; nil: nobody wants to know
	guarded   rib.Key                                  // has to have a route all the time; zero: none has
}

const iid = babel.InterfaceID(1)

// labs counts them.
var labs atomic.Int64

// lab makes two namespaces with a veth between them: a is ours, b is babeld's.
func lab(t *testing.T) (a, b string) { return labWith(t, "babeld") }

// labWith is lab for another daemon.
func labWith(t *testing.T, daemon string) (a, b string) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	if _, err := exec.LookPath(daemon); err != nil {
		t.Skip("needs ", daemon, ": ", err)
	}
	t.Parallel() // they wait for clocks
	n := labs.Add(1)
	a, b = fmt.Sprintf("re6st-babel-a%d-%d", os.Getpid(), n), fmt.Sprintf("re6st-babel-b%d-%d", os.Getpid(), n)
	for _, ns := range []string{a, b} {
		ip(t, "netns", "add", ns)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
		ip(t, "netns", "exec", ns, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.forwarding=1")
	}
	ip(t, "-n", a, "link", "add", "xy", "type", "veth", "peer", "name", "yx", "netns", b)
	ip(t, "-n", b, "link", "set", "lo", "up")
	ip(t, "-n", b, "addr", "add", "fd77::1/128", "dev", "lo")
	ip(t, "-n", b, "link", "set", "yx", "up")
	// A link-local address of our own: the kernel's comes only with the carrier.
	ip(t, "-n", a, "link", "set", "xy", "addrgenmode", "none", "up")
	ip(t, "-n", a, "addr", "add", "fe80::a/64", "dev", "xy", "nodad")
	return a, b
}

func ip(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// babeld runs in the namespace until the test ends, or until stop.
func babeld(t *testing.T, ns string, config ...string) (stop func()) {
	dir := t.TempDir()
	args := []string{"netns", "exec", ns, "babeld", "-I", filepath.Join(dir, "pid"), "-S", filepath.Join(dir, "state"), "-c", "/dev/null"}
	for _, c := range config {
		args = append(args, "-C", strings.ReplaceAll(c, "DIR", dir))
	}
	cmd := exec.Command("ip", append(args, "yx")...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Logf("babeld: %s", &out)
		}
	}
	t.Cleanup(stop)
	return stop
}

// newSpeaker opens the socket inside the namespace, on a thread of its own that
// ends there.
func newSpeaker(t *testing.T, ns string) *speaker {
	s := openSpeaker(t, ns)
	s.speak(babel.Interface{Multicast: true})
	return s
}

// openSpeaker is a speaker that is silent until speak.
func openSpeaker(t *testing.T, ns string) *speaker {
	s := &speaker{t: t, neighbors: map[netip.Addr]*babel.Neighbor{}, table: rib.NewTable(locators)}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- s.open(ns)
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.conn.Close() })
	r, err := babel.NewRouter(babel.Config{
		Self: nodeID(0), RouterID: babel.RouterID{1, 2, 3, 4, 5, 6, 7, 8}, Seqno: 100, Locators: locators,
		Rand: rand.New(rand.NewSource(1)), Epoch: began,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.router = r
	return s
}

// began is the epoch of all speakers.
var began = time.Now()

// speak begins with a Hello each second.
func (s *speaker) speak(ifc babel.Interface) {
	s.t.Helper()
	ifc.Ifindex, ifc.Local, ifc.HelloInterval, ifc.Timestamps = s.ifi.Index, s.local, time.Second, s.cost.MeasuresRTT()
	if err := s.router.AddInterface(time.Now(), iid, ifc); err != nil {
		s.t.Fatal(err)
	}
}

// send puts a packet on the veth, after the delay.
func (s *speaker) send(e babel.Send) {
	to := &net.UDPAddr{IP: babel.Group.AsSlice(), Port: babel.Port, Zone: s.ifi.Name}
	if e.To.IsValid() {
		to.IP = e.To.AsSlice()
	}
	s.router.Stamp(time.Now(), e.Packet)
	if s.alter != nil {
		if e.Packet = s.alter(e.Packet); e.Packet == nil {
			return
		}
	}
	if s.mac != nil {
		e.Packet = s.mac.Seal(e.Packet, e.To)
	}
	if s.record != nil {
		s.record(s.local, netip.MustParseAddr(to.IP.String()), e.Packet)
	}
	write := func() {
		if s.cut {
			return
		}
		if _, err := s.conn.WriteTo(e.Packet, &ipv6.ControlMessage{IfIndex: s.ifi.Index, HopLimit: 1}, &net.UDPAddr{IP: to.IP, Port: to.Port}); err != nil {
			s.t.Error("send: ", err)
		}
	}
	if s.delay == 0 {
		write()
		return
	}
	s.late = append(s.late, late{time.Now().Add(s.delay), write})
}

// late is a packet that is delayed.
type late struct {
	at    time.Time
	write func()
}

// sendLate sends what was delayed for long enough, and tells when more is due.
func (s *speaker) sendLate(now, next time.Time) time.Time {
	for len(s.late) > 0 && !now.Before(s.late[0].at) {
		s.late[0].write()
		s.late = s.late[1:]
	}
	if len(s.late) > 0 && s.late[0].at.Before(next) {
		return s.late[0].at
	}
	return next
}

func (s *speaker) open(ns string) error {
	f, err := os.Open("/run/netns/" + ns)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	if s.ifi, err = net.InterfaceByName("xy"); err != nil {
		return err
	}
	s.local = netip.MustParseAddr("fe80::a")
	c, err := net.ListenPacket("udp6", fmt.Sprintf("[::]:%d", babel.Port))
	if err != nil {
		return err
	}
	s.conn = ipv6.NewPacketConn(c)
	return errors.Join(s.conn.JoinGroup(s.ifi, &net.UDPAddr{IP: babel.Group.AsSlice()}), s.conn.SetMulticastInterface(s.ifi),
		s.conn.SetMulticastHopLimit(1), s.conn.SetHopLimit(1), s.conn.SetMulticastLoopback(false), s.conn.SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagDst, true))
}

// settle drains both machines.
func (s *speaker) settle(now time.Time) {
	for from, n := range s.neighbors {
		key := babel.NeighborKey{Interface: iid, Addr: from}
		n.Drain(func(e babel.NeighborEvent) {
			s.router.Handle(now, key, e)
			if _, ok := e.(babel.Expired); ok {
				delete(s.neighbors, from)
			}
		})
	}
	s.router.Drain(func(e babel.Event) {
		switch e := e.(type) {
		case babel.Send:
			s.send(e)
		case babel.RouteOffered:
			if _, _, err := s.table.Offer(now, rib.OriginBabel, e.Route); err != nil {
				s.t.Error(err)
			}
		case babel.RouteWithdrawn:
			s.table.Withdraw(rib.OriginBabel, e.Key)
		case babel.Refused:
			if e.Reason == babel.RefusedTLV && e.Count <= s.badTLVs {
				s.badTLVs -= e.Count
				return
			}
			s.t.Errorf("refused from %s: %s (%d)", e.Neighbor.Addr, e.Reason, e.Count)
		}
	})
}

// until runs both machines until done is true after some event.
func (s *speaker) until(what string, done func() bool) {
	s.t.Helper()
	start := time.Now()
	defer func() { s.t.Logf("%s after %s", what, time.Since(start)) }()
	ctx, cancel := context.WithTimeout(s.t.Context(), 40*time.Second)
	defer cancel()
	buf := make([]byte, 65536)
	for {
		now := time.Now()
		s.settle(now)
		if s.guarded.Prefix.IsValid() && !s.hasRoute(s.guarded) {
			s.t.Fatalf("no route to %s any more", s.guarded)
		}
		if done() {
			return
		}
		if ctx.Err() != nil {
			s.t.Fatalf("no %s", what)
		}
		next, ok := s.router.NextTimeout()
		for _, n := range s.neighbors {
			if t, tok := n.NextTimeout(); tok && (!ok || t.Before(next)) {
				next, ok = t, true
			}
		}
		// A kernel route is looked at again after a second without packets.
		if limit := now.Add(time.Second); !ok || next.After(limit) {
			next = limit
		}
		s.conn.SetReadDeadline(s.sendLate(now, next))
		n, cm, from, err := s.conn.ReadFrom(buf)
		now = time.Now()
		if err == nil {
			s.receive(now, from.(*net.UDPAddr).AddrPort(), cm, buf[:n])
		} else if !errors.Is(err, os.ErrDeadlineExceeded) {
			s.t.Fatal(err)
		}
		for _, n := range s.neighbors {
			n.HandleTimeout(now)
		}
		s.router.HandleTimeout(now)
	}
}

func (s *speaker) receive(now time.Time, from netip.AddrPort, cm *ipv6.ControlMessage, packet []byte) {
	a := from.Addr().WithZone("")
	if from.Port() != babel.Port || cm.HopLimit != 1 || !a.IsLinkLocalUnicast() {
		s.t.Errorf("a packet from %s with hop limit %d", from, cm.HopLimit)
		return
	}
	if s.cut {
		return
	}
	s.capture = append(s.capture, bytes.Clone(packet))
	if to, ok := netip.AddrFromSlice(cm.Dst); !ok || !s.passes(now, a, to, packet) {
		return
	}
	if tlvs, _, err := babel.Decode(packet, a, false); err == nil && s.heard != nil {
		for _, t := range tlvs {
			s.heard(t)
		}
	}
	if s.neighbors[a] == nil {
		n, err := babel.NewNeighbor(babel.NeighborConfig{Addr: a, Local: s.local, Locators: locators, Cost: s.cost, Epoch: began})
		if err != nil {
			s.t.Fatal(err)
		}
		s.neighbors[a] = n
		if err := s.router.AddNeighbor(now, babel.NeighborKey{Interface: iid, Addr: a}); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := s.neighbors[a].HandlePacket(now, from.Addr(), packet); err != nil {
		s.t.Error(err)
	}
}

// hasRoute tells whether we have a route to p by babeld.
func (s *speaker) hasRoute(k rib.Key) bool {
	r, ok := s.table.View().Get(k)
	return ok && !r.Unreachable && r.NextHop.Ifindex == s.ifi.Index && r.NextHop.Gateway.IsLinkLocalUnicast() && r.Egress == nodeID(0)
}

func TestInteropBabeld(t *testing.T) {
	a, b := lab(t)
	s := newSpeaker(t, a)
	now := time.Now()
	ours := rib.Key{Prefix: netip.MustParsePrefix("fd88:0:0:1::/64")}
	specific := rib.Key{Prefix: netip.MustParsePrefix("fd88:0:0:2::/64"), Source: netip.MustParsePrefix("fd77::/16")}
	secret := rib.Key{Prefix: netip.PrefixFrom(addr.Locator(locators, nodeID(0)), 128)}
	for _, k := range []rib.Key{ours, specific, secret} {
		if err := s.router.Originate(now, k, 0); err != nil {
			t.Fatal(err)
		}
	}
	stop := babeld(t, b, "interface yx type wired hello-interval 1 update-interval 4 enable-timestamps true",
		"redistribute local ip fd77::/16 allow", "redistribute local deny")
	kernel := func() string { return ip(t, "-n", b, "-6", "route", "show", "table", "all", "proto", "babel") }

	theirs := rib.Key{Prefix: netip.MustParsePrefix("fd77::1/128")}
	s.until("route of babeld here", func() bool { return s.hasRoute(theirs) })
	s.until("route of ours there", func() bool { return strings.Contains(kernel(), "fd88:0:0:1::/64 via "+s.local.String()) })
	s.until("source-specific route there", func() bool {
		return strings.Contains(kernel(), "fd88:0:0:2::/64 from fd77::/16")
	})
	if routes := kernel(); strings.Contains(routes, locators.Addr().String()) {
		t.Errorf("a locator left the fabric:\n%s", routes)
	}

	s.router.Withdraw(time.Now(), ours)
	s.until("end of our withdrawn route there", func() bool { return !strings.Contains(kernel(), "fd88:0:0:1::/64 via") })
	ip(t, "-n", b, "addr", "add", "fd77::2/128", "dev", "lo")
	s.until("new route of babeld", func() bool { return s.hasRoute(rib.Key{Prefix: netip.MustParsePrefix("fd77::2/128")}) })

	s.router.Retract(time.Now())
	// What was retracted babeld keeps as unreachable for a while.
	s.until("end of all our routes there", func() bool { return !strings.Contains(kernel(), "via "+s.local.String()) })
	stop()
	s.until("end of all its routes here", func() bool { return !s.hasRoute(theirs) })
	if *updateCapture {
		var lines strings.Builder
		for _, p := range s.capture {
			lines.WriteString(hex.EncodeToString(p) + "\n")
		}
		if err := os.WriteFile("testdata/babeld.hex", []byte(lines.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInteropBabeldThatDies(t *testing.T) {
	for name, c := range map[string]struct {
		cost babel.LinkCost
		says string
	}{
		"plain": {says: "type wired"},
		// Its IHUs then go with unscheduled Hellos by unicast, which promise nothing.
		"with round trips, by unicast": {babel.LinkCost{Type: babel.Tunnel}, "type tunnel unicast true"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := lab(t)
			s := openSpeaker(t, a)
			s.cost = c.cost
			s.speak(babel.Interface{Multicast: true, Unicast: c.cost.MeasuresRTT()})
			unscheduled := 0
			s.heard = func(tlv babel.TLV) {
				if h, ok := tlv.(babel.Hello); ok && h.Unicast && h.Interval == 0 {
					unscheduled++
				}
			}
			stop := babeld(t, b, "interface yx hello-interval 1 update-interval 4 "+c.says,
				"redistribute local ip fd77::/16 allow", "redistribute local deny")
			theirs := rib.Key{Prefix: netip.MustParsePrefix("fd77::1/128")}
			s.until("route of babeld here", func() bool { return s.hasRoute(theirs) })
			if c.cost.MeasuresRTT() {
				s.until("unscheduled Hellos", func() bool { return unscheduled >= 3 })
			}
			ip(t, "-n", b, "link", "set", "yx", "down")
			s.until("end of the route when Hellos are missing", func() bool { return !s.hasRoute(theirs) })
			stop()
		})
	}
}
