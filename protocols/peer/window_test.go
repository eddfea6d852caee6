package peer_test

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/claim"
	"re6st/protocols/peer"
)

// shelf is a claim.Ledger of bytes that nobody has signed.
type shelf map[addr.NodeID][]byte

// claimSize is that of a claim by an ECDSA key, with two prefixes.
const claimSize = 576

// hash is such that no few of them are nothing together.
func hash(n addr.NodeID) uint64 {
	sum := sha256.Sum256(n[:])
	return binary.BigEndian.Uint64(sum[:])
}

func (s shelf) put(n int) {
	b := make([]byte, claimSize)
	copy(b, id(n).String())
	binary.BigEndian.PutUint64(b[16:], uint64(n))
	s[id(n)] = b
}

func (s shelf) Version(n addr.NodeID) (claim.Version, bool) {
	_, held := s[n]
	return claim.Version{Node: n, Sequence: 1, Hash: hash(n)}, held
}

func (s shelf) Signed(n addr.NodeID) (claim.Version, []byte) {
	v, _ := s.Version(n)
	return v, s[n]
}

func (s shelf) Digest() (d claim.Digest) {
	for n := range s {
		d[int(n[7])%claim.Buckets] ^= hash(n)
	}
	return d
}

func (s shelf) Bucket(b int) (all []claim.Version) {
	for n := range s {
		if int(n[7])%claim.Buckets == b {
			v, _ := s.Version(n)
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b claim.Version) int { return a.Node.Compare(b.Node) })
	return all
}

// far is a link of two Exchanges with their claim.Syncs, on which a message takes delay and
// one of lost is lost; 0: none is.
type far struct {
	t     *testing.T
	now   time.Time
	ends  [2]*peer.Exchange
	syncs [2]*claim.Sync
	shelf [2]shelf
	line  []arrival
	delay time.Duration
	lost  int
	rand  *rand.Rand
	most  int // messages about claims that were on their way one way at a time
}

type arrival struct {
	at   time.Time
	to   int
	body []byte
}

func newFar(t *testing.T, delay time.Duration, lost int) *far {
	f := &far{t: t, now: epoch, delay: delay, lost: lost, rand: rand.New(rand.NewPCG(1, 2))}
	for i := range f.ends {
		f.shelf[i] = shelf{}
		f.ends[i] = peer.New(f.now, config(t, i))
		f.syncs[i] = claim.NewSync(f.now, id(1+i), id(2-i), f.shelf[i], f.rand)
	}
	return f
}

// speak is what the driver does after each call.
func (f *far) speak(i int) {
	for f.ends[i].Idle() {
		body := f.syncs[i].Next()
		if body == nil {
			break
		}
		f.ends[i].HandleClaims(f.now, body)
	}
	f.ends[i].Drain(func(e peer.Event) {
		if e, ok := e.(peer.Send); ok && (f.lost == 0 || f.rand.IntN(f.lost) > 0) {
			f.line = append(f.line, arrival{f.now.Add(f.delay), 1 - i, e.Body})
		}
		if e, ok := e.(peer.ClaimsHeard); ok {
			if err := f.syncs[i].HandleMessage(f.now, e.Body); err != nil {
				f.t.Error(err)
			}
			f.syncs[i].Drain(func(r claim.Received) {
				n := int(binary.BigEndian.Uint64(r.Signed[16:]))
				f.shelf[i].put(n)
				f.syncs[i].HandleAdded(id(n))
			})
		}
	})
	claims := map[int]int{}
	for _, a := range f.line {
		if _, m, _ := peer.Decode(a.body); m != nil {
			if _, ok := m.(peer.Claims); ok {
				claims[a.to]++
			}
		}
	}
	f.most = max(f.most, claims[0], claims[1])
}

// equal runs until both have the same, and returns how long that took.
func (f *far) equal(limit time.Duration) time.Duration {
	f.t.Helper()
	for f.now.Sub(epoch) < limit {
		for range 3 { // what is heard may be answered
			f.speak(0)
			f.speak(1)
		}
		if f.shelf[0].Digest() == f.shelf[1].Digest() && len(f.shelf[0]) == len(f.shelf[1]) {
			return f.now.Sub(epoch)
		}
		next := f.now.Add(limit)
		for i := range f.ends {
			if at, ok := f.ends[i].NextTimeout(); ok && at.Before(next) {
				next = at
			}
			if at, ok := f.syncs[i].NextTimeout(); ok && at.Before(next) {
				next = at
			}
		}
		if len(f.line) > 0 && !f.line[0].at.After(next) {
			next = f.line[0].at
		}
		f.now = next
		for len(f.line) > 0 && !f.line[0].at.After(f.now) {
			a := f.line[0]
			f.line = f.line[1:]
			if err := f.ends[a.to].HandleMessage(f.now, a.body); err != nil {
				f.t.Error(err)
			}
			f.speak(a.to)
		}
		for i := range f.ends {
			f.ends[i].HandleTimeout(f.now)
			f.syncs[i].HandleTimeout(f.now)
		}
	}
	f.t.Fatalf("after %s %d and %d claims", limit, len(f.shelf[0]), len(f.shelf[1]))
	return 0
}

func TestSomeMessagesAboutClaimsAreUnderWayAtATime(t *testing.T) {
	f := newFar(t, 100*time.Millisecond, 0)
	for n := range 1000 {
		f.shelf[0].put(n + 10)
	}
	took := f.equal(time.Hour)
	t.Logf("1,000 claims over a link of 100 ms each way: %s", took)
	if took > 20*time.Second { // one after the other it is 200 s
		t.Errorf("it took %s", took)
	}
	if f.most != peer.MaxUnderWay {
		t.Errorf("%d messages were on their way, want %d", f.most, peer.MaxUnderWay)
	}
}

func TestClaimsOverALinkThatLosesArriveAll(t *testing.T) {
	f := newFar(t, 100*time.Millisecond, 10)
	for n := range 200 {
		f.shelf[n%2].put(n + 10)
	}
	took := f.equal(time.Hour)
	t.Logf("200 claims over a link that loses a tenth: %s", took)
	if took > claim.DigestInterval*3/4 { // when that is due at the earliest
		t.Errorf("it took %s: some came only when the stores were compared again", took)
	}
}

// A message that comes late, as it was lost at first, is no repetition.
func TestWhatIsSaidOfClaimsLateIsHeardOnce(t *testing.T) {
	x := peer.New(epoch, config(t, 0))
	say := func(sequence uint32) (heard int) {
		t.Helper()
		body, err := peer.Append(nil, peer.Header{Epoch: 7, Sequence: sequence}, peer.Claims{Body: []byte{9}})
		if err != nil {
			t.Fatal(err)
		}
		if err := x.HandleMessage(epoch, body); err != nil {
			t.Fatal(err)
		}
		x.Drain(func(e peer.Event) {
			if _, ok := e.(peer.ClaimsHeard); ok {
				heard++
			}
		})
		return heard
	}
	for i, c := range []struct {
		sequence uint32
		heard    int
	}{{1, 1}, {4, 1}, {2, 1}, {2, 0}, {3, 1}, {4, 0}, {1, 0}, {70, 1}, {5, 0}, {6, 1}, {6, 0}, {69, 1}, {500, 1}, {100, 0}, {499, 1}} {
		if got := say(c.sequence); got != c.heard {
			t.Errorf("%d: sequence %d is heard %d times, want %d", i, c.sequence, got, c.heard)
		}
	}
}
