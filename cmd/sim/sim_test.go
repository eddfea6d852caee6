package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"re6st/protocols/simnet"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sim runs `re6st sim`.
func sim(args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	cmd := Command()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err = cmd.ExecuteContext(context.Background())
	return out.String(), errs.String(), err
}

func TestTheReportIsTheSameOnOneProcessorAndOnThree(t *testing.T) {
	report := func(processors string) (r Report) {
		out, _, err := sim("--nodes", "30", "--degree", "4", "--seed", "5", "--loss", "3", "--json", "--processors", processors)
		if err == nil {
			err = json.Unmarshal([]byte(out), &r)
		}
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	one, three := report("1"), report("3")
	if !one.OK || one.Hash != three.Hash || one.Sent != three.Sent || len(one.Steps) != len(three.Steps) {
		t.Errorf("%+v\n%+v", one, three)
	}
	if one.Wall <= 0 || one.CPU <= 0 || one.Peak <= 0 {
		t.Errorf("%+v", one)
	}
}

func TestTheTextTellsEachStepAndTheHash(t *testing.T) {
	out, _, err := sim("--scenario", "split", "--nodes", "20")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"split\n", "expect clean within 1m", "20 nodes, random", "tables ", "checked ", "hash "} {
		if !strings.Contains(strings.ReplaceAll(out, "60s", "1m"), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestAMistakeIsAUsageErrorAndAFailureIsNot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(file, []byte("kill n2\nexpect clean within 1s\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "y")
	if err := os.WriteFile(bad, []byte("kill\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		status int
	}{
		{[]string{"--nodes", "1"}, exitUsage},
		{[]string{"--topology", "torus"}, exitUsage},
		{[]string{"--scenario", "no/such"}, exitUsage},
		{[]string{"--scenario", bad}, exitUsage},
		{[]string{"--processors", "0"}, exitUsage},
		{[]string{"--nodes", "9", "--topology", "ring", "--scenario", file}, exitFailed},
	} {
		_, _, err := sim(c.args...)
		var status exitError
		if !errors.As(err, &status) || status.code != c.status {
			t.Errorf("%q: %v", c.args, err)
		}
	}
}

// The JSON is a contract: its golden file changes with its version only.
func TestReportSchema(t *testing.T) {
	r := Report{
		Report: simnet.Report{
			Version: simnet.ReportVersion, Topology: simnet.Random, Nodes: 4, Edges: 5, Links: 5, Originators: 4, Prefixes: 4, Seed: 1, OK: true, Problem: "at 1s: forwarding loop",
			Steps:   []simnet.StepReport{{Line: 1, Text: "expect whole within 2s", At: 1.5, Took: 0.5, OK: true, Says: "why it is not"}},
			Virtual: 2, Sent: simnet.Totals{Packets: 6, Bytes: 600, Lost: 1, Routes: 12, Refused: 2}, BytesNode: 150, BytesLink: 120,
			Tables: simnet.Tables{Nodes: 4, Routes: 5.5, Most: 7, Sources: 4, Requests: 1}, Checks: simnet.Checks{Loops: 12, Feasible: 8, Columns: 9}, Hash: "ab12",
		},
		Processors: 2, Wall: 0.25, CPU: 0.5, Peak: 1 << 20,
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/report.json"
	if *update {
		if err := os.WriteFile(golden, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(text)+"\n" != string(want) {
		t.Errorf("the report is\n%s\nand was\n%s", text, want)
	}
}
