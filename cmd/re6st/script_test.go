package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"regexp"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"re6st": main})
}

// TestScripts runs testdata/script/*.txtar against this very build. Beside the
// usual commands there are:
//
//	freeport VAR             sets VAR to a free TCP port of the loopback
//	scrub FILE               replaces what differs between runs: times, ids, fingerprints, tokens
//	fakenode [degraded]      runs a made-up node behind the real sockets
//	exits CODE COMMAND...    is exec for a command that ends with an exit code
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Condition:     condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"freeport": freePort,
			"scrub":    scrub,
			"fakenode": fakeNode,
			"exits":    exits,
		},
	})
}

// condition is [root]: this user may open raw sockets.
func condition(name string) (bool, error) {
	if name != "root" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	return os.Geteuid() == 0, nil
}

func freePort(ts *testscript.TestScript, _ bool, args []string) {
	at, err := unused("::1")
	ts.Check(err)
	ts.Setenv(args[0], fmt.Sprint(at.Port()))
}

// unused is an address of this machine with a TCP port that nobody listens at. It lies below
// those that the kernel hands out: else any program may have it before its user does.
func unused(address string) (netip.AddrPort, error) {
	const first, last, tries = 10_000, 32_767, 100
	var err error
	for range tries {
		at := netip.AddrPortFrom(netip.MustParseAddr(address), uint16(first+rand.IntN(last-first+1)))
		var l net.Listener
		if l, err = net.Listen("tcp", at.String()); err == nil {
			return at, l.Close()
		}
	}
	return netip.AddrPort{}, err
}

// varying is what differs between runs, the longest first.
var varying = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`re6st://\S+/[\w-]{22}#[0-9a-f]{64}`), "JOINLINE"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "FINGERPRINT"},
	{regexp.MustCompile(`\bfd[0-9a-f:]+::/64`), "LOCATORS"},
	{regexp.MustCompile(`"serial": "[0-9a-f]+"`), `"serial": "SERIAL"`},
	{regexp.MustCompile(`\b[0-9a-f]{16}\b`), "ID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "TIME"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d`), "DATE"},
}

func scrub(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.name)
	}
	ts.Check(os.WriteFile(ts.MkAbs("scrubbed"), []byte(text), 0o600))
}
