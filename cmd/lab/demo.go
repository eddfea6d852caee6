package lab

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Of the demonstration.
const (
	demoNodes    = 8
	demoIPv4     = "10.42.0.0/16"
	demoFrom     = "n1"
	demoTo       = "n4" // three links away on the short side of the ring, five on the long one
	demoEvery    = 10 * time.Millisecond
	demoBefore   = time.Second      // of pings that see the path as it is
	demoPatience = 20 * time.Second // for the mesh to find another way
)

func demoCommand(folder *string) *cobra.Command {
	return &cobra.Command{
		Use:     "demo",
		Short:   fmt.Sprintf("A ring of %d nodes: converge, cut a link under a ping, heal", demoNodes),
		Example: "  re6st lab demo",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := run{options: Options{Nodes: demoNodes, Topology: Ring, IPv4: netip.MustParsePrefix(demoIPv4), Seed: defaultSeed, Timeout: defaultTimeout, Folder: *folder}}
			r.then = func(ctx context.Context, l *Lab) error { return l.demonstrate(ctx, cmd.OutOrStdout()) }
			return r.do(cmd)
		},
	}
}

// demonstrate shows what the mesh does when a link dies under a ping.
func (l *Lab) demonstrate(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fmt.Fprintln(w, l.table(ctx))
	if err := l.demoByIPv4(ctx, w); err != nil {
		return err
	}
	t := l.prober.newTrain(Pair{demoFrom, demoTo})
	l.prober.pace(ctx, demoEvery, []*train{t}, nil)
	fmt.Fprintf(w, "%s pings %s every %v\n", demoFrom, demoTo, demoEvery)
	if err := sleep(ctx, demoBefore); err != nil {
		return err
	}
	cut, err := l.demoCut(ctx, w)
	if err != nil {
		return err
	}
	if err := l.demoHealed(ctx, w, t, cut); err != nil {
		return err
	}
	fmt.Fprintln(w, "heal all")
	if err := l.Do(ctx, Action{Verb: verbHeal, A: everyName}); err != nil {
		return err
	}
	if err := sleep(ctx, demoBefore); err != nil {
		return err
	}
	fmt.Fprint(w, demoExplore)
	return nil
}

// demoByIPv4 shows that the mesh carries IPv4 too.
func (l *Lab) demoByIPv4(ctx context.Context, w io.Writer) error {
	from := l.members[demoFrom]
	var to netip.Addr
	for _, s := range l.snapshot() {
		if s.name == demoTo {
			to = s.who.addresses[ipv4Address]
		}
	}
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	said, err := l.output(ctx, from, l.program.ping(from.dir, to))
	for err != nil && sleep(ctx, demoEvery) == nil { // that IPv6 has converged says little of IPv4
		said, err = l.output(ctx, from, l.program.ping(from.dir, to))
	}
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(said), "\n")
	fmt.Fprintf(w, "%s pings %s over IPv4: %s\n", demoFrom, demoTo, lines[len(lines)-1])
	return nil
}

// demoCut cuts a link on the path of the ping, and returns when.
func (l *Lab) demoCut(ctx context.Context, w io.Writer) (time.Duration, error) {
	path, err := l.Path(ctx, demoFrom, demoTo)
	if err != nil {
		return 0, err
	}
	cut, err := l.Resolve(ctx, Action{Verb: verbCut, Path: true, A: demoFrom, B: demoTo, How: Silent})
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(w, "path %s\n%s\n", strings.Join(path, " - "), cut)
	at := l.prober.now()
	return at, l.Do(ctx, cut)
}

// demoHealed waits until the ping is answered again, and counts what it lost.
func (l *Lab) demoHealed(ctx context.Context, w io.Writer, t *train, cut time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	if _, missing := l.prober.await(ctx, []*train{t}, l.prober.now()); len(missing) > 0 {
		return fmt.Errorf("%w: %v has no answer %v after the cut", ErrTimeout, missing[0], demoPatience)
	}
	// Some more, which would show if that answer was the last one.
	if err := sleep(ctx, demoBefore); err != nil {
		return err
	}
	end := l.prober.now()
	if err := sleep(ctx, echoGrace); err != nil {
		return err
	}
	lost := l.prober.losses(t, cut, end)
	fmt.Fprintf(w, "healed after %.2f s, %d of %d pings lost\n", lost.Outage.Seconds(), lost.Lost, lost.Sent)
	path, err := l.Path(ctx, demoFrom, demoTo)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "path %s\n", strings.Join(path, " - "))
	return nil
}

// sleep waits; an error says that ctx ended before.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// demoExplore is how to go on.
const demoExplore = `
Now you, in one terminal, until ^C:
  bin/re6st lab up --nodes 8 --topology ring --logs /tmp/re6st-logs --http 127.0.0.1:8080
and see it live in a browser at that address;
in another terminal:
  bin/re6st lab list                                the nodes, and where they are
  bin/re6st lab cut n1 n2                           and heal, loss, rate, kill, start, restart
  bin/re6st lab exec n1 -- bin/re6st status         and peers, tunnels, routes, events --watch
  bin/re6st lab exec n1 -- bin/re6st ping 4/16 -i 100ms
  tail -f /tmp/re6st-logs/n1.log
`
