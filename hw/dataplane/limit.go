package dataplane

import (
	"sync"
	"time"
)

// Rates of what a stranger could make this node do, in events a second, and how
// many may come at once.
const (
	transitRate, transitBurst       = 64, 128 // transit messages per ingress
	relayErrorRate, relayErrorBurst = 4, 16   // relay errors per ingress
	icmpRate, icmpBurst             = 10, 20  // ICMPv6 errors per source (RFC 4443 section 2.4 f)
	unknownRate, unknownBurst       = 0.2, 1  // hints of unknown sessions per egress
	traceRate, traceBurst           = 10, 40  // probes of traces answered per ingress
	pathRate, pathBurst             = 20, 40  // path probes answered per peer
	traceLinkRate, traceLinkBurst   = 50, 200 // and per link by which they come: an ingress is easily made up

	// Handshake datagrams of all sources: those that begin one, and the others, which
	// this node's own may wait for. Far more than it computes (fabric.HandshakeRate).
	callRate, callBurst     = 2000, 1000
	answerRate, answerBurst = 5000, 2000

	// maxBuckets is how many keys a limiter tells apart.
	maxBuckets = 4096
)

// limiter is a token bucket per key.
type limiter[K comparable] struct {
	rate, burst float64

	mu      sync.Mutex
	buckets map[K]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newLimiter[K comparable](rate, burst float64) *limiter[K] {
	return &limiter[K]{rate: rate, burst: burst, buckets: make(map[K]bucket)}
}

// allow takes a token of k. Where too many keys are in use, new ones get none.
func (l *limiter[K]) allow(now time.Time, k K) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[k]
	if !ok {
		if len(l.buckets) >= maxBuckets {
			l.sweep(now)
		}
		if len(l.buckets) >= maxBuckets {
			return false
		}
		b = bucket{l.burst, now}
	}
	b = bucket{l.refilled(b, now), now}
	allowed := b.tokens >= 1
	if allowed {
		b.tokens--
	}
	l.buckets[k] = b
	return allowed
}

func (l *limiter[K]) refilled(b bucket, now time.Time) float64 {
	return min(l.burst, b.tokens+l.rate*max(0, now.Sub(b.at).Seconds()))
}

// sweep forgets the keys whose bucket is full again.
func (l *limiter[K]) sweep(now time.Time) {
	for k, b := range l.buckets {
		if l.refilled(b, now) >= l.burst {
			delete(l.buckets, k)
		}
	}
}
