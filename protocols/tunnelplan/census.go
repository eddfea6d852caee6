package tunnelplan

import (
	"slices"
	"time"
)

// census counts the links and dials at one time. LAN links and shortcuts count only as such.
type census struct {
	opened, accepted, lan          int
	shortcuts, dialingShortcuts    int // counted as nothing else
	soleOpened, soleAccepted       int // of them, those that carry the only route to somewhere
	dialing, repairing, dialingLAN int // repairing is part of dialing, dialingLAN is not
	invited                        int // dials for which peers asked; not part of dialing
	slow                           int // of dialing, those that were not answered soon
	dialingLost                    int // of the others, those to peers that no route reaches
	draining                       int
}

func (p *Planner) census(now time.Time) (c census) {
	slow := p.slowDial()
	for _, q := range p.peers {
		switch {
		case q.state == dialing && q.lan:
			c.dialingLAN++
		case q.state == dialing && q.shortcut:
			c.dialingShortcuts++
		case q.state == dialing && q.invited:
			c.invited++
		case q.state == dialing:
			c.dialing++
			if q.repair {
				c.repairing++
			}
			if !now.Before(q.since.Add(slow)) {
				c.slow++
			} else if !q.reachable {
				c.dialingLost++
			}
		case q.linked():
			c.addLink(now, q)
		}
	}
	return c
}

// slowDial is after what time a dial no longer keeps others from starting.
func (p *Planner) slowDial() time.Duration {
	if p.isAlone() {
		return SlowDialAlone
	}
	return SlowDial
}

// isAlone tells whether this node has no link.
func (p *Planner) isAlone() bool {
	return !slices.ContainsFunc(p.peers, func(q *peer) bool { return q.linked() })
}

// addLink counts a link. One that routes did not leave when it was drained is the
// only way too, whatever routing says.
func (c *census) addLink(now time.Time, q *peer) {
	sole := 0
	if q.use.Sole > 0 || now.Before(q.keepUntil) {
		sole = 1
	}
	switch {
	case q.lan:
		c.lan++
	case q.shortcut:
		c.shortcuts++
	case q.role == Opened:
		c.opened++
		c.soleOpened += sole
	default:
		c.accepted++
		c.soleAccepted += sole
	}
	if !q.drainSince.IsZero() {
		c.draining++
	}
}

func (c *census) links() int { return c.opened + c.accepted + c.lan + c.shortcuts }

// dials is how many are in flight.
func (c *census) dials() int { return c.dialing + c.dialingLAN + c.dialingShortcuts + c.invited }

// spareOpened is how many repair slots opened links take.
func (c *census) spareOpened(l Limits) int { return max(0, c.opened-l.ClientCount-c.soleOpened) }

// spareAccepted is how many repair slots accepted links take: the free places for
// opened ones come first, as this node would next dial whom no route reaches.
func (c *census) spareAccepted(l Limits) int {
	return max(0, c.accepted-l.MaxClients-max(0, l.ClientCount-c.opened)-c.soleAccepted)
}
