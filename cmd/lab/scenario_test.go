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
link n1 n5
ping n2 n3 every 1ms for 5s
expect path n1 n5 direct within 2s
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
		do(Step{Line: 19}, Action{Verb: "link", A: "n1", B: "n5"}),
		do(Step{Line: 20}, Action{Verb: "ping", A: "n2", B: "n3", Every: ms, For: 5 * time.Second}),
		expect(Step{Line: 21}, Expect{Check: &PathExpect{Pair: Pair{"n1", "n5"}, Direct: true, Within: 2 * time.Second}}),
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
		"ping n1 n2 every 1ms for 0s":   `f:1: "0s" is no duration above 0; write: ping`,
		"ping n1 registry every 1s":     "f:1: registry is no node here",
		"ping n1 n2 every 1s\nping n1 n2 every 2s":      "f:2: a ping n1 n2 runs by then",
		"config n1 mut = 1":                             "f:1: bad configuration: line 1: unknown key \"mut\"",
		"config n1 debug_metric = 1":                    "f:1: bad configuration: debug_metric is for tests; it needs debug_faults = true",
		"kill n1\nconfig n1 mtu = 1":                    "f:2: bad configuration: mtu is 1; it must be",
		"config n1 mtu":                                 `f:1: "mtu" is no KEY = VALUE; write: config NODE`,
		"config registry mtu = 1300":                    "f:1: the registry is no node; write: config NODE",
		"config n1 debug_originate = [\"{n2.prefix}\"]": "f:1: nothing is known of nodes before they run; write it behind a step, and then: restart n1",
		"kill n1\nconfig n1 http = \"{n2.port}\"":       "f:2: {n2.port} is no fact of a node; write {n1.prefix}",
		"expect event n1 {n7.id} within 1s":             "f:1: n7 is no node here",
		"expect event n1 within 1s":                     `f:1: cannot expect "event n1 within 1s"; write: expect event n3`,
		"right n1 all":                                  `f:1: "all" is no right; write: right NODE import PREFIX`,
		"right n1 import n2":                            `f:1: "n2" is no prefix; write: right NODE`,
		"babeld":                                        "f:1: babeld has the nodes that are joined with it, once; write, before all steps: babeld n1 n2",
		"kill n1\nbabeld n1":                            "f:2: babeld has the nodes",
		"tap":                                           "f:1: tap needs 1 names; write: tap NODE",
		"expect tap n1 writes nothing":                  "f:1: cannot expect that of a tap; write: expect tap n4 reads nothing",
		"expect tap n1 relayed > x":                     `f:1: "x" is no number of frames`,
		"expect safe n1 from n2":                        `f:1: cannot expect "safe n1 from n2"; write: expect safe n1 from n4 for 5s`,
		"expect safe n1 from n2 within 5s":              "f:1: a time is needed at the end; write: expect safe",
		"expect path n1 n2 within 5s":                   `f:1: cannot expect "path n1 n2 within 5s"; write: expect path n1 n3 by n4`,
		"expect answer n1 registry within 5s":           `f:1: "registry" is no name of a node; write: expect path`,
		"expect answer n1 n2 within 0s":                 "f:1: no time at all is too short; write: expect path",
		"expect peace":                                  `f:1: cannot expect "peace"; write: expect whole within`,
		"expect whole within 0s":                        "f:1: no time at all is too short; write: expect whole within 2s",
		"expect ping n1 n2 lost < 3":                    "f:1: no ping n1 n2 runs by then; write before it: ping n1 n2 every 10ms",
		"expect ping n1 n2 lost < 0":                    `f:1: "0" is no number of echoes above 0`,
		"expect ping n1 n2 jitter < 3":                  `f:1: a ping has no "jitter"`,
		"expect renewed n1 soon":                        `f:1: cannot expect "renewed n1 soon"; write: expect renewed n1 within 20s`,
		"expect renewed n9 within 1s":                   "f:1: n9 is no node here",
		"expect renewed registry within 1s":             `f:1: "registry" is no name of a node`,
		strings.Repeat("x", 2000):                       "f:1: line of more than 1000 bytes; shorten it",
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
	f.Add("block n1 n2 ours\nunblock n1 n2 all\nexpect carrier n1 n2 quic within 3s")
	f.Add("loss n1 n2 0.5%\nrate n3 2.5\ndelay n1 n2 10ms\nexpect ping n1 n2 outage < 1s")
	f.Add("network ring 8\ncut path n1 n2\nkill relay n1 n3\nheal all\nrestart all\nexpect whole for 2s")
	f.Add("addr n1\nexpect whole within 1s")
	f.Add("cut n1 registry v4\nrenew all\nrenew n2\nexpect renewed all within 20s\nexpect renewed n3 within 1m")
	f.Add("kill all\nforget all\nforget n2\nstart all")
	f.Add("kill registry\nrestart n4\nheal n1 n2\ncut n4 registry reject")
	f.Add("config n1 mtu = 1300\nbabeld n1 n2\ntap n3\nright n2 import {n3.prefix} 2001:db8:1::/48\nright n2 none")
	f.Add("kill n1\nconfig n1 debug_faults = true\nconfig n1 debug_originate = [\"{n2.half}\"]\nconfig n1 none\nexpect tap n1 reads nothing\nexpect tap n1 relayed > 7")
	f.Add("expect safe n1 from n2 for 3s\nexpect event n3 a {n1.id} b within 2s\nexpect path n1 n2 by n3 within 1s\nexpect answer n1 n2 within 1s")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseScenario("f", strings.NewReader(text), 8)
		if err != nil {
			return
		}
		if len(s.Settings) > 0 {
			return // steps may build on them
		}
		s.Network, s.Access, s.Babeld = Network{}, Access{}, nil // these lines are no steps
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
