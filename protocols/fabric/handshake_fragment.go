package fabric

import (
	"slices"
	"time"
)

// Limits of the fragmentation of handshake messages, which is of its own because
// there is no session yet that could authenticate a fragment: its cookie stands
// in for that.
const (
	// LinkHandshakeSize is the longest datagram of a link's handshake, which
	// every path carries (IPv6 with 1280 bytes).
	LinkHandshakeSize = 1200
	// SessionHandshakeSize is the same for the payload of a transit message.
	SessionHandshakeSize = 1100

	// HandshakeReassemblyTimeout is how long the first fragment waits.
	HandshakeReassemblyTimeout = time.Second
	// MaxHandshakeReassemblies is how many messages may be incomplete at a time.
	MaxHandshakeReassemblies = 32
	// maxSourceReassemblies is the same from one source.
	maxSourceReassemblies = 4

	maxHandshakeFragments = 8
	fragmentHeaderLen     = handshakeHeaderLen + cookieLen
)

// cut splits a message into datagrams of at most size bytes. It is its own only
// datagram where it fits.
func cut(message []byte, c cookie, size int) [][]byte {
	if len(message) <= size {
		return [][]byte{message}
	}
	h, err := parseHandshakeHeader(message)
	if err != nil {
		return nil // our own message: only one that is too long fails
	}
	var out [][]byte
	count := (len(message) + size - fragmentHeaderLen - 1) / (size - fragmentHeaderLen)
	for piece := range slices.Chunk(message, size-fragmentHeaderLen) {
		b := handshakeHeader{
			kind: TypeHandshakeFragment, variant: uint8(h.kind), extra: uint16(len(out)<<8 | count),
			sender: h.sender, receiver: h.receiver,
		}.append(make([]byte, 0, fragmentHeaderLen+len(piece)))
		b = append(b, c[:]...)
		out = append(out, append(b, piece...))
	}
	return out
}

// partialMessage is a message of which fragments are missing.
type partialMessage struct {
	from     source
	first    handshakeHeader // of whichever came first
	deadline time.Time
	pieces   [maxHandshakeFragments][]byte
	missing  int
	size     int
}

// collector puts messages together. Its user has checked the cookies.
type collector struct{ partials []*partialMessage } // oldest first

// add keeps a copy of a fragment and returns the message where it is whole.
func (c *collector) add(now time.Time, from source, h handshakeHeader, b []byte) ([]byte, dropReason) {
	c.handleTimeout(now)
	p := c.find(from, h)
	if p == nil {
		same := 0
		for _, q := range c.partials {
			if q.from.limit() == from.limit() {
				same++
			}
		}
		if same >= maxSourceReassemblies || len(c.partials) >= MaxHandshakeReassemblies {
			return nil, dropFragment
		}
		p = &partialMessage{from: from, first: h, deadline: now.Add(HandshakeReassemblyTimeout), missing: int(h.extra & 0xff)}
		c.partials = append(c.partials, p)
	}
	number, body := int(h.extra>>8), b[fragmentHeaderLen:]
	if p.pieces[number] != nil {
		return nil, dropNone // a copy of the datagram
	}
	if p.size += len(body); p.size > MaxHandshake {
		c.drop(p)
		return nil, dropFragment
	}
	p.pieces[number] = slices.Clone(body)
	if p.missing--; p.missing > 0 {
		return nil, dropNone
	}
	c.drop(p)
	return slices.Concat(p.pieces[:]...), dropNone
}

func (c *collector) find(from source, h handshakeHeader) *partialMessage {
	for _, p := range c.partials {
		f := p.first
		f.extra = f.extra&0xff | h.extra&0xff00
		if p.from == from && f == h {
			return p
		}
	}
	return nil
}

func (c *collector) drop(p *partialMessage) {
	c.partials = slices.DeleteFunc(c.partials, func(q *partialMessage) bool { return p == q })
}

func (c *collector) handleTimeout(now time.Time) {
	c.partials = slices.DeleteFunc(c.partials, func(p *partialMessage) bool { return !now.Before(p.deadline) })
}

func (c *collector) nextTimeout() (time.Time, bool) {
	if len(c.partials) == 0 {
		return time.Time{}, false
	}
	return c.partials[0].deadline, true
}
