package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"re6st/cmd/lab/rival"
	"re6st/hw/netns"
)

// The routing benchmark.
const (
	oursName = "re6st"
	// routingSettle is from the last echo until something is measured or cut: the
	// histories of Hellos are full by then.
	routingSettle = 15 * time.Second
	// routingEchoes a second are shared by all pairs while a cut is watched.
	routingEchoes = 2000
	// routingPatience is for a network to be whole again: babeld needs 30 s at Hellos of 4 s.
	routingPatience = 2 * time.Minute
)

// routingBench is one `re6st bench routing`.
type routingBench struct {
	bench
	shapes []string // such as ring:10
	hello  time.Duration
}

// RoutingSample is what was measured of one daemon on one topology in one round.
type RoutingSample struct {
	Daemon string  `json:"daemon"`
	Shape  string  `json:"shape"`
	StartS float64 `json:"start_s"` // to the last echo of all pairs; the mean of two starts
	DownS  float64 `json:"down_s"`  // a link goes, and its ends can know
	LossS  float64 `json:"loss_s"`  // a link goes silent
	Links  int     `json:"links"`
	RSS    float64 `json:"rss_mb"`      // of a process, the mean
	CPU    float64 `json:"cpu_percent"` // of a process, the mean, in the steady state
	Babel  float64 `json:"babel_bytes_per_s"`
	Alive  float64 `json:"liveness_bytes_per_s"` // each by link and direction, with IP and UDP headers
	Other  float64 `json:"other_bytes_per_s"`
}

// RoutingReport is the answer of `re6st bench routing --json`.
type RoutingReport struct {
	Version    int             `json:"version"`
	Hello      float64         `json:"hello_s"`
	Processors int             `json:"processors"`
	Load       [2]float64      `json:"load"` // of the machine, over a minute: before, and at the end
	Samples    []RoutingSample `json:"samples"`
}

func routingCommand(folder *string) *cobra.Command {
	b := &routingBench{bench: bench{options: Options{Timeout: routingPatience}, rounds: 1, span: time.Minute}}
	cmd := &cobra.Command{
		Use:   "routing [DAEMON...]",
		Short: "Measure re6st, babeld and BIRD side by side on the same topologies",
		Long: `Measure re6st, babeld and BIRD side by side on the same topologies, at the same hello interval: the start
until an echo has come back between every ordered pair, the time until all pairs reach each other after a link
goes down and after one goes silent, memory, CPU time, and the bytes of Babel in the steady state by link and
direction; those of re6st's liveness probes are in a column of their own.

All run on this machine, and what else does counts: with 30 nodes of re6st two processors are busy while these join
and shake hands. re6st's start includes the joins at the registry and the handshakes. Its links are sealed and cross a router
that answers "unreachable" where a link goes down; the daemons of others have veths that are taken down. It fails
where re6st is not the first to heal, or sends more Babel than babeld.`,
		Example: "  re6st bench routing\n  re6st bench routing re6st babeld --on ring:10 --rounds 3",
	}
	benchFlags(cmd, folder, &b.bench, b, []string{oursName, string(rival.Babeld), string(rival.BIRD)})
	f := cmd.Flags()
	f.StringSliceVar(&b.shapes, "on", []string{"ring:10", "grid:30"}, "topologies with their nodes")
	f.DurationVar(&b.hello, "hello", 4*time.Second, "the hello interval, in whole seconds")
	return cmd
}

// shape reads a topology with its nodes.
func shape(text string) (t Topology, nodes int, err error) {
	name, count, ok := strings.Cut(text, ":")
	if nodes, err = strconv.Atoi(count); !ok || err != nil {
		return "", 0, fmt.Errorf("lab: %q: write a topology and its nodes, such as ring:10", text)
	}
	_, err = Topology(name).edges(nodes, defaultSeed)
	return Topology(name), nodes, err
}

func (b *routingBench) check() error {
	for _, text := range b.shapes {
		if _, _, err := shape(text); err != nil {
			return err
		}
	}
	for _, d := range b.contenders {
		if d == oursName {
			continue
		}
		if err := rival.Daemon(d).Check(); err != nil {
			return err
		}
	}
	if b.hello < time.Second || b.hello%time.Second != 0 {
		return fmt.Errorf("lab: a hello interval of %v: whole seconds are needed, as BIRD has no others", b.hello)
	}
	return nil
}

// run measures all there is, one network at a time.
func (b *routingBench) run(ctx context.Context, progress io.Writer) (RoutingReport, error) {
	report := RoutingReport{Version: labVersion, Hello: b.hello.Seconds(), Processors: runtime.NumCPU(), Load: [2]float64{load()}}
	if _, err := netns.Sweep(rivals(b.options.Folder)); err != nil {
		return report, err
	}
	order := rand.New(rand.NewPCG(b.options.Seed, 0))
	for range b.rounds {
		var all []RoutingSample
		for _, s := range b.shapes {
			for _, d := range b.contenders {
				all = append(all, RoutingSample{Daemon: d, Shape: s})
			}
		}
		order.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for i := range all {
			if err := b.measure(ctx, &all[i]); err != nil {
				return report, fmt.Errorf("%s on %s: %w", all[i].Daemon, all[i].Shape, err)
			}
			fmt.Fprintf(progress, "%s on %s: start %.1f s, down %.1f s, silent %.1f s\n",
				all[i].Daemon, all[i].Shape, all[i].StartS, all[i].DownS, all[i].LossS)
		}
		report.Samples = append(report.Samples, all...)
	}
	report.Load[1] = load()
	return report, nil
}

// load is how many processes ran or wanted to, the mean of the last minute (proc(5)).
func load() (n float64) {
	text, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		_, _ = fmt.Sscan(string(text), &n)
	}
	return n
}

// measure makes two networks: what the first cut left behind must not help the second.
func (b *routingBench) measure(ctx context.Context, s *RoutingSample) error {
	for _, how := range []Cut{Silent, Reject} {
		if err := b.once(ctx, s, how); err != nil {
			return err
		}
	}
	return nil
}

func (b *routingBench) once(ctx context.Context, s *RoutingSample, how Cut) (err error) {
	c, err := b.open(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	start, err := c.start(ctx)
	if err != nil {
		return err
	}
	s.StartS += start.Seconds() / 2
	if err := sleep(ctx, routingSettle); err != nil {
		return err
	}
	into := &s.DownS
	if how == Silent {
		into = &s.LossS
		if err := b.steady(ctx, c, s); err != nil {
			return err
		}
	}
	healed, err := heal(ctx, c, how)
	*into = healed.Seconds()
	return err
}

func (b *routingBench) open(ctx context.Context, s *RoutingSample) (contender, error) {
	o := b.options
	var err error
	if o.Topology, o.Nodes, err = shape(s.Shape); err != nil {
		return nil, err
	}
	if s.Daemon == oursName {
		return newOurs(ctx, o, b.hello)
	}
	return newTheirs(rival.Daemon(s.Daemon), o, b.hello)
}

// steady measures what it costs to be there.
func (b *routingBench) steady(ctx context.Context, c contender, s *RoutingSample) error {
	before, err := c.sent(ctx)
	if err != nil {
		return err
	}
	cpu := 0.0
	for _, pid := range c.pids() {
		cpu -= cpuTime(pid)
	}
	if err := sleep(ctx, b.span); err != nil {
		return err
	}
	after, err := c.sent(ctx)
	if err != nil {
		return err
	}
	rate := func(from, to uint64) float64 { return float64(to-from) / b.span.Seconds() / float64(2*after.links) }
	s.Links = after.links
	s.Babel, s.Alive, s.Other = rate(before.babel, after.babel), rate(before.liveness, after.liveness), rate(before.other, after.other)
	pids := c.pids()
	for _, pid := range pids {
		cpu += cpuTime(pid)
		s.RSS += residentMB(pid) / float64(len(pids))
	}
	s.CPU = 100 * cpu / b.span.Seconds() / float64(len(pids))
	return nil
}

// heal cuts an edge in use, and returns the time until the last pair has answered an
// echo that was sent after the cut.
func heal(ctx context.Context, c contender, how Cut) (time.Duration, error) {
	edge, err := c.used(ctx)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, routingPatience)
	defer cancel()
	p := c.probe()
	var trains []*train
	for name := range p.stations {
		for other := range p.stations {
			if name != other {
				trains = append(trains, p.newTrain(Pair{name, other}))
			}
		}
	}
	slices.SortFunc(trains, func(a, b *train) int { return a.pair.compare(b.pair) })
	p.pace(ctx, max(time.Duration(len(trains))*time.Second/routingEchoes, wholeFastest), trains, nil)
	if err := sleep(ctx, time.Second); err != nil { // the traffic is there before the cut
		return 0, err
	}
	began := p.now()
	if err := c.cut(ctx, edge, how); err != nil {
		return 0, err
	}
	last, missing := p.await(ctx, trains, p.now()) // an echo sent while the edge was being cut may have passed
	if len(missing) > 0 {
		return 0, fmt.Errorf("lab: after %v %d pairs have not answered, %v among them", routingPatience, len(missing), missing[0])
	}
	return last - began, nil
}

// residentMB is a process's memory (proc(5)).
func residentMB(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kb, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, _ := strconv.ParseFloat(kb, 64)
	return n / 1024
}

// write prints the medians, and fails where re6st is not what it promises.
func (b *routingBench) write(w io.Writer, r RoutingReport) error {
	fmt.Fprintf(w, "hellos of %v, %d round(s), medians; bytes a second by link and direction, with IP and UDP headers\n", b.hello, b.rounds)
	fmt.Fprintf(w, "all nodes on one machine of %d processors; its load was %.1f before, %.1f at the end\n", r.Processors, r.Load[0], r.Load[1])
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TOPOLOGY\tDAEMON\tSTART s\tLINK DOWN s\tSILENT LOSS s\tRSS MB\tCPU %\tBABEL B/s\tLIVENESS B/s\tOTHER B/s\tLINKS")
	var short []string
	for _, shape := range b.shapes {
		of := map[string]RoutingSample{}
		for _, d := range b.contenders {
			m := r.median(d, shape)
			of[d] = m
			fmt.Fprintf(t, "%s\t%s\t%.2f\t%.2f\t%.2f\t%.1f\t%.3f\t%.1f\t%.1f\t%.1f\t%d\n",
				shape, b.label(d), m.StartS, m.DownS, m.LossS, m.RSS, m.CPU, m.Babel, m.Alive, m.Other, m.Links)
		}
		short = append(short, shortcomings(shape, of)...)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(short) > 0 {
		return fmt.Errorf("lab: %s", strings.Join(short, "; "))
	}
	return nil
}

func (b *routingBench) label(d string) string {
	if d == oursName {
		return d
	}
	return d + " " + rival.Daemon(d).Version()
}

// shortcomings says where re6st is behind one of the others.
func shortcomings(shape string, of map[string]RoutingSample) (short []string) {
	us, here := of[oursName]
	if !here {
		return nil
	}
	for _, d := range []rival.Daemon{rival.Babeld, rival.BIRD} {
		them, here := of[string(d)]
		switch {
		case !here:
			continue
		case us.DownS > them.DownS:
			short = append(short, fmt.Sprintf("%s: %s heals sooner after a link went down", shape, d))
		}
		if us.LossS > them.LossS {
			short = append(short, fmt.Sprintf("%s: %s heals sooner after a silent loss", shape, d))
		}
		if d == rival.Babeld && us.Babel > them.Babel {
			short = append(short, fmt.Sprintf("%s: more Babel than babeld, %.1f B/s where it sends %.1f", shape, us.Babel, them.Babel))
		}
	}
	return short
}

// median is of each figure by itself.
func (r RoutingReport) median(daemon, shape string) RoutingSample {
	m := RoutingSample{Daemon: daemon, Shape: shape}
	of := func(get func(RoutingSample) float64) float64 {
		var all []float64
		for _, s := range r.Samples {
			if s.Daemon == daemon && s.Shape == shape {
				all = append(all, get(s))
			}
		}
		return median(all)
	}
	m.StartS = of(func(s RoutingSample) float64 { return s.StartS })
	m.DownS = of(func(s RoutingSample) float64 { return s.DownS })
	m.LossS = of(func(s RoutingSample) float64 { return s.LossS })
	m.Links = int(of(func(s RoutingSample) float64 { return float64(s.Links) }))
	m.RSS = of(func(s RoutingSample) float64 { return s.RSS })
	m.CPU = of(func(s RoutingSample) float64 { return s.CPU })
	m.Babel = of(func(s RoutingSample) float64 { return s.Babel })
	m.Alive = of(func(s RoutingSample) float64 { return s.Alive })
	m.Other = of(func(s RoutingSample) float64 { return s.Other })
	return m
}
