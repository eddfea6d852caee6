package neighbor

import (
	"time"

	"re6st/protocols/babel"
)

// OriginsChanged says that routes are to be judged anew: Config.Judge has news.
type OriginsChanged struct{}

func (OriginsChanged) routerMessage() {}

// What is said of origins that may not announce what they do.
const (
	// nameAgain is how long after it was named one is named again.
	nameAgain = 10 * time.Minute
	// maxNamed is of how many it is kept in mind.
	maxNamed = 256
)

// judge gives a route its standing, and names whom it bars.
func (r *router) judge(a babel.Announcement) babel.Standing {
	if r.cfg.Judge == nil {
		return babel.Claimed
	}
	standing, why := r.cfg.Judge(r.links[a.Neighbor.Interface].Peer, a)
	if why == "" {
		return standing
	}
	now := r.ctx.Now()
	if at, named := r.named[why]; named && now.Sub(at) < nameAgain {
		return standing
	}
	if len(r.named) >= maxNamed {
		clear(r.named)
	}
	r.named[why] = now
	r.ctx.Event("origin", why)
	return standing
}
