package flood

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
)

// caller dials one peer from one address: a link without a packet path.
type caller struct {
	f           *flooder
	conn        *net.UDPConn
	credentials *fabric.Credentials
	room        []byte

	mu       sync.Mutex // guards what follows
	link     *fabric.Link
	request  []byte // the first datagram of the dial
	sessions map[uint32]*fabric.LinkSession
	current  *fabric.LinkSession
	up       bool
}

func (f *flooder) call(from netip.Addr, c *fabric.Credentials) (*caller, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)))
	if err != nil {
		return nil, err
	}
	k := &caller{f: f, conn: conn, credentials: c, room: make([]byte, 64<<10), sessions: map[uint32]*fabric.LinkSession{}}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dial()
	return k, nil
}

// dial begins anew.
func (k *caller) dial() {
	k.request, k.up = nil, false
	k.link = fabric.NewLink(fabric.LinkConfig{Credentials: k.credentials, Rand: rand.Reader, NewIndex: newIndex, Peer: addr.NodeID{}})
	k.link.Dial(time.Now(), []netip.AddrPort{k.f.Target})
	k.drain()
}

func newIndex() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return binary.BigEndian.Uint32(b[:]) | 1
}

func (k *caller) drain() {
	k.link.Drain(func(e fabric.Event) {
		switch e := e.(type) {
		case fabric.Send:
			if k.request == nil {
				k.request = slices.Clone(e.Datagram)
			}
			k.send(e.Datagram)
		case fabric.SendControl:
			k.control(e.Kind, e.Body)
		case fabric.Install:
			k.sessions[e.Session.LocalIndex()] = e.Session
		case fabric.Retire:
			delete(k.sessions, e.Index)
		case fabric.Use:
			k.current = e.Session
		case fabric.Up:
			k.up = true
		default: // nobody else is here
		}
	})
}

func (k *caller) send(datagram []byte) {
	if _, err := k.conn.WriteToUDPAddrPort(datagram, k.f.Target); err == nil {
		k.f.sent.Add(1)
	}
}

func (k *caller) control(kind fabric.ControlKind, body []byte) {
	if k.current == nil {
		return
	}
	if frame, err := k.current.SealControl(nil, kind, body); err == nil {
		_, _ = k.conn.WriteToUDPAddrPort(frame, k.f.Target)
	}
}

// receive takes the next datagram; false where the socket is closed. take says
// whether a handshake's is worth the time.
func (k *caller) receive(take func() bool) bool {
	n, from, err := k.conn.ReadFromUDPAddrPort(k.room)
	if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	} else if err != nil {
		return true // ICMP's word
	}
	datagram := k.room[:n]
	k.mu.Lock()
	defer k.mu.Unlock()
	t, err := fabric.TypeOf(datagram)
	switch {
	case err != nil:
	case t.IsHandshake():
		k.f.answered.Add(1)
		if take() {
			k.link.HandleHandshake(time.Now(), fabric.Path{Remote: from}, datagram)
		}
	case t == fabric.TypeControl:
		index := fabric.ControlLinkIndex(datagram)
		if s := k.sessions[index]; s != nil {
			counter := fabric.ControlCounter(datagram)
			if kind, body, err := s.OpenControl(datagram); err == nil {
				now := time.Now()
				k.link.HandleControl(now, fabric.ControlFrame{At: now, Index: index, Counter: counter, Kind: kind, Body: body, Path: fabric.Path{Remote: from}})
			}
		}
	}
	k.drain()
	return true
}
