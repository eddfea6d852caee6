package babel

import (
	"cmp"
	"slices"
	"time"

	"re6st/protocols/rib"
)

// allowance is how many updates an interface may be sent now: no more than its
// neighbors take, and have time for.
func (i *iface) allowance(now time.Time) int {
	if i.creditAt.IsZero() {
		i.credit = UpdateBurst
	} else if d := now.Sub(i.creditAt); d > 0 {
		i.credit = min(UpdateBurst, i.credit+d.Seconds()*UpdateRate)
	}
	i.creditAt = now
	return int(i.credit)
}

// fewestFirst sorts keys: first those that came by the interfaces by which the fewest
// of them came. A neighbor that floods makes its own routes wait, and those of no other.
func (r *Router) fewestFirst(i *iface, keys []rib.Key) {
	from := make(map[rib.Key]*iface, len(keys))
	crowd := map[*iface]int{}
	for _, key := range keys {
		by := r.cameBy(i, key)
		from[key] = by
		crowd[by]++
	}
	slices.SortStableFunc(keys, func(a, b rib.Key) int { return cmp.Compare(crowd[from[a]], crowd[from[b]]) })
}

// cameBy is the interface by which a route comes, or that of one that is retracted
// came; nil for this router's own.
func (r *Router) cameBy(i *iface, key rib.Key) *iface {
	if d := r.destinations[key]; d != nil && d.selected != nil {
		return d.selected.neighbor.iface
	}
	if p := i.pending[key]; p != nil {
		return p.from
	}
	return nil
}

// dump begins a full update (section 3.7.1), and schedules the next one. It goes out
// as the allowance has it; one that has not come to its end is not begun again.
func (r *Router) dump(now time.Time, i *iface) {
	i.updateAt = now.Add(r.jitter(i.updateInterval()))
	if len(i.neighbors) == 0 || len(i.dumping) > 0 {
		return
	}
	i.dumpedAt = now
	if i.flushAt = now; now.Before(i.rests) {
		i.flushAt = i.rests
	}
	for _, d := range r.sorted() {
		i.dumping = append(i.dumping, d.key)
	}
	if len(i.dumping) > i.allowance(now) {
		r.fewestFirst(i, i.dumping)
	}
}

// nextOfDump is the next part of a full update, of n keys at most.
func (i *iface) nextOfDump(n int) []rib.Key {
	n = min(max(n, 0), len(i.dumping))
	part := i.dumping[:n]
	if i.dumping = i.dumping[n:]; len(i.dumping) == 0 {
		i.dumping = nil
	}
	return part
}
