package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"re6st/cmd/lab/rival"
	"re6st/hw/netns"
	"re6st/protocols/fabric"
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
	// rivalPrograms is where `make rivals` puts what Debian has not.
	rivalPrograms = "bin/rivals"
)

// oursBy are re6st with links by one carrier only, beside that by UDP.
var oursBy = map[string]fabric.Carrier{
	oursName + "-" + fabric.QUIC.String(): fabric.QUIC,
	oursName + "-" + fabric.TLS.String():  fabric.TLS,
}

// isOurs tells whether a contender is re6st, by whatever carrier.
func isOurs(name string) bool {
	_, by := oursBy[name]
	return name == oursName || by
}

// fabricContenders are the kernel alone, re6st by each carrier, and the tunnels of others.
var fabricContenders = func() []string {
	all := append([]string{plainName, oursName}, slices.Sorted(maps.Keys(oursBy))...)
	for _, t := range rival.Tunnels {
		all = append(all, string(t))
	}
	return all
}()

// fabricBench is one `re6st bench fabric`.
type fabricBench struct {
	bench
	links    []int
	loads    []string
	programs string // folder of the tunnels of others
}

func fabricCommand(folder *string) *cobra.Command {
	b := &fabricBench{bench: bench{options: Options{Timeout: defaultTimeout}, rounds: 3, span: 2 * time.Second}}
	cmd := &cobra.Command{
		Use:   "fabric [CONTENDER...]",
		Short: "Measure what tunnels carry, beside the kernel alone",
		Long: fmt.Sprintf(`Measure what tunnels carry on a line of namespaces that veths join. The loads, by iperf3: %s, one TCP
connection; %s, UDP packets of %d bytes as fast as they go; %s, the most of them of which less than 1%% is lost.
The contenders are %s. Those that are not installed are named, and left out. All links of
re6st-quic go by QUIC, and those of re6st-tls by TLS (carriers in the nodes' configuration): what a carrier costs. openvpn and
wireguard-go are a chain, in which each node opens what comes and seals it again.

Each round measures all, in an order drawn anew; the table has the medians, and the ratio to the plain path of as many
links. All share the processors of this machine: the CPU seconds for each 10^9 bytes (daemons, iperf3, the kernel's own
threads) tell more than the rate.`, loadStream, loadSmall, fabricSmall, loadLossless, strings.Join(fabricContenders, ", ")),
		Example: "  re6st bench fabric\n  re6st bench fabric plain re6st --links 3 --loads stream --rounds 5",
	}
	benchFlags(cmd, folder, &b.bench, b, fabricContenders)
	f := cmd.Flags()
	f.IntSliceVar(&b.links, "links", []int{1, 3}, "lengths of the line")
	f.StringSliceVar(&b.loads, "loads", fabricLoads, "what is measured")
	f.StringVar(&b.programs, "programs", rivalPrograms, "folder of the tunnels of others that Debian has not")
	f.StringVar(&b.options.Config, "config", "", "file handed to every node of re6st as its --config")
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
	for _, l := range b.loads {
		if !slices.Contains(fabricLoads, l) {
			return fmt.Errorf("lab: load %q; it is one of %v", l, fabricLoads)
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

// isThere says why a contender cannot be measured over so many links.
func (b *fabricBench) isThere(name string, links int) error {
	if name == plainName || isOurs(name) {
		return nil
	}
	return rival.Tunnel(name).Check(b.programs, links)
}

// measuring is one path with a load that it is to carry.
type measuring struct {
	FabricSample
	path carrier
}

// run opens all paths, so that all are measured on the same machine, and closes them.
func (b *fabricBench) run(ctx context.Context, progress io.Writer) (r FabricReport, err error) {
	r = FabricReport{Version: labVersion, Load: [2]float64{load()}, Missing: []MissingContender{}}
	if _, err := os.Stat(rivals(b.options.Folder)); err == nil {
		if _, err := netns.Sweep(rivals(b.options.Folder)); err != nil {
			return r, err
		}
	}
	var paths []carrier
	defer func() {
		for _, p := range paths {
			err = errors.Join(err, p.close())
		}
	}()
	var all []measuring
	for _, links := range b.links {
		for _, name := range b.contenders {
			if err := b.isThere(name, links); err != nil {
				r.Missing = append(r.Missing, MissingContender{name, links, err.Error()})
				continue
			}
			path, err := b.open(ctx, name, links)
			if err != nil {
				return r, err
			}
			paths = append(paths, path)
			switch err := b.start(ctx, path); {
			case err != nil && (isOurs(name) || name == plainName || ctx.Err() != nil):
				return r, fmt.Errorf("lab: %s on %d links: %w", name, links, err)
			case err != nil: // the others are measured all the same
				r.Missing = append(r.Missing, MissingContender{name, links, err.Error()})
				continue
			}
			for _, load := range b.loads {
				all = append(all, measuring{FabricSample{Contender: name, Links: links, Load: load}, path})
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
			fmt.Fprintf(progress, "round %d: %s on %d link(s), %s: %.2f Gbit/s, %.1f kpps, %.2f CPU s/GB\n",
				round+1, s.Contender, s.Links, s.Load, s.Gbits, s.Packets/1000, s.CPU)
		}
	}
	r.Load[1] = load()
	return r, nil
}

func (b *fabricBench) start(ctx context.Context, path carrier) error {
	ctx, cancel := context.WithTimeout(ctx, b.options.Timeout)
	defer cancel()
	return path.start(ctx)
}

// open makes the path of one contender.
func (b *fabricBench) open(ctx context.Context, name string, links int) (carrier, error) {
	switch {
	case name == plainName:
		return newPlainPath(links, b.options.Folder)
	case isOurs(name):
		return newFabricPath(ctx, links, b.optionsOf(name, links+1))
	}
	return newTunnelPath(rival.Tunnel(name), links, b.options.Folder, b.programs)
}

// optionsOf are those of a contender of ours: its nodes are told the one carrier.
func (b *fabricBench) optionsOf(name string, nodes int) Options {
	o := b.options
	if by, one := oursBy[name]; one {
		o.Settings = map[string]settings{}
		for _, node := range nodeNames(nodes) {
			o.Settings[node] = settings{fmt.Sprintf("carriers = [%q]", by)}
		}
	}
	return o
}
