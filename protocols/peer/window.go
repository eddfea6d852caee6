package peer

import (
	"slices"
	"time"
)

// Messages about claims are many where two nodes meet that know little of each other's
// side. So some are under way at a time: one at first, one more with each Ack, half as
// many when one was not acknowledged in time. A peer of before that was so takes what
// was overtaken for a repetition, and asks again when it compares its claims.

// hearClaimsAck ends the flight of a message about claims.
func (x *Exchange) hearClaimsAck(h Header) {
	at := slices.IndexFunc(x.underWay, func(f *flight) bool { return f.header == h })
	if at < 0 {
		return
	}
	x.underWay = slices.Delete(x.underWay, at, at+1)
	x.window = min(x.window+1, MaxUnderWay)
}

// repeatClaims sends what was not acknowledged again.
func (x *Exchange) repeatClaims(now time.Time) {
	late := false
	x.underWay = slices.DeleteFunc(x.underWay, func(f *flight) bool {
		switch {
		case now.Before(f.next):
			return false
		case f.tries >= MaxTries:
			return true
		}
		late = true
		x.send(now, f)
		return false
	})
	if late {
		x.window = max(1, x.window/2)
	}
}

// isNews tells whether a message was not heard before, and takes note of it. What comes
// late counts only if it is about claims: all else is said by turns.
func (x *Exchange) isNews(h Header, fresh, claims bool) bool {
	if fresh {
		x.heard, x.peerEpoch, x.peerSequence, x.before = true, h.Epoch, h.Sequence, 0
		return true
	}
	if h.Sequence > x.peerSequence {
		ahead := h.Sequence - x.peerSequence // a shift by more than there is gives 0
		x.before = x.before<<ahead | 1<<(ahead-1)
		x.peerSequence = h.Sequence
		return true
	}
	if h.Sequence == x.peerSequence {
		return false
	}
	bit := uint64(1) << (x.peerSequence - h.Sequence - 1)
	if !claims || bit == 0 || x.before&bit != 0 {
		return false
	}
	x.before |= bit
	return true
}
