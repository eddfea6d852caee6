package rival_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"re6st/cmd/lab/rival"
	"re6st/hw/netns"
	"re6st/hw/netns/netnstest"
)

// programs is where `make rivals` puts them.
const programs = "../../../bin/rivals"

func TestATunnelThatIsNotThereIsNamed(t *testing.T) {
	for tunnel, want := range map[rival.Tunnel]string{
		"carrier pigeon":   "carrier pigeon",
		rival.WireGuardGo:  "make rivals",
		rival.Tunnel("ip"): "there are",
	} {
		if err := tunnel.Check(t.TempDir(), 1); !errors.Is(err, rival.ErrTunnel) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", tunnel, err)
		}
	}
}

// newLine is namespaces joined in a row.
func newLine(t *testing.T, links int) (spaces []*netns.NS, wires []rival.Wire) {
	t.Helper()
	group := netnstest.NewGroup(t)
	for i := range links + 1 {
		ns, err := group.Create(fmt.Sprint("n", i))
		if err != nil {
			t.Fatal(err)
		}
		spaces = append(spaces, ns)
	}
	for i := range links {
		a, b := spaces[i], spaces[i+1]
		if err := netns.Veth(a, "up", b, "down"); err != nil {
			t.Fatal(err)
		}
		ends := [2]netip.Prefix{}
		for j, at := range []struct {
			ns   *netns.NS
			name string
		}{{a, "up"}, {b, "down"}} {
			ends[j] = netip.MustParsePrefix(fmt.Sprintf("fd00:0:0:%d::%d/64", i, j+1))
			if err := at.ns.Sysctl("net/ipv6/conf/"+at.name+"/accept_dad", "0"); err != nil {
				t.Fatal(err)
			}
			conn, err := at.ns.Netlink()
			if err != nil {
				t.Fatal(err)
			}
			err = conn.SetAddress(at.name, ends[j], false)
			conn.Close()
			if err != nil {
				t.Fatal(err)
			}
		}
		wires = append(wires, rival.Wire{Up: ends[0].Addr(), Down: ends[1].Addr()})
	}
	return spaces, wires
}

func TestTunnelsReachFromEndToEnd(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	tried := 0
	for _, tunnel := range rival.Tunnels {
		for _, links := range []int{1, 2} {
			if tunnel.Check(programs, links) != nil {
				continue
			}
			tried++
			t.Run(fmt.Sprintf("%s over %d", tunnel, links), func(t *testing.T) { reach(t, tunnel, links) })
		}
	}
	if tried == 0 {
		t.Skip("none of them is here: install openvpn")
	}
}

func reach(t *testing.T, tunnel rival.Tunnel, links int) {
	spaces, wires := newLine(t, links)
	l, err := rival.OpenLine(rival.LineConfig{Tunnel: tunnel, Spaces: spaces, Wires: wires, Dir: t.TempDir(), Programs: programs})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := l.Start(ctx); err != nil {
		t.Fatal(err)
	}
	pids := l.Pids()
	if len(pids) != links+1 {
		t.Errorf("processes of %d nodes, want %d", len(pids), links+1)
	}
	for i, of := range pids {
		if len(of) == 0 {
			t.Errorf("no process of node %d", i+1)
		}
	}
}
