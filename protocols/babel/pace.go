package babel

import (
	"cmp"
	"slices"
	"time"
)

// allowance is how many updates an interface may be sent now: no more than its
// neighbors take, and have time for.
func (i *iface) allowance(now time.Time) int {
	most := float64(i.burst())
	if i.creditAt.IsZero() {
		i.credit = most
	} else if d := now.Sub(i.creditAt); d > 0 {
		i.credit = min(most, i.credit+d.Seconds()*UpdateRate)
	}
	i.creditAt = now
	return int(i.credit)
}

func (i *iface) burst() int {
	if i.acknowledges() {
		return UpdateBurst
	}
	return UpdateBurstUnheard
}

// fewestFirst orders destinations: first those that came by the interfaces by which the
// fewest of them came. A neighbor that floods makes its own routes wait, and those of no
// other.
func (r *Router) fewestFirst(ids []uint32) {
	type way struct {
		own bool
		by  InterfaceID // or by which a route came that is retracted
	}
	var crowds [][]uint32
	places := map[way]int{}
	for _, id := range ids {
		t := &r.destinations[id].told
		at, ok := places[way{t.own, t.by}]
		if !ok {
			at = len(crowds)
			places[way{t.own, t.by}] = at
			crowds = append(crowds, nil)
		}
		crowds[at] = append(crowds[at], id)
	}
	slices.SortStableFunc(crowds, func(a, b []uint32) int { return cmp.Compare(len(a), len(b)) })
	for _, c := range crowds {
		ids = ids[copy(ids, c):]
	}
}

// dump begins a full update (section 3.7.1), and schedules the next one: update by update
// where that makes them acknowledged. Else it goes out as the allowance has it; one that has
// not come to its end is not begun again.
func (r *Router) dump(now time.Time, i *iface) {
	i.updateAt = now.Add(r.jitter(i.updateInterval()))
	if len(i.neighbors) == 0 || len(i.dumping) > 0 {
		return
	}
	i.dumpedAt = now
	if i.acknowledges() {
		i.acked = false
		for _, d := range r.destinations {
			if d != nil && (d.originated || d.selected != nobody) {
				r.trigger(i, d, now, 1)
			}
		}
		return
	}
	for id, d := range r.destinations {
		if d != nil && d.known() {
			i.dumping = append(i.dumping, uint32(id))
		}
	}
	if len(i.dumping) > i.allowance(now) {
		r.fewestFirst(i.dumping)
	}
}

// nextOfDump is the next part of a full update, of n destinations at most.
func (r *Router) nextOfDump(i *iface, n int) []uint32 {
	n = min(max(n, 0), len(i.dumping))
	part := i.dumping[:n]
	if i.dumping = i.dumping[n:]; len(i.dumping) == 0 {
		i.dumping = nil
	}
	part = slices.DeleteFunc(part, func(id uint32) bool { return r.destinations[id] == nil })
	slices.SortFunc(part, r.byOrigin)
	return part
}
