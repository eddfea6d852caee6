package netlink_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"re6st/hw/netlink"
	"re6st/hw/netns"
	"re6st/hw/netns/netnstest"
)

// forwardEnv makes this test binary a process that forwards, with that folder, until
// its input ends.
const forwardEnv = "FORWARD_TEST_DIR"

// forwardIPv4Env has it forward IPv4, where it is set.
const forwardIPv4Env = "FORWARD_TEST_IPV4"

func beForwarder(dir string) {
	forward := netlink.Forward
	if os.Getenv(forwardIPv4Env) != "" {
		forward = netlink.ForwardIPv4
	}
	undo, err := forward(dir)
	fmt.Println("forwarding", err)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	if err := undo(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// forwarding is a namespace with settings, and the processes that forward in it.
type forwarding struct {
	t   *testing.T
	ns  *netns.NS
	dir string
}

func newForwarding(t *testing.T) *forwarding {
	t.Helper()
	group := netnstest.NewGroup(t)
	var err error
	f := &forwarding{t: t, dir: t.TempDir()}
	if f.ns, err = group.Create("n1"); err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{"all/forwarding": "0", "lo/accept_ra": "1", "default/accept_ra": "0"} {
		if err := f.ns.Sysctl("net/ipv6/conf/"+key, value); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// want compares forwarding, and lo's and default's accept_ra.
func (f *forwarding) want(when string, values ...string) {
	f.t.Helper()
	for i, key := range []string{"all/forwarding", "lo/accept_ra", "default/accept_ra"} {
		out, err := exec.Command("ip", "netns", "exec", f.ns.Name(), "cat", "/proc/sys/net/ipv6/conf/"+key).Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != values[i] {
			f.t.Errorf("%s: %s is %q, %v; want %s", when, key, got, err, values[i])
		}
	}
}

// start runs a process that forwards; end asks it to end, crash does not ask.
func (f *forwarding) start(env ...string) (end, crash func()) {
	f.t.Helper()
	cmd := exec.Command("ip", "netns", "exec", f.ns.Name(), os.Args[0])
	cmd.Env = append(append(os.Environ(), forwardEnv+"="+f.dir), env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "forwarding <nil>\n" {
		f.t.Fatalf("it said %q, %v", line, err)
	}
	return func() {
			_ = in.Close()
			if err := cmd.Wait(); err != nil {
				f.t.Error(err)
			}
		}, func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
}

func (f *forwarding) wantNoRecord() {
	f.t.Helper()
	if left, err := filepath.Glob(f.dir + "/*"); err != nil || len(left) > 0 {
		f.t.Errorf("left: %v, %v", left, err)
	}
}

func TestForwardingKeepsRouterAdvertisements(t *testing.T) {
	f := newForwarding(t)
	end, _ := f.start()
	f.want("forwarding", "1", "2", "0")
	end()
	f.want("after the end", "0", "1", "0")
	f.wantNoRecord()
}

// TestEachFamilyForwardsByItself: what one has changed, the other does not put back.
func TestEachFamilyForwardsByItself(t *testing.T) {
	f := newForwarding(t)
	if err := f.ns.Sysctl("net/ipv4/ip_forward", "0"); err != nil {
		t.Fatal(err)
	}
	wantIPv4 := func(when, value string) {
		t.Helper()
		out, err := exec.Command("ip", "netns", "exec", f.ns.Name(), "cat", "/proc/sys/net/ipv4/ip_forward").Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != value {
			t.Errorf("%s: ip_forward is %q, %v; want %s", when, got, err, value)
		}
	}
	_, crash := f.start(forwardIPv4Env + "=1")
	crash()
	end4, _ := f.start(forwardIPv4Env + "=1")
	wantIPv4("forwarding", "1")
	f.want("IPv4 alone", "0", "1", "0")
	end6, _ := f.start()
	end6()
	wantIPv4("IPv6 has ended", "1")
	f.want("after its end", "0", "1", "0")
	end4()
	wantIPv4("after the end", "0")
	f.wantNoRecord()
}

func TestForwardingIsPutBackAfterACrash(t *testing.T) {
	f := newForwarding(t)
	_, crash := f.start()
	crash()
	f.want("after a crash", "1", "2", "0")
	_, crash = f.start()
	crash()
	end, _ := f.start()
	f.want("forwarding again", "1", "2", "0")
	end()
	f.want("after the end", "0", "1", "0")
	f.wantNoRecord()
}

func TestTheLastOneToEndPutsForwardingBack(t *testing.T) {
	f := newForwarding(t)
	end1, _ := f.start()
	end2, _ := f.start()
	_, crash3 := f.start()
	end1()
	f.want("one has ended", "1", "2", "0")
	crash3()
	f.want("another has crashed", "1", "2", "0")
	end2()
	f.want("all have ended", "0", "1", "0")
	f.wantNoRecord()
}

func TestARecordOfAnotherNamespaceIsNotBelieved(t *testing.T) {
	f := newForwarding(t)
	_, crash := f.start()
	crash()
	// The namespace went, and another got its number, with a setting of its own.
	for key, value := range map[string]string{"all/forwarding": "0", "lo/accept_ra": "0"} {
		if err := f.ns.Sysctl("net/ipv6/conf/"+key, value); err != nil {
			t.Fatal(err)
		}
	}
	end, _ := f.start()
	end()
	f.want("after the end", "0", "0", "0")
}

func TestWhatForwardedBeforeIsLeftForwarding(t *testing.T) {
	f := newForwarding(t)
	if err := f.ns.Sysctl("net/ipv6/conf/all/forwarding", "1"); err != nil {
		t.Fatal(err)
	}
	end, _ := f.start()
	end()
	f.want("after the end", "1", "1", "0")
}

func TestFoldersOfNamespacesThatAreGoneAreSwept(t *testing.T) {
	f := newForwarding(t)
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	named, err := os.Stat(filepath.Join("/run/netns", f.ns.Name()))
	if err != nil {
		t.Fatal(err)
	}
	const gone = "net:[1]" // the kernel's numbers are greater
	for name, space := range map[string]string{
		"forward-1": gone, "forward-2": own, "forward-3": fmt.Sprintf("net:[%d]", named.Sys().(*syscall.Stat_t).Ino), "forward-4": gone, "forward4-5": gone,
	} {
		dir := filepath.Join(f.dir, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"namespace": space, "lock": "", "users": "", "changed": "[]"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Mkdir(filepath.Join(f.dir, "forward-6"), 0o700); err != nil { // of an older version
		t.Fatal(err)
	}
	used, err := os.Open(filepath.Join(f.dir, "forward-4", "users"))
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	if err := unix.Flock(int(used.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	end, _ := f.start()
	end()
	left, err := filepath.Glob(filepath.Join(f.dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range left {
		left[i] = filepath.Base(left[i])
	}
	if want := []string{"forward-2", "forward-3", "forward-4", "forward-6", "forward4-5"}; !slices.Equal(left, want) {
		t.Errorf("left are %q, want %q", left, want)
	}
}

// TestThoseWhoComeAndGoAtOnceAllForward: who comes while the last one goes is not gone with it.
func TestThoseWhoComeAndGoAtOnceAllForward(t *testing.T) {
	f := newForwarding(t)
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for range 300 {
				if err := f.ns.Do(f.once); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	f.want("after the end", "0", "1", "0")
	f.wantNoRecord()
}

// once forwards for a moment, in the namespace of its thread.
func (f *forwarding) once() error {
	undo, err := netlink.Forward(f.dir)
	if err != nil {
		return errors.Join(err, undo())
	}
	runtime.Gosched()
	on, err := os.ReadFile("/proc/sys/net/ipv6/conf/all/forwarding")
	if err == nil && string(on) != "1\n" {
		err = fmt.Errorf("forwarding is %q", on)
	}
	return errors.Join(err, undo())
}
