package fabric

import (
	"slices"
	"time"

	"re6st/protocols/addr"
)

const (
	// MaxHalfOpen is how many XX handshakes may wait for their third message, and
	// maxSourceHalfOpen how many of one source.
	MaxHalfOpen       = 64
	maxSourceHalfOpen = 24
	// HalfOpenTimeout is how long one waits.
	HalfOpenTimeout = 5 * time.Second
)

// decision is what the machine above thinks of a verified peer.
type decision struct {
	reason CloseReason // refuse, and say so
	later  bool        // say nothing: the peer will ask again
	drop   dropReason  // say nothing
}

// responder answers the handshakes of others. In this order it looks at the MAC, the
// cookie, the initiations seen, the rate, and only then computes; a certificate is read
// when the Noise message that carried it was authentic.
type responder struct {
	*party
	decide func(now time.Time, from source, v verified) decision

	jar       jar
	limiter   limiter
	collector collector
	waiting   []*halfOpen // oldest first
	settled   []*halfOpen // oldest first; for the case that the verdict is lost
}

// halfOpen is an XX handshake whose second message is out.
type halfOpen struct {
	from     source
	x        *exchange
	local    uint32
	remote   uint32
	cookie   cookie
	deadline time.Time

	final    [keyLen]byte // hash of the third message, once it was authentic
	verified *verified    // who sent it, while the decision is deferred
	verdict  []byte       // the answer, once decided
}

// answer is what a message came to: datagrams for its sender, and perhaps an
// agreement.
type answer struct {
	replies [][]byte
	agreed  *agreement
}

func newResponder(p *party, decide func(time.Time, source, verified) decision) *responder {
	return &responder{party: p, decide: decide, jar: jar{rand: p.rand}}
}

func (r *responder) handle(now time.Time, from source, b []byte) answer {
	h, err := parseHandshakeHeader(b)
	if err != nil {
		r.drops.add(dropMalformed)
		return answer{}
	}
	r.handleTimeout(now)
	if h.kind == TypeHandshakeFragment {
		if b, h = r.fragment(now, from, h, b); b == nil {
			return answer{}
		}
	}
	a, drop := r.message(now, from, h, b)
	r.drops.add(drop)
	return a
}

func (r *responder) message(now time.Time, from source, h handshakeHeader, b []byte) (answer, dropReason) {
	switch {
	case h.kind == TypeInitiation:
		return r.initiation(now, from, h, b)
	case h.kind == TypeFinal && h.variant == variantFinal:
		return r.final(now, from, h, b)
	}
	return answer{}, dropIndex
}

// fragment returns the message where this was what it lacked.
func (r *responder) fragment(now time.Time, from source, h handshakeHeader, b []byte) ([]byte, handshakeHeader) {
	if !r.jar.accepts(now, from, cookie(b[handshakeHeaderLen:])) {
		r.drops.add(dropCookie)
		return nil, h
	}
	m, drop := r.collector.add(now, from, h, b)
	r.drops.add(drop)
	if m == nil {
		return nil, h
	}
	whole, err := parseHandshakeHeader(m)
	if err != nil || whole.kind == TypeHandshakeFragment {
		r.drops.add(dropMalformed)
		return nil, h
	}
	return m, whole
}

func (r *responder) initiation(now time.Time, from source, h handshakeHeader, b []byte) (answer, dropReason) {
	if !r.key.isMarked(b) {
		return answer{}, dropMAC
	}
	m := parseInitiation(h, b)
	if !r.jar.accepts(now, from, m.cookie) {
		c, err := r.jar.mint(now, from)
		if err != nil {
			return answer{}, dropRandom
		}
		if len(m.noise) == 0 && asksPlace(b) && from.addr.IsValid() {
			return answer{replies: [][]byte{appendSeen(nil, h.sender, c, r.key, m.mac, from.addr)}}, dropNone
		}
		return answer{replies: [][]byte{appendRetry(nil, h.sender, c, r.key, m.mac)}}, dropNone
	}
	if len(m.noise) < keyLen {
		return answer{}, dropMalformed // a request that has a cookie already
	}
	if r.jar.knows([keyLen]byte(m.noise)) {
		return answer{}, dropReplay
	}
	if !r.limiter.take(now, from) {
		return answer{}, dropRate
	}
	if pattern(h.variant) == patternIK {
		return r.initiationIK(now, from, m)
	}
	return r.initiationXX(now, from, m)
}

// exchange reads the first message; the jar remembers it where it is authentic.
func (r *responder) exchange(now time.Time, from source, m initiation) (*exchange, []byte, dropReason) {
	var initiator, self addr.NodeID
	if r.purpose == purposeSession {
		initiator, self = from.node, r.self()
	}
	x, err := r.credentials.newExchange(pattern(m.header.variant), false,
		r.credentials.prologue(r.purpose, m.cookie, initiator, self), nil, r.rand)
	if err != nil {
		return nil, nil, dropAuth
	}
	payload, err := x.read(m.noise)
	if err != nil {
		return nil, nil, dropAuth
	}
	if err := r.jar.remember(now, [keyLen]byte(m.noise)); err != nil {
		return nil, nil, dropRandom
	}
	return x, payload, dropNone
}

// identify judges an initiator, whose message's header has this index.
func (r *responder) identify(now time.Time, payload []byte, index uint32, x *exchange) (verified, dropReason) {
	v, drop := r.judge(now, payload, x.peerStatic())
	if drop == dropNone && (v.refusal != CloseNone || v.index != index) {
		return verified{}, dropMalformed
	}
	return v, drop
}

func (r *responder) initiationIK(now time.Time, from source, m initiation) (answer, dropReason) {
	x, payload, drop := r.exchange(now, from, m)
	if drop != dropNone {
		return answer{}, drop
	}
	v, drop := r.identify(now, payload, m.header.sender, x)
	if drop != dropNone {
		return answer{}, drop
	}
	d := r.decide(now, from, v)
	switch {
	case d.drop != dropNone:
		return answer{}, d.drop
	case d.later:
		return answer{}, dropDeferred
	}
	var local uint32
	say := hello{refusal: d.reason}
	if d.reason == CloseNone {
		local = r.newIndex()
		say = r.credentials.hello(local)
	}
	reply, err := x.write(say.append(nil))
	if err != nil {
		return answer{}, dropRandom
	}
	out := handshakeHeader{kind: TypeResponse, sender: local, receiver: m.header.sender}.append(nil)
	a := answer{replies: cut(append(out, reply...), m.cookie, r.size(from.carrier))}
	if d.reason == CloseNone {
		a.agreed, drop = r.conclude(x, v, local, from)
		if drop != dropNone {
			return answer{}, drop
		}
	}
	return a, dropNone
}

func (r *responder) initiationXX(now time.Time, from source, m initiation) (answer, dropReason) {
	same := 0
	for _, w := range r.waiting {
		if w.from.limit() == from.limit() {
			same++
		}
	}
	if same >= maxSourceHalfOpen || len(r.waiting) >= MaxHalfOpen {
		return answer{}, dropFull
	}
	x, _, drop := r.exchange(now, from, m)
	if drop != dropNone {
		return answer{}, drop
	}
	w := &halfOpen{
		from: from, x: x, local: r.newIndex(), remote: m.header.sender, cookie: m.cookie,
		deadline: now.Add(HalfOpenTimeout),
	}
	reply, err := x.write(r.credentials.hello(w.local).append(nil))
	if err != nil {
		return answer{}, dropRandom
	}
	r.waiting = append(r.waiting, w)
	out := handshakeHeader{kind: TypeResponse, sender: w.local, receiver: w.remote}.append(nil)
	return answer{replies: cut(append(out, reply...), m.cookie, r.size(from.carrier))}, dropNone
}

func (r *responder) final(now time.Time, from source, h handshakeHeader, b []byte) (answer, dropReason) {
	isIt := func(w *halfOpen) bool { return w.local == h.receiver && w.remote == h.sender && w.from == from }
	hash := newBLAKE2s()
	hash.Write(b)
	sum := [keyLen]byte(hash.Sum(nil))
	if i := slices.IndexFunc(r.settled, isIt); i >= 0 {
		if sum != r.settled[i].final {
			return answer{}, dropAuth
		}
		return r.settle(now, r.settled[i])
	}
	i := slices.IndexFunc(r.waiting, isIt)
	if i < 0 {
		return answer{}, dropIndex
	}
	w := r.waiting[i]
	// No limit here: a forged one fails before it costs an X25519.
	payload, err := w.x.read(b[handshakeHeaderLen:])
	if err != nil {
		return answer{}, dropAuth
	}
	r.waiting = slices.Delete(r.waiting, i, i+1)
	v, drop := r.identify(now, payload, h.sender, w.x)
	if drop != dropNone {
		return answer{}, drop
	}
	w.final, w.verified = sum, &v
	if len(r.settled) == MaxHalfOpen {
		r.settled = slices.Delete(r.settled, 0, 1)
	}
	r.settled = append(r.settled, w)
	return r.settle(now, w)
}

// settle answers an authentic third message, each time that it comes.
func (r *responder) settle(now time.Time, w *halfOpen) (answer, dropReason) {
	if w.verdict != nil {
		return answer{replies: [][]byte{w.verdict}}, dropNone
	}
	if w.verified == nil {
		return answer{}, dropDeferred
	}
	d := r.decide(now, w.from, *w.verified)
	switch {
	case d.drop != dropNone:
		w.verified = nil
		return answer{}, d.drop
	case d.later:
		return answer{}, dropDeferred
	}
	var a answer
	if d.reason == CloseNone {
		var drop dropReason
		if a.agreed, drop = r.conclude(w.x, *w.verified, w.local, w.from); drop != dropNone {
			w.verified = nil
			return answer{}, drop
		}
	}
	header := handshakeHeader{kind: TypeFinal, variant: variantVerdict, sender: w.local, receiver: w.remote}.append(nil)
	sealed, err := w.x.sealVerdict(header, d.reason)
	if err != nil {
		return answer{}, dropAuth
	}
	w.verdict = append(header, sealed...)
	a.replies = [][]byte{w.verdict}
	return a, dropNone
}

func (r *responder) handleTimeout(now time.Time) {
	r.collector.handleTimeout(now)
	isOver := func(w *halfOpen) bool { return !now.Before(w.deadline) }
	r.waiting, r.settled = slices.DeleteFunc(r.waiting, isOver), slices.DeleteFunc(r.settled, isOver)
}

func (r *responder) nextTimeout() (time.Time, bool) {
	t, _ := r.collector.nextTimeout()
	times := []time.Time{t}
	for _, all := range [][]*halfOpen{r.waiting, r.settled} {
		for _, w := range all {
			times = append(times, w.deadline)
		}
	}
	return earlier(times...)
}
