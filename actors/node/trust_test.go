package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheRulesOfTrustEndWithIt(t *testing.T) {
	l := newLAN(t)
	await := func(what string, want int) {
		t.Helper()
		rules := func() string { return l.ip(l.n1, "-6 rule show") }
		for end := time.Now().Add(patience); strings.Count(rules(), "to 2001:db8:42::/48") != want; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: want %d rules: %s", what, want, rules())
			}
		}
	}
	const trusts = "trusted_underlay = [\"192.0.2.0/24\"]\n"
	dir := l.folder(1, trusts)
	_, kill := l.startKillable(l.n1, nodeEnv+"="+dir, os.Args[0])
	await("a node that trusts", 2)
	kill()
	await("killed", 2)
	file := filepath.Join(dir, "node.toml")
	text, err := os.ReadFile(file)
	l.check(err)
	l.check(os.WriteFile(file, []byte(strings.Replace(string(text), trusts, "", 1)), 0o600))
	stop := l.runs(l.n1, dir)
	await("its next life, which trusts nobody", 0)
	l.check(stop())
	l.check(os.WriteFile(file, text, 0o600))
	stop = l.runs(l.n1, dir)
	await("it trusts again", 2)
	l.check(stop())
	await("ended", 0)
}
