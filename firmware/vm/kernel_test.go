//go:build kernel

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// vm runs the program as make test-kernel built it.
func vm(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	// Before go test's own limit, which would show nothing of the machine.
	cmd := exec.Command(filepath.Join("..", "..", "bin", "vm"), append([]string{"-timeout", "8m"}, args...)...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	failed := cmd.Run()
	var exit *exec.ExitError
	if failed != nil && !errors.As(failed, &exit) {
		t.Fatal(failed)
	}
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// One boot for all that it shows: each takes many seconds.
func TestKernelACommandHasOutputAndStatusAndWritesNothing(t *testing.T) {
	kept, lost := t.TempDir(), t.TempDir()
	link := filepath.Join(lost, "link")
	if err := os.Symlink(kept, link); err != nil {
		t.Fatal(err)
	}
	const script = `
		echo out; echo err >&2; pwd
		echo kept >"$1/f"; echo lost >"$2/f"; cat "$2/f"
		for m in ip_gre ip6_gre fou fou6 wireguard sch_netem sch_taprio sch_etf; do modprobe $m || echo no $m; done
		ip link show lo | grep -o 'LOOPBACK,UP'
		(sleep 1000 &) # an orphan that holds the output
		kill -9 $$`
	stdout, stderr, status := vm(t, "-w", link, "sh", "-c", script, "sh", link, lost)
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	stderr = regexp.MustCompile("(?m)^vm: downloading .*\n").ReplaceAllString(stderr, "") // of the first run
	if want := "out\n" + here + "\nlost\nLOOPBACK,UP\n"; stdout != want || stderr != "err\n" || status != 128+9 {
		t.Errorf("status %d\nstdout %q\nwant   %q\nstderr %q", status, stdout, want, stderr)
	}
	if text, err := os.ReadFile(filepath.Join(kept, "f")); string(text) != "kept\n" {
		t.Errorf("what was written to keep: %q, %v", text, err)
	}
	if text, err := os.ReadFile(filepath.Join(lost, "f")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was written elsewhere is there: %q, %v", text, err)
	}
}

func TestKernelTheTimeLimitEndsTheMachine(t *testing.T) {
	_, stderr, status := vm(t, "-timeout", "2s", "sleep", "1000")
	if status != exitTimeUp || !strings.Contains(stderr, "did not end within 2s") {
		t.Error(status, stderr)
	}
}

// A kernel on a busy machine may take its processor for a slow one: that makes its clock no faster.
func TestKernelTheClockGoesRightWithAWrongFrequency(t *testing.T) {
	began := time.Now()
	const script = `cat /proc/uptime; for i in $(seq 60); do /bin/true; done; cat /proc/uptime`
	stdout, stderr, status := vm(t, "-emulate", "-append", "tsc_early_khz=50000", "sh", "-c", script)
	var from, to, idle float64
	if _, err := fmt.Sscan(stdout, &from, &idle, &to); err != nil || to-from > time.Since(began).Seconds() {
		t.Errorf("from %v to %v s in %v: status %d, %s", from, to, time.Since(began), status, stderr)
	}
}

func TestKernelAMachineThatFailsShowsItsConsole(t *testing.T) {
	_, stderr, status := vm(t, "-append", "rdinit=/none", "true")
	if status != exitMachine || !strings.Contains(stderr, "Kernel panic") {
		t.Error(status, stderr)
	}
}

func TestKernelAMachineDiesWithItsStarter(t *testing.T) {
	cmd := exec.Command(filepath.Join("..", "..", "bin", "vm"), "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	list := fmt.Sprintf("/proc/%d/task", cmd.Process.Pid)
	child := ""
	for deadline := time.Now().Add(time.Minute); child == ""; time.Sleep(10 * time.Millisecond) {
		lists, err := filepath.Glob(list + "/*/children")
		if err != nil || time.Now().After(deadline) {
			t.Fatal("no machine", err)
		}
		for _, l := range lists {
			if text, err := os.ReadFile(l); err == nil && len(text) > 0 { // a thread may be gone by now
				child = strings.TrimSpace(string(text))
			}
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Readlink("/proc/" + child + "/exe"); err != nil { // gone, or nobody's zombie
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the machine is still there:", child)
		}
	}
}
