package discovery

import (
	"net/netip"
	"time"
)

// Group is where beacons are sent to and heard.
var Group = netip.MustParseAddrPort("[ff12::7265:3673]:7327")

// Limits of one interface.
const (
	MaxBeacon   = 512  // bytes of a packet that is looked at
	MaxKnown    = 1024 // nodes that are told from new ones
	PacketRate  = 256  // packets a second that are opened
	PacketBurst = 1024 // at once: the answers of a full LAN to a newcomer
)

// Times of one interface.
const (
	Interval  = 30 * time.Second       // between beacons, a quarter more or less
	AnswerMin = 10 * time.Millisecond  // until a new node is answered
	AnswerMax = 500 * time.Millisecond // so that a full LAN does not answer at once
	Gap       = 250 * time.Millisecond // between two beacons, whoever comes
	Repeat    = 10 * time.Second       // between two Heard of a node that says the same
	Lifetime  = 100 * time.Second      // then a node that is silent is a new one
)

// start is when the first beacons go out: the first may be lost, or come before
// the other end has joined the group.
var start = []time.Duration{0, time.Second, 3 * time.Second}
