package system

import (
	"context"
	"slices"
	"sync"
	"time"
)

// LeaveAfter is how long an incarnation that ends waits for pumps of WithTurn and WithQueue.
const LeaveAfter = 500 * time.Millisecond

// WithTurn has nobody wait for this pump where it does not end within LeaveAfter of being
// told to: its actor goes on, or stops, without it. The pump of the same actor and name
// that comes after it begins once this one is gone. For a pump whose resources are its own
// and its successors': what it reads from may not be closed under it.
func WithTurn() PumpOption { return func(o *pumpOptions) { o.turn = true } }

// turns is whose turn it is of the pumps of one actor and name.
type turns struct {
	mu      sync.Mutex
	holders map[turn]*working
	left    sync.WaitGroup // all that run or wait
}

type turn struct{ actor, pump string }

// take waits until the pump before has ended; false where ctx ends first.
func (t *turns) take(ctx context.Context, r *working) bool {
	for {
		before := t.claim(r)
		if before == nil {
			return true
		}
		select {
		case <-before.ended:
		case <-ctx.Done():
			return false
		}
	}
}

// claim takes the turn where it is nobody's; else whose it is comes back.
func (t *turns) claim(r *working) (holder *working) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := turn{r.cell.path, r.name}
	if holder = t.holders[key]; holder != nil {
		return holder
	}
	if t.holders == nil {
		t.holders = map[turn]*working{}
	}
	t.holders[key] = r
	return nil
}

// end gives a turn to the next.
func (t *turns) end(r *working) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if key := (turn{r.cell.path, r.name}); t.holders[key] == r {
		delete(t.holders, key)
	}
	close(r.ended)
}

// names are the pumps whose turn it is, sorted.
func (t *turns) names() (all []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.holders {
		all = append(all, key.actor+" "+key.pump)
	}
	slices.Sort(all)
	return all
}

// leave waits for the pumps with turns of an incarnation that ends, but not for long.
func (i *Incarnation) leave() {
	if len(i.turning) == 0 {
		return
	}
	enough := make(chan struct{})
	timer := i.Clock().AfterFunc(LeaveAfter, func() { close(enough) })
	defer timer.Stop()
	for _, r := range i.turning {
		select {
		case <-r.ended:
		case <-enough:
			return
		}
	}
}
