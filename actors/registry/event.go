package registry

import (
	"net/netip"

	"re6st/protocols/addr"
	"re6st/protocols/registry"
)

// Event is something that happened to the registry.
//
//sumtype:decl
type Event interface{ event() }

// Listening says that nodes can join now.
type Listening struct {
	Address   netip.AddrPort // bound
	Advertise registry.HostPort
	Network   netip.Prefix
}

// Joined says that a node has got its certificate, perhaps once more after a lost answer.
type Joined struct {
	Prefix addr.Bits
	ID     addr.NodeID
	From   netip.Addr
}

// Renewed says that a node has got another certificate.
type Renewed struct {
	Prefix addr.Bits
	ID     addr.NodeID
	From   netip.Addr
}

// Refused says that a call got an error. Under a flood not all are reported.
type Refused struct {
	From  netip.Addr
	Error *registry.Error
}

// Unsaved says that the database took no write; what the node said is kept in memory.
type Unsaved struct{ Error error }

// Expired says that these nodes were forgotten, long after their certificates ended.
type Expired struct{ Nodes []addr.NodeID }

func (Listening) event() {}
func (Joined) event()    {}
func (Renewed) event()   {}
func (Refused) event()   {}
func (Unsaved) event()   {}
func (Expired) event()   {}

// Message is what the registry's actor takes: its pumps' reports.
//
//sumtype:decl
type Message interface{ message() }

// happened reports an event of a pump.
type happened struct{ event Event }

func (happened) message() {}

// Status is the actor's snapshot.
type Status struct {
	Network   netip.Prefix      `json:"network"`
	Address   netip.AddrPort    `json:"address"`
	Advertise registry.HostPort `json:"advertise"`
	Joined    uint64            `json:"joined"`  // since the start
	Renewed   uint64            `json:"renewed"` // likewise
	Refused   uint64            `json:"refused"` // calls
	LastError string            `json:"last_error,omitempty"`
}
