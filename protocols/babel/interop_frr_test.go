//go:build linux

package babel_test

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// frr is FRR's zebra and babeld in a namespace.
type frr struct {
	t      *testing.T
	ns     string
	dir    string // of frr's user, who runs the daemons
	daemon map[string]*exec.Cmd
	log    *os.File
}

// newFRR starts zebra in the namespace.
func newFRR(t *testing.T, ns string) *frr {
	t.Helper()
	if _, err := os.Stat("/usr/lib/frr/babeld"); err != nil {
		t.Skip("needs frr: ", err)
	}
	owner, err := user.Lookup("frr")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	// Not t.TempDir: others may not enter that.
	dir, err := os.MkdirTemp("", "re6st-frr") //nolint:usetesting // frr's user has to get there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	f := &frr{t: t, ns: ns, dir: dir, daemon: map[string]*exec.Cmd{}, log: log}
	t.Cleanup(func() {
		f.stop("babeld")
		f.stop("zebra")
		if t.Failed() {
			t.Logf("frr: %s", f.said())
		}
		log.Close()
	})
	f.start("zebra")
	return f
}

// start runs a daemon without configuration: with one, FRR 8.4 reads it before it knows
// its interfaces, and is silent.
func (f *frr) start(name string) {
	f.t.Helper()
	empty := filepath.Join(f.dir, "empty")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		f.t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", f.ns, "/usr/lib/frr/"+name, "-i", filepath.Join(f.dir, name+".pid"),
		"-z", filepath.Join(f.dir, "zserv"), "--vty_socket", f.dir, "-f", empty, "--log", "stdout", "-P", "0")
	cmd.Stdout, cmd.Stderr = f.log, f.log
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.daemon[name] = cmd
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err := os.Stat(f.socket(name)); err == nil {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%s has no socket: %s", name, f.said())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// said is what the daemons logged.
func (f *frr) said() string {
	b, err := os.ReadFile(f.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (f *frr) socket(name string) string { return filepath.Join(f.dir, name+".vty") }

// stop ends a daemon, if it runs.
func (f *frr) stop(name string) {
	cmd := f.daemon[name]
	if cmd == nil {
		return
	}
	delete(f.daemon, name)
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	os.Remove(f.socket(name))
}

// tell has a daemon carry out commands, and returns what it says to the last.
func (f *frr) tell(name string, commands ...string) (answer string) {
	f.t.Helper()
	conn, err := net.Dial("unix", f.socket(name))
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	for _, command := range commands {
		if _, err := conn.Write(append([]byte(command), 0)); err != nil {
			f.t.Fatal(err)
		}
		// An answer ends with three zero bytes and a status.
		var got []byte
		for one := make([]byte, 1); len(got) < 4 || !bytes.Equal(got[len(got)-4:len(got)-1], []byte{0, 0, 0}); {
			if _, err := io.ReadFull(conn, one); err != nil {
				f.t.Fatalf("%s: %q: %v after %q", name, command, err, got)
			}
			got = append(got, one[0])
		}
		if answer = string(got[:len(got)-4]); got[len(got)-1] != 0 {
			f.t.Fatalf("%s: %q: %s", name, command, answer)
		}
	}
	return answer
}

// babeld runs FRR's on the interface, for what the machine has connected. Where zebra
// tells it of the interface while it is configured, it joins its group twice, takes that
// for an error, and leaves the interface alone: then it has to begin anew.
func (f *frr) babeld(ifname string) {
	f.t.Helper()
	for range 10 {
		before := len(f.said())
		f.start("babeld")
		f.until("finds no zebra", func() bool {
			return strings.Contains(f.tell("zebra", "enable", "show zebra client summary"), "babel")
		})
		f.tell("babeld", "enable", "configure terminal",
			"router babel", "network "+ifname, "redistribute ipv6 connected", "exit",
			"interface "+ifname, "babel wired", "babel hello-interval 1000", "babel update-interval 4000", "end")
		failed := false
		f.until("does not run on "+ifname, func() bool {
			failed = strings.Contains(f.said()[before:], "IPV6_JOIN_GROUP")
			return failed || strings.Contains(f.tell("babeld", "enable", "show babel interface "+ifname), "Rxcost multiplier is 96")
		})
		if !failed {
			return
		}
		f.stop("babeld")
	}
	f.t.Fatalf("babeld never runs on %s: %s", ifname, f.said())
}

func (f *frr) until(not string, done func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("babeld %s: %s", not, f.said())
		}
	}
}

func TestInteropFRR(t *testing.T) {
	a, b := lab(t)
	f := newFRR(t, b)
	f.babeld("yx")
	s := newSpeaker(t, a)
	s.badTLVs = 1 // its first Update may have a router-id of zeros
	ours := rib.Key{Prefix: netip.MustParsePrefix("fd88:0:0:1::/64")}
	for _, k := range []rib.Key{four, ours} {
		if err := s.router.Originate(time.Now(), k, 0); err != nil {
			t.Fatal(err)
		}
	}
	theirs := rib.Key{Prefix: netip.MustParsePrefix("fd77::1/128")}
	kernel := func() string { return ip(t, "-n", b, "-6", "route", "show") }
	here := func() bool { return s.hasRoute(theirs) }
	there := func() bool {
		return regexp.MustCompile("fd88:0:0:1::/64( nhid [0-9]+)? via " + s.local.String()).MatchString(kernel())
	}

	s.until("route of FRR here", here)
	s.until("route of ours there", there)

	s.cut = true
	s.until("end of the route here when it is silent", func() bool { return !here() })
	s.until("end of the route there when we are silent", func() bool { return !there() })
	s.cut = false
	s.until("route here after the cut", here)
	s.until("route there after the cut", there)

	f.stop("babeld")
	s.until("end of the route of FRR that stopped", func() bool { return !here() })
	s.badTLVs = 1
	f.babeld("yx")
	s.until("route here of FRR that began anew", here)
	s.until("route there of FRR that began anew", there)

	ip(t, "-n", b, "addr", "add", "fd77::2/128", "dev", "lo")
	s.until("new route of FRR", func() bool { return s.hasRoute(rib.Key{Prefix: netip.MustParsePrefix("fd77::2/128")}) })
	s.router.Retract(time.Now())
	s.until("end of our routes there", func() bool { return !there() })

	s.conn.Close()
	again := openSpeaker(t, a)
	again.speak(babel.Interface{Multicast: true})
	if err := again.router.Originate(time.Now(), ours, 0); err != nil {
		t.Fatal(err)
	}
	again.until("route here after we began anew", func() bool { return again.hasRoute(theirs) })
	again.until("route there after we began anew", there)
}
