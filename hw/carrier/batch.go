package carrier

import (
	"sync"
	"time"

	"re6st/protocols/fabric"
)

const (
	// batchLen is how many bytes of datagrams go together, each behind its length: as many
	// as a record of TLS takes (RFC 8446 section 5.1). A longer datagram goes alone.
	batchLen = 16 << 10
	// batchRoom has room for the rest of a datagram that came in two records.
	batchRoom = batchLen + 2<<10
)

// batch is datagrams on their way to or from one connection, each behind its length.
type batch struct {
	data  []byte
	count int
	path  fabric.Path // by which they came
	at    time.Time   // when
}

var batches = sync.Pool{New: func() any { return &batch{data: make([]byte, 0, batchRoom)} }}

func newBatch() *batch { return batches.Get().(*batch) }

// free gives a batch back.
func (b *batch) free() {
	if cap(b.data) == batchRoom { // longer ones are rare
		*b = batch{data: b.data[:0]}
		batches.Put(b)
	}
}

// takes tells whether a datagram of a length may go with the others.
func (b *batch) takes(length int) bool {
	return b.count == 0 || len(b.data)+lengthLen+length <= batchLen
}

func (b *batch) add(datagram []byte) {
	b.data = appendFrame(b.data, datagram)
	b.count++
}

// outbound is what waits to be sent by a connection.
type outbound struct {
	mu        sync.Mutex
	waiting   []*batch
	datagrams int           // of waiting, and of those that are being sent
	came      chan struct{} // says that something waits
}

// put takes copies of datagrams of size bytes each, but for the last, while there are fewer than
// most; n is how many it took.
func (o *outbound) put(data []byte, size, most int) (n int) {
	o.mu.Lock()
	for ; len(data) > 0 && o.datagrams < most; n++ {
		d := data[:min(size, len(data))]
		data = data[len(d):]
		if k := len(o.waiting); k == 0 || !o.waiting[k-1].takes(len(d)) {
			o.waiting = append(o.waiting, newBatch())
		}
		o.waiting[len(o.waiting)-1].add(d)
		o.datagrams++
	}
	o.mu.Unlock()
	if n > 0 {
		select {
		case o.came <- struct{}{}:
		default:
		}
	}
	return n
}

// take moves what waits, in order, until to is full; n is how many batches those are.
func (o *outbound) take(to []*batch) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n = copy(to, o.waiting)
	rest := copy(o.waiting, o.waiting[n:])
	clear(o.waiting[rest:])
	o.waiting = o.waiting[:rest]
	return n
}

// sent gives back what was taken.
func (o *outbound) sent(batches []*batch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, b := range batches {
		o.datagrams -= b.count
		b.free()
	}
}
