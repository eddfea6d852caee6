package rib

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"re6st/protocols/addr"
)

// MaxRoutes bounds the keys of a table.
const MaxRoutes = 65536

// Table holds what every origin offers. It has a single owner and no locks.
type Table struct {
	offers map[Key][]Route // best first, at most one of each origin
	view   *View
}

// NewTable is an empty table of a network. locators is the range whose /128s
// are nodes (addr.LocatorRange); the zero Prefix where there is no fabric.
func NewTable(locators netip.Prefix) *Table {
	return &Table{
		offers: map[Key][]Route{},
		view:   &View{locators: locators, relays: new(relayMap)},
	}
}

// View is the table as it is now.
func (t *Table) View() *View { return t.view }

// Offer puts r in place of what origin offered for r's key before; r's own
// Origin is overwritten, and so is Since. The change is of the best route; false
// where that stays as it is. A full table takes no new key: ErrFull.
func (t *Table) Offer(now time.Time, origin Origin, r Route) (Change, bool, error) {
	r, err := r.normalize()
	if err != nil {
		return Change{}, false, err
	}
	r.Origin, r.Since = origin, now
	k := r.Key()
	offers := t.offers[k]
	if offers == nil && len(t.offers) >= MaxRoutes {
		return Change{}, false, fmt.Errorf("%w: no place for %s, at most %d prefixes", ErrFull, k, MaxRoutes)
	}
	offers = slices.DeleteFunc(offers, func(o Route) bool {
		if o.Origin == origin && o.sameWay(r) {
			r.Since = o.Since
		}
		return o.Origin == origin
	})
	i, _ := slices.BinarySearchFunc(offers, r, preference)
	t.offers[k] = slices.Insert(offers, i, r)
	c, changed := t.publish(k)
	return c, changed, nil
}

// Withdraw takes back what origin offered for k.
func (t *Table) Withdraw(origin Origin, k Key) (Change, bool) {
	left := slices.DeleteFunc(t.offers[k], func(o Route) bool { return o.Origin == origin })
	if len(left) == 0 {
		delete(t.offers, k)
	} else {
		t.offers[k] = left
	}
	return t.publish(k)
}

// WithdrawAll takes back all that origin offered. Changes are sorted by Key.
func (t *Table) WithdrawAll(origin Origin) []Change {
	var keys []Key
	for k, offers := range t.offers {
		if slices.ContainsFunc(offers, func(o Route) bool { return o.Origin == origin }) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, Key.Compare)
	var changes []Change
	for _, k := range keys {
		if c, ok := t.Withdraw(origin, k); ok {
			changes = append(changes, c)
		}
	}
	return changes
}

// preference orders the offers of one key: what leads somewhere first, then
// origin, then metric.
func preference(a, b Route) int {
	if a.Unreachable != b.Unreachable {
		if a.Unreachable {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Metric, b.Metric))
}

// publish makes a new view if the best route of k changed.
func (t *Table) publish(k Key) (Change, bool) {
	c := Change{Key: k}
	if offers := t.offers[k]; len(offers) > 0 {
		c.New = offers[0]
	}
	c.Old, _ = t.view.Get(k)
	if c.Old.equal(c.New) {
		return Change{}, false
	}
	next := *t.view
	trie := next.trie(k.Topology)
	routes := slices.Clone(trie.get(k.Prefix))
	routes = slices.DeleteFunc(routes, func(r Route) bool { return r.Source == k.Source })
	if !c.Removed() {
		i, _ := slices.BinarySearchFunc(routes, c.New, bySourceLength)
		routes = slices.Insert(routes, i, c.New)
	}
	switch {
	case c.Added():
		next.count++
	case c.Removed():
		next.count--
	}
	next.tries = replaceTrie(next.tries, trie.set(k.Prefix, routes))
	if egress, ok := locatorOf(next.locators, k); ok {
		next.relays = next.relays.set(relay{egress, k.Topology, c.New.NextHop.Link})
	}
	t.view = &next
	return c, true
}

// bySourceLength orders the routes of one destination, longest source first.
func bySourceLength(a, b Route) int {
	return cmp.Or(cmp.Compare(b.Source.Bits(), a.Source.Bits()), a.Source.Addr().Compare(b.Source.Addr()))
}

// replaceTrie is tries with t in the place of its topology.
func replaceTrie(tries []topologyTrie, t topologyTrie) []topologyTrie {
	tries = slices.Clone(tries)
	i, ok := slices.BinarySearchFunc(tries, t, func(a, b topologyTrie) int { return cmp.Compare(a.topology, b.topology) })
	switch {
	case ok && t.v4 == nil && t.v6 == nil:
		return slices.Delete(tries, i, i+1)
	case ok:
		tries[i] = t
		return tries
	}
	return slices.Insert(tries, i, t)
}

// locatorOf is the node whose locator k is a route to.
func locatorOf(locators netip.Prefix, k Key) (addr.NodeID, bool) {
	if k.Prefix.Bits() != 128 || k.Source.IsValid() {
		return addr.NodeID{}, false
	}
	return addr.NodeIDFromLocator(locators, k.Prefix.Addr())
}
