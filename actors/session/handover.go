package session

import (
	"maps"
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
)

const (
	// reviewEvery is how often a restarted actor looks which of the keys that it
	// found are in use: those it makes anew.
	reviewEvery = time.Second
	// handover is how long it leaves them in the packet path. By then the peers
	// that it talks to have new ones, and no key outlives its time by much.
	handover = time.Minute
)

// Keys are those in the packet path, whatever incarnation put them there, and what
// later ones are made with. One incarnation at a time uses it.
type Keys struct {
	credentials *fabric.Credentials
	limits      Limits

	held  map[uint32]*fabric.Session // by local index
	peers map[addr.NodeID]int        // how many of each
}

// NewKeys is without keys.
func NewKeys() *Keys {
	return &Keys{held: map[uint32]*fabric.Session{}, peers: map[addr.NodeID]int{}}
}

func (k *Keys) hold(s *fabric.Session) {
	k.held[s.LocalIndex()] = s
	k.peers[s.Peer()]++
}

// release tells with whom there are no keys any more; zero: with nobody less.
func (k *Keys) release(index uint32) (last addr.NodeID) {
	s := k.held[index]
	if s == nil {
		return addr.NodeID{}
	}
	delete(k.held, index)
	if k.peers[s.Peer()]--; k.peers[s.Peer()] > 0 {
		return addr.NodeID{}
	}
	delete(k.peers, s.Peer())
	return s.Peer()
}

// leftover is keys of the incarnation before.
type leftover struct {
	session *fabric.Session
	frames  uint64 // that it had carried at the last look
}

// takeOver notes the keys of the incarnation before.
func (s *sessions) takeOver() {
	for _, index := range slices.Sorted(maps.Keys(s.keys.held)) {
		session := s.keys.held[index]
		_, frames := session.Usage()
		s.leftovers = append(s.leftovers, leftover{session, frames})
	}
	if len(s.leftovers) > 0 {
		s.handedOver = s.ctx.Now().Add(handover)
		s.ctx.After(reviewEvery, review{})
	}
}

// lost makes keys anew with a peer that does not know ours: those that the incarnation
// before made are not the machine's.
func (s *sessions) lost(now time.Time, egress addr.NodeID) {
	if slices.ContainsFunc(s.leftovers, func(l leftover) bool { return l.session.Peer() == egress }) {
		s.machine.Want(now, egress)
	}
	s.machine.HandleUnknownSession(now, egress)
}

// review makes keys anew with the peers that are talked to, and in the end takes
// all the old ones away.
func (s *sessions) review(now time.Time) {
	over := !now.Before(s.handedOver)
	for i := range s.leftovers {
		l := &s.leftovers[i]
		if _, frames := l.session.Usage(); frames != l.frames {
			l.frames = frames
			s.machine.Want(now, l.session.Peer())
		}
		if over {
			s.retire(l.session.LocalIndex())
		}
	}
	if over {
		s.leftovers = nil
		return
	}
	s.ctx.After(reviewEvery, review{})
}

// revoked ends all keys with some nodes, those of the incarnation before too.
func (s *sessions) revoked(nodes []addr.NodeID) {
	gone := make(map[addr.NodeID]bool, len(nodes))
	for _, id := range nodes {
		gone[id] = true
		s.machine.Close(id)
	}
	s.leftovers = slices.DeleteFunc(s.leftovers, func(l leftover) bool {
		if gone[l.session.Peer()] {
			s.retire(l.session.LocalIndex())
			return true
		}
		return false
	})
}

// retire takes keys out of the packet path.
func (s *sessions) retire(index uint32) {
	s.cfg.Plane.RetireSession(index)
	if peer := s.keys.release(index); !peer.IsZero() {
		s.cfg.Forgotten(peer)
	}
}
