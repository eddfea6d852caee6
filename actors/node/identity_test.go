package node

import (
	"testing"

	"re6st/protocols/addr"
)

func TestPeersThatRefuseAreRememberedUpToALimit(t *testing.T) {
	var i identity
	i.start(nil)
	for n := range uint64(maxRefusals) {
		if !i.refusedBy(addr.NodeIDFromUint64(n+1)) || i.refusedBy(addr.NodeIDFromUint64(n+1)) {
			t.Fatalf("peer %d is not told from one that has refused before", n)
		}
	}
	if i.refusedBy(addr.NodeIDFromUint64(maxRefusals+1)) || len(i.refusals) != maxRefusals {
		t.Errorf("%d peers are remembered, want %d", len(i.refusals), maxRefusals)
	}
}
