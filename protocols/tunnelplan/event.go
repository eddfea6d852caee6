package tunnelplan

import "re6st/protocols/addr"

// Event is what the planner wants done: Open, Meet, Cancel, Drain, Undrain, Close,
// AskRegistry or Remember.
//
//sumtype:decl
type Event interface{ event() }

// Open asks for a link to Peer. Its endpoints are in the order to try, the one
// that worked last first. Static is zero where the key is unknown, and on every
// second attempt after a failure, as a peer that made itself a new key answers
// only to Noise XX.
type Open struct {
	Peer     Peer
	Shortcut bool // for the traffic with it
}

// Meet asks to send a peer, over the mesh, word to dial this node now, as it is being
// dialled; or that answer. With it goes where this node is, and behind what NAT.
type Meet struct {
	ID     addr.NodeID
	Nonce  uint64
	Answer bool
}

// Cancel ends the dial to a peer: the place was filled by another.
type Cancel struct{ ID addr.NodeID }

// Drain asks to move routes off a link, by a cost so high that any other way is
// better, at both ends.
type Drain struct{ ID addr.NodeID }

// Undrain gives a link its ordinary cost back: routes had no other way.
type Undrain struct{ ID addr.NodeID }

// Close ends a link. HandleDown must follow.
type Close struct {
	ID     addr.NodeID
	Reason CloseReason
}

// AskRegistry asks the registry for peers.
type AskRegistry struct{}

// Remember holds the peers to store for the next start: those to which a link was
// up, best first, at most MaxRemembered. It replaces what was stored.
type Remember struct{ Peers []Peer }

func (Open) event()        {}
func (Meet) event()        {}
func (Cancel) event()      {}
func (Drain) event()       {}
func (Undrain) event()     {}
func (Close) event()       {}
func (AskRegistry) event() {}
func (Remember) event()    {}

// CloseReason is why the planner closes a link.
type CloseReason uint8

// The reasons to close a link.
const (
	Excess       CloseReason = iota + 1 // more links than the limits allow
	Refresh                             // the least useful link makes place for another
	Revoked                             // the peer's certificate was revoked
	Unused                              // a shortcut that carries little, or that routes do not take
	OtherCountry                        // links stay within one country
	NotAdmitted                         // an accepted link came up beyond what Admit allows
)

func (r CloseReason) String() string {
	switch r {
	case Excess:
		return "excess"
	case Refresh:
		return "refresh"
	case Revoked:
		return "revoked"
	case Unused:
		return "unused"
	case OtherCountry:
		return SameCountry
	case NotAdmitted:
		return "full"
	}
	return "unknown"
}
