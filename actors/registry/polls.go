package registry

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	"re6st/protocols/addr"
	"re6st/protocols/registry"
)

// polls are the calls for updates that wait: one of each node at a time, and not too
// many of one source nor in all.
type polls struct {
	most, perSource int

	mu       sync.Mutex // guards what follows
	byNode   map[addr.NodeID]*poll
	bySource map[netip.Prefix]int
	total    int
	closed   bool
}

// poll is one call that waits; displaced ends when it is to wait no longer.
type poll struct {
	displaced context.Context
	displace  context.CancelFunc
}

func newPolls(most, perSource int) *polls {
	return &polls{most: most, perSource: perSource, byNode: map[addr.NodeID]*poll{}, bySource: map[netip.Prefix]int{}}
}

// begin takes a place for a call of a node, whose former one waits no longer; done
// gives it back. registry.ErrRateLimited says that there is none.
func (p *polls) begin(id addr.NodeID, from netip.Prefix) (displaced context.Context, done func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.byNode[id]; old != nil {
		old.displace()
	}
	if p.total >= p.most || p.bySource[from] >= p.perSource {
		return nil, nil, fmt.Errorf("%w: %d calls wait for updates, %d of them from %s", registry.ErrRateLimited, p.total, p.bySource[from], from)
	}
	q := &poll{}
	q.displaced, q.displace = context.WithCancel(context.Background())
	p.byNode[id] = q
	p.bySource[from]++
	p.total++
	if p.closed {
		q.displace()
	}
	return q.displaced, func() { p.end(id, from, q) }, nil
}

func (p *polls) end(id addr.NodeID, from netip.Prefix, q *poll) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q.displace()
	if p.byNode[id] == q {
		delete(p.byNode, id)
	}
	if p.bySource[from]--; p.bySource[from] == 0 {
		delete(p.bySource, from)
	}
	p.total--
}

// close has all wait no longer, and those that come.
func (p *polls) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, q := range p.byNode {
		q.displace()
	}
}
