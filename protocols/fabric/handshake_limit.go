package fabric

import (
	"net/netip"
	"time"
)

// Limits on the handshakes that a node answers. Each costs four X25519
// operations, 0.3 ms on a server and ten times that on a small board.
const (
	// HandshakeRate is per second, of all sources; HandshakeBurst at once.
	HandshakeRate  = 200
	HandshakeBurst = 100
	// SourceHandshakeRate and SourceHandshakeBurst are of one source: an IPv4
	// address, an IPv6 /64, or a node.
	SourceHandshakeRate  = 25
	SourceHandshakeBurst = 50
	// maxLimitedSources is how many sources are told apart; the others share
	// what is left of the total.
	maxLimitedSources = 1024
)

// limit is the part of a source that shares one allowance.
func (s source) limit() source {
	a := s.addr.Addr().Unmap()
	bits := 32
	if a.Is6() {
		bits = 64
	}
	if p, err := a.WithZone("").Prefix(bits); err == nil {
		s.addr = netip.AddrPortFrom(p.Addr(), 0)
	}
	s.local, s.carrier = Local{}, UDP
	return s
}

// bucket is a token bucket.
type bucket struct {
	tokens float64
	at     time.Time
}

func (b *bucket) fill(now time.Time, rate, burst float64) {
	if b.at.IsZero() {
		b.tokens, b.at = burst, now
	}
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(burst, b.tokens+d.Seconds()*rate)
		b.at = now
	}
}

// limiter says how many handshakes may be computed.
type limiter struct {
	total   bucket
	sources map[source]*bucket
}

// take tells whether a handshake of from may be computed now, and counts it.
func (l *limiter) take(now time.Time, from source) bool {
	l.total.fill(now, HandshakeRate, HandshakeBurst)
	if l.total.tokens < 1 {
		return false
	}
	if b := l.source(now, from.limit()); b != nil {
		if b.fill(now, SourceHandshakeRate, SourceHandshakeBurst); b.tokens < 1 {
			return false
		}
		b.tokens--
	}
	l.total.tokens--
	return true
}

// source finds or makes the bucket of a source; nil where there are too many.
func (l *limiter) source(now time.Time, s source) *bucket {
	if b := l.sources[s]; b != nil {
		return b
	}
	if l.sources == nil {
		l.sources = make(map[source]*bucket)
	}
	if len(l.sources) >= maxLimitedSources {
		// A full bucket says no more than none.
		for k, b := range l.sources {
			if b.fill(now, SourceHandshakeRate, SourceHandshakeBurst); b.tokens >= SourceHandshakeBurst {
				delete(l.sources, k)
			}
		}
		if len(l.sources) >= maxLimitedSources {
			return nil
		}
	}
	b := &bucket{}
	l.sources[s] = b
	return b
}
