package fabric

import "sync"

const (
	// LinkWindow is how many counters behind the newest a link accepts. Control
	// overtakes data in the sender's class queues.
	LinkWindow = 4096
	// SessionWindow is the same for a session, whose frames take several paths.
	SessionWindow = 8192

	wordBits = 64 // window sizes are powers of two, and no less than this
)

// window remembers which counters were seen (RFC 6479, but exact: a ring of
// one bit per counter). Safe for concurrent use.
type window struct {
	mu   sync.Mutex
	next uint64   // one more than the highest counter seen
	seen []uint64 // bit c modulo the window's size is counter c, for next-size <= c < next

	frames, bytes uint64 // accepted
}

func newWindow(size int) *window { return &window{seen: make([]uint64, size/wordBits)} }

func (w *window) size() uint64 { return uint64(len(w.seen)) * wordBits }

// fresh tells whether counter may still be accepted. It is a hint that saves the
// decryption of duplicates: accept decides.
func (w *window) fresh(counter uint64) bool {
	w.mu.Lock()
	fresh := w.isFresh(counter)
	w.mu.Unlock() // not deferred: that costs as much as all the rest
	return fresh
}

// accept marks the counter of an authenticated frame of so many bytes as seen, and tells
// whether it was not. Counters are below CounterLimit, so no sum here overflows.
func (w *window) accept(counter uint64, size int) bool {
	w.mu.Lock()
	fresh := w.take(counter, size)
	w.mu.Unlock()
	return fresh
}

// take is accept for who holds the lock.
func (w *window) take(counter uint64, size int) bool {
	fresh := w.isFresh(counter)
	if fresh {
		w.mark(counter)
		w.frames++
		w.bytes += uint64(size)
	}
	return fresh
}

// usage is what was accepted.
func (w *window) usage() (frames, bytes uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.frames, w.bytes
}

func (w *window) mark(counter uint64) {
	if counter >= w.next {
		w.forget(w.next, counter)
		w.next = counter + 1
	}
	word, bit := w.locate(counter)
	w.seen[word] |= bit
}

func (w *window) isFresh(counter uint64) bool {
	if counter >= w.next {
		return true
	}
	if counter+w.size() < w.next {
		return false
	}
	word, bit := w.locate(counter)
	return w.seen[word]&bit == 0
}

func (w *window) locate(counter uint64) (word int, bit uint64) {
	return int(counter/wordBits) & (len(w.seen) - 1), 1 << (counter % wordBits)
}

// forget clears the bits of the counters from first to last, which held those
// one window before.
func (w *window) forget(first, last uint64) {
	if last-first >= w.size() {
		clear(w.seen)
		return
	}
	for first <= last {
		word, bit := w.locate(first)
		if first%wordBits == 0 && last-first >= wordBits-1 {
			w.seen[word] = 0
			first += wordBits
			continue
		}
		w.seen[word] &^= bit
		first++
	}
}
