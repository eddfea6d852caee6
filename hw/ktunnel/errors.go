package ktunnel

import "errors"

// Errors that callers tell apart; each comes wrapped with what was being done.
var (
	// ErrSpec: a Spec that makes no tunnel.
	ErrSpec = errors.New("ktunnel: invalid tunnel")
	// ErrForeign: a link of somebody else has that name. It was left as it is.
	ErrForeign = errors.New("ktunnel: the name belongs to a link that is not ours")
	// ErrUnsupported: the kernel has no such tunnels.
	ErrUnsupported = errors.New("ktunnel: not in this kernel")
	// ErrUnfiltered: the kernel cannot keep out of a tunnel what it is not for.
	ErrUnfiltered = errors.New("ktunnel: this kernel cannot filter what comes by a tunnel")
)
