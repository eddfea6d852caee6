package portmap

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"re6st/actors/system"
	"re6st/hw/netns"
	"re6st/hw/netns/netnstest"
	"re6st/hw/process"
)

// childEnv has the test's own binary be a node that wants a port mapped.
const childEnv = "RE6ST_PORTMAP_CHILD"

const (
	testPort = 7326
	patience = 30 * time.Second
)

var (
	insideGateway  = netip.MustParsePrefix("192.168.1.1/24")
	insideNode     = netip.MustParsePrefix("192.168.1.2/24")
	outsideGateway = netip.MustParsePrefix("11.0.0.6/30") // miniupnpd wants an address of the Internet
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		if err := child(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// child has the actor at work, prints what changes, and ends with its standard input.
func child() error {
	before := goleak.IgnoreCurrent()
	sys := system.New(system.Config{})
	_, err := Spawn(sys, Config{
		Port: testPort, Nonce: [12]byte{1, 2, 3}, Gateway: func() (netip.Addr, error) { return insideGateway.Addr(), nil },
		Emit: func(c Changed) { fmt.Printf("%s: %s\n", c.Protocol, c.External) },
	})
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := sys.Stop(ctx); err != nil {
		return err
	}
	// What is left of goroutines is seen here: the requests by HTTP have ended.
	for late := time.Now().Add(patience); ; {
		if err := goleak.Find(before); err == nil || time.Now().After(late) {
			return err
		}
	}
}

// gateway is a router with miniupnpd, and a node behind it.
type gateway struct {
	t             *testing.T
	router, node  *netns.NS
	spawner       *process.Spawner
	dir           string
	config, rules string
}

// newGateway makes them; config and rules, of a chain of input, are the gateway's.
func newGateway(t *testing.T, config, rules string) *gateway {
	t.Helper()
	for _, program := range []string{"nft", "miniupnpd"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("the gateway needs nft and miniupnpd, of the packages nftables and miniupnpd-nftables: %v", err)
		}
	}
	group := netnstest.NewGroup(t)
	var err error
	g := &gateway{t: t, spawner: process.NewSpawner(), dir: t.TempDir(), config: config, rules: rules}
	t.Cleanup(g.spawner.Close)
	g.router, err = group.Create("gateway")
	g.check(err)
	g.node, err = group.Create("node")
	g.check(err)
	g.check(netns.Veth(g.router, "inside", g.node, "eth0"))
	g.check(netns.Veth(g.router, "eth0", g.router, "world"))
	g.address(g.router, "inside", insideGateway)
	g.address(g.router, "eth0", outsideGateway)
	g.address(g.node, "eth0", insideNode)
	g.run(g.node, "ip", "route", "add", "default", "via", insideGateway.Addr().String())
	g.run(g.router, "nft", `table inet filter {
	chain miniupnpd { }
	chain prerouting_miniupnpd { }
	chain postrouting_miniupnpd { }
	chain input { type filter hook input priority filter; `+rules+` }
	chain prerouting { type nat hook prerouting priority dstnat; jump prerouting_miniupnpd; }
}`)
	g.start()
	return g
}

func (g *gateway) check(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) address(ns *netns.NS, link string, p netip.Prefix) {
	g.t.Helper()
	conn, err := ns.Netlink()
	g.check(err)
	defer conn.Close()
	g.check(conn.SetAddress(link, p, false))
}

// run runs a program in a namespace and returns what it prints.
func (g *gateway) run(ns *netns.NS, name string, args ...string) (text string) {
	g.t.Helper()
	g.check(ns.Do(func() error {
		out, err := exec.Command(name, args...).CombinedOutput()
		if text = string(out); err != nil {
			return fmt.Errorf("%s %v: %w: %s", name, args, err, out)
		}
		return nil
	}))
	return text
}

// start runs miniupnpd, and waits until it listens: who asks before takes it for one that does not speak PCP.
func (g *gateway) start() {
	g.t.Helper()
	config := filepath.Join(g.dir, "miniupnpd.conf")
	g.check(os.WriteFile(config, []byte("ext_ifname=eth0\nlistening_ip=inside\nport=0\nsecure_mode=yes\n"+g.config), 0o600))
	_, err := g.spawner.Start(process.Spec{
		Path: "miniupnpd", Args: []string{"-d", "-f", config, "-P", filepath.Join(g.dir, "pid")}, NS: g.router,
	})
	g.check(err)
	port := ":5351" // of PCP and NAT-PMP, which it binds after that of UPnP
	if !strings.Contains(g.config, "enable_natpmp=yes") {
		port = ":1900"
	}
	for deadline := time.Now().Add(patience); g.run(g.router, "ss", "-Hlun", "sport = "+port) == ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("miniupnpd does not listen at port %s", port[1:])
		}
	}
}

// mappings are those that miniupnpd has made.
func (g *gateway) mappings() string {
	g.t.Helper()
	return g.run(g.router, "nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd")
}

func TestARealGatewayMapsThePortAndTakesItBack(t *testing.T) {
	const both, upnp, pmp = "enable_upnp=yes\nenable_natpmp=yes\n", "enable_upnp=yes\nenable_natpmp=no\n", "enable_upnp=no\nenable_natpmp=yes\n"
	const noPCP = "iifname inside udp dport 5351 @th,64,8 2 drop;" // the version of a request
	for _, c := range []struct{ protocol, config, rules string }{
		{"PCP", both, ""}, {"NAT-PMP", pmp, noPCP}, {"UPnP IGD", upnp, ""},
	} {
		t.Run(c.protocol, func(t *testing.T) {
			g := newGateway(t, c.config, c.rules)
			in, end, err := os.Pipe()
			g.check(err)
			defer in.Close()
			out, prints, err := os.Pipe()
			g.check(err)
			defer out.Close()
			node, err := g.spawner.Start(process.Spec{
				Path: os.Args[0], Env: append(os.Environ(), childEnv+"=1"), NS: g.node, Stdin: in, Stdout: prints, Stderr: os.Stderr,
			})
			prints.Close()
			g.check(err)
			g.check(out.SetReadDeadline(time.Now().Add(patience)))
			said := bufio.NewScanner(out)
			if want := c.protocol + ": 11.0.0.6:7326"; !said.Scan() || said.Text() != want {
				t.Fatalf("%q, %v; want %q", said.Text(), said.Err(), want)
			}
			if m := g.mappings(); !strings.Contains(m, "7326") {
				t.Errorf("mapped is %s", m)
			}
			g.check(end.Close())
			<-node.Done()
			if node.Status() != 0 {
				t.Errorf("it ended with status %d", node.Status())
			}
			for waited := time.Duration(0); strings.Contains(g.mappings(), "7326"); waited += 50 * time.Millisecond {
				if waited > patience {
					t.Fatalf("not given back: %s", g.mappings())
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
}
