package babel

import (
	"fmt"
	"net/netip"
	"time"

	"re6st/protocols/rib"
)

// InterfaceID names an interface of a Router. The driver chooses them.
type InterfaceID uint32

// NeighborKey names a neighbor: its link-local address on an interface.
type NeighborKey struct {
	Interface InterfaceID
	Addr      netip.Addr
}

// Compare orders keys by interface, then by address.
func (k NeighborKey) Compare(o NeighborKey) int {
	if k.Interface != o.Interface {
		if k.Interface < o.Interface {
			return -1
		}
		return 1
	}
	return k.Addr.Compare(o.Addr)
}

// Event is what a Router wants done or known: Send, RouteOffered,
// RouteWithdrawn, ReserveSeqno and Refused.
type Event interface{ isEvent() }

// Send is a packet to put on an interface. To is the neighbor's link-local
// address, or the zero Addr for the group. The driver owns Packet.
type Send struct {
	Interface InterfaceID
	To        netip.Addr
	Packet    []byte
}

// RouteOffered is the selected route to a prefix, in place of the last one; the
// driver offers it to the rib.Table as OriginBabel. Unreachable is set while a
// lost prefix is held. This node's own prefixes are never offered.
type RouteOffered struct{ Route rib.Route }

// RouteWithdrawn says that there is no route any more.
type RouteWithdrawn struct{ Key rib.Key }

// ReserveSeqno asks the driver to store Upto durably: this router will not use
// sequence numbers from Upto on before the next such event. After a restart
// Config.Seqno is what was stored last.
type ReserveSeqno struct{ Upto uint16 }

// Refused counts what was dropped since the last one, and names why. From a
// Router, Neighbor tells whose it was; from a Neighbor it is zero.
type Refused struct {
	Neighbor NeighborKey
	Reason   Reason
	Count    int
}

func (Send) isEvent()           {}
func (RouteOffered) isEvent()   {}
func (RouteWithdrawn) isEvent() {}
func (ReserveSeqno) isEvent()   {}
func (Refused) isEvent()        {}

// NeighborEvent is what a Neighbor checked and hands up to Router.Handle:
// Updates, RouteRequested, SeqnoRequested, AckRequested, Acked, CostChanged,
// TimesHeard, Expired, Refused. The driver looks at Expired, and hands on all.
type NeighborEvent interface{ isNeighborEvent() }

// Updates are the checked Updates of one packet, in their order. They are good until
// the Neighbor has its next packet: who keeps them for later clones them.
type Updates struct{ Updates []Update }

// RouteRequested is a checked RouteRequest.
type RouteRequested struct{ RouteRequest }

// SeqnoRequested is a checked SeqnoRequest.
type SeqnoRequested struct{ SeqnoRequest }

// AckRequested is an AckRequest.
type AckRequested struct{ AckRequest }

// Acked is an Ack.
type Acked struct{ Ack }

// CostChanged is the cost of sending to the neighbor, and what receiving from
// it costs, which the neighbor is told by IHU. Infinity is a dead link.
type CostChanged struct{ Cost, Rxcost uint16 }

// TimesHeard is when the neighbor's last Hello was Sent by its clock, and Received by
// ours, at At: the next IHU tells it so (RFC 9616 section 3.2).
type TimesHeard struct {
	Sent, Received Timestamp
	At             time.Time
}

// Expired says that nothing was heard of the neighbor for 16 hellos, or no scheduled
// Hello for a minute: the Router forgets it, the driver ends its Neighbor. Fabric
// neighbors never do.
type Expired struct{}

func (Updates) isNeighborEvent()        {}
func (RouteRequested) isNeighborEvent() {}
func (SeqnoRequested) isNeighborEvent() {}
func (AckRequested) isNeighborEvent()   {}
func (Acked) isNeighborEvent()          {}
func (CostChanged) isNeighborEvent()    {}
func (TimesHeard) isNeighborEvent()     {}
func (Expired) isNeighborEvent()        {}
func (Refused) isNeighborEvent()        {}

// Reason names why something was dropped.
type Reason uint8

const (
	RefusedPacket         Reason = iota // broken framing, or not from this neighbor
	RefusedTLV                          // malformed, or with an unknown mandatory sub-TLV
	RefusedEgress                       // over the fabric without an egress
	RefusedLocator                      // a locator that is another's, or that came from outside of the fabric
	RefusedForeign                      // metric 0 for what another node originates
	RefusedMartian                      // a prefix that is never routed
	RefusedTopology                     // of a topology that the link does not belong to
	RefusedNeighbor                     // from a neighbor that the Router does not know
	RefusedNeighborRoutes               // beyond MaxRoutesPerNeighbor
	RefusedRoutes                       // beyond MaxRoutes
	RefusedSources                      // beyond MaxSources: the route is not announced
	RefusedRequests                     // beyond MaxRequests
	RefusedRevoked                      // to a node whose certificate was revoked
	RefusedOrigin                       // of an origin that may not announce it
	reasons                             // how many there are
)

var reasonNames = [reasons]string{
	"bad packet", "bad TLV", "no egress", "locator of another", "metric 0 for another's",
	"martian prefix", "foreign topology", "unknown neighbor", "neighbor has too many routes", "too many routes", "too many sources",
	"too many requests", "egress revoked", "origin not entitled",
}

// String is the reason in words.
func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}
