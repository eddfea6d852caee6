package lab

import (
	"encoding/json"
	"math"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheFabricBenchmarkReadsWhatIperfSays(t *testing.T) {
	for load, c := range map[string]struct {
		report string
		want   FabricSample
	}{
		loadStream: {
			`{"end":{"sum_received":{"seconds":2,"bytes":500000000,"bits_per_second":2e9}}}`,
			FabricSample{Gbits: 2, CPU: (1 + 2 + 4 + 5 + 0.5) / 0.5, Relay: 3 / 0.5},
		},
		loadSmall: {
			`{"end":{"sum_received":{"seconds":2,"packets":100000,"lost_packets":20000,"bytes":1,"bits_per_second":1}}}`,
			FabricSample{Gbits: 0.032, Packets: 40_000, CPU: 12.5 / 0.008, Relay: 3 / 0.008, MicroCPU: 12e6 / 80_000},
		},
	} {
		var a iperf
		if err := json.Unmarshal([]byte(c.report), &a); err != nil {
			t.Fatal(err)
		}
		got := FabricSample{Load: load}
		got.take(&a, &exec.Cmd{}, &exec.Cmd{}, []float64{1, 2, 4, 5}, []float64{0.5})
		for what, pair := range map[string][2]float64{
			"Gbit/s": {got.Gbits, c.want.Gbits}, "packets": {got.Packets, c.want.Packets}, "CPU": {got.CPU, c.want.CPU},
			"relay": {got.Relay, c.want.Relay}, "us": {got.MicroCPU, c.want.MicroCPU},
		} {
			if math.Abs(pair[0]-pair[1]) > 1e-9*math.Abs(pair[1]) {
				t.Errorf("%s: %s is %v, want %v", load, what, pair[0], pair[1])
			}
		}
	}
}

func TestTheFabricBenchmarkNamesWhatItCannotMeasure(t *testing.T) {
	if _, err := exec.LookPath("iperf3"); err != nil {
		t.Skip(err)
	}
	good := func() fabricBench {
		return fabricBench{bench: bench{contenders: fabricContenders, rounds: 1, span: time.Second}, links: []int{1}, loads: fabricLoads}
	}
	if b := good(); b.check() != nil {
		t.Error(b.check())
	}
	for want, change := range map[string]func(*fabricBench){
		"carrier pigeon": func(b *fabricBench) { b.contenders = []string{"carrier pigeon"} },
		"load":           func(b *fabricBench) { b.loads = []string{"none"} },
		"0 links":        func(b *fabricBench) { b.links = []int{0} },
		"9 links":        func(b *fabricBench) { b.links = []int{maxLine + 1} },
		"one round":      func(b *fabricBench) { b.rounds = 0 },
		"whole second":   func(b *fabricBench) { b.span = 1500 * time.Millisecond },
	} {
		b := good()
		change(&b)
		if err := b.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

func TestTheFabricTableHasTheRatioToThePlainPath(t *testing.T) {
	b := fabricBench{bench: bench{contenders: fabricContenders[:3], rounds: 3, span: time.Second}, links: []int{1}}
	r := FabricReport{Load: [2]float64{0.5, 3}, Missing: []MissingContender{{fabricContenders[2], 1, "rival: none is here"}}}
	for _, g := range []float64{9, 10, 30} {
		r.Samples = append(r.Samples,
			FabricSample{Contender: plainName, Links: 1, Load: loadStream, Gbits: g},
			FabricSample{Contender: oursName, Links: 1, Load: loadStream, Gbits: g / 4, RSS: 33})
	}
	var out strings.Builder
	if err := b.write(&out, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0.250", "33.0", "its load was 0.5 before, 3.0 at the end", "not measured: " + fabricContenders[2] + " over 1 link(s): none is here"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &out)
		}
	}
}

func TestTheFabricReportIsWhatItsVersionSays(t *testing.T) {
	r := FabricReport{
		Version: labVersion, Load: [2]float64{0.5, 2}, Missing: []MissingContender{{"nebula", 3, "none"}},
		Samples: []FabricSample{{"re6st", 3, loadStream, 2.5, 0, 4.25, 0.5, 31, 0}},
	}
	got, err := json.Marshal(r)
	const want = `{"version":1,"load":[0.5,2],"samples":[{"contender":"re6st","links":3,"load":"stream","gbits_per_s":2.5,"packets_per_s":0,` +
		`"cpu_s_per_gb":4.25,"relay_s_per_gb":0.5,"rss_mb":31,"daemon_us_per_packet":0}],"missing":[{"contender":"nebula","links":3,"reason":"none"}]}`
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s, want\n%s", err, got, want)
	}
}

func TestEachNodeOfAContenderByOneCarrierIsToldIt(t *testing.T) {
	for name, want := range map[string]string{
		"re6st": "", "re6st-quic": `carriers = ["quic"]`, "re6st-tls": `carriers = ["tls"]`,
	} {
		var b fabricBench
		if !slices.Contains(fabricContenders, name) || b.isThere(name, maxLine) != nil {
			t.Errorf("%s is no contender", name)
		}
		told := b.optionsOf(name, 3).Settings
		if want == "" {
			if len(told) != 0 {
				t.Errorf("%s: nodes are told %v", name, told)
			}
			continue
		}
		for _, node := range nodeNames(3) {
			if s := told[node]; !slices.Equal(s, settings{want}) {
				t.Errorf("%s: %s is told %q, want %q", name, node, s, want)
			} else if err := s.check(nil); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
