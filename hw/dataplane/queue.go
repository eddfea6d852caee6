package dataplane

import (
	"slices"
	"sync"
	"time"

	"re6st/protocols/addr"
)

// The limits of what waits for a session.
const (
	maxWaiting      = 4096     // destinations
	maxWaitingBytes = 64 << 10 // per destination; the newest are kept
	maxAllWaiting   = 8 << 20  // bytes in all
	waitingTimeout  = 5 * time.Second
	askAgain        = time.Second // while packets keep coming
)

// waiting holds inner packets for egress nodes that have no session yet.
type waiting struct {
	mu     sync.Mutex
	queues map[addr.NodeID]*queue
	bytes  int
	limit  int // bytes per destination, maxWaitingBytes at most
}

type queue struct {
	packets [][]byte
	bytes   int
	since   time.Time // of the first packet
	asked   time.Time
}

func newWaiting() *waiting {
	return &waiting{queues: make(map[addr.NodeID]*queue), limit: maxWaitingBytes}
}

// setLimit changes how much waits for each destination from the next packet on.
func (w *waiting) setLimit(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit = min(bytes, maxWaitingBytes)
}

// put keeps a copy of inner. ask tells that the session is to be asked for now,
// dropped how many packets had to go.
func (w *waiting) put(now time.Time, egress addr.NodeID, inner []byte) (ask bool, dropped int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.queues[egress]
	if q == nil {
		if len(w.queues) >= maxWaiting {
			return false, 1
		}
		q = &queue{since: now}
		w.queues[egress] = q
	}
	ask = q.asked.IsZero() || now.Sub(q.asked) >= askAgain
	if ask {
		q.asked = now
	}
	for len(q.packets) > 0 && (q.bytes+len(inner) > w.limit || w.bytes+len(inner) > maxAllWaiting) {
		w.add(q, -len(q.packets[0]))
		q.packets = slices.Delete(q.packets, 0, 1)
		dropped++
	}
	if w.bytes+len(inner) > maxAllWaiting {
		return ask, dropped + 1
	}
	q.packets = append(q.packets, slices.Clone(inner))
	w.add(q, len(inner))
	return ask, dropped
}

func (w *waiting) add(q *queue, n int) {
	q.bytes += n
	w.bytes += n
}

// take removes and returns what waits for egress, oldest first.
func (w *waiting) take(egress addr.NodeID) [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.queues[egress]
	if q == nil {
		return nil
	}
	delete(w.queues, egress)
	w.bytes -= q.bytes
	return q.packets
}

// expire removes the queues that waited for too long, tells dropped how many
// packets were in them, and returns the newest packet of each.
func (w *waiting) expire(now time.Time, dropped func(int)) (newest [][]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for egress, q := range w.queues {
		if now.Sub(q.since) < waitingTimeout {
			continue
		}
		delete(w.queues, egress)
		w.bytes -= q.bytes
		dropped(len(q.packets))
		if n := len(q.packets); n > 0 {
			newest = append(newest, q.packets[n-1])
		}
	}
	return newest
}

func (w *waiting) count() Count {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := Count{Bytes: uint64(w.bytes)}
	for _, q := range w.queues {
		c.Packets += uint64(len(q.packets))
	}
	return c
}
