package node

import (
	"crypto/rand"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"re6st/actors/monitor"
	"re6st/actors/registry"
	"re6st/protocols/cert"
	wire "re6st/protocols/registry"
)

// revocation is a list with one node.
func (m *mesh) revocation(number uint64, i int) *cert.RevocationList {
	m.t.Helper()
	id := m.nodes[i].member.Identity
	l, err := m.issuer.SignRevocations(rand.Reader, number, []cert.Revocation{
		{Serial: id.Certificate.SerialNumber, Node: id.ID, Time: time.Now(), Reason: cert.KeyCompromise},
	}, time.Now())
	m.check(err)
	return l
}

// hears has a node restart with documents that the others do not have.
func (m *mesh) hears(i int, change func(*parts)) {
	m.stop(i)
	m.prepare(i)
	change(m.nodes[i].parts)
	m.launch(i)
}

// The registry is dead, and one node of five has the list: the others get it from
// their neighbors.
func TestARevocationFloodsAndTheRevokedNodeFallsEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const revoked = 4
		m := newMesh(t, 5)
		m.line()
		m.whole(5 * time.Second)
		time.Sleep(2 * time.Second) // peers are stored
		list := m.revocation(1, revoked)
		m.hears(0, func(n *parts) { n.revocations.Store(list) })
		gone := m.nodes[revoked].member.Identity.ID
		fallen := func(n *meshNode) bool {
			synctest.Wait()
			return cert.NumberOf(n.revocations.Load()) == 1 && !n.reachable(n.view.Load())[gone]
		}
		start := time.Now()
		for _, n := range m.nodes[:revoked] {
			for !fallen(n) {
				if time.Sleep(10 * time.Millisecond); time.Since(start) > 10*time.Second {
					t.Fatalf("node %s reaches it yet, with list %d", n.member.Identity.Prefix.CN(), cert.NumberOf(n.revocations.Load()))
				}
			}
		}
		t.Logf("fallen everywhere %s after the start of the one that had the list", time.Since(start))
		for range 10 {
			time.Sleep(time.Minute)
			for _, n := range m.nodes[:revoked] {
				if !fallen(n) || slices.ContainsFunc(n.known(), func(p monitor.Peer) bool { return p.Node == gone }) {
					t.Errorf("node %s knows it again", n.member.Identity.Prefix.CN())
				}
			}
			if m.arrives(revoked, 0, "in", time.Second) || m.arrives(0, revoked, "out", time.Second) {
				t.Error("a packet passes")
			}
			if !m.arrives(0, 3, "between the others", time.Second) {
				t.Error("the others are not whole")
			}
		}
		s := m.nodes[revoked].status()
		if s.State != monitor.Revoked || s.CRL != 1 || s.Links.Opened+s.Links.Accepted != 0 || len(s.Problems) != 1 {
			t.Errorf("the revoked node is %s: %v", s.State, s.Problems) // by the word of its neighbor
		}
		for _, n := range m.nodes[1:revoked] {
			if l, err := registry.LoadCRL(n.dir, n.member.Authority); err != nil || cert.NumberOf(l) != 1 {
				t.Errorf("on disk is list %d, %v", cert.NumberOf(l), err)
			}
		}
	})
}

func TestANodeThatHearsOfItsOwnRevocationSaysSoAndKeepsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 3)
		m.line()
		m.whole(5 * time.Second)
		time.Sleep(2 * time.Second)
		m.hears(2, func(n *parts) { n.revocations.Store(m.revocation(3, 2)) })
		time.Sleep(10 * time.Minute)
		s := m.nodes[2].status()
		if s.State != monitor.Revoked || s.CRL != 3 || s.Links.Opened+s.Links.Accepted != 0 || s.Reachable != 0 {
			t.Errorf("%s, list %d, %+v, reaches %d: %v", s.State, s.CRL, s.Links, s.Reachable, s.Problems)
		}
		if !m.arrives(0, 1, "between the others", time.Second) {
			t.Error("the others are not whole")
		}
	})
}

func TestParametersApplyWhileRunningAndSayWhatDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 4)
		m.line()
		m.whole(5 * time.Second)
		time.Sleep(2 * time.Second)
		next, err := m.params.WithAll([]wire.Setting{
			{Key: "hello_interval", Value: "300ms"},
			{Key: "client_count", Value: "7"},
			{Key: "liveness.in_use", Value: "100ms"},
			{Key: "mtu", Value: "1300"},
			{Key: "limits.sessions", Value: "100"},
			{Key: "limits.lan_links", Value: "0"},
		})
		m.check(err)
		next.Number = 2
		signed, err := wire.SignParams(rand.Reader, m.issuer, next)
		m.check(err)
		m.hears(0, func(n *parts) { n.parameters.Store(signed) })
		time.Sleep(10 * time.Second)
		for i, n := range m.nodes[1:] {
			s := n.status()
			if s.Params != 2 || s.Links.ClientCount != 7 {
				t.Errorf("node %d has parameters %d, client_count %d", i+1, s.Params, s.Links.ClientCount)
			}
			if len(s.Notices) != 1 || s.Notices[0] != "restart this node to take the network's mtu: 1300 instead of 1380" {
				t.Errorf("node %d notes %q", i+1, s.Notices)
			}
			const want = "number 2: client_count 7 instead of 4, in force; hello_interval 300ms instead of 4s, in force; " +
				"liveness.in_use 100ms instead of 200ms, in force; mtu 1300 instead of 1380, after a restart; " +
				"limits.sessions 100 instead of 4096, in force; limits.lan_links 0 instead of 8, in force"
			told := ""
			for _, e := range n.sys.Events() {
				if e.Kind == "parameters" {
					told = e.Text
				}
			}
			if told != want {
				t.Errorf("node %d told\n%s, want\n%s", i+1, told, want)
			}
		}
		m.whole(time.Second)
	})
}
