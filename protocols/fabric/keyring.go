package fabric

import (
	"crypto/subtle"
	"slices"
	"time"

	"re6st/protocols/addr"
)

// When keys are replaced.
const (
	// RekeyAfter is the age at which the initiator of the current keys makes new
	// ones; RekeyGrace later the other end does, if that did not happen.
	RekeyAfter = 120 * time.Second
	RekeyGrace = 10 * time.Second
	// RekeyBytes and RekeyFrames, of both directions, make it earlier: frames
	// long before CounterLimit.
	RekeyBytes  = 1 << 36
	RekeyFrames = CounterLimit / 2
	// KeyLifetime ends keys that could not be replaced: a peer whose certificate
	// has ended gets no new ones.
	KeyLifetime = 360 * time.Second

	// Overlap is how long replaced keys still open frames.
	Overlap = 10 * time.Second
	// SimultaneousOpen is how close two handshakes of opposite initiators are for
	// which the greater node id decides, not the later time.
	SimultaneousOpen = 5 * time.Second

	maxUnconfirmed = 8
	stillInUse     = 3 * time.Second // a frame that recent shows that the peer sends with old keys
)

// sealer is what a LinkSession and a Session have in common.
type sealer interface {
	comparable
	LocalIndex() uint32
	Usage() (bytes, frames uint64)
	heard() uint64 // authentic frames that came
}

func (s *LinkSession) heard() uint64 { return s.received.heard() }
func (s *Session) heard() uint64     { return s.received.heard() }

func (w *window) heard() uint64 {
	frames, _ := w.usage()
	return frames
}

// sealing is one set of keys with a peer.
type sealing[S sealer] struct {
	session   S
	agreed    *agreement
	made      time.Time
	confirmed bool      // the peer has them too
	expires   time.Time // zero: not yet known
	frames    uint64    // that came, of the last poll
	usage     uint64    // frames both ways, of the last isUsed
	heardAt   time.Time // of the last poll that found more, or of a control frame
}

// keyring is all the keys with one peer, made before the old ones are broken:
//
//	responder:  offer -> confirm (the first frame) -> current -> replaced, expires
//	initiator:             adopt ------------------> current -> replaced, expires
type keyring[S sealer] struct {
	self    addr.NodeID
	waits   time.Duration // of a responder's keys for the first frame
	keys    []*sealing[S] // oldest first
	current *sealing[S]   // what we send with; nil before the first

	install func(*sealing[S])
	use     func(*sealing[S])
	retire  func(index uint32)
}

// offer takes a responder's keys: they open, but wait for the first frame.
func (r *keyring[S]) offer(now time.Time, s S, a *agreement) {
	unconfirmed := 0
	for _, k := range r.keys {
		if !k.confirmed {
			unconfirmed++
		}
	}
	if unconfirmed >= maxUnconfirmed {
		i := slices.IndexFunc(r.keys, func(k *sealing[S]) bool { return !k.confirmed })
		r.remove(r.keys[i])
	}
	k := &sealing[S]{session: s, agreed: a, made: now, expires: now.Add(r.waits)}
	r.keys = append(r.keys, k)
	r.install(k)
}

// adopt takes an initiator's keys: the peer has them.
func (r *keyring[S]) adopt(now time.Time, s S, a *agreement) {
	k := &sealing[S]{session: s, agreed: a, made: now, confirmed: true, heardAt: now}
	r.keys = append(r.keys, k)
	r.install(k)
	r.choose(now, k)
}

// confirm tells that a frame came under the keys with this index; true where that
// made them current or another choice.
func (r *keyring[S]) confirm(now time.Time, index uint32) bool {
	for _, k := range r.keys {
		if k.session.LocalIndex() != index {
			continue
		}
		k.heardAt = now
		if k.confirmed {
			return false
		}
		k.confirmed, k.expires = true, time.Time{}
		r.choose(now, k)
		return true
	}
	return false
}

// isConfirm tells whether the initiator of the keys with this index sent word.
func (r *keyring[S]) isConfirm(index uint32, word []byte) bool {
	i := slices.IndexFunc(r.keys, func(k *sealing[S]) bool { return k.session.LocalIndex() == index })
	return i >= 0 && !r.keys[i].agreed.initiator && subtle.ConstantTimeCompare(r.keys[i].agreed.confirm[:], word) == 1
}

// poll looks at the sessions' counters; true where a frame came since the last
// time.
func (r *keyring[S]) poll(now time.Time) (heard bool) {
	for _, k := range slices.Clone(r.keys) {
		if n := k.session.heard(); n > k.frames {
			k.frames, heard = n, true
			r.confirm(now, k.session.LocalIndex())
		}
	}
	return heard
}

// discount has a frame that came under the keys with this index be none for poll.
func (r *keyring[S]) discount(index uint32) {
	for _, k := range r.keys {
		if k.session.LocalIndex() == index {
			k.frames++
		}
	}
}

// isUsed tells whether frames went or came since the last time.
func (r *keyring[S]) isUsed() (used bool) {
	for _, k := range r.keys {
		if _, n := k.session.Usage(); n != k.usage {
			k.usage, used = n, true
		}
	}
	return used
}

// choose decides between confirmed keys k and the current ones, the same at both
// ends. The losers open for a while.
func (r *keyring[S]) choose(now time.Time, k *sealing[S]) {
	loser := r.current
	if loser != nil && !r.prefers(k) {
		k.expires = now.Add(Overlap)
		return
	}
	r.current = k
	k.expires = time.Time{}
	if loser != nil {
		loser.expires = now.Add(Overlap)
	}
	r.use(k)
}

func (r *keyring[S]) prefers(k *sealing[S]) bool {
	c := r.current
	if k.agreed.initiator == c.agreed.initiator || k.made.Sub(c.made).Abs() >= SimultaneousOpen ||
		k.agreed.boot != c.agreed.boot {
		return true
	}
	return k.agreed.initiator == (r.self.Compare(k.agreed.peer.ID) > 0)
}

// handleTimeout removes what has expired, unless the peer still sends with it: then
// the ends have chosen differently, and the one with the lower node id gives way.
func (r *keyring[S]) handleTimeout(now time.Time) {
	for _, k := range slices.Clone(r.keys) {
		switch {
		case k.expires.IsZero() || now.Before(k.expires):
		case !k.confirmed || k.heardAt.IsZero() || now.Sub(k.heardAt) >= stillInUse || now.Sub(k.made) >= KeyLifetime:
			r.remove(k)
		case r.self.Compare(k.agreed.peer.ID) < 0:
			loser := r.current
			r.current, k.expires = k, time.Time{}
			loser.expires = now.Add(Overlap)
			r.use(k)
		default:
			k.expires = now.Add(Overlap)
		}
	}
}

func (r *keyring[S]) nextTimeout() (next time.Time) {
	for _, k := range r.keys {
		if !k.expires.IsZero() && (next.IsZero() || k.expires.Before(next)) {
			next = k.expires
		}
	}
	return next
}

// rekeyAt is when this end is to replace the current keys, by age.
func (r *keyring[S]) rekeyAt() time.Time {
	if r.current == nil {
		return time.Time{}
	}
	at := r.current.made.Add(RekeyAfter)
	if !r.current.agreed.initiator {
		at = at.Add(RekeyGrace)
	}
	return at
}

// isWorn tells whether the current keys were used so much that this end is to
// replace them. Their responder gives the initiator time: it counts less.
func (r *keyring[S]) isWorn() bool {
	if r.current == nil {
		return false
	}
	bytes, frames := r.current.session.Usage()
	if !r.current.agreed.initiator {
		bytes, frames = bytes/2, frames/3*2
	}
	return bytes >= RekeyBytes || frames >= RekeyFrames
}

// staleAt is when the current keys have lived for too long.
func (r *keyring[S]) staleAt() time.Time {
	if r.current == nil {
		return time.Time{}
	}
	return r.current.made.Add(KeyLifetime)
}

func (r *keyring[S]) isStale(now time.Time) bool {
	return r.current != nil && !now.Before(r.staleAt())
}

// forgetOthers removes all keys but those of k's boot: the peer has restarted.
func (r *keyring[S]) forgetOthers(boot BootID) {
	for _, k := range slices.Clone(r.keys) {
		if k.agreed.boot != boot {
			r.remove(k)
		}
	}
}

func (r *keyring[S]) remove(k *sealing[S]) {
	r.keys = slices.DeleteFunc(r.keys, func(o *sealing[S]) bool { return o == k })
	if r.current == k {
		r.current = nil
	}
	r.retire(k.session.LocalIndex())
}

func (r *keyring[S]) clear() {
	for _, k := range slices.Clone(r.keys) {
		r.remove(k)
	}
}
