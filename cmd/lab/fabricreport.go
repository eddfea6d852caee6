package lab

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
)

// FabricSample is what was measured of one contender on a line of so many links in one round.
type FabricSample struct {
	Contender string  `json:"contender"`
	Links     int     `json:"links"`
	Load      string  `json:"load"`
	Gbits     float64 `json:"gbits_per_s"`          // of payload that arrived
	Packets   float64 `json:"packets_per_s"`        // that arrived; of the small ones only
	CPU       float64 `json:"cpu_s_per_gb"`         // daemons, iperf3 and the kernel's threads; 10^9 bytes that arrived
	Relay     float64 `json:"relay_s_per_gb"`       // of the daemons of a node between two links, the mean
	RSS       float64 `json:"rss_mb"`               // after the load, of the daemon that has most
	MicroCPU  float64 `json:"daemon_us_per_packet"` // of all daemons; of the small ones only
}

// MissingContender is one that was not measured.
type MissingContender struct {
	Contender string `json:"contender"`
	Links     int    `json:"links"`
	Reason    string `json:"reason"`
}

// FabricReport is the answer of `re6st bench fabric --json`.
type FabricReport struct {
	Version int                `json:"version"`
	Load    [2]float64         `json:"load"` // of the machine, over a minute: before, and at the end
	Samples []FabricSample     `json:"samples"`
	Missing []MissingContender `json:"missing"`
}

// write prints the medians.
func (b *fabricBench) write(w io.Writer, r FabricReport) error {
	fmt.Fprintf(w, "iperf3, %v, %d round(s), medians; UDP packets of %d bytes\n", b.span, b.rounds, fabricSmall)
	fmt.Fprintf(w, "all nodes on one machine of %d processors; its load was %.1f before, %.1f at the end\n", runtime.NumCPU(), r.Load[0], r.Load[1])
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LINKS\tCONTENDER\tTCP Gbit/s\tOF PLAIN\tCPU s/GB\tRELAY s/GB\tLOSSLESS kpps\tFLOOD kpps\tDAEMONS us/PACKET\tRSS MB")
	for _, links := range b.links {
		plain := r.median(plainName, links, loadStream)
		for _, name := range b.contenders {
			if r.isMissing(name, links) {
				continue
			}
			stream, small, lossless := r.median(name, links, loadStream), r.median(name, links, loadSmall), r.median(name, links, loadLossless)
			ratio := "-"
			if plain.Gbits > 0 {
				ratio = fmt.Sprintf("%.3f", stream.Gbits/plain.Gbits)
			}
			fmt.Fprintf(t, "%d\t%s\t%.2f\t%s\t%.2f\t%.2f\t%.1f\t%.1f\t%.1f\t%.1f\n", links, name, stream.Gbits, ratio,
				stream.CPU, stream.Relay, lossless.Packets/1000, small.Packets/1000, small.MicroCPU, max(stream.RSS, small.RSS, lossless.RSS))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, m := range r.Missing {
		fmt.Fprintf(w, "not measured: %s over %d link(s): %s\n", m.Contender, m.Links, strings.TrimPrefix(m.Reason, "rival: "))
	}
	return nil
}

func (r FabricReport) isMissing(name string, links int) bool {
	for _, m := range r.Missing {
		if m.Contender == name && m.Links == links {
			return true
		}
	}
	return false
}

// median is of each figure by itself; 0 where nothing was measured.
func (r FabricReport) median(name string, links int, load string) FabricSample {
	m := FabricSample{Contender: name, Links: links, Load: load}
	of := func(get func(FabricSample) float64) float64 {
		var all []float64
		for _, s := range r.Samples {
			if s.Contender == name && s.Links == links && s.Load == load {
				all = append(all, get(s))
			}
		}
		return median(all)
	}
	m.Gbits = of(func(s FabricSample) float64 { return s.Gbits })
	m.Packets = of(func(s FabricSample) float64 { return s.Packets })
	m.CPU = of(func(s FabricSample) float64 { return s.CPU })
	m.Relay = of(func(s FabricSample) float64 { return s.Relay })
	m.RSS = of(func(s FabricSample) float64 { return s.RSS })
	m.MicroCPU = of(func(s FabricSample) float64 { return s.MicroCPU })
	return m
}
