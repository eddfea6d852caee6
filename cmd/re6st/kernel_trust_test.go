//go:build kernel

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"re6st/actors/monitor"
)

// TestKernelNodesThatTrustEachOtherSendUnsealed has the nodes of a line trust their tunnels, one
// after the other, and then loses one of these.
func TestKernelNodesThatTrustEachOtherSendUnsealed(t *testing.T) {
	if out, err := exec.Command("modprobe", "tun").CombinedOutput(); err != nil {
		t.Skipf("this kernel has no tun: %s", out)
	}
	const kind = "gre" // hw/ktunnel tries what the kernel does with the others
	config := filepath.Join(t.TempDir(), "config.toml")
	var m *mesh
	reload := func(more string, nodes ...int) {
		t.Helper()
		if err := os.WriteFile(config, fmt.Appendf(nil, "tunnels = [%q]\n%s", kind, more), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, i := range nodes {
			var answer monitor.Reloaded
			if err := monitor.NewClient(m.Nodes[i].Socket).Post(t.Context(), "reload", nil, &answer); err != nil {
				t.Fatal(err)
			}
		}
	}
	reload("")
	m = meshUp(t, "--nodes", "3", "--topology", "line", "--config", config)
	m.calm(t)
	m.awaitVia(t, kind)
	const trusting = "trusted_underlay = [\"0.0.0.0/0\", \"::/0\"]\n"
	direct := func(from, to int) bool { return strings.HasPrefix(m.way(t, from, to), tunnelNames) }
	await := func(what string, is func() bool) {
		t.Helper()
		awaitFor(t, kernelPatience, what, func() bool { time.Sleep(100 * time.Millisecond); return is() })
	}

	reload(trusting, 0)
	m.awaitVia(t, kind)
	if direct(0, 1) || direct(1, 0) {
		t.Error("one end alone trusts")
	}
	reload(trusting, 1, 2)
	await("all links are trusted", func() bool {
		for _, pair := range [][2]int{{0, 1}, {1, 0}, {1, 2}, {2, 1}} {
			if l := m.tunnels(t, pair[0])[m.id(t, pair[1])]; !l.Trusted || l.Tunnel != kind || !direct(pair[0], pair[1]) {
				return false
			}
		}
		return true
	})
	if way := m.way(t, 0, 2); way != "re6st0" {
		t.Errorf("what another node relays leaves by %s", way)
	}
	await("packets go past the TUN", func() bool { // where the machine stands still the tunnel is left for a while
		before := m.sent(t, 1, "re6st0")["re6st0"]
		m.sendFull(t, 1, 0)
		return m.sent(t, 1, "re6st0")["re6st0"]-before < fullPacket
	})
	m.sendFullAll(t)

	name := m.way(t, 1, 0)
	m.inside(t, 1, func() error {
		out, err := exec.Command("ip", "link", "set", name, "down").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	})
	await("a tunnel that is down is left", func() bool { return !direct(0, 1) })
	m.sendFullAll(t)

	reload("", 2)
	await("where one end trusts no more, none does", func() bool { return !direct(1, 2) && !direct(2, 1) })
	m.sendFullAll(t)
}

// way is the interface by which packets leave one node for another; "": none.
func (m *mesh) way(t *testing.T, from, to int) (name string) {
	t.Helper()
	m.inside(t, from, func() error {
		out, _ := exec.Command("ip", "-6", "route", "get", m.address(to).String()).CombinedOutput() // it fails while there is none
		_, after, _ := strings.Cut(string(out), " dev ")
		name, _, _ = strings.Cut(after, " ")
		return nil
	})
	return name
}
