package inbound

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

// MaxFlows is how many flows are kept in mind; a table of them takes 1 MB.
const MaxFlows = 65536

// ways is how many places a flow may have.
const ways = 4

// How long a flow may be silent.
const (
	Unanswered    = 4 * time.Minute          // TCP that is not answered yet, or closing (RFC 5382 section 5, REQ-5)
	AnsweredTCP   = 2*time.Hour + Unanswered // the same
	AnsweredOther = 5 * time.Minute          // UDP (RFC 4787 section 4.3, REQ-5), and what has no rule
	AnsweredICMP  = time.Minute              // (RFC 5508 section 3.2, REQ-2)
	Fragments     = time.Minute              // of one packet (RFC 8200 section 4.5)
)

// table is the flows: their hashes, and until when they last.
type table struct {
	seed   maphash.Seed
	places [MaxFlows]place
}

// state is what a flow has been through.
type state uint32

const (
	answered state = 1 << iota
	closing        // TCP: one end said so

	stateBits = 2
	stateMask = 1<<stateBits - 1
)

// after is the state once a packet of the flow was seen.
func (s state) after(p *parsed) state {
	if p.proto != protoTCP {
		return s
	}
	if p.flags&(tcpSYN|tcpACK) == tcpSYN {
		return 0 // another connection
	}
	if p.flags&(tcpFIN|tcpRST) != 0 {
		s |= closing
	}
	return s
}

// place holds one flow. until is in seconds since the start, with the state in its
// lowest bits; 0: free.
type place struct {
	hash  atomic.Uint64
	until atomic.Uint32
}

// find is the place of a flow; nil where there is none that lasts.
func (t *table) find(key *[keyLen]byte, now uint32) *place {
	hash := maphash.Bytes(t.seed, key[:])
	for i := range ways {
		if p := t.place(hash, i); p.hash.Load() == hash && p.until.Load()>>stateBits > now {
			return p
		}
	}
	return nil
}

// take is the place of a flow, or the one that it may have: free, or with a flow that
// ends before the others.
func (t *table) take(key *[keyLen]byte, now uint32) (p *place, known bool) {
	hash := maphash.Bytes(t.seed, key[:])
	for i := range ways {
		q := t.place(hash, i)
		until := q.until.Load()
		if q.hash.Load() == hash && until>>stateBits > now {
			return q, true
		}
		if p == nil || until < p.until.Load() {
			p = q
		}
	}
	p.until.Store(0) // the old flow does not lend its time to the new one
	p.hash.Store(hash)
	return p, false
}

func (t *table) place(hash uint64, way int) *place {
	return &t.places[hash%(MaxFlows/ways)*ways+uint64(way)]
}

// keep has a flow last until then.
func (p *place) keep(until uint32, s state) { p.until.Store(until<<stateBits | uint32(s)) }

func (p *place) state() state { return state(p.until.Load() & stateMask) }
