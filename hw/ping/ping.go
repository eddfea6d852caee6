package ping

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Limits of a run.
const (
	MaxCount    = 65535 // sequence numbers have 16 bits
	MaxSize     = 65000
	MinInterval = 10 * time.Millisecond
)

// ErrConfig is wrapped by what Run says of a Config that makes no sense.
var ErrConfig = errors.New("bad ping")

// Config says whom to ping and how.
type Config struct {
	Source      netip.Addr    // one of this host's addresses; zero: the kernel's choice
	Destination netip.Addr    // of the family of Source
	Count       int           // 1 to MaxCount
	Interval    time.Duration // between requests, at least MinInterval
	Timeout     time.Duration // a later reply is a lost one; positive
	Size        int           // bytes of data, at most MaxSize; 8 are sent at least
}

// Reply is what became of one request.
type Reply struct {
	Sequence int // from 1
	RTT      time.Duration
	Lost     bool
	Err      error // why it could not even be sent, such as no route; then it is Lost
}

// Summary counts a run.
type Summary struct {
	Sent, Received int
	Min, Avg, Max  time.Duration // of the replies received; zero without any
}

func (c Config) check() error {
	switch {
	case !c.Destination.IsValid() || c.Destination.Is4In6():
		return fmt.Errorf("%w: destination %s is neither an IPv6 nor an IPv4 address", ErrConfig, c.Destination)
	case c.Source.IsValid() && c.Source.Is4() != c.Destination.Is4():
		return fmt.Errorf("%w: source %s and destination %s are of two families", ErrConfig, c.Source, c.Destination)
	case c.Count < 1 || c.Count > MaxCount:
		return fmt.Errorf("%w: count %d, 1 to %d", ErrConfig, c.Count, MaxCount)
	case c.Interval < MinInterval:
		return fmt.Errorf("%w: interval %v, at least %v", ErrConfig, c.Interval, MinInterval)
	case c.Timeout <= 0:
		return fmt.Errorf("%w: timeout %v is not positive", ErrConfig, c.Timeout)
	case c.Size < 0 || c.Size > MaxSize:
		return fmt.Errorf("%w: size %d, 0 to %d", ErrConfig, c.Size, MaxSize)
	}
	return nil
}

// Run pings, and hands each Reply to each, in the order in which they come or
// are lost. When ctx ends it stops, with the Summary so far and ctx's error.
func Run(ctx context.Context, cfg Config, each func(Reply)) (Summary, error) {
	if err := cfg.check(); err != nil {
		return Summary{}, err
	}
	conn, err := open(familyOf(cfg.Destination), cfg.Source)
	if err != nil {
		return Summary{}, fmt.Errorf("ping: %w", err)
	}
	r := &run{cfg: cfg, conn: conn, each: each, heard: make(chan heard, 64), sent: map[int]time.Time{}}
	rand.Read(r.token[:]) // never fails
	done := make(chan struct{})
	go func() { defer close(done); r.read() }()
	err = r.loop(ctx)
	conn.Close()
	<-done
	return r.summary, err
}

// run is one call of Run. heard goes from the reader to the loop; all else is the loop's.
type run struct {
	cfg     Config
	conn    *socket
	token   [tokenLen]byte
	each    func(Reply)
	heard   chan heard
	sent    map[int]time.Time // requests without a reply so far
	next    int               // sequence of the next to be given up
	total   time.Duration
	summary Summary
}

type heard struct {
	sequence int
	at       time.Time
}

// read takes replies until the socket is closed. One that finds the loop busy is
// lost, as in any full buffer.
func (r *run) read() {
	buffer := make([]byte, echoHeader+MaxSize)
	for {
		n, _, err := r.conn.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error for one of our requests: that one is lost
		}
		if sequence, ok := r.conn.answers(buffer[:n], r.token); ok {
			select {
			case r.heard <- heard{int(sequence), time.Now()}:
			default:
			}
		}
	}
}

func (r *run) loop(ctx context.Context) error {
	start := time.Now()
	r.next = 1
	timer := time.NewTimer(0)
	defer timer.Stop()
	for r.next <= r.cfg.Count {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case h := <-r.heard:
			r.arrived(h)
		case <-timer.C:
			now := time.Now()
			for r.summary.Sent < r.cfg.Count && !now.Before(start.Add(time.Duration(r.summary.Sent)*r.cfg.Interval)) {
				r.send()
			}
			r.expire(now)
		}
		timer.Reset(time.Until(r.due(start)))
	}
	return nil
}

// due is when the next request is to be sent or given up.
func (r *run) due(start time.Time) time.Time {
	next := start.Add(time.Duration(r.summary.Sent) * r.cfg.Interval)
	if at, ok := r.sent[r.next]; ok && (r.summary.Sent == r.cfg.Count || at.Add(r.cfg.Timeout).Before(next)) {
		return at.Add(r.cfg.Timeout)
	}
	return next
}

func (r *run) send() {
	r.summary.Sent++
	sequence := r.summary.Sent
	id := binary.BigEndian.Uint16(r.token[:])
	r.sent[sequence] = time.Now()
	if err := r.conn.send(r.cfg.Destination, r.conn.newRequest(id, sequence, r.token, r.cfg.Size)); err != nil {
		delete(r.sent, sequence)
		r.each(Reply{Sequence: sequence, Lost: true, Err: err})
		r.advance()
	}
}

func (r *run) arrived(h heard) {
	at, ok := r.sent[h.sequence]
	if !ok {
		return // a duplicate, or too late
	}
	delete(r.sent, h.sequence)
	rtt := h.at.Sub(at)
	s := &r.summary
	if s.Received++; s.Received == 1 || rtt < s.Min {
		s.Min = rtt
	}
	s.Max = max(s.Max, rtt)
	r.total += rtt
	s.Avg = r.total / time.Duration(s.Received)
	r.each(Reply{Sequence: h.sequence, RTT: rtt})
	r.advance()
}

// expire gives up the requests that have waited for too long.
func (r *run) expire(now time.Time) {
	for {
		at, ok := r.sent[r.next]
		if !ok || now.Before(at.Add(r.cfg.Timeout)) {
			return
		}
		delete(r.sent, r.next)
		r.each(Reply{Sequence: r.next, Lost: true})
		r.advance()
	}
}

// advance moves next to the first request without a fate.
func (r *run) advance() {
	for r.next <= r.summary.Sent {
		if _, waits := r.sent[r.next]; waits {
			return
		}
		r.next++
	}
}
