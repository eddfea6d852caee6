package peer

import (
	"net/netip"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/nat"
)

// Message is one of Ack, Hello, ObservedAddress, List, Offer, Request, Chunk,
// Goodbye, Rendezvous, Claims, Tunnel and Unknown.
//
//sumtype:decl
type Message interface{ kind() byte }

// Ack says that a message has arrived; the frame carries its epoch and sequence.
type Ack struct{}

// Hello is a node's word about itself.
type Hello struct {
	Prefix    addr.Bits
	Static    [32]byte          // its X25519 key
	Endpoints []netip.AddrPort  // where it can be dialled, best first; at most MaxEndpoints
	Software  string            // printable ASCII, at most MaxSoftware bytes
	Numbers   [Documents]uint64 // of the documents that it has; 0: none
	Carriers  uint8             // that it takes, a bit 1<<n for each fabric.Carrier; 0: not said
	TLSPort   uint16            // where it serves TLS; 0: nowhere
	Country   string            // two letters; "": it says none
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
	TLSPort   uint16        // where it serves TLS; 0: not known
}

// Offer is the number of the sender's document.
type Offer struct {
	Document Document
	Number   uint64
}

// Request asks for the document of a number, from Offset on.
type Request struct {
	Document Document
	Number   uint64
	Offset   uint32
}

// Chunk is at most ChunkLen bytes of the Total bytes of a document.
type Chunk struct {
	Document      Document
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

// Claims is a message of a claim.Sync.
type Claims struct{ Body []byte }

// Tunnel is a message of a ktunnel.Machine; the newest counts.
type Tunnel struct{ Body []byte }

// Unknown is a message of a newer node.
type Unknown struct{ Type byte }

// Document is a sort of what the CA signs for all nodes: numbered, stored and
// passed on as bytes, and replaced by a greater number only.
type Document uint8

// The documents.
const (
	Params      Document = 0 // the network's parameters
	Revocations Document = 1 // the list of revoked certificates
	Documents            = 2 // how many there are
)

// String is the document in words.
func (d Document) String() string {
	if d == Revocations {
		return "revocations"
	}
	return "parameters"
}

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
func (o Offer) kind() byte         { return documentKinds[o.Document] }
func (r Request) kind() byte       { return documentKinds[r.Document] + 1 }
func (c Chunk) kind() byte         { return documentKinds[c.Document] + 2 }
func (Goodbye) kind() byte         { return 7 }
func (r Rendezvous) kind() byte {
	if r.Answer {
		return 13
	}
	return 12
}
func (Claims) kind() byte    { return 16 }
func (Tunnel) kind() byte    { return 18 }
func (u Unknown) kind() byte { return u.Type }
