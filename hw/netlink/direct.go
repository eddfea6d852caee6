package netlink

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	vnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// directPriority is in front of all rules that lead to the main table.
const directPriority = rulePriority - 1

// directTables and a protocol number make the number of a table.
const directTables = 0x71000000

// DirectTable is the table of a Direct with that protocol number.
func DirectTable(protocol uint8) uint32 { return directTables + uint32(protocol) }

// Direct has what this node's own prefix sends into the mesh looked up in a table of its own
// before the main one: ways to other nodes that lead past the TUN.
//
//	rule 1: iif lo    to NETWORK  lookup TABLE   what this machine sends itself
//	rule 2: from OWN  to NETWORK  lookup TABLE   what lies behind it, in its prefix
//
// What comes out of the TUN, or from behind this machine with another source, is not looked
// up there. The routes of TABLE are their makers'; where none fits the main table is next.
// The rules carry the protocol number, as those of a Bypass do, and stand in front of them.
// Not for concurrent use.
type Direct struct {
	conn         *Conn
	protocol     uint8
	own, network netip.Prefix
}

// NewDirect is for packets from the prefix own to the network, both IPv6. It changes
// nothing yet.
func NewDirect(conn *Conn, protocol uint8, own, network netip.Prefix) (*Direct, error) {
	for _, p := range []netip.Prefix{own, network} {
		if !p.IsValid() || !p.Addr().Is6() || p.Addr().Is4In6() || p != p.Masked() {
			return nil, fmt.Errorf("%w: %v: an IPv6 prefix without host bits is needed", ErrRoute, p)
		}
	}
	return &Direct{conn, protocol, own, network}, nil
}

// direct is one of the rules. Comparable.
type direct struct {
	input    string
	from, to netip.Prefix
}

// Sync makes the rules, or where they are not wanted takes them away, such as those of a
// crashed run. Where all is so nothing is touched.
func (d *Direct) Sync(wanted bool) error {
	var want []direct
	if wanted {
		want = []direct{{input: "lo", to: d.network}, {from: d.own, to: d.network}}
	}
	held, err := d.rules()
	if err != nil || slices.Equal(held, want) {
		return err
	}
	for _, r := range held {
		if err := d.conn.handle.RuleDel(d.kernels(r)); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("netlink: remove rule of the direct ways: %w", err)
		}
	}
	for _, r := range want {
		if err := d.conn.handle.RuleAdd(d.kernels(r)); err != nil {
			return fmt.Errorf("netlink: add rule of the direct ways: %w", err)
		}
	}
	return nil
}

// rules are those that are there.
func (d *Direct) rules() (held []direct, err error) {
	list, err := dump(func() ([]vnl.Rule, error) { return d.conn.handle.RuleList(unix.AF_INET6) })
	if err != nil {
		return nil, fmt.Errorf("netlink: list rules: %w", err)
	}
	for _, r := range list {
		if r.Protocol == d.protocol && r.Priority == directPriority {
			held = append(held, direct{r.IifName, prefixOf(r.Src), prefixOf(r.Dst)})
		}
	}
	return held, nil
}

func (d *Direct) kernels(r direct) *vnl.Rule {
	k := vnl.NewRule()
	k.Family, k.Priority, k.Protocol, k.Table = unix.AF_INET6, directPriority, d.protocol, int(DirectTable(d.protocol))
	k.IifName, k.Src, k.Dst = r.input, selector(r.from), selector(r.to)
	return k
}

// selector is nil for no prefix, prefixOf turns it round.
func selector(p netip.Prefix) *net.IPNet {
	if !p.IsValid() {
		return nil
	}
	return ipNet(p)
}

func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a, bits)
}
