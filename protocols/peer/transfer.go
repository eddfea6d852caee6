package peer

import "slices"

// transfer is how one document goes over one link, whichever way.
type transfer struct {
	number    uint64 // of ours
	signed    []byte
	theirs    uint64 // the number of the peer's
	offer     bool   // ours is to be offered
	asked     *Request
	want      uint64 // being fetched; 0: none
	fetched   []byte
	fetch     bool // a request is to be sent
	delivered uint64
}

// beginAnew has all said again, as the peer knows nothing.
func (t *transfer) beginAnew() { t.theirs, t.fetch = 0, t.want != 0 }

// hold takes the document that this node now has; false where it has a newer one.
func (t *transfer) hold(number uint64, signed []byte) bool {
	if number <= t.number {
		return false
	}
	t.number, t.signed = number, slices.Clone(signed)
	if t.want <= number {
		t.want, t.fetched, t.fetch = 0, nil, false
	}
	t.offer = t.theirs < number
	return true
}

func (t *transfer) hearOffer(number uint64) {
	t.theirs = max(t.theirs, number)
	if number > max(t.number, t.want, t.delivered) {
		t.want, t.fetched, t.fetch = number, nil, true
	}
	if number < t.number {
		t.offer = true
	}
}

// hearChunk is the whole document with its last part; nil before.
func (t *transfer) hearChunk(m Chunk) (whole []byte) {
	if m.Number != t.want || int(m.Offset) != len(t.fetched) {
		return nil
	}
	t.fetched = append(t.fetched, m.Bytes...)
	if len(t.fetched) < int(m.Total) {
		t.fetch = true
		return nil
	}
	whole = t.fetched
	t.delivered, t.want, t.fetched = m.Number, 0, nil
	return whole
}

// next is what there is to say; nil: nothing.
func (t *transfer) next(d Document) Message {
	switch {
	case t.offer:
		t.offer = false
		return Offer{d, t.number}
	case t.fetch:
		t.fetch = false
		return Request{d, t.want, uint32(len(t.fetched))}
	case t.asked != nil:
		return t.answer(d)
	}
	return nil
}

// answer is the part of the document that the peer asked for; nil where there is
// none. Where this node has another one by now, the peer is told so.
func (t *transfer) answer(d Document) Message {
	r := *t.asked
	t.asked = nil
	switch {
	case r.Number != t.number && t.number != 0:
		return Offer{d, t.number}
	case r.Number != t.number, uint64(r.Offset) >= uint64(len(t.signed)):
		return nil
	}
	part := t.signed[r.Offset:]
	return Chunk{d, t.number, r.Offset, uint32(len(t.signed)), part[:min(ChunkLen, len(part))]}
}
