package netcheck

import (
	"net/netip"

	"re6st/protocols/addr"
	"re6st/protocols/nat"
)

// Facts are what was found. What is nil was not looked for.
type Facts struct {
	IPv4     Family    `json:"ipv4"`
	IPv6     Family    `json:"ipv6"`
	Name     *Name     `json:"name,omitempty"`
	Registry *Contact  `json:"registry,omitempty"`
	Peers    []Peer    `json:"peers"`
	NAT      NAT       `json:"nat"`
	Mapping  *Mapping  `json:"mapping,omitempty"`
	Node     *NodeFact `json:"node,omitempty"` // the one that runs here
}

// Family is how this machine is in one family of addresses.
type Family struct {
	Addresses []netip.Addr `json:"addresses"`         // global ones, best first
	Default   []string     `json:"default,omitempty"` // interfaces by which a default route leads out
}

// Name is what became of the registry's.
type Name struct {
	Host      string       `json:"host"`
	Addresses []netip.Addr `json:"addresses"`
	Error     string       `json:"error,omitempty"`
}

// Trouble is why a registry does not answer.
type Trouble string

// The troubles.
const (
	NoTrouble Trouble = ""
	Refused   Trouble = "refused" // nothing listens there
	Silent    Trouble = "silent"  // the connection is not made, or nothing comes by it
	NotSecure Trouble = "not-tls" // something listens that speaks no TLS
	Foreign   Trouble = "foreign" // it has another CA: somebody else answers
	Other     Trouble = "other"
)

// Contact is what became of a call to the registry.
type Contact struct {
	At      string  `json:"at"` // host:port
	Trouble Trouble `json:"trouble,omitempty"`
	Error   string  `json:"error,omitempty"`
	Connect int64   `json:"connect_us"` // until the TCP connection was there: a round trip
	Answer  int64   `json:"answer_us"`  // until the answer was
	// Clock is by how much the registry's clock is ahead of this machine's, in ms; nil: not
	// told. It is told in whole seconds.
	Clock *int64 `json:"clock_ms,omitempty"`

	Fingerprint [32]byte `json:"-"` // of the CA that it showed; zero: none
}

// Peer is what became of an address of a node.
type Peer struct {
	Node     *addr.NodeID   `json:"node,omitempty"` // where it is known
	Address  netip.AddrPort `json:"address"`
	Linked   bool           `json:"linked"` // the node of this machine has a link by it
	Answered bool           `json:"answered"`
	RTT      int64          `json:"rtt_us"`
	Seen     netip.AddrPort `json:"seen,omitzero"`     // where it sees this machine
	Refusal  string         `json:"refusal,omitempty"` // what the kernel says
	Largest  int            `json:"largest"`           // IP packet that came through, in bytes; 0: not tried
	TooBig   int            `json:"too_big,omitempty"` // the least that did not
	Told     int            `json:"told,omitempty"`    // MTU that a router, or this machine, gives
	QUIC     bool           `json:"quic"`              // it answers by QUIC, at the same port
	TLS      bool           `json:"tls"`               // by TLS
	TLSPort  uint16         `json:"tls_port"`          // where it was asked so: TCP
}

// NAT is what the addresses tell at which peers see this machine.
type NAT struct {
	Kind nat.Kind         `json:"kind"`
	Seen []netip.AddrPort `json:"seen"` // IPv4 and IPv6, each once
}

// Mapping is what the gateway would do for a port.
type Mapping struct {
	Gateway netip.Addr `json:"gateway,omitzero"` // not valid: there is none
	Offers  []Offer    `json:"offers"`           // of protocols that it speaks
}

// Offer is a protocol by which the gateway maps ports.
type Offer struct {
	Protocol string     `json:"protocol"`
	External netip.Addr `json:"external,omitzero"` // its address outside, where it tells
	Refusal  string     `json:"refusal,omitempty"` // why it would not
}

// NodeFact is what the node of this machine says of itself.
type NodeFact struct {
	State  string         `json:"state"`
	NAT    string         `json:"nat"`
	Links  int            `json:"links"`
	Mapped netip.AddrPort `json:"mapped,omitzero"` // where the world reaches it
}

// Name tells nodes apart: one may have several addresses.
func (p Peer) Name() string {
	if p.Node != nil {
		return p.Node.String()
	}
	return p.Address.String()
}
