package names

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"re6st/protocols/addr"
)

// Limits of a file.
const (
	MaxNames   = 65536
	MaxNameLen = 63 // RFC 1035 section 2.3.4
)

// ErrLine is wrapped by every error of Parse, which tells the line.
var ErrLine = errors.New("bad line")

// Node is one way to say a node: exactly one field is set.
type Node struct {
	ID      addr.NodeID
	Prefix  addr.Bits
	Address netip.Addr
}

// ParseNode reads an id, a prefix such as 5/16, or an IPv6 address.
func ParseNode(s string) (Node, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Is6() && !a.Is4In6() && a.Zone() == "" {
		return Node{Address: a}, nil
	}
	if p, err := addr.ParseCN(s); err == nil && p.Len() > 0 {
		return Node{Prefix: p}, nil
	}
	if id, err := addr.ParseNodeID(s); err == nil {
		return Node{ID: id}, nil
	}
	return Node{}, fmt.Errorf("%q is neither a prefix such as 5/16 nor an IPv6 address nor a node id of 16 hexadecimal digits", s)
}

// String is the node as ParseNode reads it.
func (n Node) String() string {
	switch {
	case n.Address.IsValid():
		return n.Address.String()
	case n.Prefix.Len() > 0:
		return n.Prefix.CN()
	}
	return n.ID.String()
}

// Table holds the names of a file. The nil Table has none.
type Table struct {
	names map[Node]string
	nodes map[string]Node
}

// Len is the number of names.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return len(t.names)
}

// Name is a node's name: by its id, else by its prefix, else by its address; any
// of them may be zero.
func (t *Table) Name(id addr.NodeID, prefix addr.Bits, address netip.Addr) (string, bool) {
	if t == nil {
		return "", false
	}
	for _, n := range []Node{{ID: id}, {Prefix: prefix}, {Address: address}} {
		if name, ok := t.names[n]; ok {
			return name, true
		}
	}
	return "", false
}

// Node is the one that has a name.
func (t *Table) Node(name string) (Node, bool) {
	if t == nil {
		return Node{}, false
	}
	n, ok := t.nodes[name]
	return n, ok
}

// IDs calls yield for the nodes that are named by their id, in no order.
func (t *Table) IDs(yield func(addr.NodeID, string)) {
	if t == nil {
		return
	}
	for n, name := range t.names {
		if !n.ID.IsZero() {
			yield(n.ID, name)
		}
	}
}

// Parse reads a file; see the package for what it looks like. It fails with ErrLine.
func Parse(text string) (*Table, error) {
	t := &Table{names: map[Node]string{}, nodes: map[string]Node{}}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := t.add(words); err != nil {
			return nil, fmt.Errorf("line %d: %w: %w", number, ErrLine, err)
		}
	}
	return t, nil
}

func (t *Table) add(words []string) error {
	if len(words) != 2 {
		return fmt.Errorf("%d words; write a node and its name, such as: 5/16 gateway", len(words))
	}
	n, err := ParseNode(words[0])
	if err != nil {
		return err
	}
	name := words[1]
	if err := checkName(name); err != nil {
		return err
	}
	if old, ok := t.names[n]; ok {
		return fmt.Errorf("%s has the name %s already", n, old)
	}
	if old, ok := t.nodes[name]; ok {
		return fmt.Errorf("%s is the name of %s already", name, old)
	}
	if len(t.names) >= MaxNames {
		return fmt.Errorf("more than %d names", MaxNames)
	}
	t.names[n], t.nodes[name] = name, n
	return nil
}

func checkName(name string) error {
	if len(name) > MaxNameLen {
		return fmt.Errorf("the name has %d characters, at most %d", len(name), MaxNameLen)
	}
	for i, r := range name {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		if !letter && (i == 0 || r != '-' && r != '_' && r != '.') {
			return fmt.Errorf("name %q: it has letters, digits, '-', '_' and '.', and begins with a letter or a digit", name)
		}
	}
	if _, err := ParseNode(name); err == nil {
		return fmt.Errorf("name %q could be taken for a node", name)
	}
	return nil
}
