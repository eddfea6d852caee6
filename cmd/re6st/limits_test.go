package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	protocol "re6st/protocols/registry"
)

// Each limit says which test reaches it: that there is such a test is all that can be
// checked here.
func TestEachLimitHasANumberAndATest(t *testing.T) {
	for _, p := range allLimits() {
		files, err := filepath.Glob(filepath.Join("../..", p.Package, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no tests: %v", p.Package, err)
		}
		var tests strings.Builder
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(text)
		}
		seen := map[string]bool{}
		for _, l := range p.Limits {
			if l.Name == "" || l.Value <= 0 || l.Unit == "" || l.Per == "" || l.Beyond == "" {
				t.Errorf("%s: %+v lacks something", p.Package, l)
			}
			if seen[l.Name] {
				t.Errorf("%s: %q is listed twice", p.Package, l.Name)
			}
			seen[l.Name] = true
			if !strings.Contains(tests.String(), "\nfunc "+l.Test+"(t *testing.T)") {
				t.Errorf("%s: %q has no test %s", p.Package, l.Name, l.Test)
			}
		}
	}
}

// boundName are the names of what may bound the cost that others cause. A burst goes
// with its rate.
var boundName = regexp.MustCompile(`^[Mm]ax[A-Z]|(Rate|Queue)$`)

// unlisted are bounds that `re6st limits` leaves out, and why.
var unlisted = map[string][]string{
	"the form of a message or of a number; its decoder refuses what is longer": {
		"protocols/addr.MaxBits", "protocols/addr.MaxPart", "protocols/addr.MaxIPv4", "protocols/addr.MaxIPv4Part", "protocols/babel.MaxDiameter", "protocols/babel.MaxLinkCost", "protocols/babel.maxRTTCost",
		"protocols/babel.MaxPacket", "protocols/cert.MaxRequest", "protocols/cert.maxRSABits", "protocols/discovery.MaxBeacon",
		"protocols/fabric.MaxControlBody", "protocols/fabric.MaxDatagram", "protocols/peer.MaxEndpoints", "protocols/peer.MaxSoftware",
		"protocols/inbound.maxHeaders", "protocols/names.MaxNameLen", "protocols/portmap.MaxMessage", "protocols/registry.MaxClasses",
		"protocols/registry.MaxHold", "protocols/registry.MaxRegistries", "protocols/registry.MaxCountries", "protocols/registry.MaxResponse", "protocols/registry.MaxSkew",
		"protocols/registry.MaxUpdates", "protocols/registry.maxBinding", "protocols/registry.maxHost", "protocols/registry.maxJoinLine",
		"protocols/registry.maxName", "protocols/trace.MaxReplyLen", "tsn/class.MaxClasses", "hw/dataplane.maxFrame",
	},
	"what this machine's operator, or his command, asks for": {
		"hw/fault.MaxCount", "hw/fault.MaxFor", "hw/fault.maxErrno", "hw/ping.MaxCount", "hw/ping.MaxSize", "hw/process.maxWatchdog",
		"actors/monitor.MaxPingTimeout", "actors/monitor.MaxPings", "actors/monitor.MaxStall", "actors/monitor.MaxTraceHops",
		"actors/monitor.MaxTraceProbes", "actors/monitor.MaxTraceTimeout", "actors/monitor.maxAnswer", "actors/monitor.maxBody", "actors/monitor.maxFolderName",
		"actors/monitor/bugreport.maxPart", "actors/monitor/web.MaxConnections", "actors/monitor/web.maxHeader", "actors/node.MaxMTU",
		"actors/node.maxDebugOriginate", "actors/node.maxInterfaceName", "actors/node.maxMark", "actors/node.maxRestartWindow", "actors/node.maxShortcutIdle", "actors/node.maxShortcutRate", "actors/subnet.maxOrders",
		"protocols/names.MaxNames", "protocols/trace.MaxHops", "protocols/trace.MaxProbes", "protocols/trace.MaxTimeout",
		"actors/node.maxBabelHello", "protocols/babel.maxRTT",
		"protocols/trace.maxSilent", "protocols/simnet.MaxNodes", "protocols/simnet.MaxMesh", "protocols/simnet.MaxLinks", "protocols/simnet.MaxCells", "protocols/simnet.MaxDegree",
		"protocols/simnet.MaxRanges", "protocols/simnet.MaxSteps", "protocols/simnet.MaxLine", "protocols/simnet.MaxShards", "protocols/simnet.MaxLatency",
	},
	"how large a buffer is, which others cannot fill with more": {"hw/dataplane.maxBatch"},
	"of a clock": {"hw/clock.MaxStep", "hw/sock.maxClockDelay", "protocols/babel.maxTimestampAge", "protocols/babel.maxInterval"},
	"no test reaches it yet": {
		"protocols/fabric.maxLaneTrials", "actors/neighbor.maxOnTrusted", "actors/portmap.maxDocument", "actors/registry.maxHeader",
		"actors/tunnel.controlQueue",
	},
}

// bounds are the constants of such names, as dir.Name. Values of an enumeration are
// none.
func bounds(t *testing.T) (found []string) {
	t.Helper()
	for _, s := range house(t) {
		if s.floor() == "cmd" || s.floor() == "firmware" || strings.HasSuffix(s.dir, "test") {
			continue
		}
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				for _, name := range v.Names {
					if v.Values != nil && boundName.MatchString(name.Name) {
						found = append(found, s.dir+"."+name.Name)
					}
				}
			}
		}
	}
	return found
}

// listed are the constants that a package's list of limits speaks of, as dir.Name.
func listed(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, s := range house(t) {
		dirs := map[string]string{} // of what the file imports
		for _, imp := range s.imports() {
			dirs[path.Base(imp)] = strings.TrimPrefix(imp, module)
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Type.Results == nil || types.ExprString(f.Type.Results.List[0].Type) != "[]limit.Limit" {
				continue
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.SelectorExpr:
					if from, ok := n.X.(*ast.Ident); ok && dirs[from.Name] != "" {
						names[dirs[from.Name]+"."+n.Sel.Name] = true
					}
				case *ast.Ident:
					names[s.dir+"."+n.Name] = true
				}
				return true
			})
		}
	}
	return names
}

// A constant that bounds something is in `re6st limits`, with a test that reaches it,
// or is said to be something else.
func TestEachBoundIsListedOrSaysWhyNot(t *testing.T) {
	all, l := bounds(t), listed(t)
	why := map[string]string{}
	for reason, names := range unlisted {
		for _, n := range names {
			why[n] = reason
			if !slices.Contains(all, n) {
				t.Errorf("%s is left out of the limits and is none: take it out of this test", n)
			}
			if l[n] {
				t.Errorf("%s is among the limits, and left out as %q", n, reason)
			}
		}
	}
	for _, n := range all {
		if !l[n] && why[n] == "" {
			t.Errorf("%s is not in re6st limits: add it to its package's limits with the test that reaches it", n)
		}
	}
	if len(all) < 100 || !l["protocols/fabric.MaxSessions"] || !l["actors/subnet.MaxSubnets"] {
		t.Errorf("%d bounds were found, %d names in lists: this test has lost its way", len(all), len(l))
	}
}

// The network's parameters may lower what nodes are built for, and not raise it.
func TestANetworksLimitsAreThoseOfANode(t *testing.T) {
	built := map[string]float64{}
	for _, p := range allLimits() {
		for _, l := range p.Limits {
			built[p.Package+": "+l.Name] = l.Value
		}
	}
	most := protocol.MostLimits
	for name, got := range map[string]float64{
		"protocols/fabric: sessions end to end":       float64(most.Sessions),
		"protocols/fabric: idle session":              time.Duration(most.SessionIdle).Seconds(),
		"hw/dataplane: bytes that wait for a session": float64(most.QueueBytes),
		"protocols/babel: routes of one neighbor":     float64(most.Routes),
		"protocols/tunnelplan: links to the LAN":      float64(most.LANLinks),
	} {
		if built[name] != got {
			t.Errorf("%s: a node is built for %v, a network may have %v", name, built[name], got)
		}
	}
}
