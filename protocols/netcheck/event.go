package netcheck

import (
	"net/netip"
	"time"
)

// Event is what the driver is to do: Send.
//
//sumtype:decl
type Event interface{ event() }

// Send is a datagram to send; it is the driver's.
type Send struct {
	To       netip.AddrPort
	Datagram []byte
}

func (Send) event() {}

// Refusal is what the kernel makes of a datagram, or heard of it by ICMP.
type Refusal string

// The refusals.
const (
	NotRefused   Refusal = ""
	NobodyThere  Refusal = "nobody listens there" // the port is unreachable: datagrams arrive
	NoRoute      Refusal = "no route"
	Filtered     Refusal = "a firewall on the way refuses it"
	FilteredHere Refusal = "a firewall of this machine refuses it"
)

// Result is what came of a target.
type Result struct {
	Target   netip.AddrPort
	Answered bool
	RTT      time.Duration  // the least; 0 where nothing was answered
	Seen     netip.AddrPort // from where the target sees this node; not valid: it does not say
	Refusal  Refusal        // the last one
	// Largest is the longest IP packet that was answered, in bytes; 0: no size was tried.
	Largest int
	// TooBig is the shortest one that was not; 0: all were. Told is the MTU that a router, or
	// this machine, gave for it; 0: it vanished without a word.
	TooBig, Told int
}
