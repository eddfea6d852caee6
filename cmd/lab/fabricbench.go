package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// The fabric benchmark.
const (
	plainName = "plain"
	// fabricPort is where iperf3 listens.
	fabricPort = "5201"
	// fabricSettle is between a start and the first measurement: links have found their MTU.
	fabricSettle = 3 * time.Second
	// fabricSmall is the payload of small packets, in bytes.
	fabricSmall = 100
)

var fabricContenders = []string{plainName, oursName}

// The loads.
const (
	loadStream = "stream" // one TCP connection
	loadSmall  = "small"  // UDP of fabricSmall bytes, as fast as it goes
)

// fabricBench is one `re6st lab fabric`.
type fabricBench struct {
	options    Options
	contenders []string
	links      []int
	rounds     int
	span       time.Duration
	json       bool
}

// FabricSample is what was measured of one contender on a line of so many links in one round.
type FabricSample struct {
	Contender string  `json:"contender"`
	Links     int     `json:"links"`
	Load      string  `json:"load"`
	Gbits     float64 `json:"gbits_per_s"`          // of payload that arrived
	Packets   float64 `json:"packets_per_s"`        // that arrived; of the small ones only
	CPU       float64 `json:"cpu_s_per_gb"`         // daemons, iperf3 and the kernel's threads; 10^9 bytes that arrived
	Relay     float64 `json:"relay_s_per_gb"`       // of a daemon between two links, the mean
	RSS       float64 `json:"rss_mb"`               // after the load, of the daemon that has most
	MicroCPU  float64 `json:"daemon_us_per_packet"` // of all daemons; of the small ones only
}

// FabricReport is the answer of `re6st lab fabric --json`.
type FabricReport struct {
	Version int            `json:"version"`
	Samples []FabricSample `json:"samples"`
}

func fabricCommand(folder *string) *cobra.Command {
	b := fabricBench{options: Options{Seed: defaultSeed, Timeout: defaultTimeout}}
	cmd := &cobra.Command{
		Use:   "fabric [CONTENDER...]",
		Short: "Measure what the packet path carries, beside the kernel alone",
		Long: fmt.Sprintf(`Measure what the packet path carries on a line of namespaces that veths join: one TCP connection of iperf3, and
UDP packets of %d bytes as fast as they go; the contenders are %s. Each round measures all, in an order drawn anew;
the table has the medians, and the ratio to the plain path of as many links.

All share the processors of this machine: the CPU seconds for each 10^9 bytes (daemons, iperf3, the kernel's own
threads) tell more than the rate.`, fabricSmall, strings.Join(fabricContenders, " and ")),
		Example: "  re6st lab fabric\n  re6st lab fabric re6st --links 3 --rounds 5",
		RunE: func(cmd *cobra.Command, args []string) error {
			b.options.Folder, b.options.Say = *folder, io.Discard
			if b.contenders = args; len(args) == 0 {
				b.contenders = fabricContenders
			}
			if err := b.check(); err != nil {
				return &ExitError{exitUsage, err}
			}
			ctx, stop := signals(cmd.Context())
			defer stop()
			report, err := b.run(ctx, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if b.json {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(report)
			}
			return b.write(cmd.OutOrStdout(), report)
		},
	}
	f := cmd.Flags()
	f.IntSliceVar(&b.links, "links", []int{1, 3}, "lengths of the line")
	f.IntVar(&b.rounds, "rounds", 3, "how often all is measured, in an order drawn anew")
	f.DurationVar(&b.span, "for", 2*time.Second, "how long each time, in whole seconds")
	f.StringVar(&b.options.Config, "config", "", "file handed to every node as its --config")
	f.Uint64Var(&b.options.Seed, "seed", defaultSeed, "of the order")
	f.BoolVar(&b.json, "json", false, "one JSON object, with each measurement")
	return cmd
}

func (b *fabricBench) check() error {
	for _, c := range b.contenders {
		if !slices.Contains(fabricContenders, c) {
			return fmt.Errorf("lab: contender %q; it is one of %v", c, fabricContenders)
		}
	}
	for _, n := range b.links {
		if n < 1 || n > maxLine {
			return fmt.Errorf("lab: a line of %d links; from 1 to %d are possible", n, maxLine)
		}
	}
	if b.rounds < 1 || b.span < time.Second || b.span%time.Second != 0 {
		return errors.New("lab: one round and one whole second are the least")
	}
	if _, err := exec.LookPath("iperf3"); err != nil {
		return fmt.Errorf("lab: %w; install the package iperf3", err)
	}
	return nil
}

// measuring is one path with the loads that it is still to carry.
type measuring struct {
	FabricSample
	path carrier
}

// run opens all paths, so that all are measured on the same machine, and closes them.
func (b *fabricBench) run(ctx context.Context, progress io.Writer) (r FabricReport, err error) {
	r.Version = labVersion
	var all []measuring
	defer func() {
		for _, m := range all {
			if m.Load == loadStream {
				err = errors.Join(err, m.path.close())
			}
		}
	}()
	for _, links := range b.links {
		for _, name := range b.contenders {
			path, err := openCarrier(ctx, name, links, b.options)
			if err != nil {
				return r, err
			}
			for _, load := range []string{loadStream, loadSmall} {
				all = append(all, measuring{FabricSample{Contender: name, Links: links, Load: load}, path})
			}
			if err := path.start(ctx); err != nil {
				return r, fmt.Errorf("lab: %s on %d links: %w", name, links, err)
			}
		}
	}
	if err := sleep(ctx, fabricSettle); err != nil {
		return r, err
	}
	order := rand.New(rand.NewPCG(b.options.Seed, 0))
	for round := range b.rounds {
		for _, i := range order.Perm(len(all)) {
			s := all[i].FabricSample
			if err := b.measure(ctx, all[i].path, &s); err != nil {
				return r, fmt.Errorf("lab: %s on %d links, %s: %w", s.Contender, s.Links, s.Load, err)
			}
			r.Samples = append(r.Samples, s)
			fmt.Fprintf(progress, "round %d: %s on %d link(s), %s: %.2f Gbit/s, %.2f CPU s/GB\n", round+1, s.Contender, s.Links, s.Load, s.Gbits, s.CPU)
		}
	}
	return r, nil
}

// measure puts a load on a path.
func (b *fabricBench) measure(ctx context.Context, path carrier, s *FabricSample) error {
	from, to, target := path.ends()
	server := exec.CommandContext(ctx, "iperf3", "-s", "-1", "--forceflush", "-p", fabricPort)
	ready := &watchfor{text: "listening", seen: make(chan struct{})}
	server.Stdout = ready
	if err := to.Do(server.Start); err != nil {
		return err
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	select {
	case <-ready.seen:
	case <-time.After(b.options.Timeout):
		return errors.New("iperf3 does not listen")
	}
	args := []string{"-J", "-p", fabricPort, "-c", target.String(), "-t", strconv.Itoa(int(b.span / time.Second))}
	if s.Load == loadSmall {
		args = append(args, "-u", "-b", "0", "-l", strconv.Itoa(fabricSmall))
	}
	daemons, kernel := path.pids(), softIRQs()
	before, kernelBefore := cpuTimes(daemons), cpuTimes(kernel)
	client := exec.CommandContext(ctx, "iperf3", args...)
	var out bytes.Buffer
	client.Stdout = &out
	if err := from.Do(client.Run); err != nil {
		return fmt.Errorf("iperf3: %w: %s", err, tailOf(out.String()))
	}
	_ = server.Wait()
	after, kernelAfter := cpuTimes(daemons), cpuTimes(kernel)
	var answer iperf
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return fmt.Errorf("iperf3: %w", err)
	}
	s.take(&answer, client, server, difference(after, before), difference(kernelAfter, kernelBefore))
	for _, pid := range daemons {
		s.RSS = max(s.RSS, residentMB(pid))
	}
	return nil
}

// iperf is what is read of iperf3's report.
type iperf struct {
	End struct {
		Received struct {
			Bytes   float64 `json:"bytes"`
			Bits    float64 `json:"bits_per_second"`
			Seconds float64 `json:"seconds"`
			Packets float64 `json:"packets"`
			Lost    float64 `json:"lost_packets"`
		} `json:"sum_received"`
	} `json:"end"`
}

func (s *FabricSample) take(a *iperf, client, server *exec.Cmd, daemons, kernel []float64) {
	r := a.End.Received
	all := total(daemons) + total(kernel)
	for _, c := range []*exec.Cmd{client, server} {
		if c.ProcessState != nil {
			all += (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()
		}
	}
	s.Gbits = r.Bits / 1e9
	gb := r.Bytes / 1e9
	if s.Load == loadSmall {
		arrived := r.Packets - r.Lost
		gb = arrived * fabricSmall / 1e9
		s.Gbits = gb * 8 / r.Seconds
		s.Packets = arrived / r.Seconds
		s.MicroCPU = 1e6 * total(daemons) / arrived
	}
	s.CPU = all / gb
	if n := len(daemons); n > 2 {
		s.Relay = total(daemons[1:n-1]) / float64(n-2) / gb
	}
}

func cpuTimes(pids []int) (all []float64) {
	for _, pid := range pids {
		all = append(all, cpuTime(pid))
	}
	return all
}

func difference(a, b []float64) []float64 {
	d := slices.Clone(a)
	for i := range d {
		d[i] -= b[i]
	}
	return d
}

func total(each []float64) (s float64) {
	for _, x := range each {
		s += x
	}
	return s
}

// watchfor closes seen when a text was written.
type watchfor struct {
	text string
	got  []byte
	seen chan struct{}
}

func (w *watchfor) Write(p []byte) (int, error) {
	if w.got = append(w.got, p...); bytes.Contains(w.got, []byte(w.text)) && w.text != "" {
		close(w.seen)
		w.text = ""
	}
	return len(p), nil
}

func tailOf(s string) string { return strings.TrimSpace(s[max(0, len(s)-500):]) }

// write prints the medians.
func (b *fabricBench) write(w io.Writer, r FabricReport) error {
	fmt.Fprintf(w, "iperf3, %v, %d round(s), medians; UDP packets of %d bytes\n", b.span, b.rounds, fabricSmall)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LINKS\tCONTENDER\tTCP Gbit/s\tOF PLAIN\tCPU s/GB\tRELAY s/GB\tSMALL kpps\tDAEMONS us/PACKET\tRSS MB")
	for _, links := range b.links {
		plain := r.median(plainName, links, loadStream)
		for _, name := range b.contenders {
			stream, small := r.median(name, links, loadStream), r.median(name, links, loadSmall)
			ratio := "-"
			if plain.Gbits > 0 {
				ratio = fmt.Sprintf("%.3f", stream.Gbits/plain.Gbits)
			}
			fmt.Fprintf(t, "%d\t%s\t%.2f\t%s\t%.2f\t%.2f\t%.1f\t%.1f\t%.1f\n", links, name, stream.Gbits, ratio,
				stream.CPU, stream.Relay, small.Packets/1000, small.MicroCPU, max(stream.RSS, small.RSS))
		}
	}
	return t.Flush()
}

// median is of each figure by itself.
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
