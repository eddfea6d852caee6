package hwtest

import (
	"net/netip"
	"time"
)

// NAT is what a NAT in a Network does. It lets in only whom the node behind it has
// sent to (address- and port-dependent filtering, RFC 4787 section 5).
type NAT struct {
	Outside netip.Addr
	Random  bool          // another port for each peer; else the node's own
	Timeout time.Duration // of a mapping that nothing goes through
}

type flow struct{ from, to netip.AddrPort }

// nat is a NAT with its mappings.
type nat struct {
	NAT
	inside netip.Addr
	ports  map[flow]uint16    // of the node's packets to a peer
	used   map[flow]time.Time // by outside address and peer
}

// SetNAT puts all that is at an address behind a NAT; nobody reaches that address
// itself any more.
func (n *Network) SetNAT(inside netip.Addr, what NAT) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nats = append(n.nats, &nat{NAT: what, inside: inside, ports: map[flow]uint16{}, used: map[flow]time.Time{}})
}

// translate is a datagram as it arrives behind all NATs; false: it does not.
func (n *Network) translate(d Datagram) (Datagram, bool) {
	now := time.Now()
	for _, t := range n.nats {
		if t.inside == d.From.Addr() {
			f := flow{d.From, d.To}
			port, known := t.ports[f]
			if !known || now.Sub(t.used[flow{netip.AddrPortFrom(t.Outside, port), d.To}]) > t.Timeout {
				port = d.From.Port()
				if t.Random {
					port = uint16(1024 + n.rng.Intn(1<<16-1024))
				}
				t.ports[f] = port
			}
			d.From = netip.AddrPortFrom(t.Outside, port)
			t.used[flow{d.From, d.To}] = now
		}
	}
	for _, t := range n.nats {
		switch d.To.Addr() {
		case t.inside:
			return d, false
		case t.Outside:
			for f, port := range t.ports {
				key := flow{netip.AddrPortFrom(t.Outside, port), f.to}
				if f.to == d.From && port == d.To.Port() && now.Sub(t.used[key]) <= t.Timeout {
					t.used[key] = now
					d.To = f.from
					return d, true
				}
			}
			return d, false
		}
	}
	return d, true
}
