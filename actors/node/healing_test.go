package node

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"re6st/actors/system"
	"re6st/actors/tunnel"
	"re6st/hw/nodedir"
	wire "re6st/protocols/registry"
)

func TestASecondNodeWithACertificateEndsAndTheFirstGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 3)
		m.line()
		m.whole(5 * time.Second)
		time.Sleep(5 * time.Minute)
		folder, err := nodedir.Open(t.TempDir())
		m.check(err)
		m.nodes = append(m.nodes, &meshNode{
			under: netip.MustParseAddrPort("10.0.0.9:7326"), parts: &parts{member: m.nodes[1].member, dir: folder},
		})
		m.start(3, 0, 2)
		twin := m.nodes[3]
		err = <-twin.ended
		twin.stop = nil
		if !errors.Is(err, ErrDuplicate) {
			t.Errorf("the newcomer ended with %v", err)
		}
		for _, pair := range [][2]int{{0, 1}, {1, 2}, {0, 2}} {
			if !m.arrives(pair[0], pair[1], "still here", time.Second) {
				t.Errorf("no packet gets from node %d to node %d any more", pair[0], pair[1])
			}
		}
	})
}

func TestParametersReachANodeThatCannotReachTheRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 3)
		newer := wire.DefaultParams(m.issuer.Authority)
		newer.Number, newer.ClientCount = m.params.Number+1, 7
		signed, err := wire.SignParams(rand.Reader, m.issuer, newer)
		m.check(err)
		m.nodes[0].member.Params = signed
		m.line()
		m.whole(5 * time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		for i, n := range m.nodes {
			if p := n.parameters.Load(); p.Number != newer.Number || n.limits().ClientCount != 7 {
				t.Errorf("node %d has parameters %d, opens %d links", i, p.Number, n.limits().ClientCount)
			}
			if stored, err := n.dir.Read("params"); i > 0 && (err != nil || string(stored) != string(signed.Bytes)) {
				t.Errorf("node %d stored %d bytes, %v", i, len(stored), err)
			}
		}
	})
}

func TestTwoHalvesThatAreFullGrowTogetherAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 6)
		m.links = 2
		m.line()
		for i := range 6 {
			for j := range 6 {
				m.heal(i, j)
			}
		}
		m.whole(time.Minute)
		across := func(do func(i, j int)) {
			for i := range 3 {
				for j := 3; j < 6; j++ {
					do(i, j)
				}
			}
		}
		across(m.cut)
		time.Sleep(10 * time.Minute)
		for i, n := range m.nodes {
			if opened, accepted := n.degree(); opened+accepted < 2 {
				t.Errorf("node %d opened %d links and accepted %d in its half", i, opened, accepted)
			}
		}
		if m.arrives(0, 5, "across", time.Second) {
			t.Fatal("the halves are not cut")
		}
		across(m.heal)
		m.whole(time.Minute)
	})
}

// degree counts the links that are up.
func (n *meshNode) degree() (opened, accepted int) {
	s := n.status()
	return s.Links.Opened, s.Links.Accepted
}

func TestANodeWhoseManagerRestartsComesBackWithoutARegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 3)
		m.line()
		m.whole(5 * time.Second)
		before := linksSince(m.nodes[1])
		m.check(m.nodes[1].sys.Inject(tunnelPath, system.InjectPanic))
		time.Sleep(time.Millisecond)
		m.whole(20 * time.Second)
		if linksSince(m.nodes[1]) == before {
			t.Error("the links are those of before")
		}
		time.Sleep(time.Second)
		s, _ := system.Read[tunnel.Snapshot](m.nodes[1].sys, tunnelPath)
		up := 0
		for _, l := range s.Links {
			if l.Up {
				up++
			}
		}
		if _, routes := m.nodes[1].status(), m.nodes[1].routes(); up != 2 || len(routes) < 5 {
			t.Errorf("%d links, %d routes", up, len(routes))
		}
	})
}

func TestANodeWhoseRootRestartsComesBackWithoutARegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 3)
		m.cut(0, 2)
		m.start(1) // it joined in this run, and remembers nobody
		m.start(0, 1)
		m.start(2, 1)
		m.whole(5 * time.Second)
		time.Sleep(5 * time.Second) // peers are stored
		m.check(m.nodes[1].sys.Inject("node", system.InjectPanic))
		time.Sleep(time.Millisecond)
		m.whole(20 * time.Second)
	})
}

// The answer of an enquirer that failed never comes.
func TestTheRegistryIsAskedAgainAfterItsEnquirerFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int32
		m := newMesh(t, 1)
		m.dial = func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			time.Sleep(10 * time.Second) // net/http lets a dial go on that nobody waits for
			return nil, errors.New("no answer")
		}
		m.start(0)
		time.Sleep(time.Second)
		m.check(m.nodes[0].sys.Inject("node/registry", system.InjectPanic))
		synctest.Wait()
		before := dials.Load()
		time.Sleep(2 * registryPatience)
		if before == 0 || dials.Load() == before {
			t.Errorf("it was asked %d times before the fault, and %d times since", before, dials.Load()-before)
		}
		m.stop(0)
		time.Sleep(time.Minute) // of the last dial
	})
}
