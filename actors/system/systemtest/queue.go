package systemtest

import (
	"math/rand/v2"
	"sync"
)

// Queue is a system.Dispatcher that runs one mailbox at a time, on the goroutine that calls Step. With
// seed 0 in order of arrival; else in an order drawn from the seed, so that seeds explore interleavings
// and each repeats exactly.
type Queue struct {
	mu    sync.Mutex
	runs  []func()
	rand  *rand.Rand    // nil: first in, first out
	ready chan struct{} // holds one element while there may be work
}

// NewQueue returns an empty queue.
func NewQueue(seed uint64) *Queue {
	q := &Queue{ready: make(chan struct{}, 1)}
	if seed != 0 {
		q.rand = rand.New(rand.NewPCG(seed, 0))
	}
	return q
}

// Schedule queues a run; any goroutine may call it.
func (q *Queue) Schedule(run func()) {
	q.mu.Lock()
	q.runs = append(q.runs, run)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// Throughput is how many messages a run handles before it yields, which means nothing here.
func (q *Queue) Throughput() int { return 1 }

// Ready receives after something was scheduled: what to wait for when Step reports false and pumps run.
func (q *Queue) Ready() <-chan struct{} { return q.ready }

// Step runs one mailbox until it is empty; false where none has work.
func (q *Queue) Step() bool {
	run := q.take()
	if run == nil {
		return false
	}
	run()
	return true
}

func (q *Queue) take() func() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.runs) == 0 {
		return nil
	}
	i := 0
	if q.rand != nil {
		i = q.rand.IntN(len(q.runs))
	}
	run := q.runs[i]
	q.runs = append(q.runs[:i], q.runs[i+1:]...)
	return run
}
