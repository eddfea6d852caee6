package babel

import (
	"bytes"
	"time"
)

// macPeer is what is known of who proved to have a key: the (Index, PC) of RFC 8967
// section 3.2, kept apart for unicast and multicast (RFC 9467).
type macPeer struct {
	index              []byte    // nil: not known
	until              time.Time // when the index is forgotten
	unicast, multicast counters
	nonce              []byte    // of the challenge that is under way; nil: none is
	answerBy           time.Time // after that it is not
	challengeAt        time.Time // no challenge before
	replyAt            time.Time // no reply to a challenge before
	key                string    // that fitted last
}

// expire forgets what is too old (section 4.4), and tells whether nothing is left.
func (p *macPeer) expire(now time.Time) (empty bool) {
	if p.index != nil && !now.Before(p.until) {
		p.index = nil
	}
	if p.nonce != nil && !now.Before(p.answerBy) {
		p.nonce = nil
	}
	return p.index == nil && p.nonce == nil && !now.Before(p.challengeAt) && !now.Before(p.replyAt)
}

// solved tells whether one of the replies answers the challenge that is under way,
// which ends it (section 4.3.1.3).
func (p *macPeer) solved(replies [][]byte) bool {
	for _, r := range replies {
		if p.nonce != nil && bytes.Equal(r, p.nonce) {
			p.nonce = nil
			return true
		}
	}
	return false
}

// proven begins with the index and counter of the packet that answered a challenge
// (RFC 9467 sections 3.1 and 3.2).
func (p *macPeer) proven(index []byte, pc uint32) {
	p.index = append([]byte{}, index...)
	p.unicast.reset(pc)
	p.multicast.reset(pc)
}

// counters are the packet counters that were received: the highest, and which of
// those below it (RFC 9467 section 3.2).
type counters struct {
	high uint32
	seen [PCWindow / 64]uint64 // bit i: high - i was received
}

func (c *counters) reset(pc uint32) { *c = counters{high: pc, seen: [PCWindow / 64]uint64{1}} }

// take tells whether pc is new, and notes it.
func (c *counters) take(pc uint32) bool {
	if pc > c.high {
		c.shift(pc - c.high)
		c.high = pc
	}
	behind := c.high - pc
	if behind >= PCWindow {
		return false
	}
	word, bit := &c.seen[behind/64], uint64(1)<<(behind%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

func (c *counters) shift(by uint32) {
	for ; by >= 64; by -= 64 {
		copy(c.seen[1:], c.seen[:])
		c.seen[0] = 0
		if c.seen == [PCWindow / 64]uint64{} {
			return
		}
	}
	for i := len(c.seen) - 1; i >= 0; i-- {
		c.seen[i] <<= by
		if i > 0 {
			c.seen[i] |= c.seen[i-1] >> (64 - by)
		}
	}
}
