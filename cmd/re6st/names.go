package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"

	"re6st/actors/monitor"
	"re6st/protocols/addr"
	"re6st/protocols/names"
)

// hostsFile is read from the node's folder where --hosts names no other.
const hostsFile = "hosts"

// labels are the names that nodes are shown by, of the file hosts.
type labels struct {
	table *names.Table
	ids   map[string]string // id to name
}

// labels reads the file, and asks the node who those are that it names. JSON has
// ids.
func (f *nodeFlags) labels(ctx context.Context) (*labels, error) {
	table, err := f.table()
	if err != nil {
		return nil, err
	}
	l := &labels{table: table, ids: map[string]string{}}
	if table.Len() == 0 || f.json {
		return l, nil
	}
	table.IDs(func(id addr.NodeID, name string) { l.ids[id.String()] = name })
	return l, l.learn(ctx, f.client())
}

// table is the file's, or nil where none is named and none is there to be read.
func (f *nodeFlags) table() (*names.Table, error) {
	file := f.hosts
	if file == "" {
		file = filepath.Join(f.dir, hostsFile)
	}
	text, err := os.ReadFile(file)
	if f.hosts == "" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	table, err := names.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return table, nil
}

// learn takes the nodes that are known to the one asked, of whatever sort.
func (l *labels) learn(ctx context.Context, c *monitor.Client) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var self monitor.Status
	var peers monitor.Peers
	var tunnels monitor.Tunnels
	var routes monitor.Routes
	for call, into := range map[string]any{"status": &self, "peers": &peers, "tunnels": &tunnels, "routes": &routes} {
		if err := c.Get(ctx, call, into); err != nil {
			return err
		}
	}
	l.note(self.Network, self.Node, self.Prefix)
	for _, r := range routes.Routes {
		if p, ok := addr.BitsIn(self.Network, r.Prefix.Addr(), r.Prefix.Bits()-self.Network.Bits()); ok {
			l.note(self.Network, r.Egress, p)
		}
	}
	for _, t := range tunnels.Tunnels {
		l.note(self.Network, t.Node, t.Prefix)
	}
	for _, p := range peers.Peers {
		l.note(self.Network, p.Node, p.Prefix)
	}
	return nil
}

// note names a node, if the file does.
func (l *labels) note(network netip.Prefix, id addr.NodeID, prefix addr.Bits) {
	address, err := addr.Address(network, prefix)
	if err != nil {
		return // of no network that this is
	}
	if name, ok := l.table.Name(id, prefix, address); ok {
		l.ids[id.String()] = name
	}
}

var nodeID = regexp.MustCompile(`\b[0-9a-f]{16}\b`)

// in is a text with names in the place of ids.
func (l *labels) in(text string) string {
	if len(l.ids) == 0 {
		return text
	}
	return nodeID.ReplaceAllStringFunc(text, func(id string) string {
		if name, ok := l.ids[id]; ok {
			return name
		}
		return id
	})
}

// whole is an id that is shown beside its name.
type whole addr.NodeID

func (id whole) String() string { return addr.NodeID(id).String() }

// rows have names in the place of ids.
func (l *labels) rows(rows [][]any) [][]any {
	if len(l.ids) == 0 {
		return rows
	}
	for _, row := range rows {
		for i, cell := range row {
			id, both := cell.(whole)
			switch name := l.ids[id.String()]; {
			case both && name != "":
				row[i] = fmt.Sprintf("%s (%s)", name, id)
			case !isNumber(cell):
				row[i] = l.in(fmt.Sprint(cell))
			}
		}
	}
	return rows
}

// dest is what the node is to be asked for where the user said word: a name stands
// for its node.
func (f *nodeFlags) dest(word string) (string, error) {
	table, err := f.table()
	if err != nil {
		return "", err
	}
	if n, ok := table.Node(word); ok {
		return n.String(), nil
	}
	return word, nil
}
