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
	"syscall"
	"testing"
	"time"

	"re6st/hw/netns"
	"re6st/hw/netns/netnstest"
)

// host is a machine in a namespace, on which programs run as a person would run them.
type host struct {
	t  *testing.T
	ns *netns.NS
}

func (h host) command(args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", h.ns.Name()}, args...)...)
}

// run is a program that has to succeed; it returns what that printed.
func (h host) run(args ...string) string {
	h.t.Helper()
	out, err := h.command(args...).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// start runs a program until stop, or until the test ends.
func (h host) start(args ...string) (stop func()) {
	h.t.Helper()
	cmd, out := h.command(args...), &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
		if err != nil || h.t.Failed() {
			h.t.Logf("%s: %v\n%s", args, err, out)
		}
	}
	h.t.Cleanup(stop)
	return stop
}

// reaches tells whether an echo comes back within some time.
func (h host) reaches(to string, within time.Duration) bool {
	for deadline := time.Now().Add(within); ; {
		if h.command("ping", "-6", "-n", "-c", "1", "-W", "1", to).Run() == nil {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// oneOfTwo is a network: a registry, a node on the host of both networks, and one elsewhere.
type oneOfTwo struct {
	prefix, registry string
	config           string // of the node on the common host
	other            host
	address, folder  [2]string // of the node on the common host, and of the other
	stop             func()    // the former
}

// TestTwoNetworksOnOneHost: everything that a node has of its machine is its network's
// own: the TUN, the port, the routes and their number, rules, marks and sockets.
func TestTwoNetworksOnOneHost(t *testing.T) {
	re6st, err := exec.LookPath("re6st") // testscript's: this binary under that name
	if err != nil {
		t.Fatal(err)
	}
	group := netnstest.NewGroup(t)
	common := newHost(t, group, "common")
	networks := []*oneOfTwo{
		{prefix: "2001:db8:a::/48", registry: "192.0.2.1:6326", config: "interface = \"re6st0\"\n"},
		{prefix: "2001:db8:b::/48", registry: "198.51.100.1:6327", config: "interface = \"re6st1\"\nport = 7336\nroute_protocol = 207\n"},
	}
	for i, n := range networks {
		n.other = newHost(t, group, fmt.Sprintf("other%d", i))
		link := fmt.Sprintf("eth%d", i)
		if err := netns.Veth(common.ns, link, n.other.ns, "eth0"); err != nil {
			t.Fatal(err)
		}
		subnet := n.registry[:strings.LastIndex(n.registry, ".")]
		common.run("ip", "addr", "add", subnet+".1/24", "dev", link)
		n.other.run("ip", "addr", "add", subnet+".2/24", "dev", "eth0")
		n.up(t, re6st, common)
	}
	a, b := networks[0], networks[1]
	for _, n := range networks {
		if !common.reaches(n.address[1], patience) || !n.other.reaches(n.address[0], patience) {
			t.Fatalf("%s is not whole", n.prefix)
		}
	}
	if a.other.reaches(b.address[0], 0) || b.other.reaches(a.address[1], 0) {
		t.Error("a node is reached from the other network")
	}
	for _, n := range networks {
		if known := n.other.run(re6st, "peers", "-d", n.folder[1]); strings.Contains(known, "[2001:db8:") {
			t.Errorf("an address of the other network is told of as an endpoint:\n%s", known)
		}
	}
	t.Logf("# ip -6 route show\n%s", common.run("ip", "-6", "-N", "route", "show"))
	t.Logf("# ip -6 rule show\n%s", common.run("ip", "-6", "rule", "show"))

	t.Run("a second node with the first one's numbers is told so", func(t *testing.T) {
		dir := t.TempDir()
		common.join(t, re6st, a, dir, "")
		out, err := common.command(re6st, "node", "-d", dir).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "route_protocol") {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("the end of one leaves the other whole", func(t *testing.T) {
		b.stop()
		if !common.reaches(a.address[1], patience) || !a.other.reaches(a.address[0], patience) {
			t.Errorf("%s is not whole any more", a.prefix)
		}
		if left := common.run("ip", "-6", "-N", "route", "show", "proto", "207"); left != "" {
			t.Errorf("left: %s", left)
		}
		if on := common.run("cat", "/proc/sys/net/ipv6/conf/all/forwarding"); on != "1" {
			t.Error("the machine forwards no more")
		}
		a.stop()
		if on := common.run("cat", "/proc/sys/net/ipv6/conf/all/forwarding"); on != "0" {
			t.Error("the machine still forwards")
		}
	})
}

func newHost(t *testing.T, group *netns.Group, name string) host {
	t.Helper()
	ns, err := group.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	return host{t, ns}
}

// up makes a network: its registry and one node on the common host, and the other.
func (n *oneOfTwo) up(t *testing.T, re6st string, common host) {
	t.Helper()
	dir := t.TempDir()
	common.run(re6st, "registry", "init", "-d", dir, "--network", n.prefix, "--advertise", n.registry)
	common.start(re6st, "registry", "serve", "-d", dir, "--listen", n.registry)
	n.registry = dir
	for i, h := range []host{common, n.other} {
		folder, config := t.TempDir(), ""
		if i == 0 {
			config = n.config
		}
		n.address[i], n.folder[i] = h.join(t, re6st, n, folder, config), folder
		stop := h.start(re6st, "node", "-d", folder)
		if i == 0 {
			n.stop = stop
		}
	}
}

// join makes a node's folder, and returns the node's address.
func (h host) join(t *testing.T, re6st string, n *oneOfTwo, dir, config string) string {
	t.Helper()
	line := h.run(re6st, "registry", "token", "-d", n.registry)
	said := h.run(re6st, "join", line, "-d", dir)
	if err := os.WriteFile(filepath.Join(dir, "node.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	// What it says before: that the registry does not serve yet.
	joined := regexp.MustCompile(`(?m)^joined (\S+) as `).FindStringSubmatch(said)
	if joined == nil {
		t.Fatalf("join said %q", said)
	}
	return joined[1]
}
