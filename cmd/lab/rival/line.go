package rival

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"re6st/hw/netns"
	"re6st/hw/process"
)

// overlay are the addresses inside a tunnel: a ULA (RFC 4193) whose bits spell re6st.
var overlay = netip.MustParsePrefix("fd72:6536:7374:fffd::/64")

// inside is that of node i, counted from 0.
func inside(i int) netip.Prefix { return nth(overlay, i, overlay.Bits()) }

// Wire are the addresses of a link's ends: the one nearer to the first namespace, and the other.
type Wire struct{ Up, Down netip.Addr }

// LineConfig says what line to make.
type LineConfig struct {
	Tunnel   Tunnel
	Spaces   []*netns.NS // joined in their order; the caller's
	Wires    []Wire      // from each to the next
	Dir      string      // for configurations and logs; there, and empty
	Programs string      // folder of those that Debian has not
}

// Line is a tunnel along namespaces. Not safe for concurrent use.
type Line struct {
	cfg     LineConfig
	driver  driver
	running *programs
}

// driver knows one tunnel.
type driver interface {
	// programs writes what the programs of node i read, and returns these.
	programs(l *Line, i int) ([]process.Spec, error)
	// configure is told once the programs of all nodes run.
	configure(ctx context.Context, l *Line, i int) error
	// target is the address of the last node.
	target(l *Line) netip.Addr
}

// OpenLine checks what is needed.
func OpenLine(cfg LineConfig) (*Line, error) {
	if err := cfg.Tunnel.Check(cfg.Programs, len(cfg.Wires)); err != nil {
		return nil, err
	}
	return &Line{cfg: cfg, driver: recipes[cfg.Tunnel].driver(), running: newPrograms(string(cfg.Tunnel), cfg.Dir)}, nil
}

func (l *Line) last() int { return len(l.cfg.Spaces) - 1 }

// program is where a tunnel's own program lies.
func (l *Line) program(name string) string { return filepath.Join(l.cfg.Programs, name) }

// file writes a file of node i.
func (l *Line) file(i int, name, text string) (path string, err error) {
	return l.running.file(nodeOf(i), name, text)
}

func (l *Line) dir(i int) string { return l.running.folder(nodeOf(i)) }

// nodeOf is the name of node i.
func nodeOf(i int) string { return fmt.Sprint(i + 1) }

// Start returns when an echo has come back from one end to the other.
func (l *Line) Start(ctx context.Context) error {
	for i, ns := range l.cfg.Spaces {
		if err := ns.Sysctl("net/ipv6/conf/all/forwarding", "1"); err != nil {
			return err
		}
		specs, err := l.driver.programs(l, i)
		if err != nil {
			return err
		}
		if err := l.running.start(nodeOf(i), ns, specs...); err != nil {
			return err
		}
	}
	for i := range l.cfg.Spaces {
		if err := l.driver.configure(ctx, l, i); err != nil {
			return fmt.Errorf("rival: %s, node %d: %w", l.cfg.Tunnel, i+1, err)
		}
	}
	for {
		err := l.run(ctx, 0, "ping", "-6", "-n", "-c", "1", "-W", "1", l.Target().String())
		if err == nil {
			return nil
		}
		if dead := l.running.dead(); dead != "" {
			return errors.New("rival: " + dead)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("rival: %s: no echo from one end to the other: %w; %s", l.cfg.Tunnel, err, l.running.said(nodeOf(0)))
		}
	}
}

// run runs a command in the namespace of node i.
func (l *Line) run(ctx context.Context, i int, name string, args ...string) error {
	return l.cfg.Spaces[i].Do(func() error {
		out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
		return nil
	})
}

// address gives a device of node i, which may still have to come, an address, and sets it up.
func (l *Line) address(ctx context.Context, i int, device string, a netip.Prefix) error {
	if err := l.wait(ctx, func() error { return l.run(ctx, i, "ip", "link", "show", "dev", device) }); err != nil {
		return err
	}
	return errors.Join(l.run(ctx, i, "ip", "-6", "addr", "add", a.String(), "dev", device, "nodad"), l.run(ctx, i, "ip", "link", "set", "dev", device, "up"))
}

// poll is between two looks at what has to come.
const poll = 50 * time.Millisecond

// wait looks until there is no error.
func (l *Line) wait(ctx context.Context, look func() error) error {
	for {
		err := look()
		if err == nil {
			return nil
		}
		if dead := l.running.dead(); dead != "" {
			return errors.New(dead)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(poll):
		}
	}
}

// Target is the address of the last node inside the tunnel.
func (l *Line) Target() netip.Addr { return l.driver.target(l) }

// Pids are the programs of each namespace, in their order.
func (l *Line) Pids() (all [][]int) {
	for _, node := range l.running.started {
		all = append(all, l.running.pids(node))
	}
	return all
}

// Close ends the programs.
func (l *Line) Close() {
	l.running.close()
	if d, ok := l.driver.(interface{ clean() }); ok {
		d.clean()
	}
}
