package main

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"re6st/actors/monitor"
	"re6st/actors/registry"
	"re6st/hw/nodedir"
)

// Each node of a line gets new keys while packets pass through the middle one, and the
// registry puts the old ones on its list: no link ends, no packet is lost.
func TestNodesChangeTheirKeysUnderTraffic(t *testing.T) {
	m := meshUp(t, "--nodes", "3", "--topology", "line")
	const left, relay, right = 0, 1, 2
	before := m.tunnels(t, relay)
	there, back := m.ping(t, left, right), m.ping(t, right, relay)
	for i := range m.Nodes {
		dir, err := nodedir.Open(filepath.Dir(m.Nodes[i].Socket))
		if err != nil {
			t.Fatal(err)
		}
		old, err := registry.LoadMember(dir, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("re6st", "renew", "-d", dir.Path(""), "--new-key").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		renewed, err := registry.LoadMember(dir, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if renewed.Identity.ID != old.Identity.ID || renewed.Identity.Prefix != old.Identity.Prefix || renewed.StaticPublic == old.StaticPublic {
			t.Errorf("node %d: before %s %s, after %s %s", i, old.Identity.ID, old.Identity.Prefix.CN(), renewed.Identity.ID, renewed.Identity.Prefix.CN())
		}
		m.knows(t, i, uint64(i+1)) // the use of the new key makes a list
		there.more(t, 50)
	}
	there.more(t, 100)
	if lost := there.end(t) + back.end(t); lost != 0 {
		t.Errorf("%d pings were lost", lost)
	}
	for id, was := range before {
		if is := m.tunnels(t, relay)[id]; is.State != "up" || !is.Since.Equal(was.Since) {
			t.Errorf("the link to %s was up since %v, and is %s since %v", id, was.Since, is.State, is.Since)
		}
	}
}

// knows waits until a node has a revocation list of that number.
func (m *mesh) knows(t *testing.T, i int, number uint64) {
	t.Helper()
	var s monitor.Status
	for late := time.Now().Add(patience); s.CRL < number; time.Sleep(20 * time.Millisecond) {
		if err := monitor.NewClient(m.Nodes[i].Socket).Get(t.Context(), "status", &s); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(late) {
			t.Fatalf("node %d has list %d, want %d", i, s.CRL, number)
		}
	}
}
