package tunnelplan

import (
	"cmp"
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/nat"
)

// Traffic is what this node and another have exchanged, both ways, since the last time.
type Traffic struct {
	Node           addr.NodeID
	Packets, Bytes uint64
	Links          int // how many it goes by, as routes say; 0: not known
}

// Carried is what data has passed by the link with a peer since the last time, both ways.
type Carried struct {
	Peer           addr.NodeID
	Packets, Bytes uint64
}

// load is traffic, smoothed.
type load struct {
	rate float64 // bytes a second, a packet counting for PacketWorth at least
	last uint64  // packets of the last time
	now  float64 // as rate, of the last time only
}

func (l *load) add(packets, bytes uint64, span time.Duration) {
	l.last = packets
	l.now = float64(max(bytes, packets*PacketWorth)) / span.Seconds()
	l.rate += (l.now - l.rate) * float64(span) / float64(span+loadMemory)
}

// HandleTraffic takes in what was exchanged end to end with other nodes, and carried by
// the links, since the last call: once a second is often enough. What is not named
// was not used. It tells whether there was anything to decide.
func (p *Planner) HandleTraffic(now time.Time, nodes []Traffic, links []Carried) bool {
	span := now.Sub(p.measured)
	first := p.measured.IsZero()
	p.measured = now
	if first || span <= 0 {
		return false
	}
	exchanged, carried := make(map[addr.NodeID]Traffic, len(nodes)), make(map[addr.NodeID]Carried, len(links))
	for _, t := range nodes {
		exchanged[t.Node] = t
	}
	for _, c := range links {
		carried[c.Peer] = c
	}
	matters, rate := false, float64(p.limits.ShortcutRate)
	for _, q := range p.peers {
		t, c := exchanged[q.ID], carried[q.ID]
		q.load.add(t.Packets, t.Bytes, span)
		q.carried.add(c.Packets, c.Bytes, span)
		q.away = t.Links
		q.hotSince = since(now, q.hotSince, p.limits.shortcuts() > 0 && q.load.rate >= rate)
		calm := q.carried.now < rate/ShortcutCalm
		q.calm = since(now, q.calm, calm)
		q.useful = q.useful || !calm
		matters = matters || !q.hotSince.IsZero() || q.shortcut || !q.drainSince.IsZero()
	}
	if matters {
		p.plan(now)
	}
	return matters
}

// since is from when on something is so; zero: it is not so now.
func since(now, from time.Time, so bool) time.Time {
	switch {
	case !so:
		return time.Time{}
	case from.IsZero():
		return now
	}
	return from
}

// IsShortcut tells whether the link to a peer, or the dial, is one for traffic.
func (p *Planner) IsShortcut(id addr.NodeID) bool {
	q := p.peers.get(id)
	return q != nil && q.shortcut
}

// wantsShortcut tells whether a link that q asks for may be a shortcut: by this node's own
// measure, whatever q's is.
func (p *Planner) wantsShortcut(c census, q *peer) bool {
	return q != nil && !q.hotSince.IsZero() && c.shortcuts+c.dialingShortcuts < p.limits.shortcuts()
}

// isShortcut tells as what a link that came up counts. An accepted one takes an ordinary
// place if there is one: the other end sees to its end.
func (p *Planner) isShortcut(c census, q *peer, role Role) bool {
	if role == Opened {
		return q.shortcut
	}
	return c.accepted >= p.limits.MaxClients && (q.shortcut || p.wantsShortcut(c, q))
}

// dialShortcuts dials peers with much traffic that goes by several links, those with the
// most first. What kept them from being dialled for no reason does not count.
func (p *Planner) dialShortcuts(now time.Time) {
	c := p.census(now)
	free := min(p.limits.shortcuts()-c.shortcuts-c.dialingShortcuts, MaxDials-c.dials(), MaxLinks-c.links())
	if free <= 0 {
		return
	}
	var hot []*peer
	for _, q := range p.peers {
		if q.hotSince.IsZero() || q.state != idle || q.adjacent || q.barred || !q.reachable || q.away < ShortcutAway || len(q.Endpoints) == 0 {
			continue
		}
		if p.measured.Sub(q.hotSince) < ShortcutDelay { // the next measurement may be another
			continue
		}
		due := later(q.restNext, q.shunned)
		if q.obstacle != nat.NoObstacle {
			due = later(due, q.notBefore)
		}
		if now.Before(due) {
			p.wakeAt(now, due)
			continue
		}
		hot = append(hot, q)
	}
	slices.SortStableFunc(hot, func(a, b *peer) int { return cmp.Compare(b.load.rate, a.load.rate) })
	for _, q := range hot[:min(free, len(hot))] {
		p.open(now, q, asShortcut)
	}
}

// dropShortcuts drains shortcuts that carry little, and keeps what was needed again
// meanwhile. The end that accepted one waits for the other to do so, twice as long.
func (p *Planner) dropShortcuts(now time.Time) {
	c := p.census(now)
	excess := c.shortcuts > p.limits.shortcuts()
	for _, q := range p.peers {
		if q.state != up || !q.shortcut {
			continue
		}
		idle := p.limits.ShortcutIdle
		if q.role == Accepted {
			idle *= 2
		}
		switch due := later(q.calm.Add(idle), q.keepUntil); {
		case q.calm.IsZero() && !q.drainSince.IsZero() && q.drainFor == Unused:
			q.drainSince = time.Time{}
			p.emit(Undrain{ID: q.ID})
		case !q.drainSince.IsZero():
		case excess && !now.Before(q.keepUntil):
			p.drain(now, q, Excess)
			excess = false
		case q.calm.IsZero():
		case now.Before(due):
			p.wakeAt(now, due)
		default:
			p.drain(now, q, Unused)
		}
	}
}

// shortcutFailed leaves a peer alone whose dial for traffic came to nothing.
func (p *Planner) shortcutFailed(now time.Time, q *peer) {
	if !q.shortcut {
		return
	}
	q.shortcut = false
	q.restNext = now.Add(backoff(p.rand, ShortcutMin, ShortcutMax, q.tries))
	q.tries++
}

// restShortcut has another one wait after a shortcut has ended: longer, where routes never
// took it or it was lost.
func (p *Planner) restShortcut(now time.Time, q *peer, why DownReason) {
	if q.shortcut && q.useful && why != Lost {
		q.tries = 0
	}
	p.shortcutFailed(now, q)
}
