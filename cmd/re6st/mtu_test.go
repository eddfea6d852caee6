package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"re6st/hw/netns"
)

const (
	// recovery is how soon data is to arrive again after the underlay was made narrower: that is
	// what is promised, whatever the routers say of it.
	recovery = 3 * time.Second
	// lossy is how long a link is to stand its loss.
	lossy = 3 * time.Second
)

// router is the name of the namespace between the nodes of a lab.
func (m *mesh) router() string {
	name := m.Nodes[0].Netns
	return name[:strings.LastIndexByte(name, '-')+1] + "router"
}

func inNetns(t *testing.T, name, stdin string, command ...string) {
	t.Helper()
	ns, err := netns.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	err = ns.Do(func() error {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", command, err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// setMTU makes a node's link with the router wider or narrower, at both ends.
func (m *mesh) setMTU(t *testing.T, i, mtu int) {
	t.Helper()
	inNetns(t, m.router(), "", "ip", "link", "set", m.Nodes[i].Name, "mtu", fmt.Sprint(mtu))
	inNetns(t, m.Nodes[i].Netns, "", "ip", "link", "set", "eth0", "mtu", fmt.Sprint(mtu))
}

// sayNothing has the router drop what it would tell of packets that are too long.
func (m *mesh) sayNothing(t *testing.T, quiet bool) {
	t.Helper()
	rules := "add table inet mtutest\ndelete table inet mtutest\n"
	if quiet {
		rules += `table inet mtutest {
	chain o { type filter hook output priority 0;
		icmp type destination-unreachable icmp code 4 drop
		icmpv6 type packet-too-big drop
	}
}
`
	}
	inNetns(t, m.router(), rules, "nft", "-f", "-")
}

// flow is a TCP connection by which one node's kernel writes to another's at 20 Mbit/s.
type flow struct {
	received atomic.Int64
}

func (m *mesh) flow(t *testing.T, from, to int, at netip.Addr) *flow {
	t.Helper()
	f := &flow{}
	var listener net.Listener
	m.inside(t, to, func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(at, 0).String())
		return err
	})
	ended := make(chan struct{}, 2)
	accepted := make(chan net.Conn, 1)
	go func() {
		defer func() { ended <- struct{}{} }()
		in, err := listener.Accept()
		if err != nil {
			return
		}
		accepted <- in
		buffer := make([]byte, 64<<10)
		for {
			n, err := in.Read(buffer)
			f.received.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	var out net.Conn
	m.inside(t, from, func() (err error) {
		out, err = net.DialTimeout("tcp", listener.Addr().String(), patience)
		return err
	})
	stop, cancel := context.WithCancel(t.Context())
	go func() {
		defer func() { ended <- struct{}{} }()
		const every = 10 * time.Millisecond
		chunk := make([]byte, 20e6/8*every/time.Second)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-stop.Done():
				return
			case <-tick.C:
				if _, err := out.Write(chunk); err != nil && stop.Err() == nil {
					return
				}
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		listener.Close()
		out.Close()
		select {
		case in := <-accepted: // its end may be long on its way
			in.Close()
		default:
		}
		<-ended
		<-ended
	})
	return f
}

// arrives tells how long it takes until so much data has come that it was sent since.
func (f *flow) arrives(t *testing.T, within time.Duration) (time.Duration, bool) {
	t.Helper()
	const enough = 256 << 10
	began, before := time.Now(), f.received.Load()
	for f.received.Load() < before+enough {
		if time.Since(began) > within {
			return time.Since(began), false
		}
		time.Sleep(2 * time.Millisecond)
	}
	return time.Since(began), true
}

func TestTrafficGoesOnWhereTheUnderlayBecomesNarrower(t *testing.T) {
	two, line := []string{"--nodes", "2"}, []string{"--nodes", "3", "--topology", "line"}
	ipv4 := append([]string{"--ipv4", "10.42.0.0/16"}, two...)
	for _, x := range []struct {
		name  string
		args  []string
		mtu   int
		quiet bool // routers tell nothing
	}{
		{"to 1300, told", two, 1300, false},
		{"to 1300, not told", two, 1300, true},
		{"to 1240, told", two, 1240, false},
		{"to 1240, not told", two, 1240, true},
		{"of IPv4, to 1300, not told", ipv4, 1300, true},
		{"of a second link to 1300, not told", line, 1300, true},
		{"of a second link to 1240, told", line, 1240, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			m := meshUp(t, append([]string{"--underlay", "v4"}, x.args...)...) // IPv6 has no packets of less than 1280 bytes
			last := len(m.Nodes) - 1
			to := m.address(last)
			if len(x.args) > 2 && x.args[0] == "--ipv4" {
				to = m.address4(t, last)
			}
			f := m.flow(t, 0, last, to)
			if _, ok := f.arrives(t, patience); !ok {
				t.Fatal("nothing arrives to begin with")
			}
			m.sayNothing(t, x.quiet)
			for _, mtu := range []int{x.mtu, 1500} {
				m.setMTU(t, last, mtu)
				d, ok := f.arrives(t, recovery)
				t.Logf("MTU %d: data again after %v", mtu, d.Round(time.Millisecond))
				if !ok {
					t.Errorf("MTU %d: no data in %v", mtu, recovery)
				}
				// What arrived may have passed before, and have waited at a node that stood still.
				await(t, "the link is said to carry no more than it does", func() bool {
					return m.tunnels(t, last-1)[m.id(t, last)].MTU <= mtu-28
				})
			}
		})
	}
}

// address4 is what a node has of the network's IPv4.
func (m *mesh) address4(t *testing.T, i int) (found netip.Addr) {
	t.Helper()
	m.inside(t, i, func() error {
		ifs, err := net.Interfaces()
		if err != nil {
			return err
		}
		for _, ifi := range ifs {
			if ifi.Name == "eth0" || ifi.Flags&net.FlagLoopback != 0 {
				continue
			}
			all, err := ifi.Addrs()
			if err != nil {
				return err
			}
			for _, a := range all {
				if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
					found = p.Addr()
				}
			}
		}
		return nil
	})
	if !found.IsValid() {
		t.Fatalf("%s has no address of IPv4 in the mesh", m.Nodes[i].Name)
	}
	return found
}

func TestALossyLinkIsNotTakenForANarrowOne(t *testing.T) {
	m := meshUp(t, "--nodes", "2", "--underlay", "v4")
	const full = 1472
	await(t, "what the link carries is known", func() bool { return m.tunnels(t, 0)[m.id(t, 1)].MTU == full })
	f := m.flow(t, 0, 1, m.address(1))
	for _, loss := range []int{10, 30} {
		inNetns(t, m.router(), fmt.Sprintf(`add table inet mtutest
delete table inet mtutest
table inet mtutest {
	chain f { type filter hook forward priority 0;
		iifname "n1" numgen random mod 100 < %d drop
	}
}
`, loss), "nft", "-f", "-")
		before := m.tunnels(t, 0)[m.id(t, 1)]
		for began := time.Now(); time.Since(began) < lossy; time.Sleep(20 * time.Millisecond) {
			// A link that was made anew searches from the start.
			if l := m.tunnels(t, 0)[m.id(t, 1)]; before.MTU == full && l.Link == before.Link && l.MTU != full {
				t.Fatalf("%d %% of loss: the link is said to carry %d bytes", loss, l.MTU)
			}
		}
	}
	if f.received.Load() == 0 {
		t.Error("nothing arrived: the loss met no traffic")
	}
}
