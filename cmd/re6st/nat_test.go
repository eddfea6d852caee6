package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"re6st/actors/monitor"
)

// between is the link from one node to another, if it is up.
func (m *mesh) between(t *testing.T, from, to int) (monitor.Tunnel, bool) {
	t.Helper()
	l := m.tunnels(t, from)[m.id(t, to)]
	return l, l.State == "up"
}

// await waits until something is so, and tells how long it took.
func await(t *testing.T, what string, so func() bool) time.Duration {
	t.Helper()
	return awaitFor(t, patience, what, so)
}

// awaitFor is await of what takes longer.
func awaitFor(t *testing.T, limit time.Duration, what string, so func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !so() {
		if time.Since(began) > limit {
			t.Fatalf("not so: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(began)
}

// awaitSaid runs a command until it says a text: it gives others a second or two to answer,
// and a busy machine may take longer. Its status does not matter.
func awaitSaid(t *testing.T, text string, command ...string) {
	t.Helper()
	said := ""
	defer func() {
		if t.Failed() {
			t.Log(said)
		}
	}()
	await(t, strings.Join(command, " ")+" says "+text, func() bool {
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		said = fmt.Sprintf("%v: %s", err, out)
		return strings.Contains(said, text)
	})
}

func (m *mesh) status(t *testing.T, i int) (s monitor.Status) {
	t.Helper()
	if err := monitor.NewClient(m.Nodes[i].Socket).Get(t.Context(), "status", &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// known is what a node knows of another.
func (m *mesh) known(t *testing.T, from, to int) monitor.Peer {
	t.Helper()
	var answer monitor.Peers
	if err := monitor.NewClient(m.Nodes[from].Socket).Get(t.Context(), "peers", &answer); err != nil {
		t.Fatal(err)
	}
	for _, p := range answer.Peers {
		if p.Node.String() == m.id(t, to) {
			return p
		}
	}
	return monitor.Peer{}
}

func TestNodesBehindTwoPortRestrictedNATsGetADirectLink(t *testing.T) {
	m := meshUp(t, "--nodes", "4", "--nat", "n1=port-restricted,n2=port-restricted")
	await(t, "a direct link, at both ends", func() bool {
		_, there := m.between(t, 0, 1)
		_, back := m.between(t, 1, 0)
		return there && back
	})
	l, _ := m.between(t, 0, 1)
	if l.Remote.Addr() != m.Nodes[1].NAT.Outside {
		t.Errorf("the link goes to %s, want the outside of the other NAT, %s", l.Remote, m.Nodes[1].NAT.Outside)
	}
	later := m.status(t, 0).Started
	if s := m.status(t, 1).Started; s.After(later) {
		later = s
	}
	t.Logf("direct link %.0f ms after the later of the two started", l.Since.Sub(later).Seconds()*1000)
	await(t, "both know their NAT, and a node without one that it has none", func() bool {
		return m.status(t, 0).NAT == "port-restricted" && m.status(t, 1).NAT == "port-restricted" && m.status(t, 2).NAT == "none"
	})
	p := m.ping(t, 0, 1)
	p.more(t, 50)
	if lost := p.end(t); lost > 0 {
		t.Errorf("%d pings were lost by the link", lost)
	}
}

func TestNodesBehindTwoRandomNATsRelayAndTellWhy(t *testing.T) {
	m := meshUp(t, "--nodes", "4", "--nat", "n1=random,n2=random")
	const why = "both behind random NAT"
	took := await(t, "both know why they have no link", func() bool {
		return m.known(t, 0, 1).Detail == why && m.known(t, 1, 0).Detail == why
	})
	t.Logf("both knew why %.1f s after all pairs talked", took.Seconds())
	await(t, "both say that they are behind such a NAT", func() bool {
		return m.status(t, 0).NAT == "random" && m.status(t, 1).NAT == "random"
	})
	p := m.ping(t, 0, 1)
	p.more(t, 100)
	if lost := p.end(t); lost > 0 {
		t.Errorf("%d pings were lost by the relay", lost)
	}
	if _, direct := m.between(t, 0, 1); direct {
		t.Error("they have a direct link")
	}
	await(t, "the dial has ended", func() bool { return m.known(t, 0, 1).State == "idle" })
	if next := time.Until(m.known(t, 0, 1).NextDial); next < time.Minute {
		t.Errorf("dialled again in %v", next)
	}
	awaitSaid(t, why, "re6st", "trace", m.address(1).String(), "--socket", m.Nodes[0].Socket)
}

func TestAPortThatAGatewayMapsIsToldToOthers(t *testing.T) {
	if _, err := exec.LookPath("miniupnpd"); err != nil {
		t.Skip("the gateway needs miniupnpd, of the Debian package miniupnpd-nftables")
	}
	m := meshUp(t, "--nodes", "3", "--nat", "n1=igd,n2=random")
	var s monitor.Status
	await(t, "the port is mapped", func() bool { s = m.status(t, 0); return s.Mapping != nil })
	// That the registry is not there is no matter here: what the gateway speaks is shown.
	const speaks = "speaks PCP; NAT-PMP, outside address 11.0.0.6; UPnP IGD, outside address 11.0.0.6"
	awaitSaid(t, speaks, "ip", "netns", "exec", m.Nodes[0].Netns, "re6st", "netcheck", "--registry", "127.0.0.1:9")
	if s.Mapping.External.Addr() != m.Nodes[0].NAT.Outside {
		t.Errorf("mapped at %s, want %s", s.Mapping.External, m.Nodes[0].NAT.Outside)
	}
	await(t, "behind a random NAT, the other has a link with it", func() bool { _, ok := m.between(t, 1, 0); return ok })
}
