package fabric

import "errors"

// Errors that callers tell apart with errors.Is. Those of the packet path are
// returned bare, because a stranger can cause one per datagram and an error with
// text in it would cost an allocation each.
var (
	ErrShort     = errors.New("fabric: datagram too short for its header")
	ErrTooLong   = errors.New("fabric: message longer than a datagram holds")
	ErrVersion   = errors.New("fabric: not this protocol or version")
	ErrType      = errors.New("fabric: unexpected type of datagram")
	ErrReserved  = errors.New("fabric: reserved bits are not zero")
	ErrNode      = errors.New("fabric: node id is zero or not the one expected")
	ErrIndex     = errors.New("fabric: link or session index is zero or not the one expected")
	ErrAuth      = errors.New("fabric: authentication failed")
	ErrReplay    = errors.New("fabric: counter seen before or behind the window")
	ErrExhausted = errors.New("fabric: counter used up; make new keys")
	ErrKeys      = errors.New("fabric: unusable keys")
	ErrSuite     = errors.New("fabric: unknown cipher suite")

	ErrFragment   = errors.New("fabric: bad fragment")
	ErrReassembly = errors.New("fabric: reassembly is out of memory")
	ErrTransit    = errors.New("fabric: bad transit message")
	ErrRelayError = errors.New("fabric: bad relay error")
	ErrHopLimit   = errors.New("fabric: hop limit exceeded")
)
