package rival

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"re6st/hw/netns"
	"re6st/hw/process"
)

// nth is address i of a range, counted from 0, of which the first is never used.
func nth(of netip.Prefix, i, bits int) netip.Prefix {
	b := of.Addr().As16()
	b[14], b[15] = byte((i+1)>>8), byte(i+1)
	return netip.PrefixFrom(netip.AddrFrom16(b), bits)
}

// programs are those that run in namespaces: each node has a folder, with a log. Not safe for
// concurrent use.
type programs struct {
	name    string // of what they are together
	dir     string
	spawner *process.Spawner
	started []string // nodes
	of      map[string][]*process.Child
}

func newPrograms(name, dir string) *programs {
	return &programs{name: name, dir: dir, spawner: process.NewSpawner(), of: map[string][]*process.Child{}}
}

func (p *programs) folder(node string) string { return filepath.Join(p.dir, node) }

// file writes a file of a node.
func (p *programs) file(node, name, text string) (path string, err error) {
	path = filepath.Join(p.folder(node), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("rival: %w", err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("rival: %w", err)
	}
	return path, nil
}

// start runs a node's programs in its namespace.
func (p *programs) start(node string, ns *netns.NS, specs ...process.Spec) error {
	path, err := p.file(node, "log", "")
	if err != nil {
		return err
	}
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("rival: %w", err)
	}
	defer log.Close()
	p.started = append(p.started, node)
	for _, spec := range specs {
		spec.NS, spec.Stdout, spec.Stderr = ns, log, log
		child, err := p.spawner.Start(spec)
		if err != nil {
			return err
		}
		p.of[node] = append(p.of[node], child)
	}
	return nil
}

// dead names a program that ended, with what it said last; "" where all run.
func (p *programs) dead() string {
	for _, node := range p.started {
		for _, c := range p.of[node] {
			select {
			case <-c.Done():
				return fmt.Sprintf("%s of node %s ended: %s", p.name, node, p.said(node))
			default:
			}
		}
	}
	return ""
}

// said is the end of what a node's programs wrote.
func (p *programs) said(node string) string {
	text, _ := os.ReadFile(filepath.Join(p.folder(node), "log")) // what there is of it
	return strings.TrimSpace(string(text[max(0, len(text)-500):]))
}

func (p *programs) pids(node string) (all []int) {
	for _, c := range p.of[node] {
		all = append(all, c.Pid())
	}
	return all
}

// close ends them.
func (p *programs) close() { p.spawner.Close() }
