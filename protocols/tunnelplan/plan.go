package tunnelplan

import (
	"cmp"
	"slices"
	"time"
)

// plan does all that is due, and sets the time to come back. It is called at the
// end of every input; what it does once it does not do again at the same time.
func (p *Planner) plan(now time.Time) {
	p.wake = time.Time{}
	if p.gone[p.self] {
		return
	}
	p.expireDials(now)
	p.stepDrains(now)
	p.shed(now)
	p.dropShortcuts(now)
	p.dialShortcuts(now)
	p.dialLAN(now)
	p.dial(now)
	p.meet(now)
	p.askRegistry(now)
	p.remember(now)
}

// wakeAt asks to be called at t. Times that are past were acted upon already.
func (p *Planner) wakeAt(now, t time.Time) {
	if t.After(now) && (p.wake.IsZero() || t.Before(p.wake)) {
		p.wake = t
	}
}

func (p *Planner) expireDials(now time.Time) {
	slow := p.slowDial()
	for _, q := range p.peers {
		if q.state != dialing {
			continue
		}
		if end := q.since.Add(DialTimeout); now.Before(end) {
			p.wakeAt(now, q.since.Add(slow))
			p.wakeAt(now, end)
			continue
		}
		p.emit(Cancel{ID: q.ID})
		p.fail(now, q)
	}
}

// dialLAN opens links to nodes of the local networks, beside all limits but its own.
// Which of many is left to chance, or all would dial the same few.
func (p *Planner) dialLAN(now time.Time) {
	c := p.census(now)
	free := p.limits.lanLinks() - c.lan - c.dialingLAN
	if free <= 0 {
		return
	}
	near := p.candidates(now, func(q *peer) bool { return now.Before(q.lanUntil) })
	slices.SortStableFunc(near, func(a, b *peer) int { return cmp.Compare(a.failures, b.failures) })
	for _, q := range near[:min(free, len(near))] {
		p.open(now, q, asLAN)
	}
}

// dial fills the free places and, where routes do not reach all, repair slots.
func (p *Planner) dial(now time.Time) {
	c := p.census(now)
	free := p.limits.ClientCount - c.opened
	if free > 0 {
		if c.links() == 0 {
			free += DialAhead
		}
		slots := min(free-(c.dialing-c.slow), MaxDials-c.dialing, MaxLinks-c.links())
		if slots > 0 {
			p.fill(now, c, slots)
		}
		return
	}
	for _, q := range p.peers {
		if q.state == dialing && !q.lan && (!q.repair || q.reachable) && !q.shortcut && !q.invited {
			p.emit(Cancel{ID: q.ID})
			q.state, q.since, q.repair = idle, now, false
			q.endMeeting()
		}
	}
	slots := RepairSlots - c.spareOpened(p.limits) - c.repairing
	if p.limits.ClientCount > 0 && c.links() < MaxLinks && slots > 0 {
		p.repair(now, slots)
	}
}

// candidates are the peers that may be dialled now and that want takes, in the
// order to dial them; the next of the others to become one wakes the planner.
func (p *Planner) candidates(now time.Time, want func(*peer) bool) []*peer {
	var out []*peer
	for _, q := range p.peers {
		if q.state != idle || q.adjacent || q.barred || len(q.Endpoints) == 0 || !want(q) {
			continue
		}
		if due := later(q.notBefore, q.shunned); now.Before(due) {
			p.wakeAt(now, due)
			continue
		}
		out = append(out, q)
	}
	p.rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// fill dials up to slots peers: first those that no route reaches, then distant
// ones. A node that reaches some keeps half of its dials for them, as nodes that
// are switched off cannot be told from those that are cut off.
func (p *Planner) fill(now time.Time, c census, slots int) {
	all := p.candidates(now, func(*peer) bool { return true })
	isolated := c.links() == 0
	slices.SortStableFunc(all, func(a, b *peer) int {
		proven := 0
		if isolated {
			proven = cmpBool(!b.proven.IsZero() || b.Source == Remembered, !a.proven.IsZero() || a.Source == Remembered)
		}
		return cmp.Or(cmpBool(b.preferred, a.preferred), cmp.Compare(a.rank(), b.rank()), proven, cmp.Compare(b.load.rate, a.load.rate), cmp.Compare(a.failures, b.failures))
	})
	distant := 0
	for _, q := range all {
		if q.reachable {
			distant++
		}
	}
	lost := c.dialingLost
	half := (c.dialing - c.slow + slots + 1) / 2
	for _, q := range all {
		if slots <= 0 {
			return
		}
		if !q.reachable {
			if distant > 0 && lost >= half {
				continue
			}
			lost++
		} else {
			distant--
		}
		p.open(now, q, asOrdinary)
		slots--
	}
}

// rank orders candidates by what a link to them may mend; hearsay comes last.
func (q *peer) rank() int {
	switch {
	case !q.reachable && q.vouched:
		return 0
	case q.reachable:
		return 1
	}
	return 2
}

// repair dials peers that were alive lately and that no route reaches, beyond the limit.
func (p *Planner) repair(now time.Time, slots int) {
	cutOff := p.candidates(now, func(q *peer) bool {
		return !q.reachable && q.vouched && now.Before(q.Seen.Add(RecentPeer))
	})
	if len(cutOff) == 0 {
		return
	}
	if now.Before(p.repairNext) {
		p.wakeAt(now, p.repairNext)
		return
	}
	slices.SortStableFunc(cutOff, func(a, b *peer) int { return cmp.Compare(a.failures, b.failures) })
	for _, q := range cutOff[:min(slots, len(cutOff))] {
		p.open(now, q, asRepair)
	}
}

// kind is what a dial counts as.
type kind uint8

const (
	asOrdinary kind = iota
	asLAN           // beside the limits
	asRepair        // beyond the limit
	asShortcut      // in places of their own
)

func (p *Planner) open(now time.Time, q *peer, as kind) {
	q.state, q.since, q.lan, q.repair, q.shortcut = dialing, now, as == asLAN, as == asRepair, as == asShortcut
	q.endMeeting()
	p.wakeAt(now, now.Add(p.slowDial()))
	target := q.public()
	if q.failures%2 == 1 {
		target.Static = [32]byte{}
	}
	p.emit(Open{Peer: target, Shortcut: q.shortcut})
}

// askRegistry asks at the start and while no link is up; and seldom while links
// are wanted and nobody is left to dial.
func (p *Planner) askRegistry(now time.Time) {
	if p.asking || p.limits.ClientCount == 0 {
		return
	}
	if now.Before(p.registryNext) {
		p.wakeAt(now, p.registryNext)
		return
	}
	c := p.census(now)
	if c.links() > 0 && (c.opened >= p.limits.ClientCount || c.dialing > 0) {
		return
	}
	p.asking = true
	p.emit(AskRegistry{})
}

func (p *Planner) waitForRegistry(now time.Time) {
	c := p.census(now)
	if c.links() > 0 {
		p.registryNext = now.Add(spread(p.rand, RegistryIdle, 4))
		return
	}
	p.registryNext = now.Add(backoff(p.rand, RegistryMin, RegistryMax, p.registryTries))
	p.registryTries++
}

func (p *Planner) rememberSoon(now time.Time) {
	if p.storeNext.IsZero() {
		p.storeNext = now.Add(RememberDelay)
	}
}

func (p *Planner) remember(now time.Time) {
	if p.storeNext.IsZero() {
		return
	}
	if now.Before(p.storeNext) {
		p.wakeAt(now, p.storeNext)
		return
	}
	p.storeNext = time.Time{}
	var best []*peer
	for _, q := range p.peers {
		if (!q.proven.IsZero() || q.Source == Remembered) && len(q.Endpoints) > 0 {
			best = append(best, q)
		}
	}
	slices.SortStableFunc(best, func(a, b *peer) int {
		return cmp.Or(cmpBool(b.linked(), a.linked()), b.proven.Compare(a.proven))
	})
	var out []Peer
	for _, q := range best[:min(MaxRemembered, len(best))] {
		out = append(out, q.public())
	}
	p.emit(Remember{Peers: out})
}
