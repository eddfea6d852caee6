package lab

import (
	"strings"
	"testing"
)

func TestShapesAreATopologyWithItsNodes(t *testing.T) {
	if topology, nodes, err := shape("grid:30"); topology != Grid || nodes != 30 || err != nil {
		t.Errorf("grid:30 is %s of %d, %v", topology, nodes, err)
	}
	for _, bad := range []string{"", "ring", "ring:", "ring:x", "ring:1", "oval:4", ":4"} {
		if _, _, err := shape(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestARoutingBenchmarkSaysWhereReestIsBehind(t *testing.T) {
	r := RoutingReport{Processors: 2, Load: [2]float64{1.5, 9}, Samples: []RoutingSample{
		{Daemon: "re6st", Shape: "ring:10", DownS: 0.5, LossS: 0.9, Babel: 40},
		{Daemon: "re6st", Shape: "ring:10", DownS: 0.7, LossS: 0.7, Babel: 41},
		{Daemon: "re6st", Shape: "ring:10", DownS: 9, LossS: 0.8, Babel: 39},
		{Daemon: "babeld", Shape: "ring:10", DownS: 19, LossS: 20, Babel: 39.5},
		{Daemon: "bird", Shape: "ring:10", DownS: 0.6, LossS: 25, Babel: 30},
	}}
	b := routingBench{bench: bench{contenders: []string{"re6st", "babeld", "bird"}, rounds: 3}, shapes: []string{"ring:10"}}
	var out strings.Builder
	err := b.write(&out, r)
	for _, want := range []string{"bird heals sooner after a link went down", "more Babel than babeld, 40.0 B/s where it sends 39.5"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
	if want := "2 processors; its load was 1.5 before, 9.0 at the end"; !strings.Contains(out.String(), want) {
		t.Errorf("the table lacks %q:\n%s", want, &out)
	}
	if err == nil || strings.Contains(err.Error(), "silent") || !strings.Contains(out.String(), "0.80") {
		t.Errorf("error %v, table\n%s", err, &out)
	}
	r.Samples[3].Babel, r.Samples[4].DownS = 50, 4
	if err := b.write(&out, r); err != nil {
		t.Errorf("re6st is first, and yet: %v", err)
	}
}
