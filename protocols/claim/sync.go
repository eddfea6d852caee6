package claim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"re6st/protocols/addr"
)

// Ledger is what a Sync reads: a Store, or one behind a lock.
type Ledger interface {
	Digest() Digest
	// Bucket lists what is held of a bucket, by node.
	Bucket(b int) []Version
	// Version tells which claim of a node is held.
	Version(addr.NodeID) (Version, bool)
	// Signed is a node's claim, whose bytes are not changed; nil: none is held.
	Signed(addr.NodeID) (Version, []byte)
}

// Digest is that of all claims.
func (s *Store) Digest() Digest { return s.digest }

// Bucket lists what is held of a bucket, by node.
func (s *Store) Bucket(b int) []Version {
	all := make([]Version, len(s.buckets[b]))
	for i, id := range s.buckets[b] {
		all[i] = s.held[id].version()
	}
	return all
}

// Version tells which claim of a node is held.
func (s *Store) Version(id addr.NodeID) (Version, bool) {
	if e := s.held[id]; e != nil {
		return e.version(), true
	}
	return Version{}, false
}

// Signed is a node's claim; nil: none is held. The owner of the bytes is the Store.
func (s *Store) Signed(id addr.NodeID) (Version, []byte) {
	if e := s.held[id]; e != nil {
		return e.version(), e.Signed
	}
	return Version{}, nil
}

// Received is a claim that is news, and not verified yet.
type Received struct{ Signed []byte }

// Sync is one end of a link, at which two stores are made equal. It has a single owner.
type Sync struct {
	ledger  Ledger
	compare bool // this end says the digests
	rand    *rand.Rand
	events  []Received

	digest    bool // one is due
	digestAt  time.Time
	summaries []summaryDue
	requests  []addr.NodeID
	sends     []addr.NodeID
	due       map[addr.NodeID]bool // in sends
	out       part                 // under way; no bytes: none is
	in        part                 // likewise
	theirs    map[addr.NodeID]Version
	credit    float64 // claims that may still be heard
	creditAt  time.Time
}

// summaryDue is a bucket to be told of, behind a node.
type summaryDue struct {
	bucket int
	after  addr.NodeID
}

// NewSync is the end of self of a link with peer. rnd spreads the times at which they
// compare.
func NewSync(now time.Time, self, peer addr.NodeID, l Ledger, rnd *rand.Rand) *Sync {
	s := &Sync{
		ledger: l, compare: self.Compare(peer) > 0, rand: rnd, credit: HeardBurst, creditAt: now,
		due: map[addr.NodeID]bool{}, theirs: map[addr.NodeID]Version{},
	}
	s.HandlePeer(now)
	return s
}

// HandlePeer has all compared: the peer may have begun anew, and know nothing.
func (s *Sync) HandlePeer(now time.Time) {
	clear(s.theirs)
	s.digestAt = now
	s.HandleTimeout(now)
}

// HandleTimeout has the stores compared again.
func (s *Sync) HandleTimeout(now time.Time) {
	if !s.compare || now.Before(s.digestAt) {
		return
	}
	s.digest = true
	s.digestAt = now.Add(DigestInterval - time.Duration(s.rand.Int64N(int64(DigestInterval/4))))
}

// NextTimeout is when HandleTimeout is due; false for never.
func (s *Sync) NextTimeout() (time.Time, bool) { return s.digestAt, s.compare }

// HandleAdded has the peer told of a node's claim, which is news here, unless it is
// from the peer.
func (s *Sync) HandleAdded(id addr.NodeID) {
	held, ok := s.ledger.Version(id)
	if theirs, known := s.theirs[id]; ok && (!known || held.newerThan(theirs)) {
		s.offer(id)
	}
}

func (s *Sync) offer(id addr.NodeID) {
	if !s.due[id] {
		s.due[id] = true
		s.sends = append(s.sends, id)
	}
}

// HandleMessage takes what the peer's Next gave. An error means that the peer sends
// what it must not; ErrFlood that claims were left out, to be told again.
func (s *Sync) HandleMessage(now time.Time, message []byte) error {
	m, err := decode(message)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case Digest:
		s.hearDigest(m)
	case summary:
		s.hearSummary(m)
	case []addr.NodeID:
		for _, id := range m {
			if _, held := s.ledger.Version(id); held {
				s.offer(id)
			}
		}
	case part:
		return s.hearPart(now, m)
	}
	return nil
}

func (s *Sync) hearDigest(theirs Digest) {
	if s.compare {
		return // both would tell all
	}
	ours := s.ledger.Digest()
	s.summaries = nil
	for b := range Buckets {
		if ours[b] != theirs[b] {
			s.summaries = append(s.summaries, summaryDue{bucket: b})
		}
	}
}

// hearSummary finds what the peer lacks, and what is lacking here.
func (s *Sync) hearSummary(theirs summary) {
	listed := map[addr.NodeID]Version{}
	for _, v := range theirs.versions {
		if bucketOf(v.Node) != theirs.bucket {
			continue
		}
		listed[v.Node] = v
		s.note(v)
		if held, ok := s.ledger.Version(v.Node); !ok || v.newerThan(held) {
			s.want(v.Node)
		}
	}
	for _, v := range s.ledger.Bucket(theirs.bucket) {
		if v.Node.Compare(theirs.after) <= 0 || v.Node.Compare(theirs.upto) > 0 {
			continue
		}
		if known, ok := listed[v.Node]; !ok || v.newerThan(known) {
			s.offer(v.Node)
		}
	}
}

func (s *Sync) want(id addr.NodeID) {
	if len(s.requests) < MaxClaims {
		s.requests = append(s.requests, id)
	}
}

// note keeps in mind what the peer has. What is forgotten for want of room is at worst
// told twice.
func (s *Sync) note(v Version) {
	if len(s.theirs) >= MaxClaims {
		clear(s.theirs)
	}
	s.theirs[v.Node] = v
}

// hearPart gathers a claim that is news.
func (s *Sync) hearPart(now time.Time, p part) error {
	if p.offset == 0 {
		s.in = part{}
		s.note(p.Version)
		if held, ok := s.ledger.Version(p.Node); ok && !p.newerThan(held) {
			return nil
		}
		if !s.pay(now) {
			return fmt.Errorf("%w: %d in a burst, then %d a second", ErrFlood, HeardBurst, HeardRate)
		}
		s.in = part{Version: p.Version, total: p.total}
	}
	if p.Version != s.in.Version || p.total != s.in.total || p.offset != len(s.in.bytes) {
		return nil // of one that is not gathered
	}
	if s.in.bytes = append(s.in.bytes, p.bytes...); len(s.in.bytes) == s.in.total {
		s.events = append(s.events, Received{s.in.bytes})
		s.in = part{}
	}
	return nil
}

func (s *Sync) pay(now time.Time) bool {
	s.credit = min(HeardBurst, s.credit+HeardRate*max(0, now.Sub(s.creditAt).Seconds()))
	s.creditAt = now
	if s.credit < 1 {
		return false
	}
	s.credit--
	return true
}

// Drain hands over what was received since the last call, in order.
func (s *Sync) Drain(yield func(Received)) {
	events := s.events
	s.events = nil
	for _, e := range events {
		yield(e)
	}
}

// Next is the next message to the peer, of MaxMessage bytes at most; nil: there is none.
// Each is to arrive, in whatever order; of claims that a message does not hold the parts
// that come in disorder are lost until the stores are compared again.
func (s *Sync) Next() []byte {
	if b := s.nextPart(); b != nil {
		return b
	}
	switch {
	case s.digest:
		s.digest = false
		return s.ledger.Digest().encode()
	case len(s.requests) > 0:
		n := min(len(s.requests), idsFit)
		ids := s.requests[:n]
		s.requests = slices.Clone(s.requests[n:])
		return encodeRequest(ids)
	case len(s.summaries) > 0:
		return s.nextSummary()
	}
	return nil
}

// nextPart is more of the claim under way, or the beginning of another.
func (s *Sync) nextPart() []byte {
	for len(s.out.bytes) == 0 {
		if len(s.sends) == 0 {
			return nil
		}
		id := s.sends[0]
		s.sends = s.sends[1:]
		delete(s.due, id)
		if v, signed := s.ledger.Signed(id); signed != nil {
			s.note(v)
			s.out = part{v, len(signed), 0, signed}
		}
	}
	p := s.out
	p.bytes = p.bytes[:min(bytesFit, len(p.bytes))]
	s.out.offset += len(p.bytes)
	s.out.bytes = s.out.bytes[len(p.bytes):]
	return p.encode()
}

// nextSummary is as much of a bucket as a message holds.
func (s *Sync) nextSummary() []byte {
	d := s.summaries[0]
	all := s.ledger.Bucket(d.bucket)
	at, found := slices.BinarySearchFunc(all, d.after, func(v Version, id addr.NodeID) int { return v.Node.Compare(id) })
	if found {
		at++
	}
	all = all[at:]
	m := summary{d.bucket, d.after, lastID, all[:min(versionsFit, len(all))]}
	if len(all) > versionsFit {
		m.upto = all[versionsFit-1].Node
		s.summaries[0].after = m.upto
	} else {
		s.summaries = s.summaries[1:]
	}
	return m.encode()
}
