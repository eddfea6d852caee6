package peer

import "errors"

// Errors of Decode, of HandleMessage and of CheckEndpoint, wrapped with what was
// read and where.
var (
	ErrVersion       = errors.New("peer message of another version")
	ErrMalformed     = errors.New("malformed peer message")
	ErrTooLong       = errors.New("peer message too long")
	ErrContradiction = errors.New("the hello contradicts the certificate")
	ErrFlood         = errors.New("more peers told than the limit allows")
	ErrEndpoint      = errors.New("no node can be dialled there")
)
