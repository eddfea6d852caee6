package carrier

import (
	"context"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
)

// key is what a packet finds its connection by.
type key struct {
	carrier fabric.Carrier
	remote  netip.AddrPort
	local   netip.Addr // not valid: whichever
}

// link is what a connection works with once it is up.
type link interface {
	// send sends datagrams; they stay the caller's.
	send(batches []*batch) error
	// receive waits for datagrams, and puts them into an empty batch.
	receive(into *batch) error
	close()
}

// connection is one by QUIC or TLS.
type connection struct {
	conn     *Conn
	keys     []key
	accepted bool        // the peer began it
	member   addr.NodeID // who has proven itself by it, of those accepted; zero: nobody yet. Conn.mu guards it
	ctx      context.Context
	cancel   context.CancelFunc
	queue    outbound

	mu   sync.Mutex
	path fabric.Path
	link link // nil: it is being dialled

	answers atomic.Bool // something was sent by it
	began   time.Time
	heard   atomic.Int64 // when the last datagram came, in ns since began; 0: none
	asked   atomic.Int64 // when the first was sent after that; 0: none
	touched atomic.Int64 // when one was sent or came
}

func (c *Conn) newConnection(path fabric.Path, accepted bool) *connection {
	n := &connection{conn: c, path: path, accepted: accepted, queue: outbound{came: make(chan struct{}, 1)}, began: time.Now()}
	n.ctx, n.cancel = context.WithCancel(c.ctx)
	return n
}

// since is the time since the connection began, never 0.
func (n *connection) since() int64 { return max(1, int64(time.Since(n.began))) }

// connectionFor is the connection of a path, which is dialled where there is none or it is dead.
// nil: there cannot be one.
func (c *Conn) connectionFor(path fabric.Path) *connection {
	k := key{path.Carrier, path.Remote, path.Local.Addr}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.open[k]
	if n != nil && (n.accepted || !n.stalled()) {
		return n
	}
	if at, failed := c.failed[k]; failed && time.Since(at) < RedialAfter {
		return nil
	}
	if _, gone := c.gone[k]; gone || c.ctx.Err() != nil || !c.carriers.Has(path.Carrier) || int(path.Carrier) >= fabric.Carriers {
		return nil
	}
	if n != nil {
		c.forget(n)
		n.cancel() // what it holds is closed by its own goroutine
	}
	if len(c.all) >= MaxConnections {
		return nil
	}
	n = c.newConnection(path, false)
	c.register(n, k)
	c.running.Go(n.dial)
	return n
}

// register has packets find a connection. The caller has the lock.
func (c *Conn) register(n *connection, keys ...key) {
	if !c.all[n] {
		c.all[n] = true
		c.connections[n.path.Carrier].Add(1)
	}
	for _, k := range keys {
		c.open[k] = n
		n.keys = append(n.keys, k)
		delete(c.gone, k)
	}
}

// forget has packets find it no more. The caller has the lock.
func (c *Conn) forget(n *connection) {
	if !c.all[n] {
		return
	}
	delete(c.all, n)
	c.connections[n.path.Carrier].Add(-1)
	for _, k := range n.keys {
		if c.open[k] == n {
			delete(c.open, k)
			if n.accepted && k.carrier == fabric.TLS {
				if len(c.gone) >= maxGone {
					clear(c.gone)
				}
				c.gone[k] = time.Now()
			}
		}
	}
	if n.accepted && n.path.Carrier == fabric.TLS { // QUIC's are released with their contexts
		c.sources.release(n.path.Remote.Addr())
	}
}

// accept takes a connection that a peer began, whose source was asked before; false where
// that is one too many, which has ended.
func (c *Conn) accept(n *connection) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil || len(c.all) >= MaxConnections {
		n.cancel()
		return false
	}
	p := n.path
	c.register(n, key{p.Carrier, p.Remote, p.Local.Addr}, key{p.Carrier, p.Remote, netip.Addr{}})
	return true
}

// dial brings up a connection of this end, and serves it.
func (n *connection) dial() {
	defer n.end()
	ctx, cancel := context.WithTimeout(n.ctx, DialTimeout)
	defer cancel()
	c := n.conn
	l, local, err := c.dialBy(ctx, n.path)
	if err != nil {
		c.mu.Lock()
		c.failed[key{n.path.Carrier, n.path.Remote, n.path.Local.Addr}] = time.Now()
		c.mu.Unlock()
		return
	}
	c.mu.Lock()
	n.cameUp(l, local)
	c.findBy(n, local.Addr)
	c.mu.Unlock()
	n.serve(l)
}

// cameUp has the connection use what was dialled: what waited for it goes only now, and so is
// asked for only now.
func (n *connection) cameUp(l link, local fabric.Local) {
	if n.asked.Load() != 0 {
		n.asked.Store(n.since())
	}
	n.mu.Lock()
	n.link, n.path.Local = l, local
	n.mu.Unlock()
}

// findBy has packets from its local address find a connection that is up, and no other one
// that is still being dialled: that may take long, if it began while nothing passed. The
// caller has the lock.
func (c *Conn) findBy(n *connection, local netip.Addr) {
	k := key{n.path.Carrier, n.path.Remote, local}
	other := c.open[k]
	if !c.all[n] || other == n || other != nil && other.up() {
		return
	}
	if other != nil {
		c.forget(other)
		other.cancel()
	}
	c.register(n, k)
}

func (c *Conn) dialBy(ctx context.Context, path fabric.Path) (link, fabric.Local, error) {
	if path.Carrier == fabric.QUIC {
		return c.dialQUIC(ctx, path)
	}
	return c.dialTLS(ctx, path)
}

// serve moves datagrams until either way ends.
func (n *connection) serve(l link) {
	stop := context.AfterFunc(n.ctx, l.close)
	defer stop()
	var writer sync.WaitGroup
	writer.Go(func() {
		defer n.cancel()
		n.write(l)
	})
	n.read(l)
	n.cancel()
	l.close()
	writer.Wait()
}

func (n *connection) write(l link) {
	var out [sentAtOnce]*batch
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-n.queue.came:
		}
		for k := n.queue.take(out[:]); k > 0; k = n.queue.take(out[:]) {
			err := l.send(out[:k])
			if n.queue.sent(out[:k]); err != nil {
				return
			}
		}
	}
}

func (n *connection) read(l link) {
	c := n.conn
	for {
		b := newBatch()
		if err := l.receive(b); err != nil {
			b.free()
			return
		}
		if c.blocks(n.path.Carrier) {
			c.stopped.Add(uint64(b.count))
			b.free()
			continue
		}
		now := n.since()
		n.heard.Store(now)
		n.touched.Store(now)
		n.asked.Store(0)
		c.received.Add(uint64(b.count))
		b.path, b.at = n.path, time.Now()
		if !n.handOver(b) {
			return
		}
	}
}

// handOver gives the reader what came; false: the connection has ended meanwhile. Where too much
// waits for the reader already TLS waits too, and QUIC drops.
func (n *connection) handOver(b *batch) bool {
	c := n.conn
	if n.path.Carrier == fabric.QUIC {
		select {
		case c.arrived <- b:
		default:
			c.dropped.Add(uint64(b.count))
			b.free()
		}
	} else {
		select {
		case c.arrived <- b:
		case <-n.ctx.Done():
			return false
		}
	}
	c.wake()
	return true
}

// put has copies of datagrams sent, of size bytes each, but for the last; n is how many, the
// others are dropped.
func (n *connection) put(data []byte, size int) int {
	most := MaxQueued
	if !n.up() {
		most = MaxDialling
	}
	now := n.since()
	n.asked.CompareAndSwap(0, now) // before it goes: what answers it takes that back
	count := n.queue.put(data, size, most)
	if count == 0 {
		return 0
	}
	if !n.answers.Load() {
		n.answers.Store(true)
	}
	n.touched.Store(now)
	return count
}

func (n *connection) up() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.link != nil
}

// stalled tells whether it brought nothing since long after something was sent.
func (n *connection) stalled() bool {
	asked := n.asked.Load()
	return n.ctx.Err() != nil || asked != 0 && n.up() && time.Duration(n.since()-asked) >= StallAfter
}

// used is how long it was of use.
func (n *connection) used() time.Duration { return time.Duration(n.touched.Load()) }

// lastOfUse is when it was of use last.
func (n *connection) lastOfUse() time.Time { return n.began.Add(n.used()) }

// patience is how long it may be idle.
func (n *connection) patience() time.Duration { return min(max(IdleFirst, 2*n.used()), IdleAfter) }

// close ends it; its goroutine does the rest.
func (n *connection) close() { n.cancel() }

// end is the last that a connection does.
func (n *connection) end() {
	n.cancel()
	n.conn.mu.Lock()
	n.conn.forget(n)
	n.conn.mu.Unlock()
}

// keepHouse closes what is idle, and strangers' connections.
func (c *Conn) keepHouse() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case now := <-ticker.C:
			c.sweep(now)
		}
	}
}

func (c *Conn) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := range c.all {
		age := now.Sub(n.began)
		stranger := n.accepted && (!n.answers.Load() && age >= FirstWithin || n.member.IsZero() && age >= ProvenWithin)
		if stranger || age-n.used() >= n.patience() {
			n.cancel()
		}
	}
	maps.DeleteFunc(c.gone, func(_ key, at time.Time) bool { return now.Sub(at) >= IdleAfter })
	maps.DeleteFunc(c.failed, func(_ key, at time.Time) bool { return now.Sub(at) >= RedialAfter })
}
