package rival

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"re6st/hw/netns"
)

// addresses are of the nodes: a ULA (RFC 4193) whose bits spell re6st.
var addresses = netip.MustParsePrefix("fd72:6536:7374:ffff::/64")

// address is that of node i, counted from 0.
func address(i int) netip.Prefix { return nth(addresses, i, 128) }

// Edge joins two nodes, by their names.
type Edge struct{ A, B string }

// Config says what network to make.
type Config struct {
	Daemon Daemon
	Nodes  []string // names, of a few letters each
	Edges  []Edge
	Hello  time.Duration // whole seconds
	Folder string        // of all networks of this sort
}

// Network is a daemon in each of many namespaces. Not safe for concurrent use.
type Network struct {
	cfg     Config
	group   *netns.Group
	running *programs
	nodes   map[string]*node
}

type node struct {
	index int
	ns    *netns.NS
	links []string
}

// Open makes namespaces and links; no daemon runs yet.
func Open(cfg Config) (n *Network, err error) {
	if err := cfg.Daemon.Check(); err != nil {
		return nil, err
	}
	group, err := netns.NewGroup(cfg.Folder)
	if err != nil {
		return nil, err
	}
	n = &Network{cfg: cfg, group: group, running: newPrograms(string(cfg.Daemon), group.Dir()), nodes: map[string]*node{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	for i, name := range cfg.Nodes {
		if err := n.addNode(i, name); err != nil {
			return nil, err
		}
	}
	for _, e := range cfg.Edges {
		a, b := n.nodes[e.A], n.nodes[e.B]
		if err := netns.Veth(a.ns, linkTo(e.B), b.ns, linkTo(e.A)); err != nil {
			return nil, err
		}
		a.links, b.links = append(a.links, linkTo(e.B)), append(b.links, linkTo(e.A))
	}
	return n, nil
}

func linkTo(name string) string { return "to-" + name }

// rules count what is sent of Babel, and hold the links that are silenced.
const rules = `table inet rival {
	counter babel {}
	set silent { type ifname; }
	chain in { type filter hook prerouting priority -300; iifname @silent drop; }
	chain out { type filter hook output priority -300; udp dport 6696 counter name babel; oifname @silent drop; }
	chain through { type filter hook forward priority -300; oifname @silent drop; }
}`

func (n *Network) addNode(i int, name string) error {
	ns, err := n.group.Create(name)
	if err != nil {
		return err
	}
	n.nodes[name] = &node{index: i, ns: ns}
	for _, key := range []string{"net/ipv6/conf/all/forwarding", "net/ipv6/conf/default/forwarding"} {
		if err := ns.Sysctl(key, "1"); err != nil {
			return err
		}
	}
	for _, key := range []string{"net/ipv6/conf/all/accept_dad", "net/ipv6/conf/default/accept_dad"} {
		if err := ns.Sysctl(key, "0"); err != nil {
			return err
		}
	}
	conn, err := ns.Netlink()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := errors.Join(conn.SetUp("lo", true), conn.SetAddress("lo", address(i), false)); err != nil {
		return err
	}
	_, err = n.nft(name, rules)
	return err
}

func (n *Network) nft(name, command string) (string, error) {
	var out []byte
	err := n.nodes[name].ns.Do(func() (err error) {
		out, err = exec.Command("nft", "-j", command).CombinedOutput()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("rival: nft in %s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// Start runs all daemons.
func (n *Network) Start() error {
	for _, name := range n.cfg.Nodes {
		node := n.nodes[name]
		config, err := n.running.file(name, "conf", n.cfg.Daemon.config(node.index, node.links, n.cfg.Hello))
		if err != nil {
			return err
		}
		if err := n.running.start(name, node.ns, n.cfg.Daemon.spec(n.running.folder(name), config, node.links)); err != nil {
			return err
		}
	}
	return nil
}

// NS is the namespace of a node.
func (n *Network) NS(name string) *netns.NS { return n.nodes[name].ns }

// Address is what a node announces.
func (n *Network) Address(name string) netip.Addr { return address(n.nodes[name].index).Addr() }

// Pid is the process of a node's daemon.
func (n *Network) Pid(name string) int { return n.running.pids(name)[0] }

// Dead names a daemon that ended, with what it said last; "" where all run.
func (n *Network) Dead() string { return n.running.dead() }

// Down takes the link of an edge down at both ends, as a cable that is pulled.
func (n *Network) Down(e Edge) error {
	return errors.Join(n.down(e.A, e.B), n.down(e.B, e.A))
}

func (n *Network) down(at, to string) error {
	conn, err := n.nodes[at].ns.Netlink()
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.SetUp(linkTo(to), false)
}

// Silence lets no packet pass by the edge, and tells nobody.
func (n *Network) Silence(e Edge) error {
	_, errA := n.nft(e.A, fmt.Sprintf("add element inet rival silent { %q }", linkTo(e.B)))
	_, errB := n.nft(e.B, fmt.Sprintf("add element inet rival silent { %q }", linkTo(e.A)))
	return errors.Join(errA, errB)
}

// BabelBytes is what all nodes have sent of Babel, with IP and UDP headers.
func (n *Network) BabelBytes() (total uint64, err error) {
	for name := range n.nodes {
		text, err := n.nft(name, "list counter inet rival babel")
		if err != nil {
			return 0, err
		}
		var answer struct {
			Nftables []struct {
				Counter *struct {
					Bytes uint64 `json:"bytes"`
				} `json:"counter"`
			} `json:"nftables"`
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			return 0, fmt.Errorf("rival: nft in %s: %w", name, err)
		}
		for _, part := range answer.Nftables {
			if part.Counter != nil {
				total += part.Counter.Bytes
			}
		}
	}
	return total, nil
}

// Close ends the daemons and takes the namespaces away.
func (n *Network) Close() error {
	n.running.close()
	return n.group.Close()
}
