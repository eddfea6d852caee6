package fabric

import (
	"encoding/binary"
	"io"
	"slices"
	"time"

	"re6st/protocols/addr"
)

// How a node is called.
const (
	// DialTimeout ends an attempt in which nobody answered.
	DialTimeout = 5 * time.Second
	// MaxEndpoints is how many addresses of a node are tried in one attempt, and
	// maxLanes by how many paths.
	MaxEndpoints = 8
	maxLanes     = 2*MaxEndpoints + 2*MaxCarrierPaths

	firstRetry    = 250 * time.Millisecond // doubling, plus up to a quarter of jitter
	lastRetry     = 500 * time.Millisecond // a link or a way that was cut may be whole again at any time
	laneStagger   = 50 * time.Millisecond  // between the first messages to two addresses
	triesIK       = 2                      // then the peer's key is taken for changed
	maxRetries    = 4                      // cookies taken on one lane
	finalRepeats  = 3                      // then another handshake is begun
	maxLaneTrials = 8                      // handshakes without answer that are remembered
)

// dialer is one attempt at a handshake with a node, by all its addresses at once.
type dialer struct {
	*party
	expect   addr.NodeID   // zero: whoever answers
	static   *[keyLen]byte // the peer's, nil where not known
	lanes    []*lane
	deadline time.Time

	send   func(source, []byte)
	listen func(index uint32, on bool)

	collector collector
	rejected  bool      // somebody answered who is not the wanted node of this network
	twin      *verified // another node that answered with this node's certificate
}

// lane is one address of the node.
type lane struct {
	to      source
	cookie  keptCookie
	tested  bool // the cookie came in this attempt
	retries int  // cookies that came
	tries   int  // handshakes begun

	request uint32 // index of the request for a cookie, 0 where there is none
	asked   [handshakeMACLen]byte

	trials   []*trial // oldest first
	interval time.Duration
	next     time.Time
}

// trial is one handshake on a lane.
type trial struct {
	index   uint32
	pattern pattern
	x       *exchange
	cookie  keptCookie
	mac     [handshakeMACLen]byte
	sent    time.Time

	final   [][]byte // XX: the third message, once sent
	repeats int
	agreed  *agreement // XX: to be had when the verdict comes
}

// outcome ends an attempt, with an agreement or with the peer's refusal.
type outcome struct {
	agreed  *agreement
	refused CloseReason
}

// start begins the attempt, by one carrier after the other if there are several. The first target may have a cookie of the last one.
func (d *dialer) start(now time.Time, targets []source, kept keptCookie, reach Reach) {
	d.deadline = now.Add(DialTimeout)
	var begun [Carriers]time.Duration
	for _, to := range targets[:min(len(targets), maxLanes)] {
		after := begun[to.carrier]
		begun[to.carrier] += laneStagger
		if len(targets) > 1 {
			after += reach.race(to.carrier)
		}
		d.lanes = append(d.lanes, &lane{to: to, interval: firstRetry, next: now.Add(after)})
	}
	if kept.isFresh(now) {
		d.lanes[0].cookie = kept
	}
	d.handleTimeout(now)
}

// handleTimeout sends what is due; false where the attempt has come to its end.
func (d *dialer) handleTimeout(now time.Time) bool {
	if !now.Before(d.deadline) {
		return false
	}
	for _, l := range d.lanes {
		if !now.Before(l.next) {
			d.transmit(now, l)
		}
	}
	return true
}

func (d *dialer) nextTimeout() time.Time {
	t := d.deadline
	for _, l := range d.lanes {
		if l.next.Before(t) {
			t = l.next
		}
	}
	return t
}

// transmit sends a lane's next message and plans the one after.
func (d *dialer) transmit(now time.Time, l *lane) {
	l.next = now.Add(l.interval + d.jitter(l.interval/4))
	l.interval = min(2*l.interval, lastRetry)
	if t := l.last(); t != nil && t.final != nil && t.repeats < finalRepeats {
		t.repeats++
		for _, b := range t.final {
			d.send(l.to, b)
		}
		return
	}
	if l.tries > 0 && !l.tested {
		l.cookie = keptCookie{} // perhaps it was too old, and nobody says so of a fragment
	}
	if l.cookie == (keptCookie{}) {
		d.request(l)
		return
	}
	d.initiate(now, l)
}

// request asks for a cookie, each time with the same message.
func (d *dialer) request(l *lane) {
	if l.request == 0 {
		l.request = d.newIndex()
		d.listen(l.request, true)
	}
	b := initiation{header: handshakeHeader{sender: l.request}}.append(nil, d.key)
	copy(l.asked[:], b[len(b)-handshakeMACLen:])
	d.send(l.to, b)
}

// initiate begins a handshake. Each is a new one: the other end drops what it saw.
func (d *dialer) initiate(now time.Time, l *lane) {
	t := &trial{index: d.newIndex(), pattern: patternXX, cookie: l.cookie, sent: now}
	var payload, static []byte
	if d.static != nil && l.tries < triesIK {
		t.pattern, static = patternIK, d.static[:]
		payload = d.credentials.hello(t.index).append(nil)
	}
	l.tries++
	x, err := d.credentials.newExchange(t.pattern, true,
		d.credentials.prologue(d.purpose, t.cookie.cookie, d.self(), d.expect), static, d.rand)
	if err != nil {
		d.drops.add(dropAuth)
		return
	}
	t.x = x
	m, err := t.x.write(payload)
	if err != nil {
		d.drops.add(dropRandom)
		return
	}
	b := initiation{
		header: handshakeHeader{variant: uint8(t.pattern), sender: t.index}, cookie: t.cookie.cookie, noise: m,
	}.append(nil, d.key)
	copy(t.mac[:], b[len(b)-handshakeMACLen:])
	if len(l.trials) == maxLaneTrials {
		d.listen(l.trials[0].index, false)
		l.trials = slices.Delete(l.trials, 0, 1)
	}
	l.trials = append(l.trials, t)
	d.listen(t.index, true)
	for _, b := range cut(b, t.cookie.cookie, d.size(l.to.carrier)) {
		d.send(l.to, b)
	}
}

// handle takes an answer; nil where the attempt goes on.
func (d *dialer) handle(now time.Time, from source, b []byte) *outcome {
	h, err := parseHandshakeHeader(b)
	if err != nil {
		d.drops.add(dropMalformed)
		return nil
	}
	l, t := d.find(h.receiver)
	if l == nil {
		d.drops.add(dropIndex)
		return nil
	}
	if h.kind == TypeHandshakeFragment {
		if t == nil || cookie(b[handshakeHeaderLen:]) != t.cookie.cookie {
			d.drops.add(dropCookie)
			return nil
		}
		m, drop := d.collector.add(now, from, h, b)
		d.drops.add(drop)
		if m == nil {
			return nil
		}
		if h, err = parseHandshakeHeader(m); err != nil || h.receiver != t.index {
			d.drops.add(dropMalformed)
			return nil
		}
		b = m
	}
	o, drop := d.message(now, l, t, h, b)
	d.drops.add(drop)
	return o
}

func (d *dialer) message(now time.Time, l *lane, t *trial, h handshakeHeader, b []byte) (*outcome, dropReason) {
	switch {
	case h.kind == TypeRetry:
		return nil, d.retry(now, l, t, b)
	case h.kind == TypeResponse && t != nil && t.agreed == nil:
		return d.response(now, l, t, b)
	case h.kind == TypeFinal && h.variant == variantVerdict && t != nil && t.agreed != nil:
		return d.verdict(now, t, b)
	}
	return nil, dropIndex
}

// retry takes a cookie and uses it at once.
func (d *dialer) retry(now time.Time, l *lane, t *trial, b []byte) dropReason {
	answered := l.asked
	if t != nil {
		answered = t.mac
	}
	c := cookie(b[offCookie:])
	switch {
	case !d.key.isMarked(b, answered[:]):
		return dropMAC
	case l.retries == maxRetries || c == l.cookie.cookie:
		return dropCookie
	}
	l.retries++
	l.cookie, l.tested = keptCookie{c, now}, true
	l.interval = firstRetry
	if t != nil {
		l.tries-- // that one was not read
		d.forget(l, t)
	}
	d.transmit(now, l)
	return dropNone
}

func (d *dialer) response(now time.Time, l *lane, t *trial, b []byte) (*outcome, dropReason) {
	m := b[handshakeHeaderLen:]
	if len(m) < keyLen {
		return nil, dropMalformed
	}
	if isLowOrder(m[:keyLen]) {
		return nil, dropAuth
	}
	payload, err := t.x.read(m)
	if err != nil {
		return nil, dropAuth
	}
	// The header's index is nobody's word: the payload's counts.
	v, drop := d.judge(now, payload, t.x.peerStatic())
	if drop == dropNone && v.refusal != CloseNone {
		if t.pattern == patternIK {
			return &outcome{refused: v.refusal}, dropNone
		}
		drop = dropMalformed // XX: the peer does not know yet whom it would refuse
	}
	if drop == dropNone {
		drop = d.recognize(v)
	}
	if drop == dropSelf && v.boot != d.credentials.BootID {
		d.twin = &v
	}
	if drop != dropNone {
		d.rejected = true
		d.forget(l, t)
		return nil, drop
	}
	if t.pattern == patternIK {
		return d.agree(now, l, t, v)
	}
	return nil, d.finish(now, l, t, v)
}

// recognize tells whether a verified peer is the one that was called.
func (d *dialer) recognize(v verified) dropReason {
	switch {
	case v.peer.ID == d.self():
		return dropSelf
	case !d.expect.IsZero() && v.peer.ID != d.expect:
		return dropPeer
	case d.credentials.isRevoked(v.peer):
		return dropRevoked
	}
	return dropNone
}

func (d *dialer) agree(now time.Time, l *lane, t *trial, v verified) (*outcome, dropReason) {
	a, drop := d.conclude(t.x, v, t.index, l.to)
	if drop != dropNone {
		return nil, drop
	}
	a.rtt, a.kept = now.Sub(t.sent), t.cookie
	return &outcome{agreed: a}, dropNone
}

// finish sends the third message of XX. The verdict is awaited, because only it tells
// that the peer has the keys too, or why it will not.
func (d *dialer) finish(now time.Time, l *lane, t *trial, v verified) dropReason {
	m, err := t.x.write(d.credentials.hello(t.index).append(nil))
	if err != nil {
		return dropRandom
	}
	o, drop := d.agree(now, l, t, v)
	if drop != dropNone {
		return drop
	}
	t.agreed, t.sent = o.agreed, now
	b := handshakeHeader{kind: TypeFinal, variant: variantFinal, sender: t.index, receiver: v.index}.append(nil)
	t.final = cut(append(b, m...), t.cookie.cookie, d.size(l.to.carrier))
	// The newest is what transmit repeats; others may still answer.
	l.trials = append(slices.DeleteFunc(l.trials, func(o *trial) bool { return o == t }), t)
	for _, b := range t.final {
		d.send(l.to, b)
	}
	l.interval = firstRetry
	l.next = now.Add(l.interval + d.jitter(l.interval/4))
	return dropNone
}

func (d *dialer) verdict(now time.Time, t *trial, b []byte) (*outcome, dropReason) {
	reason, err := t.x.openVerdict(b[:handshakeHeaderLen], b[handshakeHeaderLen:])
	if err != nil {
		return nil, dropAuth
	}
	if reason != CloseNone {
		return &outcome{refused: reason}, dropNone
	}
	t.agreed.rtt = now.Sub(t.sent)
	return &outcome{agreed: t.agreed}, dropNone
}

// stop forgets every index.
func (d *dialer) stop() {
	for _, l := range d.lanes {
		if l.request != 0 {
			d.listen(l.request, false)
		}
		for _, t := range l.trials {
			d.listen(t.index, false)
		}
	}
	d.lanes = nil
}

func (d *dialer) forget(l *lane, t *trial) {
	d.listen(t.index, false)
	l.trials = slices.DeleteFunc(l.trials, func(o *trial) bool { return o == t })
}

// find is the lane, and the trial where it is not the request, with this index.
func (d *dialer) find(index uint32) (*lane, *trial) {
	for _, l := range d.lanes {
		if index == l.request && index != 0 {
			return l, nil
		}
		for _, t := range l.trials {
			if t.index == index {
				return l, t
			}
		}
	}
	return nil, nil
}

func (l *lane) last() *trial {
	if len(l.trials) == 0 {
		return nil
	}
	return l.trials[len(l.trials)-1]
}

// jitter is a random duration below limit.
func (p *party) jitter(limit time.Duration) time.Duration {
	var b [4]byte
	if _, err := io.ReadFull(p.rand, b[:]); err != nil {
		p.drops.add(dropRandom)
		return 0
	}
	return time.Duration(int64(limit) * int64(binary.BigEndian.Uint32(b[:])) >> 32)
}
