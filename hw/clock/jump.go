package clock

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// jumped is by how many seconds the wall clock that Real shows is off.
var jumped atomic.Int64

// Jump has the wall clock that Real shows jump by d, in whole seconds, as
// settimeofday(2) would for the whole machine: the monotonic readings go on, and
// nobody calls it synchronised any more. It is there for the lab.
func Jump(d time.Duration) { jumped.Add(int64(d / time.Second)) }

// secondsShift is where a time.Time with a monotonic reading has its wall seconds:
// flag (1 bit), seconds since 1885 (33 bits), nanoseconds (30 bits).
const (
	hasMonotonic = 1 << 63
	secondsShift = 30
)

// shifted is t with another wall clock and the same monotonic reading, which the
// package time offers no way to make. A test holds it to that.
func shifted(t time.Time, seconds int64) time.Time {
	wall := (*uint64)(unsafe.Pointer(&t)) //nolint:gosec // the first word of time.Time
	if *wall&hasMonotonic == 0 {
		return t.Add(time.Duration(seconds) * time.Second)
	}
	*wall += uint64(seconds) << secondsShift
	return t
}
