package openvpn

import "errors"

// Errors that callers tell apart; each comes wrapped with what was being done.
var (
	// ErrSpec: a Spec that makes no tunnel.
	ErrSpec = errors.New("openvpn: invalid tunnel")
	// ErrMissing: the program is not there.
	ErrMissing = errors.New("openvpn: not installed")
	// ErrEnded: the child has ended, with its last words.
	ErrEnded = errors.New("openvpn: the child ended")
)
