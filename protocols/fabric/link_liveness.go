package fabric

import (
	"bytes"
	"encoding/binary"
	"io"
	"time"
)

// How a peer is probed.
const (
	// ProbeInterval is how far apart probes of a link in use are at most, both ends' taken
	// together, where Pace says no other, and of one that did not answer.
	ProbeInterval = 200 * time.Millisecond
	// ProbeLosses is how many probes in a row go unanswered at least before the
	// link is down, and for how long the first of them, or twice the round trip:
	// ProbePatience intervals of a link in use, LeastPatience at least, and
	// IdlePatience of an idle one. With ProbeInterval a link in use is down after
	// 700 ms of silence.
	ProbeLosses   = 3
	ProbePatience = 2.5
	LeastPatience = 100 * time.Millisecond
	IdlePatience  = 650 * time.Millisecond

	// LateAfter is how long after its time HandleTimeout comes late: then this node
	// had no time to read answers, and what it did not read is not held against the
	// peer. MaxReprieves is how often in one silence a peer is given one more probe
	// for that reason: a node that is always late shall notice a dead peer too.
	LateAfter    = ProbeInterval / 2
	MaxReprieves = 3

	// IdleProbeFirst and IdleProbeLast are how far apart the probes of an idle
	// link are, doubling from one to the other.
	IdleProbeFirst = time.Second
	IdleProbeLast  = 60 * time.Second

	// RTTWindow is of what time the minimum of the round trip is.
	RTTWindow = 10 * time.Second

	// ProbeLen is the length of a probe's id in bytes, which the answer repeats; what follows
	// is padding. With IPv4, UDP and the frame a probe or its answer is 65 bytes on the wire.
	ProbeLen = 4

	maxOutstanding = 64 // probes whose answer still counts for the round trip
	maxRTTSamples  = 128
	rttStep        = time.Millisecond // with a tenth, the least change that is told
	rttSmoothing   = 8                // RFC 6298 section 2.3: alpha is 1/8
)

// Pace is how far apart the probes of a link are: while it carries traffic, and at
// first and at last while it does not. Zero: ProbeInterval, IdleProbeFirst and
// IdleProbeLast.
type Pace struct{ InUse, IdleFirst, IdleLast time.Duration }

func (p Pace) orDefault() Pace {
	if p.InUse <= 0 {
		p.InUse = ProbeInterval
	}
	if p.IdleFirst <= 0 {
		p.IdleFirst = IdleProbeFirst
	}
	if p.IdleLast <= 0 {
		p.IdleLast = IdleProbeLast
	}
	p.IdleLast = max(p.IdleFirst, p.IdleLast)
	return p
}

// liveness probes a peer and judges its silence.
type liveness struct {
	wanted   Pace
	mostIdle time.Duration // limits wanted.IdleLast; 0: it does not

	inUse    bool
	spare    bool          // there are other paths, which want time to answer too
	yielded  bool          // the peer's turn was waited for since this end's last probe
	interval time.Duration // between idle probes
	next     time.Time     // next probe
	polled   time.Time
	verify   time.Time // a probe after this is to be answered; zero: none

	sent     []outstanding // oldest first
	waiting  []time.Time   // when the probes since the last sign of life were sent, or later by reprieve
	reprieve int           // how often in this silence
	rtt      rtt
	loss     losses
}

type outstanding struct {
	id   uint32
	sent time.Time
	left bool // by a path that is not in use any more
}

func newLiveness(p Pace) liveness {
	p = p.orDefault()
	return liveness{wanted: p, interval: p.IdleFirst}
}

// isLate tells whether a probe has gone unanswered for so long that one more that was
// sent since might have been answered.
func (v *liveness) isLate(now time.Time, by time.Duration) bool {
	return len(v.waiting) > 1 && now.Sub(v.waiting[0]) >= v.answerTime()+by
}

// moved has the round trip and the loss measured anew: they were another path's.
func (v *liveness) moved(now time.Time) {
	v.heard(now)
	v.rtt, v.loss = rtt{smoothed: v.rtt.smoothed, told: v.rtt.told}, losses{}
	for i := range v.sent {
		v.sent[i].left = true
	}
}

func (v *liveness) start(now time.Time, rtt time.Duration) {
	v.rtt.begin(rtt)
	v.next, v.polled = now, now
}

// idleLast is how far apart the probes of an idle link are at last.
func (v *liveness) idleLast() time.Duration {
	if v.mostIdle > 0 {
		return min(v.mostIdle, v.wanted.IdleLast)
	}
	return v.wanted.IdleLast
}

// patience is how long the first unanswered probe waits.
func (v *liveness) patience() time.Duration {
	least, more := IdlePatience, time.Duration(0)
	if v.inUse {
		least = max(time.Duration(ProbePatience*float64(v.wanted.InUse)), LeastPatience)
	}
	if v.spare {
		more = 2 * v.rtt.smoothed
	}
	return max(least, 2*v.rtt.smoothed) + more
}

// pace is how far apart probes are until one is answered. A long way is not taken
// for a loss; once there was one, more probes make it less likely that a lossy link
// is taken for a dead one.
func (v *liveness) pace(now time.Time) time.Duration {
	late := v.answerTime()
	switch {
	case len(v.waiting) > 0 && now.Sub(v.waiting[0]) >= late:
		return v.busy() / 3
	case v.inUse:
		return v.busy()
	}
	return late
}

// answerTime is after what time a probe that is not answered is worth a second one.
func (v *liveness) answerTime() time.Duration { return max(v.busy(), v.rtt.smoothed*3/2) }

// busy is how far apart probes are that are not those of an idle link. An idle link whose probe is
// not answered is looked into by ProbeInterval whatever Pace says: that costs bytes in a silence
// alone, and the next probe of its own may be a minute away.
func (v *liveness) busy() time.Duration {
	if v.inUse {
		return v.wanted.InUse
	}
	return ProbeInterval
}

// heard takes any authentic frame as an answer to all probes.
func (v *liveness) heard(now time.Time) {
	if len(v.waiting) == 0 {
		return
	}
	v.waiting, v.reprieve = v.waiting[:0], 0
	if !v.inUse && v.verify.IsZero() {
		v.next = now.Add(v.interval)
		v.interval = min(2*v.interval, v.idleLast())
	}
}

// heardBefore does the same for frames that came at an unknown time after the last
// poll: only probes before that are surely older.
func (v *liveness) heardBefore(now time.Time) {
	n := 0
	for n < len(v.waiting) && v.waiting[n].Before(v.polled) {
		n++
	}
	if n == len(v.waiting) {
		v.heard(now)
		return
	}
	if n > 0 {
		v.reprieve = 0
	}
	v.waiting = v.waiting[n:]
}

// takesTurns tells whether the ends of a link probe by turns, as what a probe and its answer
// show they show to both. Where the way is long there is no time for it before silence is
// noticed.
func (v *liveness) takesTurns() bool {
	return v.inUse && v.verify.IsZero() && v.rtt.smoothed <= v.busy()/2
}

// yield follows the peer's probe: this end's next one is due in the last quarter of an
// interval from then, at random, so that ends that began together do not stay so. It waits
// once only from one of its own to the next: each end measures the round trip, and where
// frames are lost both shall try.
func (l *Link) yield(now time.Time) {
	v := &l.liveness
	if v.yielded || !v.takesTurns() {
		return
	}
	var random [1]byte
	if _, err := io.ReadFull(l.rand, random[:]); err != nil {
		l.drops.add(dropRandom)
		return
	}
	v.yielded = true
	quarter := v.busy() / 4
	v.next = now.Add(3*quarter + quarter*time.Duration(random[0])/256)
}

// forgive has the time by which this node is late not count as the peer's silence:
// a probe that is sent now can still be answered.
func (v *liveness) forgive(now time.Time) {
	late := now.Sub(v.nextTimeout())
	if late < LateAfter || len(v.waiting) == 0 || v.reprieve == MaxReprieves {
		return
	}
	v.reprieve++
	by := max(late, now.Add(v.answerTime()).Sub(v.waiting[0].Add(v.patience())))
	for i := range v.waiting {
		v.waiting[i] = v.waiting[i].Add(by)
	}
	v.next = now
}

// isSilent tells whether the peer is to be given up.
func (v *liveness) isSilent(now time.Time) bool {
	return len(v.waiting) >= ProbeLosses && !now.Before(v.waiting[0].Add(v.patience()))
}

func (v *liveness) nextTimeout() time.Time {
	if len(v.waiting) >= ProbeLosses {
		if t := v.waiting[0].Add(v.patience()); t.Before(v.next) {
			return t
		}
	}
	return v.next
}

// ProbeAnswer is the body of the ControlProbeAck that answers a ControlProbe; nil
// where that is too short. It is a copy.
func ProbeAnswer(probe []byte) []byte {
	if len(probe) < ProbeLen {
		return nil
	}
	return bytes.Clone(probe[:ProbeLen])
}

// SetUse tells whether the link carries traffic: then its probes are
// ProbeInterval apart.
func (l *Link) SetUse(now time.Time, inUse bool) {
	v := &l.liveness
	if v.inUse == inUse {
		return
	}
	v.inUse, v.interval = inUse, v.wanted.IdleFirst
	if l.up && inUse {
		v.next = now
	}
}

// LimitIdle has the probes of an idle link no farther apart than most, or than was
// configured where that is less; 0: as configured. A NAT forgets a silent link.
func (l *Link) LimitIdle(now time.Time, most time.Duration) {
	v := &l.liveness
	v.mostIdle = most
	v.interval = min(v.interval, v.idleLast())
	if due := now.Add(v.idleLast()); l.up && len(v.waiting) == 0 && v.next.After(due) {
		v.next = due
	}
}

// SetPace changes how far apart the probes are, from the next one on, which is due
// now.
func (l *Link) SetPace(now time.Time, p Pace) {
	v := &l.liveness
	if p = p.orDefault(); p == v.wanted {
		return
	}
	v.wanted = p
	v.interval = min(p.IdleFirst, v.idleLast())
	if l.up {
		v.next = now
	}
}

// Verify has the peer answer a probe now, or the link ends: Verified or Down
// follows.
func (l *Link) Verify(now time.Time) {
	if l.done || !l.up {
		return
	}
	l.liveness.verify = now
	l.probe(now)
}

// RTT is the smoothed round trip and the minimum of the last RTTWindow.
func (l *Link) RTT() (smoothed, minimum time.Duration) {
	return l.liveness.rtt.smoothed, l.liveness.rtt.minimum()
}

func (l *Link) handleLiveness(now time.Time) {
	l.liveness.spare = len(l.paths.all()) > 1
	l.liveness.forgive(now)
	l.liveness.polled = now
	if l.liveness.isSilent(now) {
		l.down(CloseSilence, false)
		return
	}
	if !now.Before(l.liveness.next) {
		l.probe(now)
		l.doubt(now)
	}
}

func (l *Link) probe(now time.Time) {
	v := &l.liveness
	v.next, v.yielded = now.Add(v.pace(now)), false
	var id [ProbeLen]byte
	if _, err := io.ReadFull(l.rand, id[:]); err != nil {
		l.drops.add(dropRandom)
		return
	}
	if len(v.sent) == maxOutstanding {
		v.sent = append(v.sent[:0], v.sent[1:]...)
	}
	v.sent = append(v.sent, outstanding{id: binary.BigEndian.Uint32(id[:]), sent: now})
	v.loss.sent(now)
	v.waiting = append(v.waiting, now)
	l.out.put(SendControl{Kind: ControlProbe, Body: id[:]})
}

// handleProbe takes the peer's sign of life, and answers by the way that it came.
func (l *Link) handleProbe(now time.Time, f ControlFrame) {
	l.liveness.heard(now)
	l.yield(now)
	if answer := ProbeAnswer(f.Body); answer != nil {
		l.out.put(SendControl{ControlProbeAck, answer, f.Path})
	}
}

// handleAck takes the answer to a probe, which arrived at the socket at.
func (l *Link) handleAck(now, at time.Time, body []byte) {
	v := &l.liveness
	if len(body) < ProbeLen {
		return
	}
	id := binary.BigEndian.Uint32(body)
	for i, o := range v.sent {
		if o.id != id {
			continue
		}
		v.sent = append(v.sent[:i], v.sent[i+1:]...)
		if !o.left {
			v.loss.answered(o.sent)
		}
		if v.takesTurns() && !v.yielded {
			v.next = now.Add(v.busy()) // the peer's turn comes first
		}
		if !v.verify.IsZero() && !o.sent.Before(v.verify) {
			v.verify = time.Time{}
			l.out.put(Verified{l.peer})
			if l.rival != nil {
				l.out.put(*l.rival)
				l.rival = nil
			}
		}
		if v.rtt.add(now, at.Sub(o.sent)) {
			l.out.put(RTTChanged{v.rtt.smoothed, v.rtt.minimum()})
		}
		break
	}
	v.heard(now)
}

// rtt is the length of the round trip.
type rtt struct {
	smoothed time.Duration
	told     time.Duration // the minimum that the driver knows
	measured bool          // by a probe, not only by the handshake
	samples  []sample      // of the window, times and values rising
}

type sample struct {
	at    time.Time
	value time.Duration
}

func (r *rtt) begin(d time.Duration) { r.smoothed, r.told = max(d, 0), max(d, 0) }

func (r *rtt) minimum() time.Duration {
	if len(r.samples) == 0 {
		return r.smoothed
	}
	return r.samples[0].value
}

// add takes a sample; true where the minimum has become another one by a tenth, and
// by rttStep at least: what is less must not move a route.
func (r *rtt) add(now time.Time, d time.Duration) bool {
	if d < 0 {
		return false // a socket's clock that was set back
	}
	if r.measured {
		r.smoothed += (d - r.smoothed) / rttSmoothing
	} else {
		r.smoothed, r.measured = d, true
	}
	for len(r.samples) > 0 && r.samples[len(r.samples)-1].value >= d {
		r.samples = r.samples[:len(r.samples)-1]
	}
	r.samples = append(r.samples, sample{now, d})
	for len(r.samples) > maxRTTSamples || now.Sub(r.samples[0].at) > RTTWindow {
		r.samples = r.samples[1:]
	}
	change := (r.minimum() - r.told).Abs()
	if change < rttStep || change < r.told/10 {
		return false
	}
	r.told = r.minimum()
	return true
}
