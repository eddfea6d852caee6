package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	trafficPort  = 9999
	trafficTick  = time.Millisecond       // between two bursts
	trafficGrace = 300 * time.Millisecond // for the last packets to arrive
	trafficRoom  = 8 << 20                // bytes of the receiver's socket
)

// traffic is a stream of UDP packets through the mesh.
type traffic struct {
	out, in *net.UDPConn
	to      netip.AddrPort
	packet  []byte // the round is in its first bytes

	mu       sync.Mutex
	round    uint32
	received int // of the round
	done     chan struct{}
}

// openTraffic makes the two ends, from floodFrom to floodTo.
func openTraffic(l *Lab, size int) (*traffic, error) {
	t := &traffic{packet: make([]byte, max(size, 4)), done: make(chan struct{})}
	var err error
	open := func(name string, port uint16) (conn *net.UDPConn) {
		m := l.members[name]
		at := netip.AddrPortFrom(l.identity(name).addresses[generalClass], port)
		err = errors.Join(err, m.ns.Do(func() (e error) {
			conn, e = net.ListenUDP("udp6", net.UDPAddrFromAddrPort(at))
			return e
		}))
		if port != 0 {
			t.to = at
		}
		return conn
	}
	t.out, t.in = open(floodFrom, 0), open(floodTo, trafficPort)
	if err != nil {
		return nil, fmt.Errorf("lab: traffic: %w", err)
	}
	if err := t.in.SetReadBuffer(trafficRoom); err != nil {
		return nil, fmt.Errorf("lab: traffic: %w", err)
	}
	go t.receive()
	return t, nil
}

func (t *traffic) close() {
	t.out.Close()
	t.in.Close()
	<-t.done
}

func (t *traffic) receive() {
	defer close(t.done)
	for b := make([]byte, 64<<10); ; {
		n, err := t.in.Read(b)
		if err != nil {
			return
		}
		t.mu.Lock()
		if n >= 4 && binary.BigEndian.Uint32(b) == t.round {
			t.received++
		}
		t.mu.Unlock()
	}
}

// send sends so many packets a second, and returns what share of them arrived.
func (t *traffic) send(ctx context.Context, perSecond int, span time.Duration) (float64, error) {
	t.mu.Lock()
	t.round++
	t.received = 0
	binary.BigEndian.PutUint32(t.packet, t.round)
	t.mu.Unlock()
	ticker := time.NewTicker(trafficTick)
	defer ticker.Stop()
	sent, total := 0, int(span.Seconds()*float64(perSecond))
	for began := time.Now(); sent < total; {
		for due := min(total, int(time.Since(began).Seconds()*float64(perSecond))); sent < due; sent++ {
			if _, err := t.out.WriteToUDPAddrPort(t.packet, t.to); err != nil {
				return 0, fmt.Errorf("lab: traffic: %w", err)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	if err := sleep(ctx, trafficGrace); err != nil {
		return 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return float64(t.received) / float64(sent), nil
}
