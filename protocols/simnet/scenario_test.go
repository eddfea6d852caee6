package simnet

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestALineIsReadAsItIsWritten(t *testing.T) {
	for text, want := range map[string]Action{
		"cut n1 n2":                {Verb: "cut", A: 1, B: 2},
		"mute n3 n2":               {Verb: "mute", A: 3, B: 2},
		"split":                    {Verb: "split"},
		"heal all":                 {Verb: "heal"},
		"heal n1 n2":               {Verb: "heal", A: 1, B: 2},
		"loss n1 n2 2.5%":          {Verb: "loss", A: 1, B: 2, Share: 0.025},
		"loss all 10":              {Verb: "loss", Share: 0.1},
		"delay n1 n2 100ms":        {Verb: "delay", A: 1, B: 2, Time: 100 * time.Millisecond},
		"kill n7":                  {Verb: "kill", A: 7},
		"kill all":                 {Verb: "kill"},
		"kill 25%":                 {Verb: "kill", Share: 0.25},
		"start all":                {Verb: "start"},
		"restart n2":               {Verb: "restart", A: 2},
		"restart all every 1s":     {Verb: "restart", Time: time.Second},
		"flap n1 n2 every 400ms 5": {Verb: "flap", A: 1, B: 2, Time: 400 * time.Millisecond, Count: 5},
		"rekey all":                {Verb: "rekey"},
		"rogue n2 n3":              {Verb: "rogue", A: 2, B: 3},
		"kill registry":            {Verb: "kill", Registry: true},
		"start registry":           {Verb: "start", Registry: true},
		"wait 3s":                  {Verb: "wait", Time: 3 * time.Second},
	} {
		s, err := ParseScenario("test", strings.NewReader("network ring 9\nat 2s "+text+" # why"))
		if err != nil || len(s.Steps) != 1 || !reflect.DeepEqual(*s.Steps[0].Action, want) || !s.Steps[0].Timed || s.Steps[0].At != 2*time.Second {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
}

func TestAScenarioThatIsWrongIsToldWhereAndWhatToWrite(t *testing.T) {
	for text, want := range map[string]string{
		"cut n1":                              "test:1: cannot do \"cut n1\"; write: cut A B",
		"\ncut n1 n1":                         "test:2: ",
		"cut n1 n2 n3":                        "write: cut A B",
		"burn n1":                             "unknown word \"burn\"; write one of: cut A B",
		"kill x1":                             "write: kill NODE|all|SHARE%|registry",
		"kill 100%":                           "write: kill",
		"loss all -3":                         "write: loss",
		"flap n1 n2 5":                        "write: flap",
		"flap n1 n2 every 1s 0":               "write: flap",
		"at soon kill n1":                     "\"soon\" is no duration",
		"at 2s":                               "write: at 2s cut n1 n2",
		"expect peace within 1s":              "write: expect whole within DURATION",
		"expect clean for 1s":                 "write: expect whole within",
		"expect whole within 1":               "\"1\" is no duration",
		"network ring":                        "write, before all else: network ring 8",
		"network ring 1":                      "is no number of nodes",
		"kill n1\nnetwork ring 8":             "test:2: a network has",
		"ranges 17":                           "write, before all steps: ranges 1",
		"ranges":                              "ranges has a number",
		"network random 9 x":                  "is no number of edges",
		strings.Repeat("x", MaxLine+1):        "test:1: a line of more than 1000 bytes",
		strings.Repeat("split\n", MaxSteps+1): "test:10001: more than 10000 steps",
	} {
		_, err := ParseScenario("test", strings.NewReader(text))
		if !errors.Is(err, ErrScenario) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
}

func FuzzParseScenario(f *testing.F) {
	for _, name := range Scenarios() {
		text, err := scenarioFiles.ReadFile(scenarioFolder + name + scenarioSuffix)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("flap n1 n2 every 1s 3\nloss all 1%\ndelay n1 n2 1s\nmute n2 n1")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseScenario("fuzz", strings.NewReader(text))
		if err != nil {
			if !errors.Is(err, ErrScenario) {
				t.Error(err)
			}
			return
		}
		for _, step := range s.Steps {
			if (step.Action == nil) == (step.Expect == nil) {
				t.Errorf("%+v", step)
			}
		}
	})
}

func TestLimits(t *testing.T) {
	for name, c := range map[string]Config{
		"one node":            {Nodes: 1},
		"too many nodes":      {Nodes: MaxNodes + 1},
		"too many edges":      {Nodes: MaxNodes, Topology: Random, Degree: 100, Originators: 1},
		"too high a degree":   {Nodes: 300, Degree: MaxDegree + 1},
		"a node in the midst": {Nodes: MaxDegree + 2, Topology: Star},
		"too many next hops":  {Nodes: MaxNodes, Degree: 2},
		"too many ranges":     {Nodes: 9, Ranges: MaxRanges + 1},
		"too many shards":     {Nodes: 9, Shards: MaxShards + 1},
		"more originators":    {Nodes: 9, Originators: 10},
		"a small MTU":         {Nodes: 9, MTU: MinMTU - 1},
		"no latency":          {Nodes: 9, Least: MinLatency - 1},
		"much latency":        {Nodes: 9, Most: MaxLatency + 1},
		"all is lost":         {Nodes: 9, Loss: 1},
		"a large mesh":        {Nodes: MaxMesh + 1, Topology: Mesh},
		"a mesh of few":       {Nodes: 9, Topology: Mesh, Originators: 8},
		"no such topology":    {Nodes: 9, Topology: "torus"},
	} {
		if _, err := New(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []Config{{Nodes: MaxDegree + 1, Topology: Star}, {Nodes: MaxNodes, Topology: Line, Originators: MaxCells / MaxNodes}} {
		if _, err := New(c); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
