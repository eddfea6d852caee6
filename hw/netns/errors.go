package netns

import "errors"

// Errors that callers tell apart; each comes wrapped with what was being done.
var (
	// ErrNotRoot: namespaces are root's to make. Run with sudo.
	ErrNotRoot = errors.New("netns: network namespaces need root")
	// ErrExists: there is a namespace with that name already.
	ErrExists = errors.New("netns: the namespace exists")
	// ErrMissing: there is no namespace with that name.
	ErrMissing = errors.New("netns: no such namespace")
	// ErrName: a name that cannot be a file's.
	ErrName = errors.New("netns: a name has letters, digits, dots and dashes only")
)
