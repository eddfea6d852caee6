package fabric

import (
	"cmp"
	"slices"
	"time"

	"re6st/protocols/addr"
)

// The limits of a Reassembler.
const (
	ReassemblyTimeout = time.Second

	MaxFragments              = 64        // of one frame
	MaxReassemblies           = 256       // frames at a time
	MaxReassemblyBytes        = 1 << 20   // of all of them
	MaxIngressReassemblies    = 16        // frames of one ingress at a time
	MaxIngressReassemblyBytes = 128 << 10 // of these
)

// Split cuts a data frame, which may be a fragment itself, into fragments of at
// most size bytes and passes each to emit, in order, in memory that it reuses.
// Each needs StampHop. It allocates only where buf holds less than size bytes. It
// fails with the errors of ParseHop, or ErrFragment where size leaves no room or
// the offset would not fit.
func Split(buf, frame []byte, size int, emit func(fragment []byte)) error {
	h, err := ParseHop(frame)
	if err != nil {
		return err
	}
	room := (size - hopAADLen) / FragmentUnit * FragmentUnit
	body := len(frame) - hopAADLen
	if body <= 0 || room <= 0 || int(h.FragmentOffset)*FragmentUnit+body > (fragmentOffMask+1)*FragmentUnit {
		return ErrFragment
	}
	last := !h.Fragment || h.Last
	if !h.Fragment {
		// The counter of the link it came by: copies of it come by others.
		h.Fragment, h.FragmentID = true, uint8(h.Counter&fragmentIDMask)
	}
	for piece := range slices.Chunk(frame[hopAADLen:], room) {
		body -= len(piece)
		h.Last = last && body == 0
		out := append(buf[:0], frame[:hopAADLen]...)
		h.Put(out)
		emit(append(out, piece...))
		h.FragmentOffset += uint16(room / FragmentUnit)
	}
	return nil
}

// Reassembler puts the fragments that reach an egress together. What it returns
// is no more authentic than the last link: Session.Open tells. Not safe for
// concurrent use.
type Reassembler struct {
	partials map[partialKey]*partial
	order    []*partial // oldest first
	bytes    int
}

type partialKey struct {
	ingress  addr.NodeID
	session  SessionHeader
	topology uint8
	id       uint8
}

type partial struct {
	key      partialKey
	deadline time.Time
	header   [hopAADLen]byte
	pieces   []piece // by offset, without overlap
	bytes    int     // in pieces
	total    int     // 0 while the last one is missing
	ce       bool    // one of them saw congestion
}

type piece struct {
	offset int
	data   []byte
}

// NewReassembler makes an empty one.
func NewReassembler() *Reassembler {
	return &Reassembler{partials: make(map[partialKey]*partial)}
}

// HandleFragment takes a fragment that CheckHop passed, and returns the whole
// frame, in memory of its own, once nothing is missing. Until then it returns
// nil. It fails with the errors of ParseHop, ErrFragment (then all that was
// held of the frame is dropped), or ErrReassembly where one ingress or all
// hold too much and this was the newest.
func (r *Reassembler) HandleFragment(now time.Time, frame []byte) ([]byte, error) {
	r.HandleTimeout(now)
	h, err := ParseHop(frame)
	if err != nil {
		return nil, err
	}
	session, err := ParseSession(frame)
	if err != nil {
		return nil, err
	}
	body := frame[hopAADLen:]
	if !h.Fragment || len(body) == 0 || !h.Last && len(body)%FragmentUnit != 0 {
		return nil, ErrFragment
	}
	key := partialKey{h.Ingress, session, h.Topology, h.FragmentID}
	p := r.partials[key]
	if p == nil {
		p = &partial{key: key, deadline: now.Add(ReassemblyTimeout)}
		copy(p.header[:], frame)
		r.partials[key] = p
		r.order = append(r.order, p)
	}
	if !p.add(h, body, &r.bytes) {
		r.drop(p)
		return nil, ErrFragment
	}
	if p.total > 0 && p.bytes == p.total {
		r.drop(p)
		return p.join(), nil
	}
	r.shrink(h.Ingress)
	if r.partials[key] != p {
		return nil, ErrReassembly
	}
	return nil, nil
}

// HandleTimeout drops what waited for longer than ReassemblyTimeout.
func (r *Reassembler) HandleTimeout(now time.Time) {
	for len(r.order) > 0 && !now.Before(r.order[0].deadline) {
		r.drop(r.order[0])
	}
}

// NextTimeout is when HandleTimeout has something to do.
func (r *Reassembler) NextTimeout() (time.Time, bool) {
	if len(r.order) == 0 {
		return time.Time{}, false
	}
	return r.order[0].deadline, true
}

// add keeps a copy of one piece; false if it contradicts the others. An exact
// repetition is no contradiction; any other overlap is (as in RFC 5722).
func (p *partial) add(h HopHeader, body []byte, sum *int) bool {
	offset := int(h.FragmentOffset) * FragmentUnit
	end := offset + len(body)
	i, found := slices.BinarySearchFunc(p.pieces, offset, func(q piece, o int) int { return cmp.Compare(q.offset, o) })
	switch {
	case found:
		return len(p.pieces[i].data) == len(body)
	case len(p.pieces) == MaxFragments,
		p.total > 0 && end > p.total,
		h.Last && (p.total > 0 || i < len(p.pieces)),
		i > 0 && p.pieces[i-1].offset+len(p.pieces[i-1].data) > offset,
		i < len(p.pieces) && end > p.pieces[i].offset:
		return false
	}
	if h.Last {
		p.total = end
	}
	p.ce = p.ce || h.ECN == ECNCE
	p.pieces = slices.Insert(p.pieces, i, piece{offset, slices.Clone(body)})
	p.bytes += len(body)
	*sum += len(body)
	return true
}

// join is the frame as it was before it was split.
func (p *partial) join() []byte {
	out := append(make([]byte, 0, hopAADLen+p.total), p.header[:]...)
	for _, q := range p.pieces {
		out = append(out, q.data...)
	}
	out[offFlags] &= flagECN
	out[offFragment], out[offFragment+1] = 0, 0
	if p.ce {
		MarkCE(out)
	}
	return out
}

// shrink drops the oldest frames of an ingress, then of all, until the limits
// hold.
func (r *Reassembler) shrink(ingress addr.NodeID) {
	frames, bytes := 0, 0
	for _, p := range r.order {
		if p.key.ingress == ingress {
			frames, bytes = frames+1, bytes+p.bytes
		}
	}
	for i := 0; frames > MaxIngressReassemblies || bytes > MaxIngressReassemblyBytes; {
		p := r.order[i]
		if p.key.ingress != ingress {
			i++
			continue
		}
		frames, bytes = frames-1, bytes-p.bytes
		r.drop(p)
	}
	for len(r.order) > MaxReassemblies || r.bytes > MaxReassemblyBytes {
		r.drop(r.order[0])
	}
}

func (r *Reassembler) drop(p *partial) {
	delete(r.partials, p.key)
	r.order = slices.DeleteFunc(r.order, func(q *partial) bool { return q == p })
	r.bytes -= p.bytes
}
