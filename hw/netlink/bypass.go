package netlink

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
)

// MeshGroup is the group (IFLA_GROUP) of the TUNs of all meshes on this host: no
// Bypass leads into any of them, or two meshes could carry each other in a circle.
const MeshGroup = 7326

// TunnelGroup is the group of the kernel's tunnels below sealed links, which a Bypass leads
// into: what goes there is sealed already, and they go by no other mesh.
const TunnelGroup = MeshGroup + 1

// Bypass keeps packets that bear a mark off the TUNs of meshes, whatever routes lead
// into them: those are the packets that carry a mesh.
//
//	rule 1: fwmark MARK  lookup main, unless that leads out by a link of MeshGroup
//	rule 2: fwmark MARK  lookup TABLE: the default routes of main that lead elsewhere,
//	                     and "unreachable" behind them
//
// Both stand right in front of the lookup of main, behind all rules of the host's
// administrator, and carry the protocol number, as the routes of TABLE do: so what a
// crashed run left is found, and nobody else's is touched. The copies of the default
// routes are as new as the last Sync. Not for concurrent use.
//
// With UseHostRoutes two more come first, by which those of HostRoutes stand before the
// default routes of main and behind its other ones:
//
//	rule: fwmark MARK  lookup main, unless by a default route or a link of MeshGroup
//	rule: fwmark MARK  lookup the table of HostRoutes
type Bypass struct {
	conn     *Conn
	mark     uint32
	table    *Table
	hosts    uint32 // number of the table of HostRoutes
	used     bool   // that one
	swept    bool   // of what a crashed run left in it
	protocol uint8
}

// NewBypass is for packets with that mark, which is the number of TABLE too. It
// changes nothing yet.
func NewBypass(conn *Conn, mark uint32, protocol uint8) (*Bypass, error) {
	if mark == 0 || mark > math.MaxInt32 {
		return nil, fmt.Errorf("netlink: mark %#x: from 1 to %#x are possible", mark, math.MaxInt32)
	}
	table, err := NewTable(conn, mark, protocol)
	if err != nil {
		return nil, err
	}
	return &Bypass{conn: conn, mark: mark, table: table, hosts: HostTable(mark), protocol: protocol}, nil
}

// UseHostRoutes has the next Sync make the rules for HostRoutes of the same mark, or take them
// away.
func (b *Bypass) UseHostRoutes(on bool) { b.used = on }

// Sync makes the rules, and follows the default routes of the main table.
func (b *Bypass) Sync() error {
	defaults, err := b.defaults()
	if err != nil {
		return err
	}
	if _, err := b.table.Reconcile(defaults); err != nil {
		return err
	}
	if !b.swept {
		if err := b.sweep(); err != nil {
			return err
		}
	}
	rules := []rule{{mark: b.mark, table: MainTable, without: MeshGroup}, {mark: b.mark, table: b.mark}}
	if b.used {
		rules = append([]rule{{mark: b.mark, table: MainTable, without: MeshGroup, special: true}, {mark: b.mark, table: b.hosts}}, rules...)
	}
	return b.conn.setRules(b.protocol, rules)
}

// sweep takes all HostRoutes away.
func (b *Bypass) sweep() error {
	hosts, err := NewTable(b.conn, b.hosts, b.protocol)
	if err != nil {
		return err
	}
	_, err = hosts.Reconcile(nil)
	b.swept = err == nil
	return err
}

// Close takes rules and routes away, and what is left of HostRoutes.
func (b *Bypass) Close() error {
	err := b.conn.setRules(b.protocol, nil)
	_, left := b.table.Reconcile(nil)
	return errors.Join(err, left, b.sweep())
}

// defaults are what TABLE is to hold.
func (b *Bypass) defaults() ([]Route, error) {
	links, err := b.conn.Links()
	if err != nil {
		return nil, err
	}
	outside := map[int]bool{}
	for _, l := range links {
		outside[l.Index] = l.Group != MeshGroup
	}
	routes, err := b.conn.defaults()
	if err != nil {
		return nil, err
	}
	var defaults []Route
	for _, r := range routes {
		if outside[r.Link] {
			defaults = append(defaults, r)
		}
	}
	for _, all := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		defaults = append(defaults, Route{Dst: netip.PrefixFrom(all, 0), Metric: math.MaxUint32, Kind: Unreachable})
	}
	return defaults, nil
}
