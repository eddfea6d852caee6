package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"re6st/cmd/lab/flood"
	"re6st/hw/netns"
)

// The flood benchmark: a star of floodNodes, whose middle n1 relays the traffic from
// n2 to n3 and is flooded, by an outsider in the registry's namespace or by the member
// that n4 was.
const (
	floodNodes  = 4
	floodVictim = "n1"
	floodFrom   = "n2"
	floodTo     = "n3"
	floodRogue  = "n4"

	// leastShare is what must be left of the traffic under a flood.
	leastShare = 0.95
	// floodSettle is between two measurements: sockets and queues run empty.
	floodSettle = 500 * time.Millisecond
	// nodePort is where nodes take links.
	nodePort = 7326
)

// Whence floods come: ranges for benchmarks (RFC 2544), routed to one namespace each.
var (
	outsiders = netip.MustParsePrefix("198.18.0.0/16")
	joiners   = netip.MustParsePrefix("198.19.0.0/16")
)

// floodRates are what is sent a second unless a flag says otherwise.
var floodRates = map[string]int{flood.Garbage: 20_000, flood.Handshake: 10_000, flood.Join: 500, flood.Routes: 20_000}

// floodBench is one `re6st lab flood`.
type floodBench struct {
	kinds   []string
	rounds  int
	span    time.Duration
	traffic int // packets a second
	size    int // bytes of their payload
	rate    int // of floods; 0: floodRates
	seed    uint64
	config  string
	logs    string
}

func floodCommand(folder *string) *cobra.Command {
	var b floodBench
	cmd := &cobra.Command{
		Use:   "flood [KIND...]",
		Short: "Measure what is left of traffic under floods",
		Long: fmt.Sprintf(`Measure what is left of traffic under floods, of the kinds %s:
a star of four, whose middle relays packets at a fixed rate and is flooded meanwhile. Each round measures
all kinds and none, in an order drawn anew. It fails where less than %.0f %% of the packets of its own
round without a flood arrive, in the middle of the rounds.`, strings.Join(flood.Kinds, ", "), leastShare*100),
		Example: "  re6st lab flood\n  re6st lab flood handshake --rate 20000 --rounds 3",
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, kind := range args {
				if !slices.Contains(flood.Kinds, kind) {
					return &ExitError{exitUsage, fmt.Errorf("lab: flood %q; it is one of %v", kind, flood.Kinds)}
				}
			}
			if b.kinds = args; len(args) == 0 {
				b.kinds = flood.Kinds
			}
			r := run{options: Options{Nodes: floodNodes, Topology: Star, Seed: b.seed, Config: b.config, Logs: b.logs, Timeout: defaultTimeout, Folder: *folder}}
			r.then = func(ctx context.Context, l *Lab) error { return b.run(ctx, l, cmd.OutOrStdout()) }
			return r.do(cmd)
		},
	}
	f := cmd.Flags()
	f.IntVar(&b.rounds, "rounds", 5, "how often each is measured")
	f.DurationVar(&b.span, "for", 3*time.Second, "how long each time")
	f.IntVar(&b.traffic, "traffic", 5000, "packets a second of the traffic")
	f.IntVar(&b.size, "size", 1000, "bytes of each")
	f.IntVar(&b.rate, "rate", 0, "datagrams, calls or routes a second of a flood; 0: as the kind has it")
	f.Uint64Var(&b.seed, "seed", defaultSeed, "of the order of the rounds")
	f.StringVar(&b.config, "config", "", "file handed to every node as its --config")
	f.StringVar(&b.logs, "logs", "", "folder for the logs, kept when the lab ends")
	return cmd
}

// attackCommand is what the benchmark runs in the attacker's namespace.
func attackCommand() *cobra.Command {
	var s flood.Spec
	var target, sources string
	cmd := &cobra.Command{
		Use: "attack KIND", Short: "Flood an address of a lab, from within one of its namespaces",
		Example: "  re6st lab attack garbage --target 10.0.0.6:7326 -d n1 --sources 198.18.0.0/16 --rate 1000 --for 1s",
		Hidden:  true, Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			s.Kind = args[0]
			if s.Target, err = netip.ParseAddrPort(target); err == nil {
				s.Sources, err = netip.ParsePrefix(sources)
			}
			if err == nil {
				err = s.Check(underlay4, underlay6)
			}
			if err != nil {
				return &ExitError{exitUsage, fmt.Errorf("lab: %w", err)}
			}
			result, err := flood.Run(cmd.Context(), s)
			if err != nil {
				return fmt.Errorf("lab: flood: %w", err)
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(result)
		},
	}
	f := cmd.Flags()
	f.StringVar(&target, "target", "", "address and port")
	f.StringVar(&sources, "sources", outsiders.String(), "whence")
	f.StringVarP(&s.Dir, "dir", "d", "", "folder of a node, with the CA's certificate")
	f.IntVar(&s.Rate, "rate", 1000, "a second")
	f.DurationVar(&s.For, "for", time.Second, "how long")
	return cmd
}

// sample is one measurement.
type sample struct {
	delivered float64 // share of the traffic
	cpu       float64 // of the relay, seconds a second
	attack    flood.Result
}

// run measures and prints the table; too little left is an error.
func (b *floodBench) run(ctx context.Context, l *Lab, w io.Writer) error {
	if err := b.prepare(ctx, l); err != nil {
		return err
	}
	t, err := openTraffic(l, b.size)
	if err != nil {
		return err
	}
	defer t.close()
	samples := map[string][]sample{}
	order := rand.New(rand.NewPCG(b.seed, 0))
	for round := range b.rounds {
		kinds := append([]string{""}, b.kinds...)
		order.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		for _, kind := range kinds {
			s, err := b.measure(ctx, l, t, kind)
			if err != nil {
				return err
			}
			samples[kind] = append(samples[kind], s)
			l.say("round %d %s: %.2f %% delivered, relay %.2f CPU s/s", round+1, orNone(kind), 100*s.delivered, s.cpu)
			if err := sleep(ctx, floodSettle); err != nil {
				return err
			}
		}
	}
	return b.report(w, samples)
}

// prepare routes the attackers' ranges to them, and takes the rogue's place.
func (b *floodBench) prepare(ctx context.Context, l *Lab) error {
	for name, from := range map[string]netip.Prefix{registryName: outsiders, floodRogue: joiners} {
		m := l.members[name]
		if err := ip(ctx, m.ns, "route", "add", "local", from.String(), "dev", "lo"); err != nil {
			return err
		}
		via := l.under.places[name].addr4.Addr().String()
		if err := ip(ctx, l.under.router, "route", "add", from.String(), "via", via); err != nil {
			return err
		}
	}
	if err := l.Do(ctx, Action{Verb: verbKill, A: floodRogue}); err != nil {
		return err
	}
	return sleep(ctx, 2*floodSettle)
}

func ip(ctx context.Context, ns *netns.NS, args ...string) error {
	return ns.Do(func() error {
		if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("lab: ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
		return nil
	})
}

// measure sends the traffic for a while, under a flood of that kind.
func (b *floodBench) measure(ctx context.Context, l *Lab, t *traffic, kind string) (s sample, err error) {
	flooded := make(chan error, 1)
	if kind == "" {
		flooded <- nil
	} else {
		go func() {
			var e error
			s.attack, e = b.attack(ctx, l, kind)
			flooded <- e
		}()
		if err := sleep(ctx, floodSettle); err != nil {
			return s, err
		}
	}
	before := cpuOf(l, floodVictim)
	s.delivered, err = t.send(ctx, b.traffic, b.span)
	s.cpu = (cpuOf(l, floodVictim) - before) / b.span.Seconds()
	if e := <-flooded; err == nil {
		err = e
	}
	return s, err
}

// attack runs the flood, from half a second before the traffic until after it.
func (b *floodBench) attack(ctx context.Context, l *Lab, kind string) (r flood.Result, err error) {
	from, sources := l.members[registryName], outsiders
	target := netip.AddrPortFrom(l.under.places[floodVictim].addr4.Addr(), nodePort)
	dir := l.members[floodRogue].dir
	switch kind {
	case flood.Join:
		from, sources, target = l.members[floodRogue], joiners, registryAddress(l.under.places[registryName])
	case flood.Routes:
		from = l.members[floodRogue]
	}
	rate := b.rate
	if rate == 0 {
		rate = floodRates[kind]
	}
	spec := l.program.spec("lab", "attack", kind, "--target", target.String(), "--sources", sources.String(), "-d", dir,
		"--rate", strconv.Itoa(rate), "--for", (b.span + 2*floodSettle).String())
	text, err := l.output(ctx, from, spec)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal([]byte(text), &r)
}

// cpuOf is the CPU time that a member's process has had, in seconds.
func cpuOf(l *Lab, name string) float64 {
	for _, s := range l.snapshot() {
		if s.name == name {
			return cpuTime(s.pid)
		}
	}
	return 0
}

// cpuTime is what a process has had, in seconds (proc(5)).
func cpuTime(pid int) float64 {
	const ticks = 100 // a second (USER_HZ)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold spaces
	fields := strings.Fields(rest)
	if len(fields) <= 12 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticks
}

func orNone(kind string) string {
	if kind == "" {
		return "no flood"
	}
	return kind
}

// report writes the table.
func (b *floodBench) report(w io.Writer, samples map[string][]sample) error {
	fmt.Fprintf(w, "traffic %s -> %s by relay %s: %d packets/s of %d bytes, %d rounds of %v\n",
		floodFrom, floodTo, floodVictim, b.traffic, b.size, b.rounds, b.span)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FLOOD\tSENT/s\tANSWERED/s\tDELIVERED\tOF WITHOUT, MEDIAN\tWORST\tRELAY CPU s/s\tFLOOD CPU s/s")
	var bad []string
	for _, kind := range append([]string{""}, b.kinds...) {
		var delivered, shares, cpu, sent, answered, own []float64
		for i, s := range samples[kind] {
			delivered = append(delivered, 100*s.delivered)
			shares = append(shares, 100*s.delivered/samples[""][i].delivered)
			cpu = append(cpu, s.cpu)
			if s.attack.For > 0 {
				sent, answered = append(sent, float64(s.attack.Sent)/s.attack.For), append(answered, float64(s.attack.Answered)/s.attack.For)
				own = append(own, s.attack.CPU/s.attack.For)
			}
		}
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.2f %%\t%.2f %%\t%.2f %%\t%.2f\t%.2f\n", orNone(kind), median(sent), median(answered),
			median(delivered), median(shares), slices.Min(shares), median(cpu), median(own))
		if median(shares) < 100*leastShare {
			bad = append(bad, kind)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(bad) > 0 {
		return fmt.Errorf("lab: less than %.0f %% of the traffic is left under: %s", 100*leastShare, strings.Join(bad, ", "))
	}
	return nil
}

// median is 0 of nothing.
func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}
