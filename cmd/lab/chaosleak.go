package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"re6st/actors/monitor"
	"re6st/hw/netlink"
	"re6st/hw/netns"
)

// Of the counts before and after.
const (
	countPatience = 160 * time.Second // for a node that was hurt to settle: longer than connections that its links left live on (hw/carrier)
	countEvery    = 200 * time.Millisecond
	// slack is by how many goroutines and files a settled node may differ from itself:
	// who asks costs one or two of each for a moment.
	slack = 3
	// foreignProtocol marks the routes that nobody here may touch.
	foreignProtocol = 77
)

// foreign are routes of somebody else, in each node's namespace.
var foreign = []netlink.Route{
	{Dst: netip.MustParsePrefix("2001:db8:f00::/48"), Kind: netlink.Unreachable},
	{Dst: netip.MustParsePrefix("2001:db8:42:ffff::/64"), Kind: netlink.Unreachable, Metric: 77}, // inside the mesh's range
	{Dst: netip.MustParsePrefix("203.0.113.0/24"), Kind: netlink.Unreachable},
}

// addForeign puts the foreign routes into a namespace.
func addForeign(ns *netns.NS) error {
	return withNetlink(ns, func(conn *netlink.Conn) error {
		table, err := netlink.NewTable(conn, netlink.MainTable, foreignProtocol)
		if err != nil {
			return err
		}
		return table.Apply(foreign, nil)
	})
}

// foreignLost names the foreign routes that are not there any more as they were.
func foreignLost(ns *netns.NS) (lost []string, err error) {
	err = withNetlink(ns, func(conn *netlink.Conn) error {
		table, err := netlink.NewTable(conn, netlink.MainTable, foreignProtocol)
		if err != nil {
			return err
		}
		there, err := table.Routes()
		for _, r := range foreign {
			same := func(t netlink.Route) bool { return t.Dst == r.Dst && t.Kind == r.Kind }
			if !slices.ContainsFunc(there, same) {
				lost = append(lost, r.String())
			}
		}
		return err
	})
	return lost, err
}

// census is what a node holds: of itself, and in its namespace.
type census struct {
	goroutines int      // beside those of its pumps
	files      int      // open
	kernel     []string // addresses, routes and rules, a line each, sorted
	excess     []string // actors of links that are not there
	left       []string // quarantines and stuck pumps
}

// count takes a node's census.
func (l *Lab) count(ctx context.Context, name string) (c census, err error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	m := l.members[name]
	d, err := l.program.debug(ctx, m.dir)
	if err != nil {
		return c, err
	}
	tunnels, err := l.program.tunnels(ctx, m.dir)
	if err != nil {
		return c, err
	}
	c.goroutines = d.Goroutines
	kinds := map[string]int{}
	for _, a := range d.Actors {
		c.goroutines -= len(a.Pumps)
		kinds[a.Kind]++
		if a.State == "quarantined" || len(a.Stuck) > 0 {
			c.left = append(c.left, fmt.Sprintf("%s is %s, stuck %q", a.Path, a.State, a.Stuck))
		}
	}
	up := 0
	for _, t := range tunnels {
		if t.State == "up" || t.State == "draining" {
			up++
		}
	}
	if kinds["tunnel"] > len(tunnels) || kinds["neighbor"] > up {
		c.excess = append(c.excess, fmt.Sprintf("%d tunnel and %d neighbor actors for %d links, %d of them up", kinds["tunnel"], kinds["neighbor"], len(tunnels), up))
	}
	if c.files, err = l.openFiles(name); err != nil {
		return c, err
	}
	c.kernel, err = kernelState(ctx, m.ns)
	return c, err
}

// openFiles counts the files that a member's process has open.
func (l *Lab) openFiles(name string) (int, error) {
	pid := l.pid(l.members[name])
	if pid == 0 {
		return 0, fmt.Errorf("%w: %s does not run", ErrState, name)
	}
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	return len(entries), err
}

// kernelState is what a namespace has of addresses, routes and rules.
func kernelState(ctx context.Context, ns *netns.NS) (lines []string, err error) {
	err = ns.Do(func() error {
		for _, args := range []string{"-br addr", "-4 route show table all", "-6 route show table all", "-4 rule", "-6 rule"} {
			out, err := exec.CommandContext(ctx, "ip", strings.Fields(args)...).Output()
			if err != nil {
				return fmt.Errorf("lab: ip %s (of the package iproute2): %w", args, err)
			}
			for line := range bytes.Lines(out) {
				lines = append(lines, steady(string(line)))
			}
		}
		return nil
	})
	slices.Sort(lines)
	return lines, err
}

// passing is what changes by itself in what ip prints.
var passing = regexp.MustCompile(`expires \S+|@if\d+|\blinkdown\b|\bpref \S+|\bnhid \d+`)

// steady is a line of ip without what changes by itself.
func steady(line string) string {
	return strings.Join(strings.Fields(passing.ReplaceAllString(line, "")), " ")
}

// countAll takes the census of all nodes, once each has settled.
func (l *Lab) countAll(ctx context.Context, settled func(name string, c census) error) (map[string]census, error) {
	all := map[string]census{}
	var errs []error
	for _, name := range l.names {
		c, err := l.countSettled(ctx, name, settled)
		all[name] = c
		errs = append(errs, err)
	}
	return all, errors.Join(errs...)
}

// countSettled counts until settled has nothing to complain of, or patience ends; then
// the complaint comes back.
func (l *Lab) countSettled(ctx context.Context, name string, settled func(string, census) error) (c census, err error) {
	ctx, cancel := context.WithTimeout(ctx, countPatience)
	defer cancel()
	for {
		if c, err = l.count(ctx, name); err == nil {
			err = settled(name, c)
		}
		if err == nil || sleep(ctx, countEvery) != nil {
			return c, err
		}
	}
}

// leaks compares a census with that of the start.
func (c census) leaks(before census) (found []string) {
	if c.goroutines > before.goroutines+slack {
		found = append(found, fmt.Sprintf("goroutines: %d beside those of pumps, %d at the start", c.goroutines, before.goroutines))
	}
	if c.files > before.files+slack {
		found = append(found, fmt.Sprintf("open files: %d, %d at the start", c.files, before.files))
	}
	for _, line := range c.kernel {
		if !slices.Contains(before.kernel, line) {
			found = append(found, "in the kernel, and not at the start: "+line)
		}
	}
	for _, line := range before.kernel {
		if !slices.Contains(c.kernel, line) {
			found = append(found, "in the kernel at the start, and not now: "+line)
		}
	}
	found = append(found, c.excess...)
	return append(found, c.left...)
}

// remains looks for what a lab that was taken down has left on the machine.
func remains(id, dir string) (found []string) {
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		found = append(found, "the folder "+dir)
	}
	names, err := filepath.Glob("/run/netns/*" + id + "*")
	if err != nil {
		panic(err) // the pattern is ours
	}
	for _, n := range names {
		found = append(found, "the namespace "+filepath.Base(n))
	}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range commands {
		if command, err := os.ReadFile(file); err == nil && bytes.Contains(command, []byte(dir+"/")) {
			found = append(found, fmt.Sprintf("process %s", bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// tunnels asks a running node for its links.
func (p program) tunnels(ctx context.Context, dir string) ([]monitor.Tunnel, error) {
	var answer monitor.Tunnels
	err := monitor.NewClient(p.socket(dir)).Get(ctx, "tunnels", &answer)
	return answer.Tunnels, err
}
