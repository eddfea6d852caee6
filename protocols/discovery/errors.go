package discovery

import "errors"

// Errors that callers tell apart with errors.Is.
var (
	ErrForeign   = errors.New("not a beacon of this network, or not from where it says")
	ErrMalformed = errors.New("malformed beacon")
	ErrRate      = errors.New("too many packets on this interface")
)
