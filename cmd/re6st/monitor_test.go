package main

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"re6st/actors/monitor/monitortest"
)

// fakeNode runs a made-up node behind the real sockets, in the folder RE6ST_DIR,
// until the script ends. Its argument "degraded" makes it one that wants a person.
func fakeNode(ts *testscript.TestScript, _ bool, args []string) {
	dir, err := os.MkdirTemp("", "re6st") // short, for the path of a unix socket has at most 107 bytes
	ts.Check(err)
	ts.Defer(func() { os.RemoveAll(dir) })
	sources := monitortest.Sample()
	if len(args) > 0 && args[0] == "degraded" {
		sources = monitortest.DegradedSample()
	}
	stop, err := monitortest.Start(dir, sources)
	ts.Check(err)
	ts.Defer(func() { ts.Check(stop()) })
	ts.Setenv("RE6ST_DIR", dir)
}

// exits runs a command that must end with an exit code: exits CODE COMMAND ARG...
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(*exec.ExitError)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func TestAgesAndSizesAreForPeople(t *testing.T) {
	now := time.Unix(1e9, 0)
	for ago, want := range map[time.Duration]quantity{
		-time.Second: "0s", 0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s", 3*time.Hour + 5*time.Minute: "3h05m", 50 * time.Hour: "2d02h",
	} {
		if got := age(now, now.Add(-ago)); got != want {
			t.Errorf("%v ago is %s, want %s", ago, got, want)
		}
	}
	if got := age(now, time.Time{}); got != "-" {
		t.Errorf("never is %s ago", got)
	}
	for n, want := range map[uint64]quantity{0: "0 B", 999: "999 B", 1000: "1 kB", 1234567: "1.23 MB", 999_999: "1 MB", 1 << 63: "9.22e+06 TB"} {
		if got := size(n); got != want {
			t.Errorf("%d bytes are %s, want %s", n, got, want)
		}
	}
}
