package simnet_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"re6st/protocols/simnet"
)

func newNetwork(t testing.TB, c simnet.Config) *simnet.Network {
	t.Helper()
	n, err := simnet.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func parse(t testing.TB, text string) *simnet.Scenario {
	t.Helper()
	s, err := simnet.ParseScenario("test", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// play fails the test where a step is not met.
func play(t testing.TB, n *simnet.Network, s *simnet.Scenario) {
	t.Helper()
	var last simnet.StepReport
	ok, err := n.Play(s, func(r simnet.StepReport) { last = r })
	if err != nil || !ok {
		t.Fatalf("%+v: %v", last, err)
	}
}

// together runs calls at the same time.
func together(n int, do func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

func TestEachScenarioOfTheBinaryIsMet(t *testing.T) {
	for _, name := range simnet.Scenarios() {
		t.Run(name, func(t *testing.T) {
			s, ok := simnet.LoadScenario(name)
			if !ok {
				t.Fatal("it is not there")
			}
			c := simnet.Config{Nodes: s.Nodes, Topology: s.Topology, Degree: s.Degree, Ranges: s.Ranges, Seed: 1}
			if c.Nodes == 0 {
				c.Nodes, c.Degree = 60, 4
			}
			n := newNetwork(t, c)
			play(t, n, s)
			if checks := n.Report().Checks; checks.Loops == 0 || checks.Feasible == 0 || checks.Columns == 0 {
				t.Errorf("checked %+v", checks)
			}
		})
	}
}

func TestSameSeedSameHashOnAnyNumberOfProcessors(t *testing.T) {
	for _, topology := range []simnet.Topology{simnet.Random, simnet.Mesh} {
		hash := func(seed uint64, shards int, each func(int, func(int))) string {
			n := newNetwork(t, simnet.Config{Topology: topology, Nodes: 30, Degree: 4, Seed: seed, Loss: 0.05, Shards: shards, Each: each})
			play(t, n, parse(t, "kill 33%\nexpect clean within 120s\nstart all\nexpect clean within 60s"))
			return n.Hash()
		}
		one := hash(7, 1, nil)
		if again := hash(7, 1, nil); again != one {
			t.Errorf("%s: two runs of one seed sent %s and %s", topology, one, again)
		}
		if many := hash(7, 5, together); many != one {
			t.Errorf("%s: five shards at the same time sent %s, one sent %s", topology, many, one)
		}
		if hash(8, 1, nil) == one {
			t.Errorf("%s: two seeds sent the same", topology)
		}
	}
}

func TestEveryTopologyBecomesWhole(t *testing.T) {
	for _, topology := range simnet.Topologies {
		for _, nodes := range []int{2, 3, 31} {
			n := newNetwork(t, simnet.Config{Nodes: nodes, Topology: topology, Degree: 3, Seed: 3})
			play(t, n, parse(t, "expect clean within 1s"))
			if r := n.Report(); r.Tables.Routes < 1 || r.Sent.Packets == 0 || r.Sent.Refused > 0 {
				t.Errorf("%s of %d: %+v", topology, nodes, r)
			}
		}
	}
}

func TestFewOriginatorsAndManyRanges(t *testing.T) {
	n := newNetwork(t, simnet.Config{Nodes: 30, Originators: 7, Ranges: 2, Degree: 3, Seed: 1})
	play(t, n, parse(t, "kill 20%\nexpect clean within 60s\nstart all\nexpect clean within 20s"))
	if r := n.Report(); r.Prefixes != 21 || r.Tables.Sources > 21 {
		t.Errorf("%+v", r)
	}
}

func TestSmallPacketsPassASmallMTU(t *testing.T) {
	n := newNetwork(t, simnet.Config{Nodes: 60, Degree: 4, MTU: simnet.MinMTU, Seed: 1})
	play(t, n, parse(t, "expect clean within 20s"))
	if r := n.Report(); r.Sent.Lost > 0 || r.Sent.Bytes > simnet.MinMTU*r.Sent.Packets {
		t.Errorf("%+v", r.Sent)
	}
}

func TestASilenceInOneDirectionIsNoticedAtBothEnds(t *testing.T) {
	n := newNetwork(t, simnet.Config{Nodes: 2, Topology: simnet.Line, Seed: 1})
	play(t, n, parse(t, "mute n1 n2\nexpect clean within 15s"))
	if since, ok := n.Clean(); !ok || since < 10*time.Second {
		t.Errorf("clean since %v, %v: a lost prefix is unreachable for ten seconds", since, ok)
	}
	play(t, n, parse(t, "heal n1 n2\nexpect clean within 5s"))
}

// What a scenario expects of a network that is not so has to fail.
func TestAnExpectationThatIsNotMetSaysWhy(t *testing.T) {
	for _, text := range []string{
		"kill n5\nexpect clean within 3s",   // it is unreachable for ten seconds
		"kill n5\nexpect whole within 50ms", // nobody has noticed
		"wait 1s\ncut n1 n2\nexpect whole for 5s",
	} {
		n := newNetwork(t, simnet.Config{Nodes: 9, Topology: simnet.Grid, Seed: 1})
		var last simnet.StepReport
		ok, err := n.Play(parse(t, text), func(r simnet.StepReport) { last = r })
		if ok || err != nil || last.OK || last.Says == "" {
			t.Errorf("%q: %v, %v, %+v", text, ok, err, last)
		}
	}
}

func TestAnActionThatCannotBeDoneIsAnError(t *testing.T) {
	for _, text := range []string{"cut n1 n9", "kill n10", "delay n1 n2 1ms", "delay n1 n2 1h"} {
		n := newNetwork(t, simnet.Config{Nodes: 9, Topology: simnet.Grid, Seed: 1})
		if _, err := n.Play(parse(t, text), func(simnet.StepReport) {}); !errors.Is(err, simnet.ErrAction) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestASimulationIsStopped(t *testing.T) {
	why, windows := errors.New("enough"), 0
	n := newNetwork(t, simnet.Config{Nodes: 9, Seed: 1, Stop: func() error {
		if windows++; windows > 10 {
			return why
		}
		return nil
	}})
	if err := n.Run(time.Hour); !errors.Is(err, why) || windows != 11 {
		t.Errorf("after %d windows: %v", windows, err)
	}
}

func TestARogueDrawsTrafficOnlyWhereOriginsAreTrusted(t *testing.T) {
	for _, trusting := range []bool{false, true} {
		n := newNetwork(t, simnet.Config{Nodes: 40, Degree: 4, Ranges: 1, Seed: 1, Trusting: trusting})
		ok, err := n.Play(parse(t, "rogue n3 n20\nwait 70s\nexpect whole for 10s"), func(simnet.StepReport) {})
		if err != nil || ok == trusting {
			t.Errorf("trusting %v: %v, %v", trusting, ok, err)
		}
	}
}

// churn does random things to a random network, and at the end all is healed.
func churn(t testing.TB, seed uint64, shards int) {
	r := rand.New(rand.NewPCG(seed, 1))
	n := newNetwork(t, simnet.Config{
		Nodes: 4 + r.IntN(12), Topology: simnet.Topologies[r.IntN(len(simnet.Topologies))], Degree: 2 + r.IntN(3),
		Ranges: r.IntN(2), Seed: seed, Loss: []float64{0, 0.05, 0.2}[r.IntN(3)], Shards: shards,
	})
	nodes := n.Report().Nodes
	for range 30 {
		a := simnet.Action{Verb: []string{"cut", "mute", "heal", "heal", "kill", "start", "start", "delay", "rekey", "restart"}[r.IntN(10)]}
		a.A = 1 + r.IntN(nodes)
		switch a.Verb {
		case "kill", "start", "restart":
		default:
			a.B = 1 + r.IntN(nodes)
		}
		a.Time = time.Duration(5+r.IntN(300)) * time.Millisecond
		if err := n.Do(a); err != nil && !errors.Is(err, simnet.ErrAction) { // no such edge
			t.Fatalf("seed %d: %+v: %v", seed, a, err)
		}
		if err := n.Run(time.Duration(r.IntN(2000)) * time.Millisecond); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	var last simnet.StepReport
	ok, err := n.Play(parse(t, "start all\nheal all\nexpect clean within 120s"), func(s simnet.StepReport) { last = s })
	if !ok || err != nil {
		t.Fatalf("seed %d: %+v, %v", seed, last, err)
	}
}

func TestNoInvariantBreaksUnderRandomFaults(t *testing.T) {
	for seed := range uint64(40) {
		churn(t, seed, 1)
	}
}

func FuzzRandomFaults(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { churn(t, seed, 2) })
}
