package fabric

import (
	"slices"
	"time"

	"re6st/protocols/addr"
)

// peer finds or makes the entry of a node.
func (s *Sessions) peer(now time.Time, id addr.NodeID) *sessionPeer {
	if p := s.peers[id]; p != nil {
		return p
	}
	if len(s.peers) >= s.most {
		s.removeOldest()
	}
	p := &sessionPeer{id: id, used: now}
	p.ring = keyring[*Session]{
		// A confirm may be lost, and the first packet late.
		self: s.self(), waits: s.idle,
		install: func(k *sealing[*Session]) { s.out.put(InstallSession{k.session, k.agreed.peer}) },
		use:     func(k *sealing[*Session]) { s.out.put(UseSession{k.session}) },
		retire: func(index uint32) {
			delete(s.indices, index)
			s.out.put(RetireSession{index})
		},
	}
	s.peers[id] = p
	s.order = append(s.order, p)
	if s.tick.IsZero() {
		s.tick = now.Add(sessionTick)
	}
	return p
}

// removeOldest ends the keys that were used least recently.
func (s *Sessions) removeOldest() {
	s.remove(slices.MinFunc(s.order, func(a, b *sessionPeer) int { return a.used.Compare(b.used) }))
}

func (s *Sessions) remove(p *sessionPeer) {
	s.hangUp(p)
	p.ring.clear()
	delete(s.peers, p.id)
	s.order = slices.DeleteFunc(s.order, func(o *sessionPeer) bool { return o == p })
}

// Close ends all keys with a node, whose certificate was revoked, say.
func (s *Sessions) Close(id addr.NodeID) {
	if p := s.peers[id]; p != nil {
		s.remove(p)
	}
}

// HandleTimeout does what is due.
func (s *Sessions) HandleTimeout(now time.Time) {
	s.responder.handleTimeout(now)
	for _, p := range s.order {
		if p.dial != nil && !p.dial.handleTimeout(now) {
			s.giveUp(now, p)
		}
	}
	if s.tick.IsZero() || now.Before(s.tick) {
		return
	}
	for _, p := range slices.Clone(s.order) {
		s.lookAfter(now, p)
	}
	s.tick = time.Time{}
	if len(s.peers) > 0 {
		s.tick = now.Add(sessionTick)
	}
}

// giveUp ends a handshake that nobody answered.
func (s *Sessions) giveUp(now time.Time, p *sessionPeer) {
	reason := CloseNoAnswer
	if p.dial.rejected {
		reason = CloseUnverified
	}
	s.hangUp(p)
	if p.ring.current == nil {
		s.fail(now, p, reason)
		return
	}
	p.rest = now.Add(rekeyRetry + s.jitter(rekeyRetry/4))
}

// lookAfter drops and renews the keys of one node.
func (s *Sessions) lookAfter(now time.Time, p *sessionPeer) {
	before := p.ring.current
	p.ring.poll(now)
	if p.ring.current != before {
		s.settle(p)
	}
	p.ring.handleTimeout(now)
	if p.ring.isUsed() {
		p.used = now
	}
	idle := now.Sub(p.used) >= s.idle
	switch {
	case p.ring.isStale(now), idle && p.dial == nil,
		len(p.ring.keys) == 0 && p.dial == nil && !now.Before(p.rest.Add(sessionRetryLast)):
		s.remove(p)
	case p.dial != nil || p.ring.current == nil || now.Before(p.rest) || s.dials >= MaxSessionDials:
	case !now.Before(p.ring.rekeyAt()) || p.ring.isWorn():
		s.call(now, p)
	}
}

// NextTimeout is when HandleTimeout has something to do.
func (s *Sessions) NextTimeout() (time.Time, bool) {
	responder, _ := s.responder.nextTimeout()
	first, ok := earlier(responder, s.tick)
	if s.dials == 0 {
		return first, ok
	}
	for _, p := range s.order {
		if p.dial != nil {
			if t := p.dial.nextTimeout(); !ok || t.Before(first) {
				first, ok = t, true
			}
		}
	}
	return first, ok
}
