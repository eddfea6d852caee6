package system

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// Tally is how often an event of one kind was raised by actors of one kind, since
// the system was made. The ring of Events forgets; this does not.
type Tally struct {
	Actor string // Spec.Kind
	Event EventKind
	Count uint64
}

// tallies counts events. What kinds there are is written in the code of the actors,
// so they are few.
type tallies struct {
	mu     sync.Mutex
	counts map[Tally]uint64 // of a Tally without its count
}

func (t *tallies) add(actor string, kind EventKind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[Tally]uint64{}
	}
	t.counts[Tally{Actor: actor, Event: kind}]++
}

// Tallies counts all events so far, sorted by actor and event.
func (s *System) Tallies() []Tally {
	s.tallies.mu.Lock()
	counts := maps.Clone(s.tallies.counts)
	s.tallies.mu.Unlock()
	all := make([]Tally, 0, len(counts))
	for t, n := range counts {
		t.Count = n
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b Tally) int {
		return cmp.Or(cmp.Compare(a.Actor, b.Actor), cmp.Compare(a.Event, b.Event))
	})
	return all
}
