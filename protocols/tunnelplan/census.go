package tunnelplan

import "time"

// census counts the links and dials at one time. LAN links count only as such.
type census struct {
	opened, accepted, lan          int
	soleOpened, soleAccepted       int // of them, those that carry the only route to somewhere
	dialing, repairing, dialingLAN int // repairing is part of dialing, dialingLAN is not
	slow                           int // of dialing, those that were not answered within SlowDial
	dialingLost                    int // of the others, those to peers that no route reaches
	draining                       int
}

func (p *Planner) census(now time.Time) (c census) {
	for _, q := range p.peers {
		switch {
		case q.state == dialing && q.lan:
			c.dialingLAN++
		case q.state == dialing:
			c.dialing++
			if q.repair {
				c.repairing++
			}
			if !now.Before(q.since.Add(SlowDial)) {
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

func (c *census) links() int { return c.opened + c.accepted + c.lan }

// spareOpened is how many repair slots opened links take.
func (c *census) spareOpened(l Limits) int { return max(0, c.opened-l.ClientCount-c.soleOpened) }

// spareAccepted is how many repair slots accepted links take.
func (c *census) spareAccepted(l Limits) int { return max(0, c.accepted-l.MaxClients-c.soleAccepted) }
