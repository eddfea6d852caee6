package carrier

import (
	"net"
	"slices"
	"sync"
	"time"
)

// stream is a link by TLS.
type stream struct {
	tls  net.Conn
	tcp  *corked
	part []byte // of the one reader: a datagram whose end has not come yet
}

// send writes a record for each batch, all by one call.
func (s *stream) send(batches []*batch) error {
	if err := s.tcp.SetWriteDeadline(time.Now().Add(stuckAfter)); err != nil {
		return err
	}
	if len(batches) > 1 {
		s.tcp.cork()
	}
	for _, b := range batches {
		if _, err := s.tls.Write(b.data); err != nil {
			return err
		}
	}
	return s.tcp.uncork()
}

// receive gives what came by one record, as far as it is whole.
func (s *stream) receive(into *batch) error {
	b := append(into.data, s.part...)
	for {
		whole, count, need, err := wholeFrames(b)
		if err != nil {
			return err
		}
		if count > 0 {
			s.part = append(s.part[:0], b[whole:]...)
			into.data, into.count = b[:whole], count
			return nil
		}
		b = slices.Grow(b, max(0, need-len(b)))
		n, err := s.tls.Read(b[len(b):cap(b)])
		if b = b[:len(b)+n]; n == 0 && err != nil {
			return err
		}
	}
}

// close does not wait for the peer.
func (s *stream) close() { _ = s.tcp.Close() }

// corked is a TCP connection that can hold back what is written, to write it by one call.
type corked struct {
	net.Conn
	mu   sync.Mutex // TLS answers what its peer asks from the goroutine that reads
	held *[]byte    // nil: nothing is held back
}

var corkRoom = sync.Pool{New: func() any {
	b := make([]byte, 0, sentAtOnce*(batchLen+recordMore))
	return &b
}}

// Write is as in net.Conn.
func (c *corked) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		return c.Conn.Write(b)
	}
	*c.held = append(*c.held, b...)
	return len(b), nil
}

// cork has what is written wait for uncork.
func (c *corked) cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = corkRoom.Get().(*[]byte)
	}
}

func (c *corked) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		return nil
	}
	_, err := c.Conn.Write(*c.held)
	*c.held = (*c.held)[:0]
	corkRoom.Put(c.held)
	c.held = nil
	return err
}
