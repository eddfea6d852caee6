package tunnelplan

import (
	"net/netip"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/nat"
)

// Rendezvous is a peer's word, over the mesh, that it dials this node now and where
// it is; or its answer to such a word. It may be forged.
type Rendezvous struct {
	Answer    bool
	Nonce     uint64
	NAT       nat.Kind         // that the peer is behind
	Endpoints []netip.AddrPort // checked; best first
}

// Outlook is what becomes of the dials to a peer.
type Outlook struct {
	Failures int          // since the last success
	NextDial time.Time    // not before; zero: at once
	Obstacle nat.Obstacle // why a link with it cannot be
	Barred   string       // the rule by which it must not be; "": none
}

// Outlook tells of one peer.
func (p *Planner) Outlook(id addr.NodeID) Outlook {
	q := p.peers.get(id)
	if q == nil {
		return Outlook{}
	}
	o := Outlook{Failures: q.failures, NextDial: later(q.notBefore, q.shunned), Obstacle: q.obstacle}
	if q.barred {
		o.Barred = SameCountry
	}
	return o
}

// HandleNAT notes behind what this node is: nat.None also where its port is mapped.
// That it is not known any more changes nothing.
func (p *Planner) HandleNAT(now time.Time, kind nat.Kind) {
	if kind == p.nat || kind == nat.Unknown {
		return
	}
	freed := kind == nat.None && p.nat != nat.Unknown
	p.nat = kind
	for _, q := range p.peers {
		was := q.obstacle
		q.obstacle = nat.Between(kind, q.nat)
		if q.failures > 0 && freed || was != nat.NoObstacle && q.obstacle == nat.NoObstacle {
			q.failures, q.notBefore = 0, now.Add(spread(p.rand, BackoffMin, 1))
		}
	}
	p.plan(now)
}

// HandleRendezvous takes a peer's wish to meet, or its answer to this node's.
func (p *Planner) HandleRendezvous(now time.Time, id addr.NodeID, r Rendezvous) {
	if r.Answer {
		p.answered(now, id, r)
	} else {
		p.asked(now, id, r)
	}
	p.plan(now)
}

// answered takes an answer, if this node did ask. A peer that does not know its NAT yet
// is asked again.
func (p *Planner) answered(now time.Time, id addr.NodeID, r Rendezvous) {
	q := p.peers.get(id)
	if q == nil || q.state != dialing || q.meets == 0 || r.Nonce != q.nonce {
		return
	}
	if r.NAT != nat.Unknown {
		q.meets = MeetTries
	}
	q.met = true
	q.nat, q.obstacle = r.NAT, nat.Between(p.nat, r.NAT)
	q.learn(now, Gossip, Peer{ID: id, Endpoints: r.Endpoints})
}

// asked dials a peer that dials this node, if its link would be accepted and there is
// no obstacle. What a forger can have is a few datagrams for each of few endpoints.
func (p *Planner) asked(now time.Time, id addr.NodeID, r Rendezvous) {
	if p.Admit(now, id) != nil {
		return
	}
	q := p.add(id, Gossip, now)
	if q == nil || q.linked() || now.Before(q.heedNext) || !p.payHeed(now) {
		return
	}
	q.heedNext = now.Add(MeetInterval)
	q.learn(now, Gossip, Peer{ID: id, Endpoints: r.Endpoints})
	p.emit(Meet{ID: id, Nonce: r.Nonce, Answer: true})
	if c := p.census(now); q.state == dialing || nat.Between(p.nat, r.NAT) != nat.NoObstacle ||
		c.dials() >= MaxDials || c.links() >= MaxLinks {
		return
	}
	q.state, q.since, q.lan, q.repair, q.shortcut, q.invited, q.met = dialing, now, false, false, false, true, true
	target := q.public()
	target.Endpoints = mergeEndpoints(r.Endpoints, target.Endpoints)
	p.emit(Open{Peer: target})
}

// payHeed takes one of the dials that peers may ask for; false: there is none left.
func (p *Planner) payHeed(now time.Time) bool {
	p.heed = min(MeetBurst, p.heed+MeetRate*max(0, now.Sub(p.heedFrom).Seconds()))
	p.heedFrom = now
	if p.heed < 1 {
		return false
	}
	p.heed--
	return true
}

// meet asks peers to dial this node that do not answer and that routes lead to: one
// that can be dialled has answered by then.
func (p *Planner) meet(now time.Time) {
	for _, q := range p.peers {
		if q.state != dialing || q.lan || q.invited || !q.reachable || q.meets >= MeetTries {
			continue
		}
		due := q.since.Add(MeetDelay)
		if q.meets > 0 {
			due = q.meetNext
		}
		if now.Before(due) {
			p.wakeAt(now, due)
			continue
		}
		if q.meets == 0 {
			q.nonce = p.rand.Uint64()
		}
		q.meets++
		q.meetNext = now.Add(MeetAgain) // sooner the peer would not heed it
		p.emit(Meet{ID: q.ID, Nonce: q.nonce})
		if q.meets < MeetTries {
			p.wakeAt(now, q.meetNext)
		}
	}
}

// asker is the role by who wanted the link, where both ends dialled: handshakes that
// cross are decided by the nodes' ids.
func (q *peer) asker(role Role) Role {
	switch {
	case q.state != dialing:
		return role
	case q.invited:
		return Accepted
	case q.meets > 0:
		return Opened
	}
	return role
}

// forgetNAT has the peer dialled as if nothing were in the way.
func (q *peer) forgetNAT() { q.nat, q.obstacle = nat.Unknown, nat.NoObstacle }

func (q *peer) endMeeting() { q.invited, q.nonce, q.meets, q.met = false, 0, 0, false }
