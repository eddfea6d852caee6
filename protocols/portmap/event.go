package portmap

import (
	"net/netip"
	"time"
)

// Event is what a Client wants done or tells: Send, AskIGD, ReleaseIGD, Mapped or
// Unmapped.
//
//sumtype:decl
type Event interface{ event() }

// Send asks to send a datagram to the gateway.
type Send struct{ Datagram []byte }

// AskIGD asks for a mapping by UPnP, from External, or another port, to this node's
// Internal one. HandleIGD must follow, with the number of the question.
type AskIGD struct {
	Number             int
	Gateway, Client    netip.Addr
	Internal, External uint16
	Lifetime           time.Duration
}

// ReleaseIGD asks to delete a mapping by UPnP.
type ReleaseIGD struct {
	Gateway, Client netip.Addr
	External        uint16
}

// Mapped says where the world reaches this node's port. It replaces what was said before.
type Mapped struct {
	Protocol Protocol
	External netip.AddrPort
}

// Unmapped says that it does so no more.
type Unmapped struct{}

func (Send) event()       {}
func (AskIGD) event()     {}
func (ReleaseIGD) event() {}
func (Mapped) event()     {}
func (Unmapped) event()   {}

// Protocol is one of those that a gateway may know.
type Protocol uint8

// The protocols, in the order in which they are tried.
const (
	PCP Protocol = iota + 1
	NATPMP
	IGD
	none // all were tried
)

func (p Protocol) String() string {
	switch p {
	case PCP:
		return "PCP"
	case NATPMP:
		return "NAT-PMP"
	case IGD:
		return "UPnP IGD"
	case none:
	}
	return "none"
}
