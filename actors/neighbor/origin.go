package neighbor

import (
	"net/netip"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
)

// OriginsChanged says that routes are to be judged anew: Config.Judge has news.
type OriginsChanged struct{}

// judgeAgain says that it is time to.
type judgeAgain struct{}

func (OriginsChanged) routerMessage() {}
func (judgeAgain) routerMessage()     {}

const (
	// nameAgain is how long after an origin was named it is named again.
	nameAgain = 10 * time.Minute
	// maxNamed is how many are named in that time: one that announces thousands of
	// prefixes needs not have them all told.
	maxNamed = 256
	// judgeShare is how many times as long as it took to judge all routes the router
	// has for the rest: claims may come in floods.
	judgeShare = 4
	// judgeLate is the longest rest: a longer one comes of a clock that was set.
	judgeLate = 10 * time.Second
)

// Objection is what speaks against an announcement; the zero value: nothing to tell.
type Objection struct {
	Owner addr.NodeID   // of the prefix, where one is known
	Why   func() string // for people
}

// forbidden is what an origin announces and may not. Whose it is may turn out later: it
// is told then too.
type forbidden struct {
	prefix        netip.Prefix
	egress, owner addr.NodeID
}

// judging is what the router keeps about origins.
type judging struct {
	barred uint64 // announcements
	named  map[forbidden]bool
	since  time.Time // when the first of named was
	rests  time.Time // not to judge all routes again before
}

// judge gives a route its standing, and names whom it bars.
func (r *router) judge(a babel.Announcement) babel.Standing {
	if r.cfg.Judge == nil {
		return babel.Claimed
	}
	standing, against := r.cfg.Judge(r.links[a.Neighbor.Interface].Peer, a)
	if against.Why == nil {
		return standing
	}
	now := r.ctx.Now()
	if now.Sub(r.judging.since).Abs() >= nameAgain {
		r.judging.since, r.judging.named = now, map[forbidden]bool{}
	}
	if f := (forbidden{a.Prefix, a.Egress, against.Owner}); !r.judging.named[f] && len(r.judging.named) < maxNamed {
		r.judging.named[f] = true
		r.ctx.Event("origin", against.Why())
	}
	return standing
}

// rejudge judges all routes anew, now or a little later.
func (r *router) rejudge(now time.Time) {
	if rest := r.judging.rests.Sub(now); rest > 0 && rest < judgeLate {
		r.again.Rearm(r.judging.rests, true)
		return
	}
	r.babel.Rejudge(now)
	r.judging.rests = r.ctx.Now().Add(judgeShare * r.ctx.Now().Sub(now))
}
