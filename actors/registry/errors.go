package registry

import "errors"

// Errors that callers tell apart with errors.Is, besides those of
// protocols/registry, which cross the wire.
var (
	ErrExists       = errors.New("there is one already")
	ErrNoRegistry   = errors.New("no registry here")
	ErrNewer        = errors.New("made by a newer version of re6st")
	ErrNoAdvertise  = errors.New("the registry's address is not known")
	ErrFingerprint  = errors.New("not the registry of this join line")
	ErrMember       = errors.New("bad node identity")
	ErrNoNode       = errors.New("no such node")
	ErrNotReachable = errors.New("registry not reachable")
)
