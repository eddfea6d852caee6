package cert

import "errors"

// Errors that callers tell apart with errors.Is; each is wrapped with what was
// read and what to do.
var (
	ErrMalformed   = errors.New("malformed certificate")
	ErrAuthority   = errors.New("not a CA of a re6st network")
	ErrUntrusted   = errors.New("certificate not signed by this network's CA")
	ErrNotNode     = errors.New("not a node certificate")
	ErrNotRegistry = errors.New("not the registry's certificate")
	ErrExpired     = errors.New("certificate expired")
	ErrNotYetValid = errors.New("certificate not yet valid")
	ErrKey         = errors.New("unusable key")
	ErrRequest     = errors.New("bad certificate request")
	ErrSignature   = errors.New("signature does not verify")
	ErrRevocations = errors.New("bad revocation list")
	ErrReason      = errors.New("unknown reason")
	ErrBinding     = errors.New("static key is not bound to this certificate")
)
