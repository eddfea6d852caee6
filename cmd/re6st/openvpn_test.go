package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fullPacket is the network's MTU, and so what a TUN takes, in bytes.
const fullPacket = 1380

// openvpnLine is a line of nodes whose links go by a kind of tunnel.
func openvpnLine(t *testing.T, nodes int, kind string) *mesh {
	t.Helper()
	if _, err := exec.LookPath("openvpn"); err != nil {
		t.Skip("needs openvpn, of the Debian package openvpn")
	}
	config := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "tunnels = [%q]\n", kind), 0o600); err != nil {
		t.Fatal(err)
	}
	m := meshUp(t, "--nodes", strconv.Itoa(nodes), "--topology", "line", "--config", config)
	await(t, "all links go by "+kind, func() bool { return m.allVia(t, kind) && m.oneEach(t) })
	return m
}

// oneEach tells whether each link of the nodes has a child and a TAP of its own, and none is
// left of a link that was there before.
func (m *mesh) oneEach(t *testing.T) bool {
	t.Helper()
	for i := range m.Nodes {
		if n := len(m.tunnels(t, i)); len(m.children(t, i)) != n || len(m.taps(t, i)) != n {
			return false
		}
	}
	return true
}

// allVia tells whether each node of a line has links with its neighbors, and all of them go
// by a kind of tunnel.
func (m *mesh) allVia(t *testing.T, kind string) bool {
	t.Helper()
	for i := range m.Nodes {
		links := m.tunnels(t, i)
		for _, l := range links {
			if l.State != "up" || l.Tunnel != kind {
				return false
			}
		}
		if want := 2; len(links) != want && !(i == 0 || i == len(m.Nodes)-1) || len(links) == 0 {
			return false
		}
	}
	return true
}

// taps are the interfaces of OpenVPN at a node, with the bytes that they have sent.
func (m *mesh) taps(t *testing.T, i int) map[string]uint64 {
	t.Helper()
	return m.sent(t, i, "-o")
}

// sent are the bytes that a node has sent by interfaces with a text in their names.
func (m *mesh) sent(t *testing.T, i int, part string) map[string]uint64 {
	t.Helper()
	sent := map[string]uint64{}
	m.inside(t, i, func() error {
		text, err := os.ReadFile("/proc/thread-self/net/dev")
		for line := range strings.Lines(string(text)) {
			name, numbers, ok := strings.Cut(line, ":")
			if fields := strings.Fields(numbers); ok && strings.Contains(name, part) {
				if sent[strings.TrimSpace(name)], err = strconv.ParseUint(fields[8], 10, 64); err != nil {
					return err
				}
			}
		}
		return err
	})
	return sent
}

// sendFull sends packets of full size from one node to another until one has come.
func (m *mesh) sendFull(t *testing.T, from, to int) {
	t.Helper()
	a, b := m.listen(t, from), m.listen(t, to)
	payload := bytes.Repeat([]byte{byte(from), byte(to)}, (fullPacket-48)/2)
	buffer := make([]byte, fullPacket)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := a.WriteToUDPAddrPort(payload, port(b)); err != nil {
			t.Fatal(err)
		}
		if err := b.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, _, err := b.ReadFromUDPAddrPort(buffer)
		if err == nil && bytes.Equal(buffer[:n], payload) {
			return
		}
	}
	t.Fatalf("no packet of %d bytes comes from %s to %s", fullPacket, m.Nodes[from].Name, m.Nodes[to].Name)
}

// children are the processes of OpenVPN at a node.
func (m *mesh) children(t *testing.T, i int) (pids []int) {
	t.Helper()
	out, err := exec.Command("ip", "netns", "pids", m.Nodes[i].Netns).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range strings.Fields(string(out)) {
		line, err := os.ReadFile(filepath.Join("/proc", text, "cmdline"))
		if pid, _ := strconv.Atoi(text); err == nil && bytes.HasSuffix(line, []byte("openvpn\x00--config\x00stdin\x00")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestFullPacketsGoByOpenVPN(t *testing.T) {
	for _, kind := range []string{"openvpn-udp", "openvpn-tcp"} {
		t.Run(kind, func(t *testing.T) {
			m := openvpnLine(t, 4, kind)
			before := m.taps(t, 1)
			if len(before) != 2 {
				t.Fatalf("TAPs of a node with two links: %v", before)
			}
			// Over each link of the second node go packets of two pairs at least, each way. Where
			// the machine stands still for a moment a link may leave its tunnel for a while.
			const rounds = 5
			await(t, "full packets of all pairs go by the TAPs", func() bool {
				for range rounds {
					m.sendFullAll(t)
				}
				now := m.taps(t, 1)
				grown := len(now) == 2
				for name, sent := range now {
					grown = grown && sent-before[name] >= 2*rounds*fullPacket
				}
				return grown
			})
		})
	}
}

// sendFullAll sends a packet of full size between each pair of nodes, each way.
func (m *mesh) sendFullAll(t *testing.T) {
	t.Helper()
	for from := range m.Nodes {
		for to := range m.Nodes {
			if from != to {
				m.sendFull(t, from, to)
			}
		}
	}
}

func TestALinkOutlivesItsOpenVPN(t *testing.T) {
	for _, kind := range []string{"openvpn-udp", "openvpn-tcp"} {
		t.Run(kind, func(t *testing.T) {
			m := openvpnLine(t, 3, kind)
			for range 3 { // a link may end where the machine stands still
				links := m.tunnels(t, 1)
				m.killChildren(t, 1)
				await(t, "the links go by new tunnels", func() bool { return m.allVia(t, kind) && m.oneEach(t) })
				m.sendFull(t, 0, 2)
				lived := true
				for node, l := range m.tunnels(t, 1) {
					lived = lived && l.Link == links[node].Link
				}
				if lived {
					return
				}
			}
			t.Error("links end with their children")
		})
	}
}

// killChildren kills those of a node with two links, which goes on carrying packets, and waits for others.
func (m *mesh) killChildren(t *testing.T, i int) {
	t.Helper()
	killed := m.children(t, i)
	if len(killed) != 2 {
		t.Fatalf("a node with two links has the children %v", killed)
	}
	for _, pid := range killed {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	m.sendFull(t, i-1, i+1)
	await(t, "there are other children", func() bool {
		now := m.children(t, i)
		return len(now) == 2 && !slices.Contains(now, killed[0]) && !slices.Contains(now, killed[1])
	})
}

// A node that is killed leaves TAPs behind, which hold nobody up; it sweeps them.
func TestAKilledNodeSweepsItsTAPs(t *testing.T) {
	m := openvpnLine(t, 2, "openvpn-udp")
	before := m.indices(t, 0)
	m.lab(t, "kill", "n1")
	await(t, "no child outlives its node", func() bool { return len(m.children(t, 0)) == 0 })
	if left := m.indices(t, 0); !slices.Equal(left, before) {
		t.Fatalf("TAPs %v are left, of %v: this tries nothing", left, before)
	}
	m.lab(t, "start", "n1")
	await(t, "another TAP is there, and the old one is not", func() bool {
		now := m.indices(t, 0)
		return len(now) == 1 && now[0] != before[0]
	})
	await(t, "the link goes by it", func() bool { return m.allVia(t, "openvpn-udp") })
}

// indices are those of a node's TAPs.
func (m *mesh) indices(t *testing.T, i int) (all []int) {
	t.Helper()
	m.inside(t, i, func() error {
		links, err := net.Interfaces()
		for _, l := range links {
			if strings.Contains(l.Name, "-o") {
				all = append(all, l.Index)
			}
		}
		return err
	})
	return all
}
