package session

import (
	"testing"
	"testing/synctest"
	"time"

	"re6st/actors/system"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
)

// revokes has an end know, as its node does, that the other one is revoked.
func (e *end) revokes(peer *end) {
	synctest.Wait() // the actor may still read them
	e.credentials.Revoked = func(id *cert.Identity) bool { return id.ID == peer.id() }
	e.ref.Tell(Revoked{[]addr.NodeID{peer.id()}})
}

func TestKeysWithARevokedNodeEndAtOnceAndDoNotComeBack(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		ends(t, func(a, b *end) {
			if !arrives(a, b, "x") {
				t.Fatal("it did not come")
			}
			if restarted { // the keys are those of the incarnation before
				if err := a.sys.Inject("session", system.InjectPanic); err != nil {
					t.Fatal(err)
				}
				a.plane.installed() // waits
			}
			a.revokes(b)
			if n := a.plane.installed(); n > 0 || a.knows(b.id()) {
				t.Errorf("restarted %t: %d sets of keys are left, or who they were with", restarted, n)
			}
			for range 5 {
				if arrives(b, a, "in") || arrives(a, b, "out") {
					t.Error("a packet passes")
				}
				time.Sleep(10 * time.Second)
			}
			if n := a.plane.installed(); n > 0 {
				t.Errorf("restarted %t: %d sets of keys came back", restarted, n)
			}
		})
	}
}
