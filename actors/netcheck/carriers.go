package netcheck

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"re6st/hw/carrier"
	"re6st/hw/sock"
	"re6st/protocols/fabric"
	"re6st/protocols/netcheck"
)

// tlsPort is where nodes serve TLS that say no other.
const tlsPort = 443

// carriersAsked asks by QUIC and by TLS, whose connections are made on the way.
type carriersAsked struct {
	conn     *carrier.Conn
	by       [fabric.Carriers]*asking // nil: not asked by that
	deadline chan struct{}            // closed at the end
	running  sync.WaitGroup
}

// asking is the questions by one carrier.
type asking struct {
	mu      sync.Mutex
	machine *netcheck.Machine
	done    chan struct{}
}

// startCarriers begins to ask; the sockets are opened here, and go on elsewhere.
func startCarriers(c PeerConfig) (*carriersAsked, error) {
	mark := c.Mark
	udp, err := sock.Listen(sock.Config{Mark: mark})
	if err != nil && mark != 0 { // without the privilege there is no mark
		mark = 0
		udp, err = sock.Listen(sock.Config{})
	}
	if err != nil {
		return nil, err
	}
	conn, err := carrier.Open(carrier.Config{UDP: udp, Carriers: fabric.AllCarriers, Mark: mark})
	if err != nil {
		udp.Close()
		return nil, err
	}
	a := &carriersAsked{conn: conn, deadline: make(chan struct{})}
	for _, by := range []fabric.Carrier{fabric.QUIC, fabric.TLS} {
		var targets []netip.AddrPort
		for _, p := range c.Peers {
			to := p.Address
			if by == fabric.TLS {
				to = netip.AddrPortFrom(to.Addr(), cmp.Or(p.TLSPort, tlsPort))
			}
			targets = append(targets, to)
		}
		var index [4]byte
		if _, err := rand.Read(index[:]); err != nil {
			a.close()
			return nil, err
		}
		a.by[by] = &asking{done: make(chan struct{}), machine: netcheck.New(time.Now(), netcheck.Config{
			Fingerprint: c.Fingerprint, Targets: targets, Index: binary.BigEndian.Uint32(index[:]),
		})}
		a.running.Go(func() { a.by[by].run(conn, by, a.deadline) })
	}
	a.running.Go(a.read)
	return a, nil
}

// run asks to the end.
func (a *asking) run(conn *carrier.Conn, by fabric.Carrier, stop chan struct{}) {
	defer close(a.done)
	for {
		var packets []sock.Packet
		a.mu.Lock()
		a.machine.Drain(func(e netcheck.Event) {
			s := e.(netcheck.Send)
			packets = append(packets, sock.Packet{Data: s.Datagram, Addr: s.To, Carrier: by})
		})
		next, ok := a.machine.NextTimeout()
		a.mu.Unlock()
		if _, err := conn.WriteBatch(packets); err != nil || !ok {
			return
		}
		select {
		case <-stop:
			return
		case <-time.After(min(time.Until(next), lookAgain)):
		}
		a.mu.Lock()
		a.machine.HandleTimeout(time.Now())
		a.mu.Unlock()
	}
}

// lookAgain is how often it is looked whether all have answered.
const lookAgain = 50 * time.Millisecond

// read hands over what comes, until the Conn is closed.
func (a *carriersAsked) read() {
	packets := []sock.Packet{{Data: make([]byte, sock.ReadRoom)}}
	for {
		packets[0].Data = packets[0].Data[:cap(packets[0].Data)]
		if n, err := a.conn.ReadBatch(packets); err != nil || n == 0 {
			return
		}
		if by := a.by[packets[0].Carrier]; by != nil {
			by.hear(time.Now(), packets[0])
		}
	}
}

// hear takes what came together: answers to the questions that waited for the connection may.
func (a *asking) hear(now time.Time, p sock.Packet) {
	a.mu.Lock()
	defer a.mu.Unlock()
	step := p.Segment
	if step <= 0 {
		step = len(p.Data)
	}
	for rest := p.Data; len(rest) > 0; {
		n := min(step, len(rest))
		a.machine.HandleDatagram(now, rest[:n])
		rest = rest[n:]
	}
}

// wait waits for the answers, and notes them.
func (a *carriersAsked) wait(ctx context.Context, peers []netcheck.Peer) error {
	for _, by := range []fabric.Carrier{fabric.QUIC, fabric.TLS} {
		select {
		case <-a.by[by].done:
		case <-ctx.Done():
			return ctx.Err()
		}
		a.by[by].mu.Lock()
		for i, r := range a.by[by].machine.Results() {
			if by == fabric.QUIC {
				peers[i].QUIC = r.Answered
			} else {
				peers[i].TLS, peers[i].TLSPort = r.Answered, cmp.Or(peers[i].TLSPort, tlsPort)
			}
		}
		a.by[by].mu.Unlock()
	}
	return nil
}

func (a *carriersAsked) close() {
	close(a.deadline)
	_ = a.conn.Close()
	a.running.Wait()
}
