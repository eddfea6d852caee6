package claim

import "errors"

// Errors of Sign, Verify, Store.Add and Sync.HandleMessage, wrapped with what was read.
var (
	ErrMalformed = errors.New("malformed claim")
	ErrTooLong   = errors.New("claim too long")
	ErrExpired   = errors.New("claim expired")
	ErrSignature = errors.New("claim not signed by the key of its certificate")
	ErrFull      = errors.New("no place for another claim")
	ErrMessage   = errors.New("malformed message about claims")
	ErrFlood     = errors.New("more claims told than the limit allows")
)
