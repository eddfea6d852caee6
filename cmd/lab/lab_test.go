package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"re6st/hw/netns"
)

// outcome is what a `re6st lab ...` left.
type outcome struct {
	stdout, stderr string
	status         int
}

// labProcess is a `re6st lab ...` with a folder of labs of its own, of which the test
// sees that none is left.
type labProcess struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
	cancel         context.CancelFunc
}

func labCommand(t *testing.T, args ...string) *labProcess {
	t.Helper()
	needRoot(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	p := &labProcess{Cmd: exec.CommandContext(ctx, os.Args[0], append([]string{"lab", "--labs", testFolder}, args...)...), cancel: cancel}
	p.Cmd.Cancel = func() error { return p.Process.Signal(syscall.SIGTERM) }
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	t.Cleanup(cancel)
	return p
}

func (p *labProcess) end() outcome {
	err := p.Wait()
	o := outcome{p.stdout.String(), p.stderr.String(), p.ProcessState.ExitCode()}
	if err != nil && o.status < 0 {
		o.stderr += err.Error()
	}
	return o
}

// lab runs `re6st lab ...` to its end.
func lab(t *testing.T, args ...string) outcome {
	t.Helper()
	p := labCommand(t, args...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p.end()
}

// nothingLeft fails the test if a lab's namespaces or folder are still there.
func nothingLeft(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(testFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRunConvergesAndExitsWithTheCommandsStatus(t *testing.T) {
	o := lab(t, "run", "--nodes", "3", "--", "sh", "-c", `cat "$RE6ST_LAB/lab.json"; echo said >&2; exit 7`)
	if o.status != 7 {
		t.Fatalf("status %d, want CMD's 7; %s", o.status, o.stderr)
	}
	first, rest, _ := strings.Cut(o.stdout, "\n")
	var nodes, pairs int
	var s float64
	if n, err := fmt.Sscanf(first, "converged %d nodes, %d pairs, %f s", &nodes, &pairs, &s); n != 3 || nodes != 3 || pairs != 6 || s <= 0 {
		t.Errorf("printed %q: %v", first, err)
	}
	var d labJSON
	if err := json.Unmarshal([]byte(rest), &d); err != nil {
		t.Fatalf("CMD's output %q: %v", rest, err)
	}
	if d.Version != 1 || len(d.Nodes) != 3 {
		t.Errorf("lab.json %+v", d)
	}
	seen := map[string]bool{}
	for i, n := range d.Nodes {
		if n.Name != nodeName(i) || n.Netns != "re6st-"+d.ID+"-"+n.Name || n.PID <= 0 || n.Socket == "" {
			t.Errorf("node %+v", n)
		}
		seen[n.Addresses[generalClass].String()] = true
	}
	if len(seen) != 3 || seen["invalid IP"] {
		t.Errorf("addresses %v, want 3 that differ", seen)
	}
	if !strings.Contains(o.stderr, "said") {
		t.Errorf("CMD's stderr is not ours: %q", o.stderr)
	}
	nothingLeft(t)
}

func TestRunJSONIsOneObjectOnStdout(t *testing.T) {
	o := lab(t, "run", "--nodes", "3", "--topology", "line", "--json", "--", "sh", "-c", "echo said; exit 3")
	var r struct {
		Version, Nodes, Pairs, Exit int
		ConvergedS                  float64 `json:"converged_s"`
		MaxLinks                    int     `json:"max_links"`
	}
	d := json.NewDecoder(strings.NewReader(o.stdout))
	if err := d.Decode(&r); err != nil || d.More() {
		t.Fatalf("stdout %q: %v", o.stdout, err)
	}
	if r.Version != 1 || r.Nodes != 3 || r.Pairs != 6 || r.Exit != 3 || r.ConvergedS <= 0 || r.MaxLinks != 1 || o.status != 3 {
		t.Errorf("status %d, report %+v", o.status, r)
	}
	if !strings.Contains(o.stderr, "said") {
		t.Errorf("CMD's output is not on stderr: %q", o.stderr)
	}
}

func TestRunNamesThePairsThatMiss(t *testing.T) {
	o := lab(t, "run", "--nodes", "2", "--timeout", "1s", "--config", file(t, "mute"), "--json")
	for _, want := range []string{"2 of 2 pairs have not answered", "n1 -> n2", "n2 -> n1", "n1 said:"} {
		if !strings.Contains(o.stderr, want) {
			t.Errorf("stderr lacks %q: %s", want, o.stderr)
		}
	}
	if want := `{"version":1,"nodes":2,"pairs":2,"converged_s":null,"max_links":null,"exit":1}` + "\n"; o.status != 1 || o.stdout != want {
		t.Errorf("status %d, stdout %s, want 1 and %s", o.status, o.stdout, want)
	}
	nothingLeft(t)
}

func TestRunFailsAtOnceWithANodeThatEnds(t *testing.T) {
	o := lab(t, "run", "--nodes", "2", "--timeout", "50s", "--config", file(t, "fail"))
	if o.status != 1 || !strings.Contains(o.stderr, "ended by itself with status 1") || !strings.Contains(o.stderr, "error: told to fail") {
		t.Errorf("status %d, stderr %s", o.status, o.stderr)
	}
	nothingLeft(t)
}

func TestLogsAreKeptWhereAsked(t *testing.T) {
	logs := t.TempDir()
	if o := lab(t, "run", "--nodes", "2", "--logs", logs); o.status != 0 {
		t.Errorf("status %d: %s", o.status, o.stderr)
	}
	kept, err := filepath.Glob(logs + "/n*.log")
	if err != nil || len(kept) != 2 {
		t.Errorf("kept %v, %v", kept, err)
	}
}

func TestUsageErrorsExitWithTwo(t *testing.T) {
	for _, args := range [][]string{
		{"run", "--nodes", "1"},
		{"run", "--topology", "torus"},
		{"run", "--nods", "3"},
		{"run", "true"},
		{"run", "--scenario", file(t, "explode n1")},
		{"run", "--scenario", "/no/such/file"},
		{"run", "--config", "/no/such/file"},
		{"up", "x"},
		{"up", "--http", "0.0.0.0:8080"},
		{"cut", "n1"},
		{"loss", "n1", "n2", "200"},
		{"exec", "n1"},
	} {
		if o := lab(t, args...); o.status != 2 || o.stderr == "" {
			t.Errorf("lab %v: status %d, %s", args, o.status, o.stderr)
		}
	}
}

func TestWithoutALabTheStatusIsThree(t *testing.T) {
	for _, args := range [][]string{{"list"}, {"down"}, {"cut", "n1", "n2"}, {"exec", "n1", "--", "true"}, {"kill", "--lab", "abcdef", "n1"}} {
		if o := lab(t, args...); o.status != 3 || !strings.Contains(o.stderr, ErrNoLab.Error()) {
			t.Errorf("lab %v: status %d, %s", args, o.status, o.stderr)
		}
	}
}

// waiting starts a `re6st lab run` whose command waits, and returns when that runs.
func waiting(t *testing.T) *labProcess {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready")
	if err := syscall.Mkfifo(ready, 0o600); err != nil {
		t.Fatal(err)
	}
	p := labCommand(t, "run", "--nodes", "2", "--", "sh", "-c", "echo $RE6ST_LAB >"+ready+"; exec sleep 1000")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		text, err := os.ReadFile(ready) // ends when the command has written
		if err == nil && !strings.HasPrefix(string(text), testFolder) {
			err = fmt.Errorf("RE6ST_LAB is %q", text)
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(2 * patience):
		p.cancel()
		t.Fatalf("the command did not start: %+v", p.end())
	}
	return p
}

func TestASignalTakesTheLabDown(t *testing.T) {
	p := waiting(t)
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if o := p.end(); o.status != 128+15 {
		t.Errorf("status %d, stderr %s", o.status, o.stderr)
	}
	nothingLeft(t)
}

func TestAKilledLabIsSwept(t *testing.T) {
	for _, by := range [][]string{{"sweep"}, {"run", "--nodes", "2"}} {
		p := waiting(t)
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		p.end()
		entries, err := filepath.Glob(filepath.Join(testFolder, "*", labFile))
		if err != nil || len(entries) != 1 {
			t.Fatalf("the killed lab left %v, %v", entries, err)
		}
		id := filepath.Base(filepath.Dir(entries[0]))
		if _, err := os.Stat(filepath.Join(netns.Dir, "re6st-"+id+"-n1")); err != nil {
			t.Fatal(err)
		}
		if o := lab(t, by...); o.status != 0 || !strings.Contains(o.stdout+o.stderr, "swept "+id) {
			t.Errorf("lab %v: status %d, stderr %s", by, o.status, o.stderr)
		}
		if left, err := filepath.Glob(filepath.Join(netns.Dir, "re6st-"+id+"-*")); err != nil || len(left) > 0 {
			t.Errorf("left behind by %v: %v %v", by, left, err)
		}
		nothingLeft(t)
	}
}

func TestDownTakesARunningLabDown(t *testing.T) {
	p := waiting(t)
	if o := lab(t, "down"); o.status != 0 {
		t.Errorf("down: status %d, %s", o.status, o.stderr)
	}
	nothingLeft(t) // already when down returns
	if o := p.end(); o.status == 0 || !strings.Contains(o.stderr, errDown.Error()) {
		t.Errorf("the lab: status %d, %s", o.status, o.stderr)
	}
}

func TestCommandsActOnTheRunningLab(t *testing.T) {
	p := waiting(t)
	ping := []string{"exec", "n1", "--", "ping", "-c1", "-W1", stubAddress(2).String()}
	other := []string{"exec", "n1", "--", "ping", "-c1", "-W20", stubAddress(1).String()}
	for _, step := range []struct {
		args   []string
		status int
		prints string
	}{
		{[]string{"list"}, 0, "n2"},
		{other, 0, "1 received"},
		{[]string{"exec", "registry", "ls", "/sys"}, 0, "class"},
		{[]string{"exec", "n9", "true"}, 1, "no such node"},
		{[]string{"exec", "n1", "--", "sh", "-c", "exit 9"}, 9, ""},
		{[]string{"cut", "n1", "n2"}, 0, ""},
		{ping, 1, ""},
		{[]string{"heal", "n1", "n2"}, 0, ""},
		{[]string{"loss", "n1", "n2", "100"}, 0, ""},
		{ping, 1, ""},
		{[]string{"loss", "n1", "n2", "0"}, 0, ""},
		{[]string{"rate", "n1", "10"}, 0, ""},
		{[]string{"kill", "n2"}, 0, ""},
		{[]string{"kill", "n2"}, 1, "n2 does not run"},
		{[]string{"start", "n2"}, 0, ""},
		{[]string{"start", "n2"}, 1, "n2 runs already"},
		{[]string{"restart", "n2"}, 0, ""},
		{[]string{"kill", "all"}, 0, ""},
		{[]string{"list"}, 0, " -  "},
		{[]string{"start", "all"}, 0, ""},
		{[]string{"restart", "all"}, 0, ""},
		{[]string{"exec", "n1", "--", "sh", "-c", "echo $RE6ST_DIR"}, 0, "/n1\n"},
		{[]string{"cut", "path", "n1", "n2"}, 0, "cut n1 n2 silent\n"},
		{[]string{"heal", "all"}, 0, ""},
		{[]string{"kill", "relay", "n1", "n2"}, 1, "no relay is between n1 and n2"},
		{[]string{"restart", "registry"}, 0, ""},
		{[]string{"cut", "n1", "n7"}, 1, "no such node"},
		{[]string{"block", "n1", "n2", "ours"}, 0, ""},
		{[]string{"block", "n1", "n2", "smtp"}, 2, "nothing that can be blocked"},
		{[]string{"unblock", "n1", "n2", "all"}, 0, ""},
		{[]string{"delay", "n1", "n2", "10ms"}, 0, ""},
		{[]string{"delay", "n1", "n2", "0s"}, 0, ""},
		{[]string{"delay", "n1", "n2", "11s"}, 2, "up to 10s is possible"},
		{[]string{"ping", "n1", "n2"}, 2, ""},
	} {
		o := lab(t, step.args...)
		if o.status != step.status || !strings.Contains(o.stdout+o.stderr, step.prints) {
			t.Errorf("lab %v: status %d, want %d with %q; %s%s", step.args, o.status, step.status, step.prints, o.stdout, o.stderr)
		}
	}
	if o := lab(t, "down"); o.status != 0 {
		t.Errorf("down: status %d, %s", o.status, o.stderr)
	}
	p.end()
}

func TestUpEndsWithASignalAndSuccess(t *testing.T) {
	p := labCommand(t, "up", "--nodes", "2")
	p.Stderr = nil
	out, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	buffer := make([]byte, 1024)
	for !strings.Contains(said.String(), "is up") {
		n, err := out.Read(buffer)
		if err != nil {
			t.Fatalf("it said %s: %v", said.String(), err)
		}
		said.Write(buffer[:n])
	}
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if o := p.end(); o.status != 0 || !strings.HasPrefix(o.stdout, "converged 2 nodes, 2 pairs, ") {
		t.Errorf("status %d, stdout %s", o.status, o.stdout)
	}
	nothingLeft(t)
}

const ringScenario = `
ping n1 n2 every 10ms
at 200ms cut n1 n2            # the flood goes round the other way
expect whole within 1m
cut n2 n3                     # n2 is alone: nothing to expect of it
expect whole within 1m
heal n2 n3
heal n1 n2
expect whole within 1m
kill n4
expect whole within 1m
start n4
expect whole within 1m
expect ping n1 n2 lost < 100000
rate n1 0                     # ends the last expectation's watch for outages
`

func TestScenarioOnARing(t *testing.T) {
	o := lab(t, "run", "--nodes", "4", "--topology", "ring", "--scenario", file(t, ringScenario), "--json")
	var r Report
	if err := json.Unmarshal([]byte(o.stdout), &r); err != nil || r.Scenario == nil {
		t.Fatalf("status %d, stdout %s, stderr %s", o.status, o.stdout, o.stderr)
	}
	if o.status != 0 || !r.Scenario.OK || len(r.Scenario.Steps) != 14 || len(r.Scenario.Pings) != 1 {
		t.Errorf("status %d, scenario %+v\n%s", o.status, r.Scenario, o.stderr)
	}
	for _, s := range r.Scenario.Steps {
		if strings.HasPrefix(s.Text, "expect whole") && s.WholeS == nil {
			t.Errorf("line %d has no time", s.Line)
		}
	}
	ping := r.Scenario.Pings[0]
	if ping.Sent == 0 || ping.Lost == 0 || ping.Outage <= 0 {
		t.Errorf("ping %+v, want losses while n2 was alone", ping)
	}
	nothingLeft(t)
}

func TestAScenarioThatFailsIsStatusOne(t *testing.T) {
	for text, want := range map[string]string{ // two seconds are more than a cut takes on a busy machine
		"ping n1 n2 every 10ms\ncut n1 n2\nat 2s expect ping n1 n2 lost < 2": "FAILED: ",
		"loss n1 n2 50\nexpect whole for 500ms":                              "FAILED; longest outages ",
		"loss n1 n2 100\nexpect whole within 300ms":                          "line 2: trace n1 -> n2: ",
		"start n1": "FAILED: " + ErrState.Error() + ": n1 runs already",
		"ping n1 n2 every 10ms\ncut n1 n2\nat 2s expect ping n1 n2 outage < 50ms": "FAILED: ",
	} {
		o := lab(t, "run", "--nodes", "2", "--scenario", file(t, text), "--", "true")
		if o.status != 1 || !strings.Contains(o.stdout, want) || !strings.Contains(o.stdout, "scenario FAILED") {
			t.Errorf("%q: status %d, %s%s", text, o.status, o.stdout, o.stderr)
		}
	}
}

func TestPathsAreCountedInLinks(t *testing.T) {
	line := hops{
		"n1": {"n2": "n2", "n3": "n2"},
		"n2": {"n1": "n1", "n3": "n3"},
		"n3": {"n1": "n2", "n2": "n2"},
	}
	if got, err := longestPath(line, nodeNames(3)); got != 2 || err != nil {
		t.Errorf("longest path of a line of 3: %d, %v, want 2", got, err)
	}
	if _, err := (hops{"n1": {"n3": "n2"}, "n2": {"n3": "n1"}}).path("n1", "n3"); err == nil || !strings.Contains(err.Error(), "loop") {
		t.Errorf("a loop: %v", err)
	}
	if _, err := (hops{"n1": {}}).path("n1", "n2"); err == nil || !strings.Contains(err.Error(), "no route") {
		t.Errorf("no route: %v", err)
	}
}

func TestTailShowsErrorsFirst(t *testing.T) {
	for text, want := range map[string]string{
		"one\ntwo\nthree\n":              "\ttwo\n\tthree\n",
		"error: a\nfine\npanic: b\nok":   "\terror: a\n\tpanic: b\n",
		"":                               "\t(nothing)\n",
		strings.Repeat("terror\n", 9000): "\tterror\n\tterror\n",
	} {
		if got := tail(file(t, text), 2); got != want {
			t.Errorf("tail of %.20q: %q, want %q", text, got, want)
		}
	}
	if got := tail("/no/such/log", 2); !strings.Contains(got, "no log") {
		t.Errorf("tail of nothing: %q", got)
	}
}

func TestExitErrorIsSilentAboutTheCommandsStatus(t *testing.T) {
	if e := (&ExitError{Code: 7}); !e.Silent() || e.ExitCode() != 7 {
		t.Errorf("%+v", e)
	}
	if e := (&ExitError{exitUsage, ErrNode}); e.Silent() || !errors.Is(e, ErrNode) {
		t.Errorf("%+v", e)
	}
}
