package addr

import "errors"

// Errors that callers tell apart with errors.Is; each is wrapped with what was
// read and what to do.
var (
	ErrBits    = errors.New("not a bit string")
	ErrNetwork = errors.New("not a re6st network")
	ErrTooLong = errors.New("prefix longer than 128 bits")
	ErrNodeID  = errors.New("not a node id")
	ErrPart    = errors.New("no part of the node's prefix")
	ErrIPv4    = errors.New("not an IPv4 range of a network")
)
