package carrier

import (
	"maps"
	"net/netip"
	"sync"
	"time"
)

// sources bounds what strangers begin.
type sources struct {
	mu   sync.Mutex
	all  map[netip.Prefix]*source
	open int // of all
}

type source struct {
	open   int
	tokens float64
	at     time.Time
}

// sourceOf is what shares one allowance.
func sourceOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a = a.Unmap().WithZone(""); a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits)
	return p
}

// take counts a connection; false where the source has too many, or too often, or all
// together have.
func (s *sources) take(now time.Time, from netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[netip.Prefix]*source)
	}
	key := sourceOf(from)
	f := s.all[key]
	if f == nil {
		if len(s.all) >= maxSources {
			maps.DeleteFunc(s.all, func(_ netip.Prefix, f *source) bool { return f.open == 0 })
		}
		f = &source{tokens: SourceBurst, at: now}
		s.all[key] = f
	}
	f.tokens = min(SourceBurst, f.tokens+SourceRate*now.Sub(f.at).Seconds())
	f.at = now
	if f.open >= MaxSourceConnections || s.open >= MaxAccepted || f.tokens < 1 {
		return false
	}
	f.tokens--
	f.open++
	s.open++
	return true
}

// release says that a connection has ended.
func (s *sources) release(from netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.all[sourceOf(from)]; f != nil {
		f.open--
		s.open--
	}
}
