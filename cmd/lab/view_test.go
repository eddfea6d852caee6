package lab

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"re6st/actors/monitor"
)

var update = flag.Bool("update", false, "write the golden files anew")

// answered is a node that says it has these links.
func answered(number int, tunnels ...monitor.Tunnel) report {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := report{
		member: memberState{name: nodeName(number - 1), pid: 100 + number, who: identity{
			id: stubID(number), prefix: fmt.Sprintf("%d/16", number), addresses: map[string]netip.Addr{generalClass: stubAddress(number)},
		}},
		memory: 30_000_000, heard: true, tunnels: tunnels,
		status: monitor.Status{State: monitor.Running, Started: since, Reachable: 2, Routes: 5, Links: monitor.Links{Opened: 1, Accepted: 1}},
		actors: []monitor.Actor{{Path: "node", Restarts: 0}, {Path: "node/tunnel", Restarts: 2}},
	}
	return r
}

func tunnelTo(number int, state string, sent, received uint64) monitor.Tunnel {
	return monitor.Tunnel{
		Node: stubID(number), State: state, Since: time.Date(2026, 1, 2, 3, 5, 0, 0, time.UTC), RTT: 1234, Suite: "AES-256-GCM",
		Sent: monitor.Traffic{Packets: sent / 100, Bytes: sent}, Received: monitor.Traffic{Packets: received / 100, Bytes: received},
	}
}

// The schema that others rely on. A field may be added; one that changes or goes
// makes a new version.
func TestTheViewIsAsItsSchemaSays(t *testing.T) {
	rules := newFirewall(Ring, []Edge{{"n1", "n2"}, {"n2", "n3"}, {"n1", "n3"}}, []string{"n1", "n2", "n3"})
	for _, err := range []error{rules.cut(Edge{"n1", "n3"}, Silent), rules.lose(Edge{"n2", "n3"}, 250)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	second := answered(2, tunnelTo(1, "draining", 700, 300))
	second.status.State, second.status.Problems = monitor.Degraded, []string{"node/tunnel is in quarantine"}
	at := time.Date(2026, 1, 2, 3, 6, 0, 0, time.UTC)
	v := View{
		Now: at, ID: "4f2a1c", Topology: Ring, Registry: stateRunning, Edges: rules.views(),
		Events: []EventView{
			{Seq: 1, Time: at, Node: "lab", Kind: "did", Text: "cut n1 n3 silent"},
			{Seq: 2, Time: at, Node: "n1", Actor: "node/tunnel", Kind: "down", Text: "link 1 with 3/16: silence"},
		},
	}.of([]report{answered(1, tunnelTo(2, "up", 300, 700), tunnelTo(3, "dialing", 0, 0)), second, {member: memberState{name: "n3"}}})
	got, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/view.json"
	if *update {
		if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || string(want) != string(got)+"\n" {
		t.Errorf("%s is otherwise (%v; go test -update accepts it):\n%s", file, err, got)
	}
}

func TestALinkIsShownWhereAllWhoAnswerHaveIt(t *testing.T) {
	silent := answered(2)
	silent.heard = false
	dead := report{member: memberState{name: "n2", who: silent.member.who}}
	for name, c := range map[string]struct {
		second report
		shown  int
	}{
		"both":                 {answered(2, tunnelTo(1, "up", 1, 1)), 1},
		"only one of two":      {answered(2), 0},
		"the other is dialing": {answered(2, tunnelTo(1, "dialing", 0, 0)), 0},
		"the other is silent":  {silent, 1},
		"the other is dead":    {dead, 0},
	} {
		v := View{}.of([]report{answered(1, tunnelTo(2, "up", 300, 700)), c.second})
		if len(v.Links) != c.shown {
			t.Errorf("%s: %+v", name, v.Links)
		}
	}
}

func TestOfAFullNetworkOnlyWhatWasDoneIsShown(t *testing.T) {
	names := nodeNames(20)
	edges, err := Full.edges(20, 0)
	if err != nil {
		t.Fatal(err)
	}
	rules := newFirewall(Full, edges, names)
	if n := len(rules.views()); n != 0 {
		t.Errorf("%d edges", n)
	}
	if err := rules.cut(newEdge("n3", registryName), Reject); err != nil {
		t.Fatal(err)
	}
	if got := rules.views(); len(got) != 1 || got[0] != (EdgeView{A: "n3", B: registryName, Cut: Reject}) {
		t.Errorf("%+v", got)
	}
}

func TestComingAndGoingActorsAreForgottenFirst(t *testing.T) {
	var h history
	h.add(EventView{Node: "n1", Kind: "up"})
	for range 2 * maxHistory {
		h.add(EventView{Node: "n1", Actor: "node/tunnel/x", Kind: "started"})
	}
	all := h.all()
	if len(all) != maxHistory || all[0].Kind != "up" || all[maxHistory-1].Seq != 2*maxHistory+1 {
		t.Errorf("%d events, the first %+v, the last %+v", len(all), all[0], all[len(all)-1])
	}
	for range 2 * maxHistory {
		h.add(EventView{Node: "n1", Kind: "down"})
	}
	if all := h.all(); len(all) != maxHistory || all[0].Kind != "down" {
		t.Errorf("%d events, the first %+v", len(all), all[0])
	}
}
