package netlink

import (
	"errors"
	"fmt"
	"slices"

	vnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// rulePriority is right in front of the rule that looks up the main table (32766).
// The rules of one priority are asked in the order in which they were added.
const rulePriority = 32765

// rule has the packets with a mark, or those that came by a link, looked up in a table; an
// answer that leads out by a link of the group not to be asked counts for none. Comparable.
type rule struct {
	mark    uint32 // 0: any
	table   uint32
	without uint32 // link group; 0: none
	input   string // name of a link; "": any
	special bool   // an answer of a default route counts for none too
}

func (r rule) String() string {
	if r.input != "" {
		return "what comes by " + r.input
	}
	return fmt.Sprintf("mark %#x", r.mark)
}

// InputTable is a table in which what comes by a link is looked up before the main one.
type InputTable struct {
	Link  string
	Table uint32
}

// SetInputTables makes the kernel hold exactly these, in this order, for both families, among
// the rules with that protocol number.
func (c *Conn) SetInputTables(protocol uint8, want []InputTable) error {
	var rules []rule
	for _, w := range want {
		rules = append(rules, rule{input: w.Link, table: w.Table})
	}
	return c.setRules(protocol, rules)
}

var ruleFamilies = []int{unix.AF_INET, unix.AF_INET6}

// setRules makes the kernel hold exactly these rules, in this order, among those with
// that protocol number; the same for both families. Where they are there nothing is
// touched.
func (c *Conn) setRules(protocol uint8, want []rule) error {
	for _, family := range ruleFamilies {
		held, err := c.rules(family, protocol)
		if err != nil {
			return err
		}
		if slices.Equal(held, want) {
			continue
		}
		for _, r := range held {
			if err := c.handle.RuleDel(r.kernels(family, protocol)); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("netlink: remove rule for %v: %w", r, err)
			}
		}
		for _, r := range want {
			if err := c.handle.RuleAdd(r.kernels(family, protocol)); err != nil {
				return fmt.Errorf("netlink: add rule for %v: %w", r, err)
			}
		}
	}
	return nil
}

// rules are those with that protocol number, in the order in which they are asked.
func (c *Conn) rules(family int, protocol uint8) ([]rule, error) {
	list, err := dump(func() ([]vnl.Rule, error) { return c.handle.RuleList(family) })
	if err != nil {
		return nil, fmt.Errorf("netlink: list rules: %w", err)
	}
	var ours []rule
	for _, r := range list {
		if r.Protocol == protocol && r.Priority == rulePriority {
			ours = append(ours, rule{r.Mark, uint32(r.Table), uint32(max(r.SuppressIfgroup, 0)), r.IifName, r.SuppressPrefixlen == 0})
		}
	}
	return ours, nil
}

func (r rule) kernels(family int, protocol uint8) *vnl.Rule {
	k := vnl.NewRule()
	k.Family, k.Priority, k.Protocol = family, rulePriority, protocol
	k.Mark, k.Table, k.IifName = r.mark, int(r.table), r.input
	if r.without != 0 {
		k.SuppressIfgroup = int(r.without)
	}
	if r.special {
		k.SuppressPrefixlen = 0
	}
	return k
}
