package peer

import "net/netip"

// Event is what an Exchange wants done or has heard: Send, Introduced, Learned,
// SeenAt, Received, ClaimsHeard, TunnelHeard or Parting.
//
//sumtype:decl
type Event interface{ event() }

// Send asks to send a body of kind 5 on the link.
type Send struct{ Body []byte }

// Introduced is the peer's word about itself; its endpoints are checked.
type Introduced struct{ Hello Hello }

// Learned is what the peer says of others; their endpoints are checked, and those
// without any are left out.
type Learned struct{ Peers []Peer }

// SeenAt is where the peer sees this node's packets come from.
type SeenAt struct{ Address netip.AddrPort }

// Received is a document newer than ours, whose signature is still to be verified.
type Received struct {
	Document Document
	Number   uint64
	Signed   []byte
}

// Parting is the peer's Goodbye.
type Parting struct{ Reason Reason }

// ClaimsHeard is what the peer's claim.Sync says.
type ClaimsHeard struct{ Body []byte }

// TunnelHeard is what the peer's ktunnel.Machine says.
type TunnelHeard struct{ Body []byte }

func (ClaimsHeard) event() {}
func (TunnelHeard) event() {}
func (Send) event()        {}
func (Introduced) event()  {}
func (Learned) event()     {}
func (SeenAt) event()      {}
func (Received) event()    {}
func (Parting) event()     {}
