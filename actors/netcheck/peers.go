package netcheck

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/nat"
	"re6st/protocols/netcheck"
)

// PeerConfig tells whom to ask.
type PeerConfig struct {
	Fingerprint [32]byte        // of the network's CA
	Peers       []netcheck.Peer // of whom Node, Address, Linked and TLSPort (0: that of the most) are given
	Mark        uint32          // SO_MARK, as the node's; 0: none
	Carriers    bool            // ask by QUIC and TLS too
}

// Peers asks all of them, and returns them with what came of it, and the NAT that they
// speak of.
func Peers(ctx context.Context, c PeerConfig) ([]netcheck.Peer, netcheck.NAT, error) {
	var index [4]byte
	if _, err := rand.Read(index[:]); err != nil {
		return nil, netcheck.NAT{}, err
	}
	targets := make([]netip.AddrPort, len(c.Peers))
	for i, p := range c.Peers {
		targets[i] = p.Address
	}
	p := prober{heard: make(chan heard)}
	if err := p.open(c.Mark); err != nil {
		return nil, netcheck.NAT{}, err
	}
	defer p.close()
	var ask *carriersAsked
	if c.Carriers {
		var err error
		if ask, err = startCarriers(c); err != nil {
			return nil, netcheck.NAT{}, err
		}
		defer ask.close()
	}
	m := netcheck.New(time.Now(), netcheck.Config{
		Fingerprint: c.Fingerprint, Targets: targets, Index: binary.BigEndian.Uint32(index[:]), Sizes: true,
	})
	if err := p.run(ctx, m); err != nil {
		return nil, netcheck.NAT{}, err
	}
	peers := slices.Clone(c.Peers)
	peers = peers[:min(len(peers), netcheck.MaxTargets)]
	for i, r := range m.Results() {
		q := &peers[i]
		q.Answered, q.RTT, q.Seen, q.Refusal = r.Answered, r.RTT.Microseconds(), r.Seen, string(r.Refusal)
		q.Largest, q.TooBig, q.Told = r.Largest, r.TooBig, r.Told
	}
	if ask != nil {
		if err := ask.wait(ctx, peers); err != nil {
			return nil, netcheck.NAT{}, err
		}
	}
	return peers, natOf(peers, p.own()), nil
}

// natOf tells the NAT from where peers see this machine.
func natOf(peers []netcheck.Peer, own []netip.AddrPort) netcheck.NAT {
	var watch nat.Watch
	watch.HandleOwn(own)
	var all netcheck.NAT
	for i, p := range peers {
		if !p.Seen.IsValid() {
			continue
		}
		watch.HandleSeen(addr.NodeIDFromUint64(uint64(i+1)), p.Seen)
		if !slices.Contains(all.Seen, p.Seen) {
			all.Seen = append(all.Seen, p.Seen)
		}
	}
	all.Kind = watch.Kind()
	return all
}

// heard is what a socket has.
type heard struct {
	at       time.Time
	datagram []byte // nil: an error
	to       netip.AddrPort
	refusal  netcheck.Refusal
	tooBig   bool
	mtu      int
}

// prober drives a netcheck.Machine by a socket for each family; one that the machine does not
// have is nil.
type prober struct {
	four, six *socket
	heard     chan heard
	stop      context.CancelFunc
	readers   sync.WaitGroup
}

func (p *prober) open(mark uint32) error {
	var errFour, errSix error
	p.four, errFour = openSocket("udp4", mark)
	p.six, errSix = openSocket("udp6", mark)
	if p.four == nil && p.six == nil {
		return fmt.Errorf("no UDP socket: %w", errors.Join(errFour, errSix))
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	for _, s := range []*socket{p.four, p.six} {
		if s == nil {
			continue
		}
		p.readers.Go(func() {
			s.read(func(h heard) {
				select {
				case p.heard <- h:
				case <-ctx.Done():
				}
			})
		})
	}
	return nil
}

func (p *prober) close() {
	p.stop()
	for _, s := range []*socket{p.four, p.six} {
		if s != nil {
			s.conn.Close()
		}
	}
	p.readers.Wait()
}

// own are all addresses of this machine, with the port of the IPv4 socket.
func (p *prober) own() (own []netip.AddrPort) {
	if p.four == nil {
		return nil
	}
	port := p.four.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	all, _ := net.InterfaceAddrs() // without it all that is seen counts as translated
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, netip.AddrPortFrom(prefix.Addr().Unmap(), port))
		}
	}
	return own
}

// run drives the machine to its end.
func (p *prober) run(ctx context.Context, m *netcheck.Machine) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		for more := true; more; {
			more = false
			m.Drain(func(e netcheck.Event) {
				more = true
				p.send(m, e.(netcheck.Send))
			})
		}
		next, ok := m.NextTimeout()
		if !ok {
			return nil
		}
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			m.HandleTimeout(time.Now())
		case h := <-p.heard:
			switch {
			case h.datagram != nil:
				m.HandleDatagram(h.at, h.datagram)
			case h.tooBig:
				m.HandleTooBig(h.at, h.to, h.mtu)
			default:
				m.HandleRefused(h.to, h.refusal)
			}
		}
	}
}

// send tells the machine what the kernel says at once.
func (p *prober) send(m *netcheck.Machine, e netcheck.Send) {
	s := p.six
	if e.To.Addr().Is4() {
		s = p.four
	}
	if s == nil {
		m.HandleRefused(e.To, netcheck.NoRoute)
		return
	}
	switch why, tooBig := refusalOf(s.write(e.Datagram, e.To)); {
	case tooBig:
		m.HandleTooBig(time.Now(), e.To, mtuTowards(e.To))
	case why != netcheck.NotRefused && why != netcheck.NobodyThere: // of that the kernel hears later
		m.HandleRefused(e.To, why)
	}
}
