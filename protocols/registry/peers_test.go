package registry_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/registry"
)

func seeded() *rand.Rand { return rand.New(rand.NewPCG(7, 7)) }

func ids(peers []registry.Peer) (all []addr.NodeID) {
	for _, p := range peers {
		all = append(all, p.ID)
	}
	slices.SortFunc(all, addr.NodeID.Compare)
	return all
}

func TestSampleNeverHoldsTheAskerOrOneTwice(t *testing.T) {
	var table registry.Peers
	for i := range uint64(100) {
		table.Put(peer(i+1), epoch)
		table.Put(peer(i+1), epoch) // again: one entry
	}
	rng, asker := seeded(), addr.NodeIDFromUint64(3)
	counts := map[addr.NodeID]int{}
	for range 200 {
		got := ids(table.Sample(rng, asker, 64, epoch))
		if len(got) != 64 || len(slices.Compact(got)) != 64 || slices.Contains(got, asker) {
			t.Fatalf("a sample of %d: %v", len(got), got)
		}
		for _, id := range got {
			counts[id]++
		}
	}
	if len(counts) != 99 {
		t.Errorf("%d of 99 peers were ever drawn", len(counts))
	}
}

func TestSampleIsTheSameForTheSameSeed(t *testing.T) {
	draw := func() []registry.Peer {
		var table registry.Peers
		for i := range uint64(20) {
			table.Put(peer(i+1), epoch)
		}
		return table.Sample(seeded(), addr.NodeID{}, 5, epoch)
	}
	a, b := draw(), draw()
	if !slices.EqualFunc(a, b, func(x, y registry.Peer) bool { return x.ID == y.ID }) {
		t.Errorf("%v, then %v", a, b)
	}
}

func TestFreshPeersComeFirstAndOldOnesNever(t *testing.T) {
	var table registry.Peers
	table.Put(peer(1), epoch)
	table.Put(peer(2), epoch.Add(-registry.FreshPeer-time.Second))
	table.Put(peer(3), epoch.Add(-registry.StalePeer-time.Second))
	unreachable := peer(4)
	unreachable.Endpoints = nil
	table.Put(unreachable, epoch)
	for range 20 {
		got := table.Sample(seeded(), addr.NodeID{}, 2, epoch)
		if len(got) != 2 || got[0].ID != peer(1).ID || got[1].ID != peer(2).ID {
			t.Fatalf("got %v", ids(got))
		}
		if got := table.Sample(seeded(), addr.NodeID{}, 1, epoch); len(got) != 1 || got[0].ID != peer(1).ID {
			t.Fatalf("one: %v", ids(got))
		}
	}
}

func TestRemovedPeersAreGone(t *testing.T) {
	var table registry.Peers
	for i := range uint64(5) {
		table.Put(peer(i+1), epoch)
	}
	for _, n := range []uint64{1, 5, 3, 3} {
		table.Remove(addr.NodeIDFromUint64(n))
	}
	if got := ids(table.Sample(seeded(), addr.NodeID{}, 64, epoch)); !slices.Equal(got, []addr.NodeID{addr.NodeIDFromUint64(2), addr.NodeIDFromUint64(4)}) {
		t.Errorf("left: %v", got)
	}
}
