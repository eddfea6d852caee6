package system

import "time"

// State is where an actor is in its life.
type State int32

const (
	Starting State = iota
	Running
	Restarting  // faulted; suspended until its supervisor has it start again
	Quarantined // closed after too many faults, to be tried again
	Stopped
)

func (s State) String() string {
	return [...]string{"starting", "running", "restarting", "quarantined", "stopped"}[s]
}

// MarshalText gives the State's word.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Record is what the system itself knows of an actor.
type Record struct {
	Path      string    `json:"path"`
	Kind      string    `json:"kind"` // Spec.Kind
	State     State     `json:"state"`
	Since     time.Time `json:"since"`    // when it entered State
	Restarts  uint64    `json:"restarts"` // incarnations after the first
	LastFault string    `json:"last_fault,omitempty"`
	FaultKind string    `json:"fault_kind,omitempty"`
	FaultAt   time.Time `json:"fault_at,omitzero"`
	Mailbox   int       `json:"mailbox"`         // messages waiting
	Dropped   uint64    `json:"dropped"`         // messages that came for a dead incarnation, or beyond a credit
	Pumps     []string  `json:"pumps"`           // the names of those that run, in the order of their start
	Stuck     []string  `json:"stuck,omitempty"` // of these, those that do not end though they are to, or that work at one thing for too long
}

// Actors returns the records of the living actors, and of the last that a fault stopped, by path.
func (s *System) Actors() []Record {
	var records []Record
	for _, c := range s.sorted() {
		records = append(records, c.record())
	}
	return records
}

func (c *cell) record() Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rec
	r.State, r.Mailbox, r.Dropped = c.State(), c.mb.UserMessageCount(), c.dropped.Load()
	for _, p := range c.pumps {
		r.Pumps = append(r.Pumps, p.name)
		if p.stuck > 0 {
			r.Stuck = append(r.Stuck, p.name)
		}
	}
	return r
}

// Snapshot is what an actor last published.
type Snapshot struct {
	Path  string
	Value any
}

// Snapshots returns the last value that each actor published, by path.
func (s *System) Snapshots() []Snapshot {
	var snaps []Snapshot
	for _, c := range s.sorted() {
		if v := c.snapshot.Load(); v != nil {
			snaps = append(snaps, Snapshot{c.path, *v})
		}
	}
	return snaps
}

// Read returns the last value that the actor of a path published; false where there is none, or none of
// type T.
func Read[T any](s *System, path string) (T, bool) {
	if c := s.lookup(path); c != nil {
		if v := c.snapshot.Load(); v != nil {
			t, ok := (*v).(T)
			return t, ok
		}
	}
	var zero T
	return zero, false
}
