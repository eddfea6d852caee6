package node

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"re6st/hw/netns"
	"re6st/protocols/addr"
	"re6st/protocols/tunnelplan"
)

// farLAN is a LAN with babeld behind n1, a relay n2, a gateway n3 and a host outside of
// the mesh, which knows the way back:
//
//	babeld lan0 fd99:1::1/64   veth0 ---- veth0 n1 under0 ---- under0 n2 under1 ---- under1 n3 out0 ---- out0 outside
type farLAN struct {
	*lan
	n3, outside *netns.NS
}

const (
	theirs      = "fd99:1::/64"
	theirHost   = "fd99:1::1"
	outsideHost = "2001:db8:ffff::2"
)

func newFarLAN(t *testing.T) *farLAN {
	t.Helper()
	l := &farLAN{lan: newLAN(t)}
	for name, ns := range map[string]**netns.NS{"n3": &l.n3, "outside": &l.outside} {
		var err error
		*ns, err = l.group.Create(name)
		l.check(err)
	}
	l.check(netns.Veth(l.n2, "under1", l.n3, "under1"))
	l.check(netns.Veth(l.n3, "out0", l.outside, "out0"))
	l.ip(l.n2, "addr add 198.51.100.2/24 dev under1")
	l.ip(l.n3, "addr add 198.51.100.3/24 dev under1")
	l.ip(l.n3, "addr add 2001:db8:ffff::1/64 dev out0")
	l.ip(l.outside, "addr add "+outsideHost+"/64 dev out0")
	l.ip(l.outside, "route add 2001:db8:42::/48 via 2001:db8:ffff::1")
	l.ip(l.outside, "route add fd99::/16 via 2001:db8:ffff::1")
	return l
}

// ping sends echoes from a namespace, and says what came of it.
func (l *lan) ping(ns *netns.NS, args ...string) {
	l.t.Helper()
	args = append([]string{"netns", "exec", ns.Name(), "ping", "-n"}, args...)
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		out, err := exec.Command("ip", args...).CombinedOutput()
		if late := time.Now().After(deadline); err == nil || late {
			l.t.Logf("# ip %s\n%s", strings.Join(args, " "), out)
			if err != nil {
				l.t.Errorf("%v", err)
			}
			return
		}
	}
}

// show logs a command of iproute2 with what it says.
func (l *lan) show(ns *netns.NS, command string) {
	l.t.Helper()
	l.t.Logf("# ip -n %s %s\n%s", ns.Name(), command, l.ip(ns, command))
}

// The LAN behind n1 has a part of its prefix, so that its packets are of the mesh.
const (
	network  = "2001:db8:42::/48"
	meshLAN  = "2001:db8:42:1:8000::/80"
	meshHost = "2001:db8:42:1:8000::1"
)

// way starts the nodes n1, with a configuration beside that of its LAN, n2, and n3 as the
// gateway.
func (l *farLAN) way(n1, n3 string) (stop func() error) {
	l.t.Helper()
	l.ip(l.n3, "route add default via "+outsideHost+" dev out0")
	dial := func(i uint64, at string) tunnelplan.Peer {
		return tunnelplan.Peer{ID: addr.NodeIDFromUint64(i), Endpoints: []netip.AddrPort{netip.MustParseAddrPort(at)}}
	}
	l.node(l.n1, 1, "trusted = [\"veth0\"]\ndefault_route = true\n"+n1)
	l.node(l.n2, 2, "", dial(1, "192.0.2.1:7326"), dial(3, "198.51.100.3:7326"))
	return l.node(l.n3, 3, "gateway = true\n"+n3)
}

func TestABabeldLANReachesTheOutsideThroughOurGateway(t *testing.T) {
	l := newFarLAN(t)
	l.ip(l.other, "addr add "+meshHost+"/80 dev lan0")
	l.babeld(meshLAN)
	stop := l.way("", "")

	l.until(l.n1, "default", "from "+network, "dev re6st0", "proto 206", "metric 4096")
	l.until(l.other, "default", "from "+network, "via "+l.linkLocal(l.n1, "veth0"), "dev veth0", "proto 42")
	l.until(l.n1, meshLAN, "dev veth0", "proto 206")
	l.show(l.other, "-6 -N route show")
	l.show(l.n1, "-6 -N route show")
	l.show(l.n3, "-6 -N route show")
	if got := l.routes(l.n2, "default"); got != "" {
		t.Errorf("a node that did not ask for it has the mesh's default route: %s", got)
	}
	l.ping(l.n3, "-c", "3", "-i", "0.2", "-w", "10", meshHost)
	l.ping(l.other, "-c", "3", "-i", "0.2", "-w", "10", "-I", meshHost, outsideHost)
	l.ping(l.outside, "-c", "3", "-i", "0.2", "-w", "10", meshHost)
	l.ping(l.n1, "-c", "3", "-i", "0.2", "-w", "10", outsideHost)

	t.Run("a default route of the machine's own stays its own", func(t *testing.T) {
		l.ip(l.n1, "addr add 2001:db8:aaaa::1/64 dev under0")
		l.ip(l.n1, "route add default via fe80::9 dev under0 metric 512")
		for source, dev := range map[string]string{"2001:db8:aaaa::1": "under0", "2001:db8:42:1::1": "re6st0"} {
			if got := l.ip(l.n1, "-6 route get "+outsideHost+" from "+source); !strings.Contains(got, "dev "+dev) {
				t.Errorf("packets from %s leave by %s, want %s", source, got, dev)
			}
		}
		l.ip(l.n1, "-6 route del default via fe80::9 dev under0")
	})
	t.Run("it is taken back where the gateway has no way out", func(t *testing.T) {
		l.ip(l.n3, "-6 route del default")
		l.gone(l.n1, "default")
		l.ip(l.n3, "route add default via "+outsideHost+" dev out0")
		l.until(l.n1, "default", "dev re6st0", "proto 206")
	})
	t.Run("and where it ends", func(t *testing.T) {
		if err := stop(); err != nil {
			t.Error(err)
		}
		l.gone(l.n1, "default")
	})
}

func TestALANOfItsOwnAddressesIsASourceOfTheGateway(t *testing.T) {
	l := newFarLAN(t)
	l.babeld(theirs)
	l.way("", "gateway_sources = [\"fd99::/16\"]\n")
	l.until(l.n3, theirs, "dev re6st0", "proto 206")
	l.until(l.other, "default", "from fd99::/16", "dev veth0", "proto 42")
	l.ping(l.other, "-c", "3", "-i", "0.2", "-w", "10", "-I", theirHost, outsideHost)
}

func TestARouterWithoutRoutesBySourceGetsAPlainDefault(t *testing.T) {
	l := newFarLAN(t)
	l.ip(l.other, "addr add "+meshHost+"/80 dev lan0")
	l.start(l.other, "", "babeld", "-I", filepath.Join(l.t.TempDir(), "pid"), "-S", filepath.Join(l.t.TempDir(), "state"), "-c", "/dev/null",
		"-C", "interface veth0 type wired hello-interval 1 update-interval 4", "-C", "redistribute proto 2 ip "+meshLAN+" allow",
		"-C", "in src-ip "+network+" deny", "veth0")
	stop := l.way("plain_default = [\"veth0\"]\n", "")
	l.until(l.other, "default", "default via "+l.linkLocal(l.n1, "veth0"), "dev veth0", "proto 42")
	l.until(l.n1, meshLAN, "dev veth0", "proto 206")
	if got := l.routes(l.n2, "default") + l.routes(l.n3, "default"); strings.Contains(got, "re6st0") {
		t.Errorf("it came into the mesh: %s", got)
	}
	l.ping(l.other, "-c", "3", "-i", "0.2", "-w", "10", "-I", meshHost, outsideHost)
	if err := stop(); err != nil {
		t.Error(err)
	}
	l.until(l.other, "default")
}

// bird runs Debian's with a table of routes by source, for what is on lan0.
func (l *lan) bird() {
	l.t.Helper()
	if _, err := exec.LookPath("bird"); err != nil {
		l.t.Skip("needs bird, of the package bird2: ", err)
	}
	dir := l.t.TempDir()
	config := filepath.Join(dir, "bird.conf")
	l.check(os.WriteFile(config, []byte(`
router id 10.0.0.2;
ipv6 sadr table sadr6;
protocol device {}
protocol direct { ipv6 sadr { table sadr6; }; interface "lan0"; }
protocol kernel { ipv6 sadr { table sadr6; export where source = RTS_BABEL; }; }
protocol babel {
	ipv6 sadr { table sadr6; import all; export where source = RTS_DEVICE; };
	interface "veth0" { type wired; hello interval 1 s; update interval 4 s; };
}
`), 0o600))
	l.start(l.other, "", "bird", "-f", "-c", config, "-s", filepath.Join(dir, "ctl"), "-P", filepath.Join(dir, "pid"))
}

func TestABIRDLANReachesTheOutsideThroughOurGateway(t *testing.T) {
	l := newFarLAN(t)
	l.ip(l.other, "addr del fd99:1::1/64 dev lan0")
	l.ip(l.other, "addr add "+meshHost+"/80 dev lan0")
	l.bird()
	stop := l.way("", "")
	l.until(l.other, "default", "from "+network, "via "+l.linkLocal(l.n1, "veth0"), "dev veth0", "proto 12")
	l.until(l.n1, meshLAN, "dev veth0", "proto 206")
	l.show(l.other, "-6 -N route show")
	l.ping(l.other, "-c", "3", "-i", "0.2", "-w", "10", "-I", meshHost, outsideHost)
	if err := stop(); err != nil {
		t.Error(err)
	}
	l.until(l.other, "default")
}
