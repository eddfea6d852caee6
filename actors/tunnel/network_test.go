package tunnel

import (
	"crypto/ecdh"
	"crypto/rand"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flynn/noise"

	"re6st/actors/system"
	"re6st/protocols/cert"
	"re6st/protocols/fabric"
	"re6st/protocols/peer"
	"re6st/protocols/tunnelplan"
)

func list(number uint64, nodes ...*testNode) Revoked {
	r := Revoked{List: Document{Kind: peer.Revocations, Number: number, Signed: []byte("list")}}
	for _, n := range nodes {
		r.Nodes = append(r.Nodes, n.id())
	}
	return r
}

func TestARevokedNodeHearsSoAndIsClosedForGood(t *testing.T) {
	for _, opener := range []int{0, 1} {
		pair(t, func(w *world, a, b *testNode) {
			revoker, revoked := w.nodes[opener], w.nodes[1-opener]
			revoker.ref.Tell(list(1, revoked))
			time.Sleep(expelAfter)
			if n := len(revoker.links()); n != 0 {
				t.Errorf("%d links are left", n)
			}
			if got := took[DocumentReceived](revoked.take()); len(got) != 1 || got[0].Kind != peer.Revocations || got[0].Number != 1 {
				t.Errorf("the revoked node hears %+v", got)
			}
			for _, p := range revoker.known() {
				if p.ID == revoked.id() {
					t.Error("it is still known")
				}
			}
			time.Sleep(10 * time.Minute)
			w.check(revoker.sys.Inject("tunnel", system.InjectPanic)) // whose next life knows it too
			time.Sleep(10 * time.Minute)
			if n := len(revoker.links()) + len(revoked.links()); n != 0 {
				t.Errorf("%d links came back", n)
			}
			out := took[Outcast](revoked.take())
			if len(out) == 0 || out[0].By != revoker.id() {
				t.Errorf("it was not told: %v", out)
			}
			if len(out) > 20 {
				t.Errorf("it came %d times in 20 minutes: a storm", len(out))
			}
		})
	}
}

// known are the peers of the last snapshot.
func (n *testNode) known() []tunnelplan.Peer {
	synctest.Wait()
	s, _ := system.Read[Snapshot](n.sys, "tunnel")
	return s.Known
}

func TestARevokedNodeLetsGoOfAllAndKeepsStill(t *testing.T) {
	pair(t, func(w *world, a, b *testNode) {
		a.ref.Tell(list(1, a))
		time.Sleep(time.Second)
		if n := len(a.links()) + len(b.links()); n != 0 {
			t.Errorf("%d links are left", n)
		}
		a.take()
		spawned := a.spawned()
		time.Sleep(time.Hour)
		if asked := len(took[RegistryWanted](a.take())); asked != 0 || a.spawned() != spawned {
			t.Errorf("it asked %d times and made %d tunnels", asked, a.spawned()-spawned)
		}
	})
}

func TestTheListReachesPeersOverLinks(t *testing.T) {
	pair(t, func(w *world, a, b *testNode) {
		a.ref.Tell(list(4))
		time.Sleep(time.Second)
		got := took[DocumentReceived](b.take())
		if len(got) != 1 || got[0].Kind != peer.Revocations || got[0].Number != 4 {
			t.Errorf("got %+v", got)
		}
	})
}

// renewed is another certificate of the node, with new keys.
func (n *testNode) renewed() *fabric.Credentials {
	key, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
	n.check(err)
	c := *n.credentials
	c.Certificate, err = n.issuer.IssueNode(rand.Reader, key.Public(), c.Identity.Prefix, n.id(), time.Now(), 24*time.Hour)
	n.check(err)
	c.Identity, err = n.issuer.Verify(c.Certificate, time.Now())
	n.check(err)
	static, err := ecdh.X25519().GenerateKey(rand.Reader)
	n.check(err)
	c.Static = noise.DHKey{Private: static.Bytes(), Public: static.PublicKey().Bytes()}
	c.Binding, err = cert.SignKey(rand.Reader, key, n.issuer.Fingerprint, [32]byte(c.Static.Public))
	n.check(err)
	return &c
}

func TestALinkGoesOnByARenewedCertificate(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		a, b := w.nodes[0], w.nodes[1]
		var superseded atomic.Bool
		former := a.credentials.Identity.Certificate.SerialNumber
		b.credentials.Revoked = func(id *cert.Identity) bool {
			return superseded.Load() && id.ID == a.id() && id.Certificate.SerialNumber.Cmp(former) == 0
		}
		b.start(limits(10, 10))
		a.start(limits(10, 10), b)
		time.Sleep(2 * time.Second)
		link, other := a.link(), b.link()
		c := a.renewed()
		c.BootID = a.boot
		a.ref.Tell(Renewed{c})
		time.Sleep(time.Second)
		superseded.Store(true)
		time.Sleep(fabric.KeyLifetime + 10*time.Minute)
		if now := a.link(); now.ID != link.ID || !now.Since.Equal(link.Since) {
			t.Errorf("another link, %+v", now)
		}
		if now := b.link(); now.ID != other.ID {
			t.Errorf("another link at the peer, %+v", now)
		}
		for _, p := range b.known() {
			if p.ID == a.id() && p.Static != [32]byte(c.Static.Public) {
				t.Error("the peer was not told of the new static key")
			}
		}
		w.check(a.sys.Inject(tunnelPath(a.link()), system.InjectPanic)) // whose next life has it too
		time.Sleep(fabric.KeyLifetime + 10*time.Minute)
		if a.link().ID != link.ID {
			t.Error("the link did not outlive a restart of its tunnel")
		}
	})
}

func TestAnotherPaceReachesTheLinksThatAreUp(t *testing.T) {
	pair(t, func(w *world, a, b *testNode) {
		for _, n := range w.nodes {
			n.ref.Tell(ParamsChanged{Params: Document{Number: 2, Signed: []byte("two")}, Limits: limits(10, 10), Pace: fabric.Pace{IdleFirst: 5 * time.Minute, IdleLast: 5 * time.Minute}})
		}
		time.Sleep(10 * time.Second)
		w.cut(a, b)
		a.take()
		time.Sleep(2 * time.Minute)
		if n := len(took[LinkDown](a.take())); n != 0 {
			t.Error("the silence was noticed: probes go on at the old pace")
		}
		time.Sleep(4 * time.Minute)
		if n := len(took[LinkDown](a.take())); n == 0 {
			t.Error("the silence was not noticed")
		}
	})
}
