package nat

import (
	"net/netip"
	"slices"

	"re6st/protocols/addr"
)

// Kind is what is between a node and its peers. It is on the wire.
type Kind uint8

// The kinds of NATs.
const (
	Unknown        Kind = 0
	None           Kind = 1 // or ports are mapped: whoever wants reaches the node
	PortRestricted Kind = 2 // the same address for all peers, of whom those that it has sent to get in
	Random         Kind = 3 // another port for each peer: nobody can tell it beforehand
)

func (k Kind) String() string {
	switch k {
	case None:
		return "none"
	case PortRestricted:
		return "port-restricted"
	case Random:
		return "random"
	case Unknown:
	}
	return "unknown"
}

// MarshalText gives the word of String.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Obstacle is why two nodes cannot have a direct link, however they try.
type Obstacle uint8

// The obstacles.
const (
	NoObstacle  Obstacle = iota
	BothRandom           // neither can tell the other where to send to
	RandomToNAT          // one end's port is unknown to the other, which lets in only whom it has sent to
)

func (o Obstacle) String() string {
	switch o {
	case BothRandom:
		return "both behind random NAT"
	case RandomToNAT:
		return "one behind random NAT, the other behind a NAT"
	case NoObstacle:
	}
	return ""
}

// Between is what is in the way of a link between nodes behind a and b.
func Between(a, b Kind) Obstacle {
	switch {
	case a == Random && b == Random:
		return BothRandom
	case a == Random && b == PortRestricted, a == PortRestricted && b == Random:
		return RandomToNAT
	}
	return NoObstacle
}

// MaxSeen is how many peers' words count.
const MaxSeen = 1024

// Watch gathers where the peers of links see this node. The zero Watch knows nothing.
type Watch struct {
	own  []netip.AddrPort
	seen map[addr.NodeID]netip.AddrPort // IPv4
}

// HandleOwn takes all addresses at which this node is, with its port.
func (w *Watch) HandleOwn(own []netip.AddrPort) { w.own = slices.Clone(own) }

// HandleSeen notes where a peer sees this node.
func (w *Watch) HandleSeen(by addr.NodeID, at netip.AddrPort) {
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	if !at.IsValid() || !at.Addr().Is4() {
		return
	}
	if w.seen == nil {
		w.seen = map[addr.NodeID]netip.AddrPort{}
	}
	if _, known := w.seen[by]; known || len(w.seen) < MaxSeen {
		w.seen[by] = at
	}
}

// HandleGone forgets what a peer saw.
func (w *Watch) HandleGone(by addr.NodeID) { delete(w.seen, by) }

// Translated tells whether packets that are seen to come from at went through a NAT:
// what it maps, packets have to keep.
func (w *Watch) Translated(at netip.AddrPort) bool {
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	return at.IsValid() && at.Addr().Is4() && !slices.Contains(w.own, at)
}

// Kind is the NAT that the words of all peers together speak of.
func (w *Watch) Kind() Kind {
	ports := map[netip.Addr]uint16{} // of each address that is not this node's own
	peers := map[netip.Addr]int{}
	for _, at := range w.seen {
		if !w.Translated(at) {
			continue
		}
		if port, ok := ports[at.Addr()]; ok && port != at.Port() {
			return Random
		}
		ports[at.Addr()] = at.Port()
		peers[at.Addr()]++
	}
	if len(ports) == 0 {
		if len(w.seen) == 0 {
			return Unknown
		}
		return None
	}
	for a, port := range ports {
		if peers[a] > 1 || w.isOwnPort(port) {
			return PortRestricted
		}
	}
	return Unknown
}

func (w *Watch) isOwnPort(port uint16) bool {
	return slices.ContainsFunc(w.own, func(e netip.AddrPort) bool { return e.Addr().Is4() && e.Port() == port })
}
