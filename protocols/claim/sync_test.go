package claim_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/claim"
)

// pair is two stores, joined by a link that keeps the order.
type pair struct {
	t     testing.TB
	w     *world
	now   time.Time
	store [2]*claim.Store
	sync  [2]*claim.Sync
	sent  int // messages
	news  int // claims that were received
}

func newPair(t testing.TB, w *world) *pair {
	p := &pair{t: t, w: w, now: epoch}
	for i := range p.store {
		p.store[i] = newStore()
	}
	return p
}

func (p *pair) link() {
	for i := range p.sync {
		p.sync[i] = claim.NewSync(p.now, nodeID(1001+i), nodeID(1002-i), p.store[i], rand.New(rand.NewPCG(1, 2)))
	}
}

// settle carries messages until nobody has more to say.
func (p *pair) settle() {
	p.t.Helper()
	for busy := true; busy; {
		busy = false
		for i, s := range p.sync {
			m := s.Next()
			if m == nil {
				continue
			}
			if busy = true; len(m) > claim.MaxMessage {
				p.t.Fatalf("a message of %d bytes", len(m))
			}
			p.sent++
			if err := p.sync[1-i].HandleMessage(p.now, m); err != nil {
				p.t.Fatal(err)
			}
			p.receive(1 - i)
		}
	}
}

func (p *pair) receive(i int) {
	p.t.Helper()
	p.sync[i].Drain(func(r claim.Received) {
		p.news++
		c, err := p.w.open(r.Signed)
		if err != nil {
			p.t.Fatal(err)
		}
		add(p.t, p.store[i], c)
	})
}

func (p *pair) equal() {
	p.t.Helper()
	if p.store[0].Digest() != p.store[1].Digest() {
		p.t.Errorf("%d and %d claims", p.store[0].Len(), p.store[1].Len())
	}
}

func TestNeighborsMakeTheirStoresEqual(t *testing.T) {
	w := newWorld(t)
	p := newPair(t, w)
	for i := 1; i <= 60; i++ {
		switch i % 4 {
		case 0:
			add(t, p.store[0], w.claim(i, 1))
		case 1:
			add(t, p.store[1], w.claim(i, 1))
		case 2:
			c := w.claim(i, 1)
			add(t, p.store[0], c)
			add(t, p.store[1], c)
		default:
			add(t, p.store[0], w.claim(i, 1))
			add(t, p.store[1], w.claim(i, 2))
		}
	}
	p.link()
	p.settle()
	p.equal()
	if p.store[0].Len() != 60 || p.news != 45 {
		t.Errorf("%d claims; %d went over, want 45", p.store[0].Len(), p.news)
	}
	sent := p.sent
	p.now = p.now.Add(claim.DigestInterval)
	for _, s := range p.sync {
		s.HandleTimeout(p.now)
	}
	p.settle()
	if p.sent != sent+1 {
		t.Errorf("%d messages to see that nothing differs", p.sent-sent)
	}
}

func TestALargeBucketGoesInParts(t *testing.T) {
	w := newWorld(t)
	p := newPair(t, w)
	first := w.claim(1, 1)
	for i := range 200 { // all in one bucket
		c := *first
		c.Node = nodeID(1 + i*claim.Buckets)
		add(t, p.store[0], &c)
		if i > 0 {
			add(t, p.store[1], &c)
		}
	}
	p.link()
	p.settle()
	p.equal()
	if p.news != 1 {
		t.Errorf("%d claims went over, want one", p.news)
	}
}

func TestANewClaimGoesToTheOtherEndOnce(t *testing.T) {
	w := newWorld(t)
	p := newPair(t, w)
	p.link()
	p.settle()
	for i := range p.sync {
		sent := p.sent
		add(t, p.store[i], w.claim(5+i, 1))
		p.sync[i].HandleAdded(nodeID(5 + i))
		p.settle()
		p.sync[1-i].HandleAdded(nodeID(5 + i)) // which is where it came from
		p.settle()
		if p.sent != sent+1 {
			t.Errorf("%d messages for one claim", p.sent-sent)
		}
	}
	p.equal()
}

func TestALargeClaimGoesInParts(t *testing.T) {
	w := newWorld(t)
	p := newPair(t, w)
	p.link()
	p.settle()
	many := make([]claim.Prefix, claim.MaxPrefixes-2)
	for i := range many {
		many[i] = claim.Prefix{Prefix: locator(i + 1)}
	}
	c, sent := w.claim(5, 1, many...), p.sent
	if len(c.Signed) <= claim.MaxMessage {
		t.Fatalf("%d bytes", len(c.Signed))
	}
	add(t, p.store[1], c)
	p.sync[1].HandleAdded(c.Node)
	p.settle()
	p.equal()
	if p.sent != sent+2 {
		t.Errorf("%d messages", p.sent-sent)
	}
}

func TestAPeerThatBeganAnewIsToldAll(t *testing.T) {
	w := newWorld(t)
	for i := range 2 {
		p := newPair(t, w)
		add(t, p.store[0], w.claim(5, 1))
		add(t, p.store[1], w.claim(6, 1))
		p.link()
		p.settle()
		p.store[i] = newStore()
		p.sync[i] = claim.NewSync(p.now, nodeID(1001+i), nodeID(1002-i), p.store[i], rand.New(rand.NewPCG(1, 2)))
		p.sync[1-i].HandlePeer(p.now)
		p.settle()
		p.equal()
		if p.store[i].Len() != 2 {
			t.Errorf("end %d has %d claims", i, p.store[i].Len())
		}
	}
}

func TestAFloodOfClaimsIsHeldBack(t *testing.T) {
	w := newWorld(t)
	p := newPair(t, w)
	first := w.claim(1, 1)
	for i := range claim.MaxClaims {
		c := *first
		c.Node = nodeID(1 + i)
		add(t, p.store[0], &c)
	}
	p.link()
	for i := range claim.MaxClaims {
		p.sync[0].HandleAdded(nodeID(1 + i))
	}
	heard, refused := 0, 0
	tell := func(n int) {
		for range n {
			if err := p.sync[1].HandleMessage(p.now, p.sync[0].Next()); err != nil {
				if refused++; !errors.Is(err, claim.ErrFlood) {
					t.Fatal(err)
				}
			}
		}
		p.sync[1].Drain(func(claim.Received) { heard++ })
	}
	tell(claim.HeardBurst + 500)
	if heard != claim.HeardBurst || refused != 500 {
		t.Errorf("%d heard, %d refused", heard, refused)
	}
	p.now = p.now.Add(time.Second)
	tell(500)
	if heard != claim.HeardBurst+claim.HeardRate {
		t.Errorf("%d heard a second later", heard)
	}
}

func TestMessagesOfLaterVersionsAreSkipped(t *testing.T) {
	p := newPair(t, newWorld(t))
	p.link()
	if err := p.sync[0].HandleMessage(p.now, []byte{99, 1, 2}); err != nil {
		t.Error(err)
	}
	for _, bad := range [][]byte{nil, {1}, {2, 200}, {3, 1}, {4}, bytes.Repeat([]byte{4}, claim.MaxMessage+1)} {
		if err := p.sync[0].HandleMessage(p.now, bad); !errors.Is(err, claim.ErrMessage) {
			t.Errorf("%x: %v", bad[:min(4, len(bad))], err)
		}
	}
}

// A line of stores, each of whose nodes makes a claim: it goes to the other end, and by
// each link once.
func TestClaimsFloodAlongALine(t *testing.T) {
	const size = 5
	w := newWorld(t)
	stores := make([]*claim.Store, size)
	syncs := map[[2]int]*claim.Sync{}
	for i := range stores {
		stores[i] = newStore()
	}
	for i := range size - 1 {
		for _, e := range [][2]int{{i, i + 1}, {i + 1, i}} {
			syncs[e] = claim.NewSync(epoch, nodeID(e[0]+1), nodeID(e[1]+1), stores[e[0]], rand.New(rand.NewPCG(1, 2)))
		}
	}
	added := func(i int, id addr.NodeID) {
		for _, j := range []int{i - 1, i + 1} {
			if s := syncs[[2]int{i, j}]; s != nil {
				s.HandleAdded(id)
			}
		}
	}
	for i := range size {
		c := w.claim(i+1, 1)
		add(t, stores[i], c)
		added(i, c.Node)
	}
	went := 0
	for busy := true; busy; {
		busy = false
		for i := range size {
			for _, j := range []int{i - 1, i + 1} {
				from, to := syncs[[2]int{i, j}], syncs[[2]int{j, i}]
				if from == nil {
					continue
				}
				m := from.Next()
				if m == nil {
					continue
				}
				busy = true
				if err := to.HandleMessage(epoch, m); err != nil {
					t.Fatal(err)
				}
				to.Drain(func(r claim.Received) {
					went++
					c, err := w.open(r.Signed)
					if err != nil {
						t.Fatal(err)
					}
					add(t, stores[j], c)
					added(j, c.Node)
				})
			}
		}
	}
	for i, s := range stores {
		if s.Len() != size {
			t.Errorf("node %d has %d claims", i, s.Len())
		}
	}
	if went != size*(size-1) {
		t.Errorf("%d claims went over links, want %d", went, size*(size-1))
	}
}
