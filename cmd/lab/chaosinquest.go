package lab

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"re6st/actors/monitor"
	"re6st/protocols/addr"
)

// Of inquests: where a pair that has a path gets no answer, its ends are asked why.
const (
	inquestAfter   = 1500 * time.Millisecond // of silence
	inquestEvery   = time.Second             // of one pair
	inquestLook    = 200 * time.Millisecond
	inquestTimeout = 300 * time.Millisecond // of each probe
	maxInquests    = 3                      // at a time
)

// inquire looks for pairs that are silent, and has them traced, until ctx ends.
func (c *chaos) inquire(ctx context.Context) {
	last := map[Pair]time.Duration{}
	slots := make(chan struct{}, maxInquests)
	var asking sync.WaitGroup
	defer asking.Wait()
	for sleep(ctx, inquestLook) == nil {
		now := c.lab.prober.now()
		for _, pair := range c.silent(now) {
			if at, asked := last[pair]; asked && now-at < inquestEvery {
				continue
			}
			select {
			case slots <- struct{}{}:
			default:
				continue
			}
			last[pair] = now
			asking.Go(func() {
				defer func() { <-slots }()
				text := c.lab.trace(ctx, pair)
				c.mu.Lock()
				defer c.mu.Unlock()
				c.findings = append(c.findings, moment{now, text})
			})
		}
	}
}

// silent are the pairs that have had a path for a while, and no answer.
func (c *chaos) silent(now time.Duration) (pairs []Pair) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.lab.prober
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range c.trains {
		if c.ground.hadSince(t.pair, now-inquestAfter) && !t.answeredSince(now-inquestAfter) {
			pairs = append(pairs, t.pair)
		}
	}
	return pairs
}

// trace asks one end of a pair for the way to the other.
func (l *Lab) trace(ctx context.Context, p Pair) string {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	names, dest := map[addr.NodeID]string{}, ""
	for _, s := range l.snapshot() {
		names[s.who.id] = s.name
		if s.name == p.To {
			dest = s.who.addresses[generalClass].String()
		}
	}
	words := []string{"trace " + p.String() + ":"}
	q := monitor.TraceRequest{Dest: dest, Probes: 1, Timeout: inquestTimeout.Milliseconds()}
	socket := l.program.socket(l.members[p.From].dir)
	err := monitor.Lines(ctx, monitor.NewClient(socket), http.MethodPost, "trace", q, func(line monitor.TraceLine) error {
		words = append(words, traceWords(line, names)...)
		return nil
	})
	if err != nil {
		words = append(words, err.Error())
	}
	return strings.Join(words, " ")
}

// traceWords tells a line of a trace in few words.
func traceWords(l monitor.TraceLine, names map[addr.NodeID]string) (words []string) {
	if h := l.Hop; h != nil {
		at := "*"
		if h.Node != nil {
			at = names[*h.Node]
		}
		if w := h.Way; w != nil {
			at += fmt.Sprintf(" (%d by %s)", w.Metric, names[w.Next])
		}
		for _, o := range h.Choices {
			at += fmt.Sprintf(" [%d by %s, feasible %v]", o.Metric, names[o.Next], o.Feasible)
		}
		words = append(words, at)
	}
	if e := l.Echo; e != nil {
		words = append(words, fmt.Sprintf("%d of %d echoes", e.Received, e.Sent))
	}
	if e := l.End; e != nil {
		words = append(words, e.Outcome+" after "+names[e.After])
	}
	if l.Error != "" {
		words = append(words, l.Error)
	}
	return words
}
