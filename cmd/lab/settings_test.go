package lab

import (
	"slices"
	"strings"
	"testing"
)

func TestOfEachKeyTheLastLineCounts(t *testing.T) {
	var s settings
	for _, line := range []string{"mtu = 1300", "log = \"debug\"", "mtu=1400", "lan = false"} {
		s = s.with(line)
	}
	if want := (settings{"log = \"debug\"", "mtu=1400", "lan = false"}); !slices.Equal(s, want) {
		t.Errorf("%q, want %q", s, want)
	}
	if got := s.with(wordNone); len(got) != 0 {
		t.Errorf("none leaves %q", got)
	}
}

// A table in the file of --config must not swallow the lines.
func TestLinesOfANodeStandBeforeTheCommonFile(t *testing.T) {
	common := []byte("[[subnets]]\ninterface = \"br0\"\nlength = 80\n")
	if err := (settings{"mtu = 1300"}).check(common); err != nil {
		t.Error(err)
	}
	if err := (settings{"mtu = 1300"}).check([]byte("mtu = 1400\n")); err == nil || !strings.Contains(err.Error(), "mtu") {
		t.Errorf("a key twice: %v", err)
	}
}

func TestAScenarioConfiguresNodesFromTheStartAndLater(t *testing.T) {
	s, err := ParseScenario("f", strings.NewReader("network ring 4\nbabeld n1 n3\nconfig n1 debug_faults = true\nrestart n1\n"+
		"config n1 debug_originate = [\"{n2.prefix}\", \"{n2.half}\"]\nconfig n1 debug_router_id = \"{n2.router}\"\n"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Settings["n1"]; len(got) != 1 || got[0] != "debug_faults = true" {
		t.Errorf("from the start %q", got)
	}
	if len(s.Steps) != 3 || s.Steps[1].Action.Text != `debug_originate = ["{n2.prefix}", "{n2.half}"]` {
		t.Errorf("steps %v", s.Steps)
	}
	if !slices.Equal(s.Babeld, []string{"n1", "n3"}) {
		t.Errorf("on babeld %v", s.Babeld)
	}
	for on, want := range map[string]string{"n9": "the lab has n1 to n4", "n1": "twice"} {
		if err := checkBabeld([]string{"n1", on}, 4); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("n1 and %s: %v, want %s", on, err, want)
		}
	}
}

func TestNamesInBracesAreReplaced(t *testing.T) {
	got, err := expand("node {n4.id} says {n1.prefix}", func(name, what string) (string, error) { return name + what, nil })
	if err != nil || got != "node n4id says n1prefix" {
		t.Errorf("%q, %v", got, err)
	}
	for _, text := range []string{"{n1.age}", "{m1.id}", "{registry.id}"} {
		if _, err := expand(text, func(string, string) (string, error) { return "", nil }); err == nil {
			t.Errorf("%s passes", text)
		}
	}
}
