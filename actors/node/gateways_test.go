package node

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"re6st/actors/monitor"
	"re6st/hw/netns"
	"re6st/hw/netns/netnstest"
	"re6st/protocols/addr"
	"re6st/protocols/tunnelplan"
)

// uplinked is a node n1 with two routers between it and its peers n2 and n3, of which each
// counts what it carries to either:
//
//	      .-- g1 --.
//	n1 ---+        +--- wan --- n2, n3
//	      '-- g2 --'
type uplinked struct {
	*lan
	routers [2]*netns.NS
	n3, sw  *netns.NS
	dir     string            // of n1
	peers   map[uint64]string // their addresses by node id
}

// newUplinked has everything but n1's end. Addresses on the wan end in 1 and 2 for the routers
// and in 12 and 13 for the peers.
func newUplinked(t *testing.T, wan, count string, bits int) *uplinked {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("the routers count by nft: ", err)
	}
	group := netnstest.NewGroup(t)
	var err error
	u := &uplinked{lan: &lan{t: t, group: group, issuer: newIssuer(t)}, peers: map[uint64]string{}}
	for name, ns := range map[string]**netns.NS{"n1": &u.n1, "n2": &u.n2, "n3": &u.n3, "g1": &u.routers[0], "g2": &u.routers[1], "sw": &u.sw} {
		*ns, err = group.Create(name)
		u.check(err)
	}
	u.bridge("wan")
	for i, ns := range []*netns.NS{u.n2, u.n3} {
		u.peers[uint64(i+2)] = fmt.Sprint(wan, i+12)
		u.plug(ns, "wan", fmt.Sprintf("%s%d/%d", wan, i+12, bits))
	}
	for i, g := range u.routers {
		u.plug(g, "wan", fmt.Sprintf("%s%d/%d", wan, i+1, bits))
		u.check(g.Sysctl("net/ipv4/conf/all/forwarding", "1"))
		u.check(g.Sysctl("net/ipv6/conf/all/forwarding", "1"))
		u.nft(g, "add table inet count", "add chain inet count f { type filter hook forward priority 0; }")
		for id, at := range u.peers {
			u.nft(g, fmt.Sprintf("add counter inet count n%d", id), fmt.Sprintf("add rule inet count f %s daddr %s meta l4proto { tcp, udp } th dport { 443, 7326 } counter name n%d", count, at, id))
		}
	}
	return u
}

// bridge makes a switch.
func (u *uplinked) bridge(name string) {
	u.t.Helper()
	conn, err := u.sw.Netlink()
	u.check(err)
	defer conn.Close()
	u.check(conn.AddBridge(name))
	u.check(conn.SetUp(name, true))
}

// plug gives a namespace an interface on a switch, of its name.
func (u *uplinked) plug(ns *netns.NS, to, address string) {
	u.t.Helper()
	port := ns.Name()[strings.LastIndex(ns.Name(), "-")+1:] + to
	u.check(netns.Veth(ns, to, u.sw, port))
	u.ip(u.sw, "link set "+port+" master "+to)
	u.ip(ns, "addr add "+address+" dev "+to+nodad(address))
}

// nodad spares IPv6 addresses their detection of duplicates.
func nodad(address string) string {
	if strings.Contains(address, ":") {
		return " nodad"
	}
	return ""
}

func (u *uplinked) nft(ns *netns.NS, commands ...string) string {
	u.t.Helper()
	var all []byte
	for _, c := range commands {
		out, err := exec.Command("ip", "netns", "exec", ns.Name(), "nft", c).CombinedOutput()
		if err != nil {
			u.t.Fatalf("nft %s: %v: %s", c, err, out)
		}
		all = append(all, out...)
	}
	return string(all)
}

var packets = regexp.MustCompile(`packets (\d+)`)

// carried is how many packets to a peer went through a router.
func (u *uplinked) carried(router int, peer uint64) int {
	u.t.Helper()
	text := u.nft(u.routers[router], fmt.Sprintf("list counter inet count n%d", peer))
	m := packets.FindStringSubmatch(text)
	if m == nil {
		u.t.Fatalf("no counter in %q", text)
	}
	n, err := strconv.Atoi(m[1])
	u.check(err)
	return n
}

// run starts the nodes; those beside n1 dial nobody that they do not know.
func (u *uplinked) run(carrier string, gateways ...string) (stop func() error, kill func()) {
	u.t.Helper()
	alone := fmt.Sprintf("lan = false\nport_mapping = false\ncarriers = [%q]\n", carrier)
	for id, ns := range map[int]*netns.NS{2: u.n2, 3: u.n3} {
		dir := u.folder(id, alone)
		u.runs(ns, dir)
		u.await("a peer runs", func() bool {
			var s monitor.Status
			return monitor.NewClient(monitor.SocketIn(dir)).Get(u.t.Context(), "status", &s) == nil
		})
	}
	var peers []tunnelplan.Peer
	for _, id := range []uint64{2, 3} {
		at := netip.AddrPortFrom(netip.MustParseAddr(u.peers[id]), DefaultPort)
		peers = append(peers, tunnelplan.Peer{ID: addr.NodeIDFromUint64(id), Endpoints: []netip.AddrPort{at}})
	}
	u.dir = u.folder(1, alone+fmt.Sprintf("remote_gateways = [%q, %q]\n", gateways[0], gateways[1]), peers...)
	return u.again()
}

// again starts n1.
func (u *uplinked) again() (stop func() error, kill func()) {
	u.t.Helper()
	return u.startKillable(u.n1, nodeEnv+"="+u.dir, os.Args[0])
}

// reload has n1 take its configuration, where remote_gateways is another.
func (u *uplinked) reload(old, next string) {
	u.t.Helper()
	config := u.dir + "/node.toml"
	text, err := os.ReadFile(config)
	u.check(err)
	changed := strings.ReplaceAll(string(text), "remote_gateways = "+old, "remote_gateways = "+next)
	if changed == string(text) {
		u.t.Fatalf("no %s in %s", old, text)
	}
	u.check(os.WriteFile(config, []byte(changed), 0o600))
	var answer monitor.Reloaded
	u.check(monitor.NewClient(monitor.SocketIn(u.dir)).Post(u.t.Context(), "reload", nil, &answer))
	if len(answer.Changes) != 1 || !answer.Changes[0].Applied {
		u.t.Errorf("the reload has taken %+v", answer.Changes)
	}
}

// gateways are those of n1's links that are up, by peer.
func (u *uplinked) gateways() map[uint64]string {
	var answer monitor.Tunnels
	if err := monitor.NewClient(monitor.SocketIn(u.dir)).Get(u.t.Context(), "tunnels", &answer); err != nil {
		return nil // it is about to start
	}
	via := map[uint64]string{}
	for _, t := range answer.Tunnels {
		for id := range u.peers {
			if t.State == "up" && t.Node == addr.NodeIDFromUint64(id) {
				via[id] = t.Gateway
			}
		}
	}
	return via
}

// await waits until something is so.
func (u *uplinked) await(what string, so func() bool) {
	u.t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			u.t.Fatalf("not so: %s; the gateways are %v\n%s", what, u.gateways(), u.ip(u.n1, "route show table all proto 206"))
		}
	}
}

// both tells whether both links are up and go through a gateway.
func (u *uplinked) both(gateway string) bool {
	via := u.gateways()
	return via[2] == gateway && via[3] == gateway
}

// split waits for links through both gateways, and tells which peer has which.
func (u *uplinked) split(gateways ...string) (peers [2]uint64) {
	u.t.Helper()
	u.await("one peer goes through each gateway", func() bool {
		via := u.gateways()
		peers = [2]uint64{2, 3}
		if via[2] != gateways[0] {
			peers = [2]uint64{3, 2}
		}
		return via[peers[0]] == gateways[0] && via[peers[1]] == gateways[1]
	})
	return peers
}

// apart waits until each router carries its peer for a while, and not that of the other. A link
// that a busy machine let fall silent may have changed over; then it is another while.
func (u *uplinked) apart(gateways ...string) (peers [2]uint64) {
	u.t.Helper()
	const some = 5
	var before, after [2][2]int // by router, then the peer of the first and of the second
	u.await("the routers carry a peer each", func() bool {
		peers = u.split(gateways...)
		before = u.carriedAll(peers)
		for range 100 {
			after = u.carriedAll(peers)
			if after[0][0]-before[0][0] >= some && after[1][1]-before[1][1] >= some {
				return after[0][1] == before[0][1] && after[1][0] == before[1][0]
			}
			time.Sleep(20 * time.Millisecond)
		}
		return false
	})
	for i := range after {
		u.t.Logf("g%d has carried %d packets to n%d and %d to n%d", i+1, after[i][0], peers[0], after[i][1], peers[1])
	}
	return peers
}

func (u *uplinked) carriedAll(peers [2]uint64) (n [2][2]int) {
	for i := range n {
		n[i] = [2]int{u.carried(i, peers[0]), u.carried(i, peers[1])}
	}
	return n
}

// left is what the kernel of n1 holds for its host routes, by iproute2.
func (u *uplinked) left() string {
	u.t.Helper()
	return u.ip(u.n1, "-4 route show table all proto 206") + u.ip(u.n1, "-6 route show table all proto 206") + // our number
		u.ip(u.n1, "-4 rule show table 838861006") + u.ip(u.n1, "-6 rule show table 838861006")
}

// routed tells whether there is a host route to a peer.
func (u *uplinked) routed() bool {
	left := u.left()
	return strings.Contains(left, u.peers[2]) || strings.Contains(left, u.peers[3])
}

func (u *uplinked) ping(to uint64) {
	u.t.Helper()
	at := fmt.Sprintf("2001:db8:42:%x::1", to)
	u.await("n1 reaches "+at, func() bool {
		return exec.Command("ip", "netns", "exec", u.n1.Name(), "ping", "-n", "-c", "1", "-W", "1", at).Run() == nil
	})
}

// Two routers of one LAN, which masquerade what goes out: so peers cannot dial n1.
func TestPeersGoThroughTheRoutersOfALANByTurns(t *testing.T) {
	u := newUplinked(t, "203.0.113.", "ip", 24)
	u.bridge("lan")
	u.plug(u.n1, "lan", "192.0.2.10/24")
	for i, g := range u.routers {
		u.plug(g, "lan", fmt.Sprintf("192.0.2.%d/24", i+1))
		u.nft(g, "add table ip nat", "add chain ip nat out { type nat hook postrouting priority 100; }", "add rule ip nat out oifname wan masquerade")
	}
	u.ip(u.n1, "route add default via 192.0.2.1")
	stop, _ := u.run("udp", "192.0.2.1", "192.0.2.2")
	peers := u.apart("192.0.2.1", "192.0.2.2")
	u.await("what carries the mesh goes by the second, and what is not ours by the default route", func() bool {
		far := u.peers[u.split("192.0.2.1", "192.0.2.2")[1]]
		return strings.Contains(u.ip(u.n1, "route get "+far+" mark 0x720000ce"), "via 192.0.2.2") &&
			strings.Contains(u.ip(u.n1, "route get "+far), "via 192.0.2.1")
	})

	t.Run("a router that dies is left", func(t *testing.T) {
		u.ip(u.routers[1], "link set lan down")
		u.await("both go through the first", func() bool { return u.both("192.0.2.1") })
		u.await("the first carries to the peer of the second", func() bool { return u.carried(0, peers[1]) > 0 })
		u.ping(peers[1])
		u.ip(u.routers[1], "link set lan up")
	})
	t.Run("a reload takes other routers", func(t *testing.T) {
		for _, c := range []struct{ old, new, want string }{
			{`["192.0.2.1", "192.0.2.2"]`, `["192.0.2.2"]`, "192.0.2.2"},
			{`["192.0.2.2"]`, `[]`, ""},
			{`[]`, `["192.0.2.1"]`, "192.0.2.1"},
		} {
			u.reload(c.old, c.new)
			u.await("both go through "+c.want, func() bool { return u.both(c.want) && len(u.gateways()) == 2 && u.routed() == (c.want != "") })
			if rules := u.ip(u.n1, "rule show table 838861006"); (rules == "") != (c.want == "") {
				t.Errorf("with %s there are the rules %q", c.new, rules)
			}
			u.ping(2)
			u.ping(3)
		}
		u.reload(`["192.0.2.1"]`, `["192.0.2.1", "192.0.2.2"]`)
	})
	t.Run("nothing is left at the end", func(t *testing.T) {
		u.await("there are routes while it runs", u.routed)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if got := u.left(); got != "" {
			t.Errorf("left: %s", got)
		}
	})
	t.Run("what a killed run leaves is swept", func(t *testing.T) {
		_, kill := u.again()
		u.split("192.0.2.1", "192.0.2.2")
		kill()
		if !u.routed() {
			t.Fatalf("the killed run has left no route: %s", u.left())
		}
		config := u.dir + "/node.toml"
		text, err := os.ReadFile(config)
		u.check(err)
		u.check(os.WriteFile(config, []byte(strings.ReplaceAll(string(text), "remote_gateways", "# ")), 0o600))
		u.again()
		u.await("the links are up without gateways", func() bool { return u.both("") && len(u.gateways()) == 2 })
		if u.routed() || strings.Contains(u.left(), "lookup") {
			t.Errorf("left: %s", u.left())
		}
	})
}

// Two uplinks without a default route, and routers that are known by their link-local addresses.
func TestPeersGoThroughTheRoutersOfTwoUplinksByTurns(t *testing.T) {
	for _, carrier := range []string{"udp", "tls"} {
		t.Run(carrier, func(t *testing.T) { twoUplinks(t, carrier) })
	}
}

func twoUplinks(t *testing.T, carrier string) {
	u := newUplinked(t, "2001:db8:9::", "ip6", 64)
	var gateways []string
	for i, g := range u.routers {
		dev := fmt.Sprintf("eth%d", i+1)
		u.check(netns.Veth(u.n1, dev, g, "lan"))
		u.ip(u.n1, fmt.Sprintf("addr add 2001:db8:%d::10/64 dev %s nodad", i+1, dev))
		u.ip(g, fmt.Sprintf("addr add 2001:db8:%d::1/64 dev lan nodad", i+1))
		u.ip(g, "addr add fe80::1/64 dev lan nodad")
		for _, p := range []*netns.NS{u.n2, u.n3} {
			u.ip(p, fmt.Sprintf("route add 2001:db8:%d::/64 via 2001:db8:9::%d", i+1, i+1))
		}
		gateways = append(gateways, "fe80::1%"+dev)
	}
	stop, _ := u.run(carrier, gateways...)
	u.apart(gateways...)
	u.ip(u.routers[1], "link set lan down") // and so n1's end has no carrier
	u.await("both go through the first", func() bool { return u.both(gateways[0]) })
	u.ip(u.routers[0], "link set lan down")
	u.await("no route is left", func() bool { return !u.routed() })
	u.ip(u.routers[1], "link set lan up")
	u.ip(u.routers[1], "addr replace 2001:db8:2::1/64 dev lan nodad") // the kernel takes IPv6 addresses at link down
	u.ip(u.routers[1], "addr replace fe80::1/64 dev lan nodad")
	u.await("both go through the second", func() bool { return u.both(gateways[1]) })
	u.ping(2)
	u.ping(3)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if got := u.left(); got != "" {
		t.Errorf("left: %s", got)
	}
}

func TestAMachineIsNotItsOwnGateway(t *testing.T) {
	u := newUplinked(t, "203.0.113.", "ip", 24)
	u.plug(u.n1, "wan", "203.0.113.11/24")
	u.dir = u.folder(1, "remote_gateways = [\"203.0.113.11\"]\n")
	out, err := exec.Command("ip", "netns", "exec", u.n1.Name(), "env", nodeEnv+"="+u.dir, os.Args[0]).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "203.0.113.11, an address of this machine itself") {
		t.Errorf("%v: %s", err, out)
	}
}
