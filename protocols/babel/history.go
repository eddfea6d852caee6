package babel

import (
	"math/bits"
	"time"
)

// history is what was heard of one sort of Hello, multicast or unicast (RFC
// 8966 section 3.2.4 and appendix A.1). The latest is the highest bit.
type history struct {
	vector   uint16
	expected uint16
	interval time.Duration
	deadline time.Time // when the next Hello counts as missed; zero: none is expected
}

// historyLen is the bits of a history; a jump of the sequence number by more is
// a restart of the neighbor.
const historyLen = 16

// hello takes in a Hello.
func (h *history) hello(now time.Time, hello Hello) {
	if h.vector != 0 || h.interval != 0 {
		switch gap := int(int16(hello.Seqno - h.expected)); {
		case gap > historyLen || gap < -historyLen:
			h.vector = 0 // it seems to have restarted
		case gap < 0: // its interval grew, and we missed what was not sent
			h.vector <<= -gap
		default:
			h.vector >>= gap
		}
	}
	h.vector = h.vector>>1 | 1<<(historyLen-1)
	h.expected = hello.Seqno + 1
	if hello.Interval > 0 {
		h.interval = hello.Interval
		h.deadline = now.Add(hello.Interval * 3 / 2)
	}
}

// timeout counts the Hellos that are missing at now.
func (h *history) timeout(now time.Time) {
	for !h.deadline.IsZero() && !now.Before(h.deadline) {
		h.vector >>= 1
		h.expected++
		h.deadline = h.deadline.Add(h.interval)
		if h.vector == 0 {
			h.deadline = time.Time{}
		}
	}
}

// live tells whether Hellos are expected and came. Unscheduled ones alone promise no
// other: that they stop would never be noticed.
func (h *history) live() bool { return h.vector != 0 && !h.deadline.IsZero() }

// usable is the 2-out-of-3 rule (appendix A.2.1).
func (h *history) usable() bool { return h.live() && bits.OnesCount16(h.vector>>(historyLen-3)) >= 2 }
