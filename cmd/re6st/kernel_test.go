//go:build kernel

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"re6st/actors/monitor"
)

// kernelPatience is for whatever an emulated machine has to bring about.
const kernelPatience = 2 * time.Minute

// An emulated machine stands still for a second at times. So links are given more time than
// they need elsewhere, that only a real fault takes one out of its tunnel; and there is traffic
// while tunnels are made, for the silence of an idle link is judged sooner.
const (
	calmInUse    = 4 * time.Second
	noticedAfter = calmInUse + calmInUse/2 // of silence of a link in use
	trafficEvery = 50 * time.Millisecond
)

// tunnelNames begin the names of the kernel's tunnels at a node of the lab.
const tunnelNames = "re206-"

// TestKernelLineOfNodesGoesByEachKindOfTunnel has all pairs of a line of nodes exchange full-size
// packets by each kind of tunnel, and one kind take the place of another under traffic.
func TestKernelLineOfNodesGoesByEachKindOfTunnel(t *testing.T) {
	if out, err := exec.Command("modprobe", "tun").CombinedOutput(); err != nil {
		t.Skipf("this kernel has no tun: %s", out)
	}
	kinds := []string{"gre", "fou", "wireguard"}
	config := filepath.Join(t.TempDir(), "config.toml")
	want := func(kind string) {
		if err := os.WriteFile(config, fmt.Appendf(nil, "tunnels = [%q]\n", kind), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want(kinds[0])
	m := meshUp(t, "--nodes", "4", "--topology", "line", "--config", config)
	m.calm(t)
	for i, kind := range kinds {
		traffic := m.pingEvery(t, trafficEvery, 0, len(m.Nodes)-1)
		traffic.more(t, 20)
		if i > 0 {
			want(kind)
			m.reload(t)
		}
		m.awaitVia(t, kind)
		traffic.more(t, 20)
		if lost := traffic.end(t); i > 0 && lost >= int64(noticedAfter/trafficEvery) {
			t.Errorf("%d pings were lost while %s took the place of %s, as if nobody had told the other end", lost, kind, kinds[i-1])
		}
		m.fullPacketsGoBy(t, kind)
	}
}

// calm has links be given more time.
func (m *mesh) calm(t *testing.T) {
	t.Helper()
	registry := filepath.Join(filepath.Dir(filepath.Dir(m.Nodes[0].Socket)), "registry")
	if out, err := exec.Command("re6st", "registry", "params", "set", "-d", registry,
		fmt.Sprint("liveness.in_use=", calmInUse), fmt.Sprint("liveness.idle_min=", calmInUse)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	awaitFor(t, kernelPatience, "all nodes take the network's parameters", func() bool {
		for i := range m.Nodes {
			if m.status(t, i).Params < 2 {
				return false
			}
		}
		return true
	})
}

// reload has all nodes read their configuration again.
func (m *mesh) reload(t *testing.T) {
	t.Helper()
	for _, n := range m.Nodes {
		var answer monitor.Reloaded
		if err := monitor.NewClient(n.Socket).Post(t.Context(), "reload", nil, &answer); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitVia waits until all links of the line go by a kind of tunnel. Nodes go on dialling those
// that are out of reach: these are no links.
func (m *mesh) awaitVia(t *testing.T, kind string) {
	t.Helper()
	took := awaitFor(t, kernelPatience, "all links go by "+kind, func() bool {
		time.Sleep(100 * time.Millisecond) // of the one machine that all share
		links := 0
		for i := range m.Nodes {
			for _, l := range m.tunnels(t, i) {
				if l.State == "up" && l.Tunnel == kind {
					links++
				}
			}
		}
		return links == 2*(len(m.Nodes)-1)
	})
	t.Logf("%s: all links go by it after %.1f s", kind, took.Seconds())
}

// fullPacketsGoBy has each node send a packet of full size to each other one, until those that
// leave the second node, three at least to either side, have gone by its two tunnels.
func (m *mesh) fullPacketsGoBy(t *testing.T, kind string) {
	t.Helper()
	before := m.sent(t, 1, tunnelNames)
	awaitFor(t, kernelPatience, "full packets of all pairs go by "+kind, func() bool {
		m.sendFullAll(t)
		now := m.sent(t, 1, tunnelNames)
		through := len(now) == 2
		for name, sent := range now {
			through = through && sent-before[name] >= 3*fullPacket
		}
		return through
	})
}
