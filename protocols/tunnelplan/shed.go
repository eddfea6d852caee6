package tunnelplan

import "time"

func (p *Planner) restartRefresh(now time.Time) {
	p.refreshNext = time.Time{}
	if p.limits.TunnelRefresh > 0 {
		p.refreshNext = now.Add(spread(p.rand, p.limits.TunnelRefresh, 10))
	}
}

// shed begins to drain a link that is beyond the limits, or one that a refresh
// replaces. One link is drained at a time, so that each judgement sees the routes
// that the last one left.
func (p *Planner) shed(now time.Time) {
	c := p.census(now)
	if c.draining > 0 {
		return
	}
	p.trim(now, c)
	p.refresh(now, c)
}

// trim drains a link beyond the limits, once routes have settled.
func (p *Planner) trim(now time.Time, c census) {
	openedOver, acceptedOver := c.opened > p.limits.ClientCount, c.accepted > p.limits.MaxClients
	if !openedOver && !acceptedOver {
		p.trimNext = time.Time{}
		return
	}
	if p.trimNext.IsZero() {
		p.trimNext = now.Add(spread(p.rand, SettleTime, 4))
	}
	if !now.Before(p.trimNext) {
		p.trimNext = now.Add(spread(p.rand, SettleTime, 4))
		var q *peer
		if openedOver {
			q = p.leastUseful(now, Opened)
		}
		if q == nil && acceptedOver {
			q = p.leastUseful(now, Accepted)
		}
		p.drain(now, q, Excess)
	}
	p.wakeAt(now, p.trimNext)
}

// refresh replaces the least useful opened link, if there is somebody else to dial.
func (p *Planner) refresh(now time.Time, c census) {
	if p.refreshNext.IsZero() {
		return
	}
	if !now.Before(p.refreshNext) {
		p.restartRefresh(now)
		if c.opened == p.limits.ClientCount && c.opened > 0 && p.anyDistant(now) {
			p.drain(now, p.leastUseful(now, Opened), Refresh)
		}
	}
	p.wakeAt(now, p.refreshNext)
}

func (p *Planner) anyDistant(now time.Time) bool {
	for _, q := range p.peers {
		if q.state == idle && !q.adjacent && !q.barred && q.vouched && q.failures == 0 && len(q.Endpoints) > 0 && !now.Before(q.notBefore) {
			return true
		}
	}
	return false
}

// leastUseful is the link that carries the fewest destinations of those that may
// go: old enough to be judged, and not the only way to anywhere. Nil: there is none.
func (p *Planner) leastUseful(now time.Time, role Role) *peer {
	var least *peer
	for _, q := range p.peers {
		if q.state != up || q.lan || q.shortcut || q.preferred || q.role != role || q.use.Sole > 0 ||
			now.Before(q.since.Add(SettleTime)) || now.Before(q.keepUntil) {
			continue
		}
		if least == nil || q.use.Destinations < least.use.Destinations {
			least = q
		}
	}
	return least
}

func (p *Planner) drain(now time.Time, q *peer, reason CloseReason) {
	if q == nil {
		return
	}
	q.drainSince, q.drainFor = now, reason
	p.wakeAt(now, now.Add(DrainMin))
	p.emit(Drain{ID: q.ID})
}

// stepDrains closes links that no route uses any more, of either end, as far as can be
// seen, and keeps those that routes do not leave.
func (p *Planner) stepDrains(now time.Time) {
	for _, q := range p.peers {
		if q.state != up || q.drainSince.IsZero() {
			continue
		}
		least, most := q.drainSince.Add(DrainMin), q.drainSince.Add(DrainTimeout)
		switch {
		case now.Before(least):
			p.wakeAt(now, least)
		case q.use.Destinations == 0 && q.carried.last == 0:
			p.close(now, q, q.drainFor)
		case now.Before(most):
			p.wakeAt(now, most)
		default:
			q.drainSince = time.Time{}
			q.keepUntil = now.Add(max(p.limits.TunnelRefresh, SettleTime))
			p.wakeAt(now, q.keepUntil)
			p.emit(Undrain{ID: q.ID})
		}
	}
}

func (p *Planner) close(now time.Time, q *peer, reason CloseReason) {
	q.state, q.since = closing, now
	p.emit(Close{ID: q.ID, Reason: reason})
}
