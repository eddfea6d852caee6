package openvpn

import "net/netip"

// Event is what Run reports.
//
//sumtype:decl
type Event interface{ event() }

// Waiting says that the end that waits does so.
type Waiting struct{}

// Connected says that the peer is there: frames go both ways.
type Connected struct{ Client } // only Address where this end dialled

// Refused says that Admit kept a client out.
type Refused struct {
	Client
	Reason error
}

// Disconnected says that the peer is gone, from the end that waits. Another connection of
// the peer may still be there: a new one comes before the old one ends.
type Disconnected struct{ Client }

func (Waiting) event()      {}
func (Connected) event()    {}
func (Refused) event()      {}
func (Disconnected) event() {}

// Client is what the child has found out of the other end.
type Client struct {
	Name    string         // the common name of its certificate
	Serial  string         // of its certificate, in hexadecimal digits without leading zeros
	Address netip.AddrPort // outer
}
