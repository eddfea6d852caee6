package registry

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate is how often something may happen: Burst at once, then PerSecond.
type Rate struct {
	PerSecond float64
	Burst     int
}

// maxLimited is how many sources or nodes are remembered; who comes beyond that
// displaces the one not seen for longest.
const maxLimited = 4096

// limiter bounds how often each of many callers may call.
type limiter[K comparable] struct {
	rate Rate

	mu      sync.Mutex
	callers map[K]*list.Element // of *caller[K]
	recent  list.List           // least recent first
}

type caller[K comparable] struct {
	key   K
	limit *rate.Limiter
}

func newLimiter[K comparable](r Rate) *limiter[K] {
	return &limiter[K]{rate: r, callers: map[K]*list.Element{}}
}

// allow takes one call of key at now, or tells how long to wait.
func (l *limiter[K]) allow(key K, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.callers[key]
	if !ok {
		if len(l.callers) >= maxLimited {
			oldest := l.recent.Front()
			delete(l.callers, l.recent.Remove(oldest).(*caller[K]).key)
		}
		e = l.recent.PushBack(&caller[K]{key, rate.NewLimiter(rate.Limit(l.rate.PerSecond), l.rate.Burst)})
		l.callers[key] = e
	}
	l.recent.MoveToBack(e)
	r := e.Value.(*caller[K]).limit.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// source is whom a limit holds for: an IPv4 address, or an IPv6 /64, since who has
// one has 2^64 addresses.
func source(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero prefix for the zero address
	return p
}

// remote is the other end of a connection.
func remote(text string) netip.Addr {
	ap, _ := netip.ParseAddrPort(text) // TCP's are always valid
	return ap.Addr().Unmap()
}

// boundedListener closes at once what exceeds the number of connections, in all
// or from one source, before TLS costs anything.
type boundedListener struct {
	net.Listener
	total, perSource int

	mu       sync.Mutex
	open     int
	bySource map[netip.Prefix]int
}

// Accept waits for a connection within the bounds.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := source(remote(c.RemoteAddr().String()))
		if l.take(from) {
			return &boundedConn{Conn: c, release: sync.OnceFunc(func() { l.give(from) })}, nil
		}
		c.Close()
	}
}

func (l *boundedListener) take(from netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.total || l.bySource[from] >= l.perSource {
		return false
	}
	l.open++
	l.bySource[from]++
	return true
}

func (l *boundedListener) give(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.bySource[from]--; l.bySource[from] == 0 {
		delete(l.bySource, from)
	}
}

type boundedConn struct {
	net.Conn
	release func()
}

// Close closes the connection and gives its place free.
func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
