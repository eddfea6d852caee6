package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"re6st/hw/netns/netnstest"
)

// parentEnv makes this test binary a parent with a child, to be killed.
const parentEnv = "PROCESS_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentEnv) != "" {
		child, err := NewSpawner().Start(Spec{Path: "sleep", Args: []string{"1000"}})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(child.Pid())
		select {}
	}
	goleak.VerifyTestMain(m)
}

func spawner(t *testing.T) *Spawner {
	s := NewSpawner()
	t.Cleanup(s.Close)
	return s
}

func start(t *testing.T, s *Spawner, spec Spec) *Child {
	t.Helper()
	c, err := s.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func shell(script string) Spec { return Spec{Path: "sh", Args: []string{"-c", script}} }

func TestStatusIsWhatAShellSays(t *testing.T) {
	s := spawner(t)
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -TERM $$": 128 + 15} {
		c := start(t, s, shell(script))
		<-c.Done()
		if got := c.Status(); got != want {
			t.Errorf("%s: status %d, want %d", script, got, want)
		}
	}
}

func TestStartOfNothingFails(t *testing.T) {
	if _, err := spawner(t).Start(Spec{Path: "/no/such/program"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start: %v", err)
	}
}

func TestStopKillsOneThatDoesNotListen(t *testing.T) {
	s := spawner(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	spec := shell("trap '' TERM; echo ready; while :; do sleep 1; done")
	spec.Stdout = w
	c := start(t, s, spec)
	w.Close()
	if _, err := r.Read(make([]byte, 6)); err != nil { // the trap is set
		t.Fatal(err)
	}
	if err := c.Stop(time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if got := c.Status(); got != 128+9 {
		t.Errorf("status %d, want killed", got)
	}
}

func TestSignalReachesTheWholeGroup(t *testing.T) {
	s := spawner(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	spec := shell("sleep 1000 & echo ready; wait")
	spec.Stdout = w
	c := start(t, s, spec)
	w.Close()
	if _, err := r.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	// The grandchild has the pipe too: its end of file is the grandchild's end.
	if err := r.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the grandchild lives")
	}
}

func TestSignalAfterTheEndIsNothing(t *testing.T) {
	c := start(t, spawner(t), shell("exit 0"))
	<-c.Done()
	if err := c.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

func TestCloseEndsTheChildren(t *testing.T) {
	s := NewSpawner()
	c := start(t, s, Spec{Path: "sleep", Args: []string{"1000"}})
	s.Close()
	select {
	case <-c.Done():
	default:
		t.Error("Close returned before the child ended")
	}
	if _, err := s.Start(shell("exit 0")); !errors.Is(err, ErrClosed) {
		t.Errorf("Start after Close: %v, want ErrClosed", err)
	}
}

func TestChildRunsInTheNamespaceAndTheSpawnerComesHome(t *testing.T) {
	g := netnstest.NewGroup(t)
	ns, err := g.Create("n1")
	if err != nil {
		t.Fatal(err)
	}
	s := spawner(t)
	in := func(ns Namespace) string {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		c := start(t, s, Spec{Path: "readlink", Args: []string{"/proc/self/ns/net"}, NS: ns, Stdout: w})
		w.Close()
		<-c.Done()
		text := make([]byte, 64)
		n, err := r.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text[:n]))
	}
	// Of the process it would be that of its first thread, which may have ended in another.
	home, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if got := in(ns); got == home {
		t.Error("the child ran in our namespace")
	}
	if got := in(nil); got != home {
		t.Errorf("after that a child without namespace ran in %s, not in %s", got, home)
	}
}

func TestChildrenDieWithAKilledParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscanln(out, &pid); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} // readable: it ended
	if n, err := unix.Poll(poll, 60_000); n != 1 {
		t.Errorf("the child outlived its parent: %d %v", n, err)
	}
}
