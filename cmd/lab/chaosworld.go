package lab

import (
	"maps"
	"slices"
	"time"
)

// underfoot is what of the underlay works: which nodes, and which edges. Chaos changes
// it, and it remembers every state with its time, so that afterwards it can tell when
// a pair had a path. Times are the prober's. Not for concurrent use.
type underfoot struct {
	names []string
	edges []Edge
	out   map[string]int // nodes, by the reasons that they cannot be reached for
	cut   map[Edge]int   // edges, by the reasons that nothing passes
	past  []terrain
}

// terrain says from when on which nodes were connected: those of one number were.
// A node that was out has none.
type terrain struct {
	from time.Duration
	part map[string]int
}

func newUnderfoot(names []string, edges []Edge, now time.Duration) *underfoot {
	u := &underfoot{names: names, edges: edges, out: map[string]int{}, cut: map[Edge]int{}}
	u.note(now)
	return u
}

// lose adds a reason for which a node is out; regain takes one away.
func (u *underfoot) lose(name string, now time.Duration)   { u.out[name]++; u.note(now) }
func (u *underfoot) regain(name string, now time.Duration) { u.out[name]--; u.note(now) }

// close adds a reason for which nothing passes an edge; open takes one away.
func (u *underfoot) close(e Edge, now time.Duration) { u.cut[e]++; u.note(now) }
func (u *underfoot) open(e Edge, now time.Duration)  { u.cut[e]--; u.note(now) }

// nodesOut and edgesCut count them.
func (u *underfoot) nodesOut() int { return positive(u.out) }
func (u *underfoot) edgesCut() int { return positive(u.cut) }

func positive[K comparable](reasons map[K]int) (n int) {
	for _, r := range reasons {
		if r > 0 {
			n++
		}
	}
	return n
}

// note remembers the state of now.
func (u *underfoot) note(now time.Duration) {
	var alive []string
	for _, name := range u.names {
		if u.out[name] == 0 {
			alive = append(alive, name)
		}
	}
	edges := slices.DeleteFunc(slices.Clone(u.edges), func(e Edge) bool { return u.cut[e] > 0 })
	t := terrain{now, parts(alive, edges)}
	if last := len(u.past) - 1; last >= 0 && maps.Equal(u.past[last].part, t.part) {
		return
	}
	u.past = append(u.past, t)
}

// had tells whether a pair had a path, and in which of the states from index on that
// was; the index of the state at that time comes back, to go on from.
func (u *underfoot) had(p Pair, at time.Duration, index int) (bool, int) {
	for index+1 < len(u.past) && u.past[index+1].from <= at {
		index++
	}
	part := u.past[index].part
	return part[p.From] != 0 && part[p.From] == part[p.To], index
}

// hadSince tells whether a pair has had a path since then without a break.
func (u *underfoot) hadSince(p Pair, since time.Duration) bool {
	path, state := u.had(p, since, 0)
	_, lost := u.lostBetween(p, state, len(u.past)-1)
	return path && !lost
}

// outage is a time in which a pair had a path, and no echo was answered.
type outage struct {
	pair     Pair
	from, to time.Duration
}

func (o outage) length() time.Duration { return o.to - o.from }

// outages looks through the echoes of a train that were sent from from on and before
// to. An outage begins with an echo that was lost though the pair had a path when it
// was sent, and ends with the next that was answered, or where the path ends.
func (u *underfoot) outages(pair Pair, echoes []fate, from, to time.Duration) (all []outage) {
	down, state := time.Duration(-1), 0
	end := func(at time.Duration) {
		if down >= 0 && at > down {
			all = append(all, outage{pair, down, at})
		}
		down = -1
	}
	for _, e := range echoes {
		if e.sent < from || e.sent >= to {
			continue
		}
		before := state
		path, now := u.had(pair, e.sent, state)
		state = now
		if down >= 0 { // a path that ended between two echoes
			if at, ended := u.lostBetween(pair, before, now); ended {
				end(at)
			}
		}
		switch {
		case !path:
		case e.answered != 0:
			end(e.sent)
		case down < 0:
			down = e.sent
		}
	}
	end(to)
	return all
}

// longest is the longest of some outages; of length 0 where there is none.
func longest(all []outage) (most outage) {
	for _, o := range all {
		if o.length() > most.length() {
			most = o
		}
	}
	return most
}

// lostBetween tells when a pair lost its path within the states after one, up to
// another.
func (u *underfoot) lostBetween(p Pair, after, upto int) (time.Duration, bool) {
	for i := after + 1; i <= upto; i++ {
		if part := u.past[i].part; part[p.From] == 0 || part[p.From] != part[p.To] {
			return u.past[i].from, true
		}
	}
	return 0, false
}
