package babel

import "errors"

// Errors that callers tell apart with errors.Is.
var (
	ErrPacket    = errors.New("not a Babel packet")
	ErrFrom      = errors.New("packet not from this neighbor")
	ErrRouterID  = errors.New("not a router-id")
	ErrInterface = errors.New("bad interface")
	ErrNeighbor  = errors.New("bad neighbor")
	ErrPrefix    = errors.New("prefix not for routing")
	ErrMACKey    = errors.New("bad key")
	ErrFull      = errors.New("babel table full")
)
