package tunnelplan_test

import (
	"testing"

	"re6st/protocols/tunnelplan"
)

func TestTheTLSPortIsThatOfWhoKnowsBest(t *testing.T) {
	b := newBench(t, limits(2, 4))
	for _, c := range []struct {
		source     tunnelplan.Source
		told, want uint16
	}{
		{tunnelplan.Gossip, 0, 0},
		{tunnelplan.Gossip, 8443, 8443},
		{tunnelplan.Gossip, 2083, 8443}, // else two nodes would tell each other without end
		{tunnelplan.Registry, 4443, 4443},
		{tunnelplan.Remembered, 8443, 4443},
		{tunnelplan.Registry, 0, 4443}, // it does not know
		{tunnelplan.Direct, 443, 443},
		{tunnelplan.Registry, 8443, 443},
	} {
		p := known(0)
		p.TLSPort = c.told
		b.plan.HandlePeers(b.now, c.source, []tunnelplan.Peer{p})
		if got := b.plan.TLSPort(p.ID); got != c.want {
			t.Errorf("%s says %d: %d, want %d", c.source, c.told, got, c.want)
		}
	}
	if port := b.plan.TLSPort(id(7)); port != 0 {
		t.Errorf("of a node that is not known: %d", port)
	}
}
