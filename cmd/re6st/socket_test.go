package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"re6st/actors/monitor/monitortest"
)

// Of a user who owns nothing here, and of a group that no machine has.
const (
	stranger   = 65534
	watchGroup = 54321
)

// forAll copies this binary to where every user may run it.
func forAll(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "re6st") //nolint:usetesting // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "re6st") // testscript's name for main
	if err := errors.Join(os.WriteFile(to, binary, 0o755), os.Chmod(to, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return to
}

// runAs runs a command as the stranger, with supplementary groups.
func runAs(t *testing.T, groups []uint32, path string, args ...string) (code int, output string) {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger, Groups: groups}}
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// The folder of a node is closed to others, but for its read-only socket: that is for
// a group, by way of /run.
func TestAGroupUsesTheReadOnlySocketOfAClosedFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it takes another user: run it as root")
	}
	path := forAll(t)
	dir, err := os.MkdirTemp("/var/lib", "re6st-test-") //nolint:usetesting // the folder's place is what is tested
	if err != nil {
		t.Fatal(err)
	}
	run := filepath.Join("/run", filepath.Base(dir))
	t.Cleanup(func() { os.RemoveAll(dir); os.RemoveAll(run) })
	stop, err := monitortest.StartFor(dir, watchGroup, monitortest.Sample())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	member := []uint32{watchGroup}
	for _, c := range []struct {
		groups []uint32
		args   string
		code   int
		says   string
	}{
		{member, "status", exitOK, "00000000000000a1"},
		{member, "peers --json", exitOK, `"00000000000000b2"`},
		{member, "trace 00000000000000c3", exitOK, "egress"},
		{member, "debug fault node", exitDenied, "read-only"},
		{nil, "status", exitDenied, "permission denied"},
		{nil, "trace 7/16", exitDenied, "permission denied"},
		{member, "status --socket " + run + "/re6st.sock", exitDenied, "permission denied"},
		{member, "registry nodes -d " + dir, exitDenied, "permission denied"},
		{member, "node", exitDenied, "permission denied"},
	} {
		args := append(strings.Fields(c.args), "-d", dir)
		if strings.HasPrefix(c.args, "registry") {
			args = args[:len(args)-2]
		}
		if code, out := runAs(t, c.groups, path, args...); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%v, %s: exit code %d, want %d and %q:\n%s", c.groups, c.args, code, c.code, c.says, out)
		}
	}
	for _, name := range []string{"re6st.sock", "re6st-ro.sock"} {
		info, err := os.Stat(filepath.Join(run, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Log(fmt.Sprint(info.Mode(), " ", info.Sys().(*syscall.Stat_t).Gid, " ", filepath.Join(run, name)))
	}
}
