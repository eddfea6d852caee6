package lab

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"re6st/actors/monitor"
	"re6st/protocols/addr"
)

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The versioned schemas, as scripts get them.
func TestReportsKeepTheirSchema(t *testing.T) {
	converged, whole := 0.5, 0.25
	chaos := ChaosReport{
		Version: labVersion, Seed: 7, Nodes: 10, Topology: Random, DurationS: 60, ConvergedS: &converged, Strikes: 3,
		Faults: map[string]int{"edge-cut": 1, "actor-panic": 2}, Skipped: 1, LongStalls: 1, StallsNoticed: 1, Echoes: 1000,
		Outages: []ChaosOutage{{Pair: "n1 -> n2", OutageS: 0.5, AtS: 3, During: []string{"at 2.9 s edge-cut n1 n2 for 1s"}}}, WholeS: &whole,
		OutagesOver: map[string]int{"1s": 2},
		ForeignLost: []string{}, Leaks: []string{}, Unplanned: []string{}, OK: true,
	}
	want := `{"version":1,"seed":7,"nodes":10,"topology":"random","duration_s":60,"converged_s":0.5,"strikes":3,` +
		`"faults":{"actor-panic":2,"edge-cut":1},"skipped":1,"missed":0,"quarantines":0,"escalations":0,"long_stalls":1,"stalls_noticed":1,` +
		`"echoes":1000,"outages":[{"pair":"n1 -\u003e n2","outage_s":0.5,"at_s":3,"during":["at 2.9 s edge-cut n1 n2 for 1s"]}],"outages_over":{"1s":2},` +
		`"whole_s":0.25,"foreign_lost":[],"leaks":[],"unplanned":[],"ok":true}`
	if got := asJSON(t, chaos); got != want {
		t.Errorf("chaos:\n%s\nwant\n%s", got, want)
	}
	panics := PanicsReport{
		Version: labVersion, Nodes: 7, Panics: 2, P50: 0.1, P99: 12.5, Most: 13, Echoes: 100, Leaks: []string{}, OK: true,
		Kinds: []PanicsOfKind{{Kind: "router", Panics: 2, P50: 0.1, P99: 12.5, Most: 13, LostOwn: 1}},
	}
	want = `{"version":1,"nodes":7,"panics":2,"restart_p50_ms":0.1,"restart_p99_ms":12.5,"restart_max_ms":13,"echoes_others":100,` +
		`"lost_others":0,"lost_own":0,"kinds":[{"kind":"router","panics":2,"restart_p50_ms":0.1,"restart_p99_ms":12.5,"restart_max_ms":13,` +
		`"lost_others":0,"lost_own":1}],"leaks":[],"ok":true}`
	if got := asJSON(t, panics); got != want {
		t.Errorf("panics:\n%s\nwant\n%s", got, want)
	}
}

func TestTheSummaryTellsWhatWentWrong(t *testing.T) {
	r := ChaosReport{Leaks: []string{"n1: open files: 30, 20 at the start"}, ForeignLost: []string{"n2: 203.0.113.0/24"}, Unplanned: []string{"n3 ended"}}
	var b strings.Builder
	r.write(&b)
	for _, want := range []string{"NOT WHOLE", "leaks: 1\n  n1: open files", "foreign routes lost: 1\n  n2: 203", "unplanned: 1\n  n3 ended", "chaos FAILED"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestLeaksAreTheDifferenceOfTwoCounts(t *testing.T) {
	before := census{goroutines: 20, files: 15, kernel: []string{"a route", "another"}}
	if found := (census{goroutines: 20 + slack, files: 15 - slack, kernel: before.kernel}).leaks(before); len(found) != 0 {
		t.Errorf("found %q where nothing was leaked", found)
	}
	after := census{goroutines: 21 + slack, files: 16 + slack, kernel: []string{"a route", "a third"}, excess: []string{"x"}, left: []string{"y"}}
	if found := after.leaks(before); len(found) != 6 {
		t.Errorf("found %q, want six", found)
	}
	if got := steady("5: eth0@if6  2001:db8::/64 dev eth0 proto ra expires 86sec pref medium linkdown"); got != "5: eth0 2001:db8::/64 dev eth0 proto ra" {
		t.Errorf("%q", got)
	}
}

func TestTheLogTellsOfLinksAndFaults(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	log := "joined 2001:db8:42:4::1 as 4/16\n" +
		`time=2026-01-01T00:00:01.500Z level=INFO msg=up actor=node/tunnel text="link 41 with 3/16 at \"x\""` + "\n" +
		`time=2026-01-01T00:00:02.000Z level=INFO msg=started actor=node/tunnel/cb45.41` + "\n" +
		`time=2026-01-01T00:00:03.000Z level=INFO msg=restarted actor=node/tun` + "\n"
	want := []moment{{1500 * ms, `n1 node/tunnel up link 41 with 3/16 at "x"`}, {3000 * ms, "n1 node/tun restarted"}}
	if got := momentsOf("n1", []byte(log), start); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestAnInquestIsToldInOneLine(t *testing.T) {
	n1, n2, n3 := addr.NodeIDFromUint64(1), addr.NodeIDFromUint64(2), addr.NodeIDFromUint64(3)
	names := map[addr.NodeID]string{n1: "n1", n2: "n2", n3: "n3"}
	var words []string
	for _, l := range []monitor.TraceLine{
		{Start: &monitor.TraceStart{Egress: n3}},
		{Hop: &monitor.TraceHop{Node: &n1, Way: &monitor.TraceWay{Next: n2, Metric: 192}, Choices: []monitor.TraceChoice{{Next: n3, Metric: 300}}}},
		{Hop: &monitor.TraceHop{}},
		{End: &monitor.TraceEnd{Outcome: monitor.TraceSilent, After: n1}},
	} {
		words = append(words, traceWords(l, names)...)
	}
	if got, want := strings.Join(words, " "), "n1 (192 by n2) [300 by n3, feasible false] * no-answer after n1"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
