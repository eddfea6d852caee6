package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"re6st/hw/netns"
)

// testFolder holds the labs of the tests: short, for the paths of sockets are bounded,
// and another in each run, so that no run takes down the labs of another.
var testFolder = filepath.Join(os.TempDir(), fmt.Sprintf("re6st-lab-test.%d", os.Getpid()))

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("the underlay's rules need nft, of the package nftables")
	}
}

// patience bounds waiting for what is certain to come if the code is right.
const patience = 60 * time.Second

// ground is an underlay without processes, with a prober on its own addresses.
type ground struct {
	t *testing.T
	*underlay
	prober *prober
	trains map[Pair]*train
}

func newGround(t *testing.T, topology Topology, nodes int) *ground {
	t.Helper()
	needRoot(t)
	if _, err := netns.Sweep(testFolder); err != nil {
		t.Fatal(err)
	}
	group, err := netns.NewGroup(testFolder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := group.Close(); err != nil {
			t.Error(err)
		}
	})
	names := nodeNames(nodes)
	u, err := newUnderlay(t.Context(), group, topology, mustEdges(t, topology, nodes, 1), names, Access{})
	if err != nil {
		t.Fatal(err)
	}
	g := &ground{t: t, underlay: u, prober: newProber(), trains: map[Pair]*train{}}
	t.Cleanup(g.prober.close)
	var trains []*train
	for name, ns := range u.members {
		if err := g.prober.open(name, ns, u.places[name].addr6.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range allPairs(append(names, registryName)) {
		g.trains[p] = g.prober.newTrain(p)
		trains = append(trains, g.trains[p])
	}
	g.prober.pace(t.Context(), 10*time.Millisecond, trains, nil)
	return g
}

// passes waits until packets pass over exactly the given edges: every pair on one
// answers an echo sent since, and meanwhile no other pair does.
func (g *ground) passes(edges []Edge) {
	g.t.Helper()
	from := g.prober.now()
	var want, others []*train
	for p, t := range g.trains {
		if slices.Contains(edges, newEdge(p.From, p.To)) {
			want = append(want, t)
		} else {
			others = append(others, t)
		}
	}
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	if _, missing := g.prober.await(ctx, want, from); len(missing) > 0 {
		g.t.Errorf("no answer: %v", missing)
	}
	// The second echo of a pair leaves after the first one's answer would have come.
	if _, missing := g.prober.await(ctx, want, g.prober.now()); len(missing) > 0 {
		g.t.Errorf("no second answer: %v", missing)
	}
	var passed []Pair
	for _, t := range others {
		if l := g.prober.losses(t, from, g.prober.now()); l.Lost != l.Sent {
			passed = append(passed, t.pair)
		}
	}
	if len(passed) > 0 {
		slices.SortFunc(passed, Pair.compare)
		g.t.Errorf("packets of no edge passed: %v", passed)
	}
}

func (g *ground) do(err error) {
	g.t.Helper()
	if err == nil {
		err = g.load(g.t.Context())
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

// says asks until the answer has a text.
func (g *ground) says(ask func() string, text string) {
	g.t.Helper()
	got := ""
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if got = ask(); strings.Contains(got, text) {
			return
		}
	}
	g.t.Errorf("no %q in %q", text, got)
}

// TestUnderlayReachesNeighborsAndTheRegistryOnly: node to node over edges, registry to all.
func TestUnderlayReachesNeighborsAndTheRegistryOnly(t *testing.T) {
	for _, topology := range Topologies {
		t.Run(string(topology), func(t *testing.T) {
			g := newGround(t, topology, 6)
			g.passes(g.rules.edges)
		})
	}
}

func TestCutAndHeal(t *testing.T) {
	for _, c := range []struct {
		topology Topology
		how      Cut
		edge     Edge
	}{
		{Line, Silent, Edge{"n1", "n2"}},
		{Full, Reject, Edge{"n2", "n3"}},
		{Ring, Silent, Edge{"n2", registryName}},
		{LAN, Silent, Edge{"n1", "n3"}},
		{LAN, Silent, Edge{"n2", registryName}},
	} {
		t.Run(string(c.topology)+" "+c.edge.String()+" "+string(c.how), func(t *testing.T) {
			g := newGround(t, c.topology, 3)
			g.passes(g.rules.edges)
			g.do(g.rules.cut(c.edge, c.how))
			g.passes(g.rules.open())
			if len(g.rules.open()) != len(g.rules.edges)-1 {
				t.Errorf("%d of %d edges are open", len(g.rules.open()), len(g.rules.edges))
			}
			g.do(g.rules.heal(c.edge))
			g.passes(g.rules.edges)
		})
	}
}

func TestRejectIsAnsweredAndSilentIsNot(t *testing.T) {
	g := newGround(t, Line, 2)
	answer := func() string {
		var out []byte
		_ = g.members["n1"].Do(func() error { // its status says that nothing came back
			out, _ = exec.Command("ping", "-c1", "-W1", g.places["n2"].addr4.Addr().String()).CombinedOutput()
			return nil
		})
		return string(out)
	}
	g.do(g.rules.cut(Edge{"n1", "n2"}, Reject))
	g.says(answer, "Unreachable") // not at once: the machine sends so many errors a second, to all
	g.do(g.rules.cut(Edge{"n1", "n2"}, Silent))
	if got := answer(); strings.Contains(got, "Unreachable") || !strings.Contains(got, "100% packet loss") {
		t.Errorf("a silent cut answers %q", got)
	}
}

func TestLossDropsItsShare(t *testing.T) {
	for _, topology := range []Topology{Line, LAN} {
		t.Run(string(topology), func(t *testing.T) {
			g := newGround(t, topology, 2)
			g.passes(g.rules.edges)
			g.do(g.rules.lose(Edge{"n1", "n2"}, 5000))
			from := g.prober.now()
			probe := g.prober.newTrain(Pair{"n1", "n2"})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			g.prober.pace(ctx, time.Millisecond, []*train{probe}, nil)
			// All lost or none lost in 200 echoes is not to be seen by chance.
			var l loss
			for l.Sent < 200 {
				if _, missing := g.prober.await(t.Context(), []*train{probe}, g.prober.now()); len(missing) > 0 {
					t.Fatal("the test ended")
				}
				l = g.prober.losses(probe, from, g.prober.now())
			}
			if l.Lost == 0 || l.Lost == l.Sent {
				t.Errorf("of %d echoes %d are lost, want some", l.Sent, l.Lost)
			}
			g.do(g.rules.lose(Edge{"n1", "n2"}, 0))
			g.passes(g.rules.edges)
		})
	}
}

func TestRateLimitsBothWays(t *testing.T) {
	g := newGround(t, Line, 2)
	qdiscs := func() (all string) {
		for _, end := range []struct {
			ns   *netns.NS
			link string
		}{{g.members["n1"], uplink}, {g.router, "n1"}} {
			err := end.ns.Do(func() error {
				out, err := exec.Command("tc", "qdisc", "show", "dev", end.link).Output()
				all += string(out)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return all
	}
	if err := g.setRate("n1", 5_000_000); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(qdiscs(), "rate 5Mbit"); got != 2 {
		t.Errorf("%d ends have the rate: %s", got, qdiscs())
	}
	g.passes(g.rules.edges)
	if err := g.setRate("n1", 0); err != nil {
		t.Fatal(err)
	}
	if got := qdiscs(); strings.Contains(got, "tbf") {
		t.Errorf("without a rate: %s", got)
	}
}

func TestLANHasMulticastAndRoutedHasNot(t *testing.T) {
	for topology, want := range map[Topology]bool{LAN: true, Full: false} {
		g := newGround(t, topology, 2)
		g.passes(g.rules.edges)
		var n2 string
		err := g.members["n2"].Do(func() error {
			link, err := exec.Command("ip", "-6", "-o", "addr", "show", "dev", uplink, "scope", "link").Output()
			n2 = strings.Split(strings.Fields(string(link))[3], "/")[0]
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		answers := func() string {
			var out []byte
			_ = g.members["n1"].Do(func() error { // its status says whether anybody answered
				out, _ = exec.Command("ping", "-6", "-c2", "-i0.2", "-W1", "ff02::1%eth0").CombinedOutput()
				return nil
			})
			return string(out)
		}
		from := "from " + n2 + "%"
		if want {
			g.says(answers, from)
		} else if got := answers(); strings.Contains(got, from) {
			t.Errorf("%s: n2 answers multicast: %s", topology, got)
		}
	}
}
