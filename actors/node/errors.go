package node

import "errors"

var (
	// ErrConfig is wrapped by every error about a configuration file.
	ErrConfig = errors.New("bad configuration")
	// ErrDuplicate says that there is a second node with this one's identity.
	ErrDuplicate = errors.New("another live node uses this node's certificate; join again with a new token")

	errLate = errors.New("the registry's answer took too long")
)
