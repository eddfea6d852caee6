package node

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"re6st/actors/monitor"
)

func TestHowLinksAreJudgedChangesLive(t *testing.T) {
	const theirs, ours = "fd99:1::/64", "2001:db8:42:1::/64"
	l := newLAN(t)
	l.start(l.other, "", "babeld", "-I", filepath.Join(t.TempDir(), "pid"), "-S", filepath.Join(t.TempDir(), "state"), "-c", "/dev/null",
		"-C", "interface veth0 type tunnel hello-interval 1 update-interval 4", "-C", "redistribute proto 2 ip "+theirs+" allow", "veth0")
	const clear = "trusted = [\"veth0\"]\nport = 7326\n"
	dir := l.folder(1, clear)
	l.start(l.n1, nodeEnv+"="+dir, os.Args[0])
	whole := func() {
		t.Helper()
		l.until(l.n1, theirs, "via "+l.linkLocal(l.other, "veth0"), "dev veth0", "proto 206")
		l.until(l.other, ours, "via "+l.linkLocal(l.n1, "veth0"), "dev veth0")
	}
	whole()
	client := monitor.NewClient(monitor.SocketIn(dir))
	neighbor := func() (n monitor.BabelNeighbor) {
		t.Helper()
		var s monitor.Status
		l.check(client.Get(t.Context(), "status", &s))
		if len(s.Babel) == 1 && len(s.Babel[0].Neighbors) == 1 {
			n = s.Babel[0].Neighbors[0]
		}
		return n
	}
	if n := neighbor(); n.Cost != 96 || n.RTT != 0 {
		t.Errorf("as wired: %+v", n)
	}
	for _, c := range []struct {
		says string
		is   func(monitor.BabelNeighbor) bool
	}{
		{`type = "tunnel"`, func(n monitor.BabelNeighbor) bool { return n.Cost == 96 && n.RTT > 0 }},
		{`type = "wireless"`, func(n monitor.BabelNeighbor) bool { return n.Cost >= 256 && n.Cost < 400 && n.RTT == 0 }},
	} {
		text := clear + "[[babel_interface]]\nname = \"veth0\"\n" + c.says + "\n"
		l.check(os.WriteFile(filepath.Join(dir, "node.toml"), []byte(text), 0o600))
		var answer monitor.Reloaded
		l.check(client.Post(t.Context(), "reload", nil, &answer))
		if len(answer.Changes) != 1 || answer.Changes[0].Key != "babel_interface" || !answer.Changes[0].Applied {
			t.Errorf("%s: reload says %+v", c.says, answer)
		}
		deadline := time.Now().Add(patience)
		for !c.is(neighbor()) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v", c.says, neighbor())
			}
			time.Sleep(50 * time.Millisecond)
		}
		whole()
	}
}
