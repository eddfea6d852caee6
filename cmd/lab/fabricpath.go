package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"re6st/cmd/lab/rival"
	"re6st/hw/netns"
)

// carrier is one way to carry packets along a line of namespaces that veths join, as the
// fabric benchmark sees it. Links are what is between the first namespace and the last.
type carrier interface {
	// start returns when packets of the first namespace reach the last.
	start(ctx context.Context) error
	// ends are the first namespace, the last, and the address of the last to send to.
	ends() (from, to *netns.NS, target netip.Addr)
	// pids are the processes that carry packets, of each node in the order of the line; none
	// of the kernel.
	pids() [][]int
	close() error
}

// maxLine is how many links a line may have.
const maxLine = 8

// wireName is the end, in one namespace of a line, of the link to the next or the last.
const (
	wireUp   = "up"
	wireDown = "down"
)

// wires are the addresses of the links: a ULA (RFC 4193) whose bits spell re6st.
var wires = netip.MustParsePrefix("fd72:6536:7374:fffe::/64")

// wireAddress is that of an end of link i: 1 or 2.
func wireAddress(i, end int) netip.Prefix {
	a := wires.Addr().As16()
	a[9], a[15] = byte(i), byte(end)
	return netip.PrefixFrom(netip.AddrFrom16(a), 80)
}

// wire joins namespaces to a line.
func wire(line []*netns.NS) error {
	for i, a := range line[:len(line)-1] {
		b := line[i+1]
		if err := netns.Veth(a, wireUp, b, wireDown); err != nil {
			return err
		}
		for _, end := range []struct {
			ns   *netns.NS
			name string
			host int
		}{{a, wireUp, 1}, {b, wireDown, 2}} {
			if err := end.ns.Sysctl("net/ipv6/conf/"+end.name+"/accept_dad", "0"); err != nil {
				return err
			}
			conn, err := end.ns.Netlink()
			if err != nil {
				return err
			}
			err = conn.SetAddress(end.name, wireAddress(i, end.host), false)
			conn.Close()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// plainPath is the kernel alone, with a router between two links.
type plainPath struct {
	group *netns.Group
	line  []*netns.NS
}

func newPlainPath(links int, labs string) (carrier, error) {
	group, line, err := newLine(links, labs)
	return &plainPath{group, line}, err
}

// newLine makes namespaces that forward, and wires them.
func newLine(links int, labs string) (group *netns.Group, line []*netns.NS, err error) {
	if group, err = netns.NewGroup(rivals(labs)); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, group.Close())
		}
	}()
	for i := range links + 1 {
		ns, err := group.Create(nodeName(i))
		if err != nil {
			return nil, nil, err
		}
		if err := ns.Sysctl("net/ipv6/conf/all/forwarding", "1"); err != nil {
			return nil, nil, err
		}
		line = append(line, ns)
	}
	return group, line, wire(line)
}

// start gives the routes: all that is not a neighbor's lies up or down the line.
func (p *plainPath) start(ctx context.Context) error {
	for i, ns := range p.line {
		for link := range len(p.line) - 1 {
			var via, dev string
			switch {
			case link > i:
				via, dev = wireAddress(i, 2).Addr().String(), wireUp
			case link < i-1:
				via, dev = wireAddress(i-1, 1).Addr().String(), wireDown
			default:
				continue
			}
			if err := ip(ctx, ns, "-6", "route", "add", wireAddress(link, 0).Masked().String(), "via", via, "dev", dev); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *plainPath) ends() (from, to *netns.NS, target netip.Addr) {
	last := len(p.line) - 1
	return p.line[0], p.line[last], wireAddress(last-1, 2).Addr()
}

func (p *plainPath) pids() [][]int { return nil }
func (p *plainPath) close() error  { return p.group.Close() }

// fabricPath is re6st: a lab in which neighbors meet on veths of their own, and the router
// of the underlay leads to the registry only.
type fabricPath struct{ lab *Lab }

func newFabricPath(ctx context.Context, links int, o Options) (_ carrier, err error) {
	o.Topology, o.Nodes = Line, links+1
	l, err := Open(ctx, o)
	if err != nil {
		return nil, err
	}
	f := &fabricPath{l}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	for _, e := range l.edges {
		if err := l.changeRules(ctx, l.under.rules.cut(e, Reject)); err != nil {
			return nil, err
		}
	}
	var line []*netns.NS
	for _, name := range l.names {
		line = append(line, l.members[name].ns)
	}
	return f, wire(line)
}

func (f *fabricPath) start(ctx context.Context) error {
	_, err := f.lab.Start(ctx)
	return err
}

func (f *fabricPath) ends() (from, to *netns.NS, target netip.Addr) {
	names := f.lab.names
	first, last := f.lab.members[names[0]], f.lab.members[names[len(names)-1]]
	states := f.lab.snapshot()
	return first.ns, last.ns, states[len(states)-1].who.addresses[generalClass]
}

// pids are in the order of the line.
func (f *fabricPath) pids() (all [][]int) {
	pid := map[string]int{}
	for _, s := range f.lab.snapshot() {
		pid[s.name] = s.pid
	}
	for _, name := range f.lab.names {
		all = append(all, []int{pid[name]})
	}
	return all
}

func (f *fabricPath) close() error { return f.lab.Close() }

// softIRQs are the kernel's threads that carry packets when it falls behind.
func softIRQs() (all []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil || !strings.HasPrefix(string(text), "ksoftirqd") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			all = append(all, pid)
		}
	}
	slices.Sort(all)
	return all
}

// tunnelPath is a tunnel of others.
type tunnelPath struct {
	group *netns.Group
	line  []*netns.NS
	*rival.Line
}

func newTunnelPath(t rival.Tunnel, links int, labs, programs string) (_ carrier, err error) {
	group, line, err := newLine(links, labs)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, group.Close())
		}
	}()
	dir := filepath.Join(group.Dir(), "tunnel")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	cfg := rival.LineConfig{Tunnel: t, Spaces: line, Dir: dir, Programs: programs}
	for i := range links {
		cfg.Wires = append(cfg.Wires, rival.Wire{Up: wireAddress(i, 1).Addr(), Down: wireAddress(i, 2).Addr()})
	}
	l, err := rival.OpenLine(cfg)
	return &tunnelPath{group, line, l}, err
}

func (t *tunnelPath) start(ctx context.Context) error { return t.Start(ctx) }
func (t *tunnelPath) pids() [][]int                   { return t.Pids() }

func (t *tunnelPath) ends() (from, to *netns.NS, target netip.Addr) {
	return t.line[0], t.line[len(t.line)-1], t.Target()
}

func (t *tunnelPath) close() error {
	t.Close()
	return t.group.Close()
}
