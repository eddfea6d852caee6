package lab

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseScenario(t *testing.T) {
	got, err := ParseScenario("f", strings.NewReader(`
# what happens when the line breaks
ping n1 n5 every 10ms
at 2s cut n1 n2          # silently
expect whole within 2s
at 3s cut n2 n3 reject
at 3s kill n4
at 1m kill registry
at 1m loss n1 n2 2.5%
rate n1 10
restart n4
cut path n1 n5 reject
kill relay n1 n5
heal all
restart all
expect whole for 3s
at 61s expect ping n1 n5 lost < 3
expect ping n1 n5 outage < 500ms
`), 5)
	if err != nil {
		t.Fatal(err)
	}
	at := func(line int, at time.Duration) Step { return Step{Line: line, At: at, Timed: true} }
	do := func(s Step, a Action) Step { s.Action = &a; return s }
	expect := func(s Step, e Expect) Step { s.Expect = &e; return s }
	want := []Step{
		do(Step{Line: 3}, Action{Verb: "ping", A: "n1", B: "n5", Every: 10 * ms}),
		do(at(4, 2*time.Second), Action{Verb: "cut", A: "n1", B: "n2", How: Silent}),
		expect(Step{Line: 5}, Expect{Whole: 2 * time.Second}),
		do(at(6, 3*time.Second), Action{Verb: "cut", A: "n2", B: "n3", How: Reject}),
		do(at(7, 3*time.Second), Action{Verb: "kill", A: "n4"}),
		do(at(8, time.Minute), Action{Verb: "kill", A: "registry"}),
		do(at(9, time.Minute), Action{Verb: "loss", A: "n1", B: "n2", Share: 250}),
		do(Step{Line: 10}, Action{Verb: "rate", A: "n1", Rate: 10_000_000}),
		do(Step{Line: 11}, Action{Verb: "restart", A: "n4"}),
		do(Step{Line: 12}, Action{Verb: "cut", Path: true, A: "n1", B: "n5", How: Reject}),
		do(Step{Line: 13}, Action{Verb: "kill", Path: true, A: "n1", B: "n5"}),
		do(Step{Line: 14}, Action{Verb: "heal", A: "all"}),
		do(Step{Line: 15}, Action{Verb: "restart", A: "all"}),
		expect(Step{Line: 16}, Expect{For: 3 * time.Second}),
		expect(at(17, 61*time.Second), Expect{Pair: Pair{"n1", "n5"}, Lost: 3}),
		expect(Step{Line: 18}, Expect{Pair: Pair{"n1", "n5"}, Outage: 500 * ms}),
	}
	if !reflect.DeepEqual(got.Steps, want) {
		for i, s := range got.Steps {
			t.Log(i, s)
		}
		t.Errorf("steps differ from those written")
	}
}

func TestABadLineIsNamedWithWhatToDo(t *testing.T) {
	for text, want := range map[string]string{
		"explode n1":                    `f:1: unknown word "explode"; write one of: cut heal`,
		"\n\ncut n1":                    "f:3: cut needs 2 names; write: cut [path] A B [silent|reject|v4]",
		"cut n1 n1":                     "f:1: twice the same node, n1; write: cut",
		"cut n1 n2 loudly":              `f:1: "loudly" is no way to cut; write: cut`,
		"cut n1 n2 silent now":          `f:1: "now" is too much; write: cut`,
		"heal n1 n2 n3":                 `f:1: "n3" is too much; write: heal A B`,
		"kill n01":                      `f:1: "n01" is no name of a node; write: kill NODE`,
		"cut all":                       "f:1: cut needs 2 names; write: cut [path] A B",
		"cut all n1":                    `f:1: "all" is no name of a node; write: cut`,
		"kill relay n1":                 "f:1: kill needs 2 names; write: kill NODE|all|relay A B",
		"kill relay n1 registry":        "f:1: registry is no node here; the lab has n1 to n5",
		"start relay n1 n2":             `f:1: "relay" is no name of a node; write: start NODE|all`,
		"heal all n1":                   `f:1: "n1" is too much; write: heal A B|all`,
		"network ring":                  "f:1: a network has a topology and a number of nodes, once; write, before all else: network ring 8",
		"network blob 8":                `f:1: lab: topology "blob": one of`,
		"network ring 1":                "f:1: lab: 1 nodes: from 2 to 512 are possible",
		"kill n1\nnetwork ring 8":       "f:2: a network has",
		"expect whole for 0s":           "f:1: no time at all is too short; write: expect whole for 2s",
		"kill n9":                       "f:1: n9 is no node here; the lab has n1 to n5",
		"at soon kill n1":               `f:1: "soon" is no duration such as 2s or 500ms; write: at 2s cut n1 n2`,
		"at -1s kill n1":                `f:1: "-1s" is no duration`,
		"at 2s":                         "f:1: at needs a time and an action; write: at 2s cut n1 n2",
		"at 2s kill n1\nat 1s start n1": "f:2: at 1s comes after at 2s of line 1; order the lines by time",
		"loss n1 n2 101":                `f:1: "101" is no percentage from 0 to 100; write: loss`,
		"loss n1 n2 NaN":                `f:1: "NaN" is no percentage`,
		"rate n1 -3":                    `f:1: "-3" is no rate`,
		"ping n1 n2":                    "f:1: an interval is needed; write: ping A B every DURATION",
		"ping n1 n2 every 1us":          "f:1: every 1µs: from 1ms to 1m0s is possible",
		"ping n1 registry every 1s":     "f:1: registry is no node here",
		"ping n1 n2 every 1s\nping n1 n2 every 2s": "f:2: a ping n1 n2 runs by then",
		"expect peace":                                                   `f:1: cannot expect "peace"; write: expect whole within`,
		"expect whole within 0s":                                         "f:1: no time at all is too short; write: expect whole within 2s",
		"expect ping n1 n2 lost < 3":                                     "f:1: no ping n1 n2 runs by then; write before it: ping n1 n2 every 10ms",
		"expect ping n1 n2 lost < 0":                                     `f:1: "0" is no number of echoes above 0`,
		"expect ping n1 n2 jitter < 3":                                   `f:1: a ping has no "jitter"`,
		"expect renewed n1 soon":                                         `f:1: cannot expect "renewed n1 soon"; write: expect renewed n1 within 20s`,
		"expect renewed n9 within 1s":                                    "f:1: n9 is no node here",
		"expect renewed registry within 1s":                              `f:1: "registry" is no name of a node`,
		strings.Repeat("x", 2000):                                        "f:1: line of more than 1000 bytes; shorten it",
		"cut n1 n2\n" + strings.Repeat("heal n1 n2\n", maxScenarioSteps): "f:10001: more than 10000 steps",
	} {
		_, err := ParseScenario("f", strings.NewReader(text), 5)
		var where *ScenarioError
		if !errors.As(err, &where) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
}

// FuzzScenario: no text makes the parser panic, and what it reads it reads the same
// from what it writes.
func FuzzScenario(f *testing.F) {
	f.Add("at 2s cut n1 n2\nexpect whole within 2s\n")
	f.Add("ping n1 n5 every 10ms # all the time\nat 3s kill n4\nexpect ping n1 n5 lost < 3")
	f.Add("loss n1 n2 0.5%\nrate n3 2.5\ndelay n1 n2 10ms\nexpect ping n1 n2 outage < 1s")
	f.Add("network ring 8\ncut path n1 n2\nkill relay n1 n3\nheal all\nrestart all\nexpect whole for 2s")
	f.Add("addr n1\nexpect whole within 1s")
	f.Add("cut n1 registry v4\nrenew all\nrenew n2\nexpect renewed all within 20s\nexpect renewed n3 within 1m")
	f.Add("kill all\nforget all\nforget n2\nstart all")
	f.Add("kill registry\nrestart n4\nheal n1 n2\ncut n4 registry reject")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseScenario("f", strings.NewReader(text), 8)
		if err != nil {
			return
		}
		s.Network = Network{} // the line itself is no step
		var again strings.Builder
		line := 1
		for _, step := range s.Steps {
			again.WriteString(strings.Repeat("\n", step.Line-line) + step.String() + "\n")
			line = step.Line + 1
		}
		if r, err := ParseScenario("f", strings.NewReader(again.String()), 8); err != nil || !reflect.DeepEqual(r, s) {
			t.Errorf("wrote %q: %v", again.String(), err)
		}
	})
}

func TestAScenarioSaysWhatNetworkItIsFor(t *testing.T) {
	const text = "network ring 8\nkill n8"
	s, err := ParseScenario("f", strings.NewReader(text), 0)
	if err != nil || s.Network != (Network{Ring, 8}) || len(s.Steps) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := ParseScenario("f", strings.NewReader(text), 4); err == nil {
		t.Error("flags said 4 nodes, and n8 is one of them")
	}
}

func TestTheScenariosOfTheBinaryAreSound(t *testing.T) {
	names := scenarioNames()
	if len(names) == 0 {
		t.Error("there are none")
	}
	for _, name := range names {
		f, err := openScenario(name)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := ParseScenario(name, f, 0); err != nil || s.Network.Nodes == 0 {
			t.Errorf("%+v, %v", s, err)
		}
		f.Close()
	}
}
