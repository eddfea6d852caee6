package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// ownerEnv makes this test binary the owner of a group, to be killed.
const ownerEnv = "NETNS_TEST_OWNER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(ownerEnv); dir != "" {
		beOwner(dir)
	}
	goleak.VerifyTestMain(m)
}

// beOwner makes a group with a namespace and a process inside, prints the id and waits to be killed.
func beOwner(dir string) {
	g, err := NewGroup(dir)
	if err == nil {
		var ns *NS
		if ns, err = g.Create("n1"); err == nil {
			err = ns.Do(func() error { return exec.Command("sleep", "1000").Start() })
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(g.ID())
	select {}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
}

func newGroup(t *testing.T, dir string) *Group {
	t.Helper()
	needRoot(t)
	g, err := NewGroup(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func create(t *testing.T, g *Group, name string) *NS {
	t.Helper()
	ns, err := g.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

func TestNamesThatAreNoFileNameAreRefused(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "../x", "a b", "a\x00b"} {
		if err := checkName(name); !errors.Is(err, ErrName) {
			t.Errorf("checkName(%q) = %v, want ErrName", name, err)
		}
	}
	if err := checkName("re6st-4f2a1c-n1"); err != nil {
		t.Error(err)
	}
}

func TestNameCarriesTheGroupsID(t *testing.T) {
	g := newGroup(t, t.TempDir())
	ns := create(t, g, "n1")
	if want := "re6st-" + g.ID() + "-n1"; ns.Name() != want {
		t.Errorf("name %q, want %q", ns.Name(), want)
	}
	if _, err := os.Stat(filepath.Join(Dir, ns.Name())); err != nil {
		t.Error(err)
	}
}

func TestCreateRefusesAnExistingName(t *testing.T) {
	g := newGroup(t, t.TempDir())
	create(t, g, "n1")
	if _, err := g.Create("n1"); !errors.Is(err, ErrExists) {
		t.Errorf("second Create: %v, want ErrExists", err)
	}
}

func TestOpenOfNothingIsErrMissing(t *testing.T) {
	if _, err := Open("re6st-no-such-namespace"); !errors.Is(err, ErrMissing) {
		t.Errorf("Open: %v, want ErrMissing", err)
	}
}

func TestDoRunsInsideAndComesBack(t *testing.T) {
	g := newGroup(t, t.TempDir())
	ns := create(t, g, "n1")
	read := func() string {
		link, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil {
			t.Error(err)
		}
		return link
	}
	home := read()
	var inside string
	if err := ns.Do(func() error { inside = read(); return nil }); err != nil {
		t.Fatal(err)
	}
	if inside == home {
		t.Error("Do ran in the namespace of the process")
	}
	if after := read(); after != home {
		t.Errorf("after Do the thread is in %s, not in %s", after, home)
	}
}

func TestAddressesAreUsableAtOnce(t *testing.T) {
	g := newGroup(t, t.TempDir())
	a, b := create(t, g, "a"), create(t, g, "b")
	if err := Veth(a, "eth0", b, "eth0"); err != nil {
		t.Fatal(err)
	}
	conn, err := a.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetAddress("eth0", netip.MustParsePrefix("fd00::1/64"), false); err != nil {
		t.Fatal(err)
	}
	err = a.Do(func() error {
		c, err := net.ListenPacket("udp6", "[fd00::1]:0")
		if err == nil {
			c.Close()
		}
		return err
	})
	if err != nil {
		t.Errorf("bind right after SetAddress: %v", err)
	}
}

func TestVethCarriesPackets(t *testing.T) {
	g := newGroup(t, t.TempDir())
	a, b := create(t, g, "a"), create(t, g, "b")
	if err := Veth(a, "toB", b, "toA"); err != nil {
		t.Fatal(err)
	}
	for i, end := range []struct {
		ns   *NS
		link string
	}{{a, "toB"}, {b, "toA"}} {
		conn, err := end.ns.Netlink()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetAddress(end.link, netip.MustParsePrefix(fmt.Sprintf("10.0.0.%d/30", i+1)), false); err != nil {
			t.Fatal(err)
		}
	}
	var client net.Conn
	var packets net.PacketConn
	if err := b.Do(func() (err error) { packets, err = net.ListenPacket("udp4", "10.0.0.2:9"); return }); err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	if err := a.Do(func() (err error) { client, err = net.Dial("udp4", "10.0.0.2:9"); return }); err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 16)
	if err := packets.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	n, _, err := packets.ReadFrom(buffer)
	if err != nil || string(buffer[:n]) != "hello" {
		t.Errorf("read %q, %v", buffer[:n], err)
	}
}

func TestCloseKillsWhatRunsInsideAndRemovesAll(t *testing.T) {
	needRoot(t)
	g, err := NewGroup(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ns := create(t, g, "n1")
	sleep := exec.Command("sleep", "1000")
	if err := ns.Do(sleep.Start); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	err = sleep.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(interface{ Signaled() bool }).Signaled() == false {
		t.Errorf("the process inside ended with %v, want killed", err)
	}
	if names := namesOf(t, g.ID()); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
	if _, err := os.Stat(g.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
}

func TestSweepTakesDownTheDeadAndNothingElse(t *testing.T) {
	parent := t.TempDir()
	living := newGroup(t, parent)
	create(t, living, "n1")
	stranger := "re6st-stranger-" + living.ID()
	ns, err := Create(stranger)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ns.Close()
		if err := Delete(stranger); err != nil {
			t.Error(err)
		}
	}()
	if err := os.Mkdir(filepath.Join(parent, "not-a-group"), 0o700); err != nil {
		t.Fatal(err)
	}

	dead := killedOwner(t, parent)
	if names := namesOf(t, dead); len(names) != 1 {
		t.Fatalf("the killed owner left %v, want its one namespace", names)
	}
	swept, err := Sweep(parent)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(swept, []string{dead}) {
		t.Errorf("swept %v, want only %s", swept, dead)
	}
	if names := namesOf(t, dead); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
	if names := namesOf(t, living.ID()); len(names) != 1 {
		t.Errorf("the living group has %v, want its one namespace", names)
	}
	for _, kept := range []string{filepath.Join(Dir, stranger), filepath.Join(parent, "not-a-group"), living.Dir()} {
		if _, err := os.Stat(kept); err != nil {
			t.Errorf("swept away: %v", err)
		}
	}
}

// Between its lock and its folder a group that goes looks dead.
func TestASweepLeavesAGroupAloneThatIsBeingClosed(t *testing.T) {
	needRoot(t)
	parent := t.TempDir()
	done := make(chan error)
	go func() {
		var errs []error
		for range 100 {
			g, err := NewGroup(parent)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			for i := range 20 {
				errs = append(errs, os.Mkdir(filepath.Join(g.Dir(), fmt.Sprint("n", i)), 0o700))
			}
			errs = append(errs, g.Close())
		}
		done <- errors.Join(errs...)
	}()
	for {
		swept, err := Sweep(parent)
		if len(swept) > 0 || err != nil {
			t.Errorf("swept %v, %v", swept, err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
	}
}

func TestOwnerTellsTheLivingFromTheDead(t *testing.T) {
	parent := t.TempDir()
	living := newGroup(t, parent)
	if pid, alive, err := Owner(living.Dir()); pid != os.Getpid() || !alive || err != nil {
		t.Errorf("Owner of our group: %d %v %v", pid, alive, err)
	}
	dead := killedOwner(t, parent)
	another, err := os.Open(filepath.Join(parent, dead, ownerLock)) // who asks at the same time
	if err != nil {
		t.Fatal(err)
	}
	defer another.Close()
	if err := unix.Flock(int(another.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	if _, alive, err := Owner(filepath.Join(parent, dead)); alive || err != nil {
		t.Errorf("Owner of the killed: %v %v", alive, err)
	}
	if _, err := Sweep(parent); err != nil {
		t.Error(err)
	}
}

// killedOwner runs this binary as the owner of a group, kills it and returns the id.
func killedOwner(t *testing.T, parent string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	owner := exec.CommandContext(ctx, os.Args[0])
	owner.Env = append(os.Environ(), ownerEnv+"="+parent)
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	var id string
	if _, err := fmt.Fscanln(out, &id); err != nil || !isID(id) {
		t.Fatalf("the owner said %q: %v", id, err)
	}
	if err := owner.Process.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()
	return id
}

func namesOf(t *testing.T, id string) []string {
	t.Helper()
	entries, err := os.ReadDir(Dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "re6st-"+id+"-") {
			names = append(names, e.Name())
		}
	}
	return names
}
