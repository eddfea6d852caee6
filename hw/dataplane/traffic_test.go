package dataplane

import (
	"testing"

	"re6st/hw/hwtest"
	"re6st/protocols/rib"
)

// TestTrafficIsCountedByItsEndsAndByTheLinksThatCarryIt: by each of them, but for control.
func TestTrafficIsCountedByItsEndsAndByTheLinksThatCarryIt(t *testing.T) {
	a, relay, b := line(t, hwtest.NewNetwork(1))
	meet(a, b)
	run(t, a, relay, b)
	const packets = 5
	for range packets {
		a.tun.Inject(packet(host(general, 1), host(general, 3), "payload"))
		out(t, b)
	}
	if err := relay.SendControl(3, 5, []byte("not data")); err != nil {
		t.Fatal(err)
	}
	<-b.control
	for _, end := range []struct{ x, peer *node }{{a, b}, {b, a}} {
		all := end.x.Exchanged()
		if len(all) != 1 || all[0].Peer != end.peer.id || all[0].Packets != packets || all[0].Bytes == 0 {
			t.Errorf("node %d exchanged %+v", end.x.n, all)
		}
	}
	if all := relay.Exchanged(); len(all) != 0 {
		t.Errorf("the relay exchanged %+v", all)
	}
	for _, l := range []struct {
		x, to *node
	}{{a, relay}, {relay, a}, {relay, b}, {b, relay}} {
		eventually(t, "frames of data are counted", func() bool { return l.x.Carried(rib.LinkID(l.to.n)).Packets == packets })
	}
	if c := a.Carried(77); c != (Count{}) {
		t.Errorf("a link that is not there carried %+v", c)
	}
}
