package node

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"re6st/actors/monitor"
)

// explained asks a running node until its answer is as it should be.
func (l *lan) explained(dir, dest string, ok func(monitor.Destination) bool) {
	l.t.Helper()
	var answer monitor.Explanation
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		err := monitor.NewClient(monitor.SocketIn(dir)).Post(l.t.Context(), "explain", monitor.ExplainRequest{Dest: dest}, &answer)
		if err == nil && len(answer.Destinations) > 0 && ok(answer.Destinations[0]) {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%s is explained by %+v, %v", dest, answer, err)
		}
	}
}

// routeStory is the changes of a destination, in words: those before the ones that a test is
// about may be of a busy machine, where a neighbor was silent for a while.
func routeStory(d monitor.Destination) string {
	var all []string
	for _, c := range d.Changes {
		var ends []any
		for _, w := range []*monitor.RouteWay{c.From, c.To} {
			if w == nil {
				w = &monitor.RouteWay{Neighbor: "none"}
			}
			ends = append(ends, w.Neighbor)
		}
		all = append(all, fmt.Sprintf("%s > %s: ", ends...)+c.Reason)
	}
	return strings.Join(all, ", ")
}

func TestARouteOfBabeldIsExplained(t *testing.T) {
	const theirs = "fd99:1::/64"
	l := newLAN(t)
	dir := l.folder(1, "trusted = [\"veth0\"]\n")
	l.start(l.n1, nodeEnv+"="+dir, os.Args[0])
	stop := l.babeld(theirs)
	l.until(l.n1, theirs, "dev veth0", "proto 206")
	neighbor := l.linkLocal(l.other, "veth0") + "%veth0"
	l.explained(dir, "fd99:1::99", func(d monitor.Destination) bool {
		return d.Prefix.String() == theirs && d.Route != nil && len(d.Candidates) == 1 && d.Candidates[0].Neighbor == neighbor &&
			d.Candidates[0].Verdict == "selected" && d.Candidates[0].Metric == d.Candidates[0].Refmetric+d.Candidates[0].Cost &&
			strings.HasSuffix(routeStory(d), "none > "+neighbor+": learned")
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	l.explained(dir, theirs, func(d monitor.Destination) bool {
		return strings.HasSuffix(routeStory(d), "none > "+neighbor+": learned, "+neighbor+" > none: retracted")
	})
}
