package peer

import (
	"net/netip"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/nat"
)

// Message is one of Ack, Hello, ObservedAddress, List, ParamsOffer,
// ParamsRequest, ParamsChunk, Goodbye, Rendezvous and Unknown.
//
//sumtype:decl
type Message interface{ kind() byte }

// Ack says that a message has arrived; the frame carries its epoch and sequence.
type Ack struct{}

// Hello is a node's word about itself.
type Hello struct {
	Prefix    addr.Bits
	Static    [32]byte         // its X25519 key
	Endpoints []netip.AddrPort // where it can be dialled, best first; at most MaxEndpoints
	Software  string           // printable ASCII, at most MaxSoftware bytes
	Params    uint64           // the number of the parameters it has; 0: none
}

// ObservedAddress is where the receiver's packets come from.
type ObservedAddress struct{ Address netip.AddrPort }

// List is other nodes, those last seen alive first.
type List struct{ Peers []Peer }

// Peer is what one node tells of another.
type Peer struct {
	ID        addr.NodeID
	Prefix    addr.Bits
	Static    [32]byte // zero: unknown
	Endpoints []netip.AddrPort
	Age       time.Duration // since it was last known to be alive; whole seconds on the wire
}

// ParamsOffer is the number of the sender's signed parameters.
type ParamsOffer struct{ Number uint64 }

// ParamsRequest asks for those of a number, from Offset on.
type ParamsRequest struct {
	Number uint64
	Offset uint32
}

// ParamsChunk is at most ChunkLen bytes of the Total bytes of signed parameters.
type ParamsChunk struct {
	Number        uint64
	Offset, Total uint32
	Bytes         []byte
}

// Goodbye announces the end of a link.
type Goodbye struct{ Reason Reason }

// Rendezvous asks a node for a link, or answers that it may come: each dials the
// other at the same time, so that the NATs between them let in whom they wait for. It
// goes from end to end in a fabric.TransitRendezvous, not by an Exchange.
type Rendezvous struct {
	Answer    bool
	Nonce     uint64 // the asker's, which the answer has too
	NAT       nat.Kind
	Endpoints []netip.AddrPort // where the sender can be dialled, best first; at most MaxRendezvous
}

// Unknown is a message of a newer node.
type Unknown struct{ Type byte }

// Reason is why a node takes its leave.
type Reason uint8

// The reasons.
const (
	Draining Reason = 1 // the sender moves its routes off the link, and asks the receiver to do so
	Keeping  Reason = 2 // it does so no more
	Leaving  Reason = 3 // it stops
)

func (Ack) kind() byte             { return 0 }
func (Hello) kind() byte           { return 1 }
func (ObservedAddress) kind() byte { return 2 }
func (List) kind() byte            { return 3 }
func (ParamsOffer) kind() byte     { return 4 }
func (ParamsRequest) kind() byte   { return 5 }
func (ParamsChunk) kind() byte     { return 6 }
func (Goodbye) kind() byte         { return 7 }
func (r Rendezvous) kind() byte {
	if r.Answer {
		return 13
	}
	return 12
}
func (u Unknown) kind() byte { return u.Type }
