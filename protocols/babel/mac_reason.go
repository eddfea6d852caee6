package babel

import (
	"fmt"
	"net/netip"
)

// MACReason is why a packet does not prove that a neighbor sent it just now.
type MACReason uint8

// The reasons. MACNew is no fault: each neighbor is challenged once before it is
// heard.
const (
	MACValid      MACReason = iota // it does prove it
	MACPacket                      // it is no Babel packet, or its TLVs do not fit into it
	MACMissing                     // it has no MAC
	MACWrong                       // no key fits its MACs
	MACPeers                       // beyond MaxMACPeers
	MACNoCounter                   // it has a MAC and no packet counter
	MACNew                         // its index is new, so its sender is challenged
	MACUnanswered                  // it came again, and the challenge is not answered
	MACOld                         // its packet counter was there before
	macReasons                     // how many there are
)

var macReasonNames = [macReasons]string{
	"valid", "bad packet", "no MAC", "no key fits", "too many neighbors", "no packet counter",
	"not challenged yet", "challenge unanswered", "packet counter not new",
}

// String is the reason in words.
func (r MACReason) String() string {
	if r < macReasons {
		return macReasonNames[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// MACRefused counts the packets that proved nothing, by reason. From is who sent the
// last of them, as far as its address can be believed.
type MACRefused struct {
	From   netip.Addr
	Reason MACReason
	Count  int
}
