package portmap

import "errors"

// Errors of the decoders, wrapped with what was read.
var (
	ErrShort   = errors.New("portmap: message too short")
	ErrVersion = errors.New("portmap: message of another version")
	ErrOpcode  = errors.New("portmap: no answer of a kind that is known")
)
